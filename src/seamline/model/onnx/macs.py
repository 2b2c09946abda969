"""Multiply-accumulates of ONNX operators from the shapes of their tensors.

Only products count (convolutions, matrix products, recurrences): the usual convention, by which VGG-19 has 19.6 G.
Element-wise work, pooling and moving data count as 0.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

from onnx import AttributeProto, NodeProto

Shape = tuple[int, ...]


def node_macs(node: NodeProto, shapes: Mapping[str, Shape]) -> int:
    """Multiply-accumulates of one run of `node`; 0 when a shape it takes is unknown. One turn of a loop's body counts.

    shapes: of every tensor, weights included, in the graph and in the sub-graphs of `node`.
    """
    macs = sum(
        node_macs(inner, shapes)
        for attribute in node.attribute
        if attribute.type == AttributeProto.GRAPH
        for inner in attribute.g.node
    )
    formula = _FORMULAS.get(node.op_type)
    if formula is None:
        return macs
    try:
        return macs + formula(node, shapes)
    except (KeyError, IndexError):
        return macs  # a shape is unknown: the layer still runs, only its share of the work is not counted


def _convolution(weights: int) -> Callable[[NodeProto, Mapping[str, Shape]], int]:
    """Each output element takes one product per element of its filter: W is [out, in / group, *kernel]."""
    return lambda node, shapes: math.prod(shapes[node.output[0]]) * math.prod(shapes[node.input[weights]][1:])


def _transposed(node: NodeProto, shapes: Mapping[str, Shape]) -> int:
    """Each input element is spread by one filter: W is [in, out / group, *kernel]."""
    return math.prod(shapes[node.input[0]]) * math.prod(shapes[node.input[1]][1:])


def _matrix_product(node: NodeProto, shapes: Mapping[str, Shape]) -> int:
    return math.prod(shapes[node.output[0]]) * shapes[node.input[0]][-1]


def _gemm(node: NodeProto, shapes: Mapping[str, Shape]) -> int:
    transposed = any(attribute.name == "transA" and attribute.i for attribute in node.attribute)
    return math.prod(shapes[node.output[0]]) * shapes[node.input[0]][0 if transposed else 1]


def _recurrent(node: NodeProto, shapes: Mapping[str, Shape]) -> int:
    """Every step of every sequence multiplies by W[directions, gates, in] and R[directions, gates, hidden]."""
    n_steps = math.prod(shapes[node.input[0]][:2])
    return n_steps * (math.prod(shapes[node.input[1]]) + math.prod(shapes[node.input[2]]))


def _einsum(node: NodeProto, shapes: Mapping[str, Shape]) -> int:
    equation = next(attribute.s.decode() for attribute in node.attribute if attribute.name == "equation")
    extents: dict[str, int] = {}
    for term, name in zip(equation.split("->")[0].replace(" ", "").split(","), node.input, strict=False):
        if "." not in term:
            extents.update(zip(term, shapes[name], strict=False))
    return math.prod(extents.values()) if len(node.input) > 1 else 0


def _attention(node: NodeProto, shapes: Mapping[str, Shape]) -> int:
    """Scores and weighted sum, for Q, K, V as [batch, length, heads * size]."""
    query, key, value = (shapes[name] for name in node.input[:3])
    return math.prod(query) * key[-2] + math.prod(query[:-1]) * key[-2] * value[-1]


_FORMULAS: dict[str, Callable[[NodeProto, Mapping[str, Shape]], int]] = {
    "Conv": _convolution(1), "FusedConv": _convolution(1), "ConvInteger": _convolution(1),
    "QLinearConv": _convolution(3), "ConvTranspose": _transposed,
    "MatMul": _matrix_product, "FusedMatMul": _matrix_product, "MatMulInteger": _matrix_product,
    "QLinearMatMul": _matrix_product, "MatMulIntegerToFloat": _matrix_product, "DynamicQuantizeMatMul": _matrix_product,
    "MatMulNBits": _matrix_product, "MatMulBnb4": _matrix_product,
    "Gemm": _gemm, "FusedGemm": _gemm, "QGemm": _gemm,
    "LSTM": _recurrent, "GRU": _recurrent, "RNN": _recurrent, "DynamicQuantizeLSTM": _recurrent,
    "Einsum": _einsum, "Attention": _attention, "MultiHeadAttention": _attention,
}  # fmt: skip
