"""Operator order of a quantised (QDQ) graph that can be cut between its units.

A unit is DequantizeLinear > operation > QuantizeLinear, see `core.graph.cuts.bound_tensors`. Quantisers share one
DequantizeLinear among all readers of a tensor; its float result then lives until the last of them, and would cross, and
so forbid, every cut between.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from onnx import GraphProto, NodeProto

from seamline.model.onnx.operators import node_inputs, weight_only
from seamline.model.onnx.protobuf import copied, refill
from seamline.model.onnx.scopes import Scope

DEQUANTIZE = "DequantizeLinear"


def own_dequantisers(graph: GraphProto) -> None:
    """Give every reader of a dequantised activation a DequantizeLinear of its own, in place, as engines do as well."""
    if all(node.op_type != DEQUANTIZE for node in graph.node):
        return
    scope = Scope.of(graph)
    constant = {name for node in weight_only(graph) for name in node.output}
    ends = {value.name for value in graph.output}
    readers: dict[str, list[NodeProto]] = {}
    for node in graph.node:
        for name in dict.fromkeys(node.input):
            readers.setdefault(name, []).append(node)
    nodes: list[NodeProto] = []
    for node in graph.node:
        nodes.append(node)
        result = node.output[0]
        if node.op_type != DEQUANTIZE or result in constant:
            continue
        for number, reader in enumerate(readers.get(result, [])[0 if result in ends else 1 :]):
            twin = copied(node)
            twin.output[0] = scope.fresh(f"{result}/{number}")
            twin.name = f"{node.name}/{number}" if node.name else ""
            reader.input[:] = [twin.output[0] if name == result else name for name in reader.input]
            nodes.append(twin)
    refill(graph.node, nodes)


def late_dequantisers(nodes: Sequence[NodeProto]) -> list[NodeProto]:
    """`nodes` in the same order, but each DequantizeLinear just before the one node that reads it."""
    n_readers = Counter(name for node in nodes for name in node_inputs(node))
    waiting = {node.output[0]: node for node in nodes if node.op_type == DEQUANTIZE and n_readers[node.output[0]] == 1}
    order: list[NodeProto] = []
    for node in nodes:
        if node.op_type == DEQUANTIZE and node.output[0] in waiting:
            continue
        order.extend(waiting[name] for name in node_inputs(node) if name in waiting)
        order.append(node)
    return order
