"""Operators of an ONNX graph: which are supported, what they need, which only make weights, what is nested in them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import onnx.defs
from onnx import AttributeProto, GraphProto, ModelProto, NodeProto, TensorProto

from seamline.core.vocabulary.errors import ModelError

MAX_NESTING = 16
MAX_NODES = 100_000

STANDARD_DOMAINS = frozenset({"", "ai.onnx.ml"})
"""Operators that ONNX itself defines; `drop_alias` has replaced the alias ``ai.onnx``."""

_SUPPORTED = STANDARD_DOMAINS | {"com.microsoft"}

_RANDOM = frozenset(
    {"RandomNormal", "RandomUniform", "RandomNormalLike", "RandomUniformLike", "Multinomial", "Bernoulli"}
)


def drop_alias(model: ModelProto) -> None:
    """Call the standard operators by their empty domain only, which ONNX's own tools expect."""
    nodes = [*nodes_of(model.graph.node), *(node for function in model.functions for node in nodes_of(function.node))]
    owners = [*model.opset_import, *(opset for function in model.functions for opset in function.opset_import)]
    for owner in (*nodes, *owners):
        if owner.domain == "ai.onnx":
            owner.domain = ""


def check_operators(model: ModelProto) -> None:
    """Only operators that every ONNX Runtime brings along; libraries with custom ones are foreign code."""
    n_nodes = 0
    for graph in nested_graphs(model.graph):
        n_nodes += len(graph.node)
        if n_nodes > MAX_NODES:
            raise ModelError(f"the model has more than {MAX_NODES} nodes")
        if graph.sparse_initializer:
            raise ModelError("the model keeps sparse weights, which are not supported", hint="export dense weights")
        for node in graph.node:
            if node.domain in STANDARD_DOMAINS and not onnx.defs.has(node.op_type, node.domain):
                raise ModelError(
                    f"operator `{node.op_type}` of `{node.name}` is not in any version of ONNX",
                    hint="export the model with standard ONNX operators only",
                )
            if node.domain not in _SUPPORTED:
                raise ModelError(
                    f"operator `{node.domain}.{node.op_type}` of `{node.name}` is not supported",
                    hint="export the model with standard ONNX operators only",
                )
            if any(attribute.HasField("sparse_tensor") for attribute in node.attribute):
                raise ModelError("the model keeps sparse weights, which are not supported", hint="export dense weights")


def node_inputs(node: NodeProto) -> tuple[str, ...]:
    """Every tensor `node` needs, without repeats: its inputs and what its sub-graphs take from around it."""
    names = dict.fromkeys(name for name in node.input if name)
    for graph in subgraphs(node):
        names.update(dict.fromkeys(_free_names(graph, 1)))
    return tuple(names)


def weight_only(graph: GraphProto) -> tuple[NodeProto, ...]:
    """Nodes that compute weights from weights, in order: no model input reaches them and none makes a model output."""
    fixed = {tensor.name for tensor in graph.initializer}
    ends = {value.name for value in graph.output}
    found = []
    for node in graph.node:
        if node.op_type in _RANDOM or ends.intersection(node.output) or not fixed.issuperset(node_inputs(node)):
            continue
        fixed.update(node.output)
        found.append(node)
    return tuple(found)


def subgraphs(node: NodeProto) -> Iterator[GraphProto]:
    """The graphs directly inside `node` (branches of If, bodies of Loop and Scan)."""
    for attribute in node.attribute:
        if attribute.type == AttributeProto.GRAPH:
            yield attribute.g
        elif attribute.type == AttributeProto.GRAPHS:
            yield from attribute.graphs


def nested_graphs(graph: GraphProto, depth: int = 0) -> Iterator[GraphProto]:
    """`graph` and every graph inside its nodes. Raises `ModelError` when they are nested too deep."""
    if depth > MAX_NESTING:
        raise ModelError(f"the model nests sub-graphs more than {MAX_NESTING} deep")
    yield graph
    for node in graph.node:
        for inner in subgraphs(node):
            yield from nested_graphs(inner, depth + 1)


def nodes_of(nodes: Iterable[NodeProto]) -> Iterator[NodeProto]:
    """`nodes` and all nodes of the graphs inside them."""
    for node in nodes:
        yield node
        for inner in subgraphs(node):
            for graph in nested_graphs(inner):
                yield from graph.node


def attribute_tensors(graph: GraphProto) -> Iterator[TensorProto]:
    """Every tensor kept in an attribute of a node of `graph`, not of the graphs inside."""
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.type == AttributeProto.TENSOR:
                yield attribute.t
            elif attribute.type == AttributeProto.TENSORS:
                yield from attribute.tensors


def own_names(graph: GraphProto) -> Iterator[str]:
    """Names that `graph` itself gives to tensors, wherever in it: inputs, weights, results of its nodes."""
    yield from (value.name for value in graph.input)
    yield from (tensor.name for tensor in graph.initializer)
    yield from (sparse.values.name for sparse in graph.sparse_initializer)
    yield from (name for node in graph.node for name in node.output if name)


def tensor_names(graph: GraphProto) -> Iterator[str]:
    """Every name of a tensor in `graph` and the graphs inside, with repeats, whether it is made, taken or returned."""
    for inner in nested_graphs(graph):
        yield from own_names(inner)
        yield from (name for node in inner.node for name in node.input)
        yield from (value.name for value in inner.output)


def _free_names(graph: GraphProto, depth: int) -> Iterator[str]:
    """Names that `graph` takes from around it; one that it gives itself means its own tensor, also further up."""
    if depth > MAX_NESTING:
        raise ModelError(f"the model nests sub-graphs more than {MAX_NESTING} deep")
    own = set(own_names(graph))
    for node in graph.node:
        yield from (name for name in node.input if name and name not in own)
        for inner in subgraphs(node):
            yield from (name for name in _free_names(inner, depth + 1) if name not in own)
    yield from (value.name for value in graph.output if value.name not in own)
