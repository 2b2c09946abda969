"""Branch elimination: replaces an If whose condition is constant by the branch that it takes.

Exporters of scripted models write such nodes for questions about shapes ("is there a batch axis?"). Left alone, an If
is one layer whatever is in it, and a whole network may be.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from onnx import GraphProto, NodeProto, TensorProto, helper, numpy_helper

from seamline.model.onnx.operators import subgraphs


def inline_decided(graph: GraphProto) -> bool:
    """Put the nodes of decided branches into `graph`, in place; whether there were any. Types inside are forgotten."""
    constants = {tensor.name: tensor for tensor in graph.initializer}
    nodes: list[NodeProto] = []
    is_changed = False
    for index, node in enumerate(graph.node):
        branch = _taken(node, constants)
        if branch is None:
            nodes.append(_copied(node))
        else:
            nodes.extend(_inlined(graph, node, branch, f"{node.name or 'If'}_{index}"))
            is_changed = True
    if is_changed:
        del graph.node[:]
        graph.node.extend(nodes)
    return is_changed


def _taken(node: NodeProto, constants: Mapping[str, TensorProto]) -> GraphProto | None:
    """The branch that `node` always takes; None when it is no If, or its condition is computed from the frame."""
    if node.op_type != "If" or node.domain not in ("", "ai.onnx") or node.input[0] not in constants:
        return None
    condition = constants[node.input[0]]
    if condition.data_location == TensorProto.EXTERNAL:
        return None
    wanted = "then_branch" if bool(np.asarray(numpy_helper.to_array(condition)).all()) else "else_branch"
    return next((attribute.g for attribute in node.attribute if attribute.name == wanted), None)


def _inlined(graph: GraphProto, node: NodeProto, branch: GraphProto, prefix: str) -> list[NodeProto]:
    """The nodes of `branch`, making what `node` makes; its weights become those of `graph`."""
    inner = [name for inside in branch.node for name in inside.output if name]
    inner += [tensor.name for tensor in branch.initializer]
    made = {name for inside in branch.node for name in inside.output}
    names = {name: f"{prefix}/{name}" for name in inner}
    copies: list[NodeProto] = []
    for result, value in zip(node.output, branch.output, strict=False):
        if not result:
            continue
        if value.name in made and names[value.name].startswith(f"{prefix}/"):
            names[value.name] = result
        else:  # a constant, something from outside, or a value that is returned twice
            copies.append(helper.make_node("Identity", [value.name], [result]))
    for tensor in branch.initializer:
        moved = TensorProto()
        moved.CopyFrom(tensor)
        moved.name = names[tensor.name]
        graph.initializer.append(moved)
    nodes = [_copied(inside) for inside in branch.node]
    for inside in nodes:
        _rename(inside, names)
        inside.name = f"{prefix}/{inside.name}" if inside.name else ""
    for copy in copies:
        copy.input[0] = names.get(copy.input[0], copy.input[0])
    return [*nodes, *copies]


def _rename(node: NodeProto, names: Mapping[str, str]) -> None:
    """Tensors of `node` and of the graphs inside it by their new names; ONNX forbids inner graphs to reuse a name."""
    node.input[:] = [names.get(name, name) for name in node.input]
    node.output[:] = [names.get(name, name) for name in node.output]
    for graph in subgraphs(node):
        for inside in graph.node:
            _rename(inside, names)
        for value in graph.output:
            value.name = names.get(value.name, value.name)


def _copied(node: NodeProto) -> NodeProto:
    copy = NodeProto()
    copy.CopyFrom(node)
    return copy
