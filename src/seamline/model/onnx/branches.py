"""Branch elimination: replaces an If whose condition is constant by the branch that it takes.

Exporters of scripted models write such nodes for questions about shapes ("is there a batch axis?"). Left alone, an If
is one layer whatever is in it, and a whole network may be.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from onnx import GraphProto, NodeProto, TensorProto, helper, numpy_helper

from seamline.model.onnx.protobuf import copied, refill
from seamline.model.onnx.scopes import rename


def inline_decided(graph: GraphProto) -> bool:
    """Put the nodes of decided branches into `graph`, in place; whether there were any. Types inside are forgotten.

    Every name in `graph` is unique (`scopes.make_unique`), so what moves up keeps its own.
    """
    constants = {tensor.name: tensor for tensor in graph.initializer}
    nodes: list[NodeProto] = []
    is_changed = False
    for node in graph.node:
        branch = _taken(node, constants)
        if branch is None:
            nodes.append(node)
        else:
            nodes.extend(_inlined(graph, node, branch))
            is_changed = True
    if is_changed:
        refill(graph.node, nodes)
    return is_changed


def _taken(node: NodeProto, constants: Mapping[str, TensorProto]) -> GraphProto | None:
    """The branch that `node` always takes; None when it is no If, or its condition is computed from the frame."""
    if node.op_type != "If" or node.domain or node.input[0] not in constants:
        return None
    condition = constants[node.input[0]]
    if condition.data_location == TensorProto.EXTERNAL:
        return None
    wanted = "then_branch" if bool(np.asarray(numpy_helper.to_array(condition)).all()) else "else_branch"
    return next((attribute.g for attribute in node.attribute if attribute.name == wanted), None)


def _inlined(graph: GraphProto, node: NodeProto, branch: GraphProto) -> list[NodeProto]:
    """The nodes of `branch`, making what `node` makes; its weights become those of `graph`."""
    made = {name for inside in branch.node for name in inside.output}
    names: dict[str, str] = {}
    copies: list[tuple[str, str]] = []
    for result, value in zip(node.output, branch.output, strict=False):
        if not result:
            continue
        if value.name in made and value.name not in names:
            names[value.name] = result
        else:  # a constant, something from outside, or a value that is returned twice
            copies.append((value.name, result))
    graph.initializer.extend(branch.initializer)
    nodes = [copied(inside) for inside in branch.node]
    rename(nodes, names)
    prefix = node.name or node.op_type
    for inside in nodes:
        inside.name = f"{prefix}/{inside.name}" if inside.name else ""
    identities = [helper.make_node("Identity", [names.get(value, value)], [result]) for value, result in copies]
    return [*nodes, *identities]
