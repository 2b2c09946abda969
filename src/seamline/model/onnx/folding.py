"""Constant folding: shapes, arithmetic on weights, and decided branches, all that does not depend on the frame.

Exporters compute shapes at run time and keep weights behind casts and transposes. Unfolded, such nodes cross nearly
every cut: a ViT as PyTorch exports it has 1 cut with a single tensor, and 43 once folded. What is not folded here stays
as nodes that each segment runs for itself (`weight_only`), which is right as well, but costs it memory of its own.
Reading and inference are in `reading.py` and `shape_inference.py`; ONNX Runtime does the arithmetic.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from onnx import GraphProto, ModelProto, NodeProto, TensorProto, ValueInfoProto, helper, numpy_helper

from seamline.core.vocabulary.errors import ModelError
from seamline.core.vocabulary.ports import Array
from seamline.model.onnx.branches import inline_decided
from seamline.model.onnx.external import TensorData, tensor_bytes
from seamline.model.onnx.operators import node_inputs, weight_only
from seamline.model.onnx.protobuf import copied, refill
from seamline.model.onnx.session import quiet_session
from seamline.model.onnx.to_graph import tensor_specs, value_shapes

INLINE_BYTES = 1024
"""Values up to this size stay in the graph file: shape inference wants to see them, and pages are not worth sharing."""

SMALL_BYTES = 1 << 16
"""A folded value may be larger than what it is made from by so much; beyond, the model would grow by folding."""

MAX_FOLDED_BYTES = 1 << 28
"""Large folded values stand in memory until the model is written; beyond this they are left to the segments."""

_KEPT = frozenset({"DequantizeLinear", "QuantizeLinear"})
"""Never folded: a weight kept in 8 bits would become four times as large, and integer kernels would be lost."""

_GROWING = frozenset(
    {"ConstantOfShape", "Expand", "Tile", "Range", "Resize", "Upsample", "Pad", "OneHot", "EyeLike"}
    | {"If", "Loop", "Scan"}
)
"""What may become arbitrarily large; evaluated only when the result's size is known before."""


def fold(model: ModelProto, weights: dict[str, TensorData]) -> bool:
    """One round of folding in `model`, whose shapes are inferred; whether anything changed, so that inference pays.

    weights: where the values of emptied initialisers are; large results are added.
    """
    graph = model.graph
    has_shapes = _fold_shapes(graph)
    has_branches = inline_decided(graph)
    if has_branches:
        _move_out(graph, weights)
    return _fold_values(model, weights) or has_shapes or has_branches


def keep_value(graph: GraphProto, weights: dict[str, TensorData], tensor: TensorProto) -> None:
    """Add `tensor` to the initialisers of `graph`; the values of a large one go to `weights`."""
    n_bytes = tensor_bytes(tensor)
    if n_bytes <= INLINE_BYTES or tensor.data_type == TensorProto.STRING:
        graph.initializer.append(tensor)
        return
    weights[tensor.name] = TensorData(tensor=tensor, n_bytes=n_bytes)
    graph.initializer.append(
        TensorProto(name=tensor.name, data_type=tensor.data_type, dims=tensor.dims, data_location=TensorProto.EXTERNAL)
    )


def _move_out(graph: GraphProto, weights: dict[str, TensorData]) -> None:
    """Have large values that came from branches refer to `weights`, as all others do."""
    tensors = [copied(tensor) for tensor in graph.initializer]
    del graph.initializer[:]
    for tensor in tensors:
        if tensor.data_location == TensorProto.EXTERNAL:
            graph.initializer.append(tensor)
        else:
            keep_value(graph, weights, tensor)


def _fold_shapes(graph: GraphProto) -> bool:
    """Turn Shape and Size of tensors with a fixed shape into constants; whether there were any."""
    shapes = value_shapes(graph)  # names are unique, so those of inner graphs mean no other tensor
    ends = {value.name for value in graph.output}
    kept = []
    for node in graph.node:
        if node.op_type not in ("Shape", "Size") or node.input[0] not in shapes or node.output[0] in ends:
            kept.append(node)
            continue
        shape = shapes[node.input[0]]
        bounds = {attribute.name: attribute.i for attribute in node.attribute}
        values = list(shape[bounds.get("start", 0) : bounds.get("end", len(shape))])
        dims = [len(values)]
        if node.op_type == "Size":
            dims, values = [], [math.prod(shape)]
        graph.initializer.append(helper.make_tensor(node.output[0], TensorProto.INT64, dims, values))
    return _keep_nodes(graph, kept)


def _fold_values(model: ModelProto, weights: dict[str, TensorData]) -> bool:
    """Evaluate nodes that take nothing but constants; whether there were any."""
    graph = model.graph
    constants = {tensor.name: tensor for tensor in graph.initializer}
    small, large = _foldable(graph, constants)
    made: dict[str, Array] = {}
    made.update(_evaluate_all(model, small, constants, weights, made))
    left_bytes = MAX_FOLDED_BYTES
    for node in large:
        found = _evaluate_all(model, [node], constants, weights, made)
        left_bytes -= sum(array.nbytes for array in found.values())
        if left_bytes < 0:
            break
        made.update(found)
    done = [node for node in (*small, *large) if all(name in made for name in node.output if name)]
    for node in done:
        for name in filter(None, node.output):
            keep_value(graph, weights, numpy_helper.from_array(made[name], name))
    gone = {id(node) for node in done}
    return _keep_nodes(graph, [node for node in graph.node if id(node) not in gone])


def _foldable(graph: GraphProto, constants: Mapping[str, TensorProto]) -> tuple[list[NodeProto], list[NodeProto]]:
    """Nodes to evaluate, in order: those that only touch small values, and the others."""
    specs = tensor_specs((*graph.value_info, *graph.output))
    n_bytes = {name: tensor_bytes(tensor) for name, tensor in constants.items()}
    small: list[NodeProto] = []
    large: list[NodeProto] = []
    for node in weight_only(graph):
        needs, outputs = node_inputs(node), [name for name in node.output if name]
        is_known = all(name in specs for name in outputs)
        if node.op_type in _KEPT or any(name not in n_bytes for name in needs):
            continue
        if not is_known and node.op_type in _GROWING:
            continue
        from_bytes = sum(n_bytes[name] for name in needs)
        made_bytes = sum(specs[name].n_bytes for name in outputs) if is_known else from_bytes
        if made_bytes > from_bytes + SMALL_BYTES:
            continue
        n_bytes.update(dict.fromkeys(outputs, made_bytes))
        (small if max(from_bytes, made_bytes) <= SMALL_BYTES else large).append(node)
    return small, large


def _evaluate_all(
    model: ModelProto,
    nodes: Sequence[NodeProto],
    constants: Mapping[str, TensorProto],
    weights: Mapping[str, TensorData],
    made: Mapping[str, Array],
) -> dict[str, Array]:
    """Values of what `nodes` make, all at once, or one by one when that fails; what cannot be evaluated is missing."""
    found: dict[str, Array] = {}
    try:
        return _evaluate(model, nodes, _feeds(nodes, constants, weights, made))
    except _Unfoldable:
        if len(nodes) < 2:
            return found
    for node in nodes:
        try:
            found.update(_evaluate(model, [node], _feeds([node], constants, weights, {**made, **found})))
        except _Unfoldable:
            continue  # it stays a node: the engine may know more than plain arrays can say
    return found


class _Unfoldable(Exception):
    """A node whose values cannot be had as plain arrays."""


def _feeds(
    nodes: Iterable[NodeProto],
    constants: Mapping[str, TensorProto],
    weights: Mapping[str, TensorData],
    made: Mapping[str, Array],
) -> dict[str, Array]:
    own = {name for node in nodes for name in node.output}
    names = dict.fromkeys(name for node in nodes for name in node_inputs(node) if name not in own)
    return {name: made[name] if name in made else _array(name, constants, weights) for name in names}


def _array(name: str, constants: Mapping[str, TensorProto], weights: Mapping[str, TensorData]) -> Array:
    if name not in constants:
        raise _Unfoldable
    tensor = constants[name]
    if name in weights:
        full = TensorProto(name=name, data_type=tensor.data_type, dims=tensor.dims)
        full.raw_data = b"".join(weights[name].chunks())
        tensor = full
    try:
        return np.asarray(numpy_helper.to_array(tensor))
    except (ValueError, TypeError) as exc:
        raise ModelError(f"values of `{name}` do not fit its shape {list(tensor.dims)}") from exc


def _evaluate(model: ModelProto, nodes: Sequence[NodeProto], feeds: Mapping[str, Array]) -> dict[str, Array]:
    """Run `nodes` by themselves. Raises `_Unfoldable` when the runtime does not, for whatever reason."""
    if not nodes:
        return {}
    wanted = list(dict.fromkeys(name for node in nodes for name in node.output if name))
    part = ModelProto(ir_version=max(model.ir_version, 8))
    part.opset_import.extend(model.opset_import)
    part.graph.name = "constants"
    part.graph.node.extend(nodes)
    try:
        for name, array in feeds.items():
            kind = helper.np_dtype_to_tensor_dtype(array.dtype)
            part.graph.input.append(helper.make_tensor_value_info(name, kind, array.shape))
        part.graph.output.extend(ValueInfoProto(name=name) for name in wanted)
        values = quiet_session(part).run(wanted, dict(feeds))
    except Exception as exc:  # the runtime's errors share no base, and each means: it stays a node
        raise _Unfoldable from exc
    return {
        name: value
        for name, value in zip(wanted, values, strict=True)
        if isinstance(value, np.ndarray) and value.dtype != np.object_
    }


def _keep_nodes(graph: GraphProto, kept: Sequence[NodeProto]) -> bool:
    """Leave only `kept` in `graph`; whether that changes anything."""
    if len(kept) == len(graph.node):
        return False
    refill(graph.node, kept)
    return True
