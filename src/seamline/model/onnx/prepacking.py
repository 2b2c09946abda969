"""Prepacking of weights: which initialisers a session need not copy into the layout of its kernels.

ONNX Runtime re-orders ("prepacks") constant weights when a session is made, into memory of that session alone. Most
kernels need that to be quick, and their weights are released afterwards, so the session holds one copy all the same.
Slowdown without it, AMD and Intel with AVX-512, one thread: MatMulNBits 98-102, MatMulInteger 3-5, float products of
2-16 rows 1.5-4, of 197 rows 1.1-1.3, LSTM 1.3.

A float product of *one* row is the exception: it reads every weight once, whatever the layout (0.7-1.1 times as long
without). Its weights stay mapped from the model's file, shared by all segments: VGG-19 has 494 MB of them, and copying
those takes seconds. The runtime has no switch for one weight; but a weight that is listed among the graph's inputs as
well may be overridden by a caller, so it is no constant and is not prepacked.
Convolutions have nothing to prepack: the optimiser re-orders their weights, and `model.engine.optimised` keeps that.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from onnx import GraphProto, ModelProto, NodeProto, TensorProto, helper

from seamline.model.onnx.external import tensor_bytes
from seamline.model.onnx.operators import node_inputs

LARGE_BYTES = 1 << 20
"""Weights below this size are copied like all others: what they take is lost in a session's own memory."""

SHARED_BYTES = 1 << 16
"""From this size on a packed copy is worth a file of its own."""

_HELD_RATIO = {"MatMulNBits": 1.5}
"""Memory of a session over the bytes of its weights: packed in 4 bits, and sums and scales in floats beside them."""

_F16_HELD_RATIO = 2
"""Processors' kernels compute in float32, so the optimiser widens these weights."""

_PRODUCTS = frozenset({"MatMul", "Gemm", "FusedMatMul", "FusedGemm"})
_RIGHT_OPERAND = 1
_MIN_IR_VERSION = 4
"""Before it, every weight was listed among the inputs, and constant nevertheless."""


def held_bytes(tensor: TensorProto) -> int:
    """Memory that a session takes for a weight: its size, twice that in float16. Measured; see `held_ratio` too."""
    return tensor_bytes(tensor) * (_F16_HELD_RATIO if tensor.data_type == TensorProto.FLOAT16 else 1)


def held_ratio(op: str) -> float:
    """What a layer of that operator takes for its weights, over their size; 1.0 for all but a few."""
    return _HELD_RATIO.get(op, 1.0)


def mapped_weights(graph: GraphProto) -> tuple[str, ...]:
    """Names of the large float32 weights that only products of one row read: prepacking them brings nothing."""
    large = {
        tensor.name
        for tensor in graph.initializer
        if tensor.data_type == TensorProto.FLOAT and tensor_bytes(tensor) >= LARGE_BYTES
    }
    if not large:
        return ()
    shapes = _shapes(graph)
    used, refused = set[str](), {value.name for value in graph.output}
    for node in graph.node:
        fine = {node.input[_RIGHT_OPERAND]} if _is_product_of_one_row(node, shapes) else set[str]()
        used |= fine
        refused.update(name for name in node_inputs(node) if name not in fine)
    return tuple(tensor.name for tensor in graph.initializer if tensor.name in (large & used) - refused)


def packed_products(graph: GraphProto) -> tuple[int, ...]:
    """Numbers of the nodes of `graph` that multiply by a float32 weight which kernels pack, from `SHARED_BYTES` on.

    Bodies of loops and branches are left out, and so are weights that are read as something else too.
    """
    large = {
        tensor.name
        for tensor in graph.initializer
        if tensor.data_type == TensorProto.FLOAT and tensor_bytes(tensor) >= SHARED_BYTES and len(tensor.dims) == 2
    } - set(mapped_weights(graph))
    readers: dict[str, list[int]] = {}
    for number, node in enumerate(graph.node):
        for name in large.intersection(node_inputs(node)):
            readers.setdefault(name, []).append(number)
    found = set()
    for name, numbers in readers.items():
        nodes = [graph.node[number] for number in numbers]
        if all(node.op_type in _PRODUCTS and _weighs(node, name) for node in nodes):
            found.update(numbers)
    return tuple(sorted(found))


def _weighs(node: NodeProto, name: str) -> bool:
    return len(node.input) > _RIGHT_OPERAND and node.input[_RIGHT_OPERAND] == name != node.input[0]


def keep_mapped(model: ModelProto) -> None:
    """List the weights of `mapped_weights` among the inputs of `model`, in place."""
    names = mapped_weights(model.graph)
    if not names:
        return
    model.ir_version = max(model.ir_version, _MIN_IR_VERSION)
    listed = {value.name for value in model.graph.input}
    tensors = {tensor.name: tensor for tensor in model.graph.initializer}
    for name in names:
        if name not in listed:
            tensor = tensors[name]
            model.graph.input.append(helper.make_tensor_value_info(name, tensor.data_type, list(tensor.dims)))


def _is_product_of_one_row(node: NodeProto, shapes: Mapping[str, tuple[int, ...]]) -> bool:
    """Whether `node` multiplies one row by a matrix; not where its rows are unknown."""
    if node.op_type not in _PRODUCTS or len(node.input) <= _RIGHT_OPERAND:
        return False
    shape = shapes.get(node.output[0])
    return shape is not None and len(shape) > 0 and math.prod(shape[:-1]) == 1


def _shapes(graph: GraphProto) -> dict[str, tuple[int, ...]]:
    """The shapes that `graph` states, as far as all their extents are numbers."""
    found = {}
    for value in (*graph.value_info, *graph.output):
        tensor = value.type.tensor_type
        if tensor.HasField("shape") and all(extent.HasField("dim_value") for extent in tensor.shape.dim):
            found[value.name] = tuple(extent.dim_value for extent in tensor.shape.dim)
    return found
