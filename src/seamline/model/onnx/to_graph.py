"""Conversion of a normal ONNX graph (`reading.py`) to a `ModelGraph`: layers, their work, the tensors between."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import replace

from onnx import GraphProto, TensorProto, TypeProto, ValueInfoProto, helper

from seamline.core.graph.exactness import exact_tensors
from seamline.core.graph.model_graph import Layer, ModelGraph
from seamline.core.vocabulary.errors import ModelError
from seamline.core.vocabulary.local_values import STRING
from seamline.core.vocabulary.profiles import DTYPE_BYTES, TensorSpec
from seamline.model.onnx.macs import node_macs
from seamline.model.onnx.operators import nested_graphs, node_inputs, weight_only
from seamline.model.onnx.prepacking import held_bytes, held_ratio

_DTYPES = {
    number: helper.tensor_dtype_to_np_dtype(number).name
    for number in TensorProto.DataType.values()
    if number not in (TensorProto.UNDEFINED, TensorProto.STRING)
}


def graph_of(graph: GraphProto) -> ModelGraph:
    """The `ModelGraph` of `graph`, whose nodes stand in running order. Raises `ModelError` unless it is consistent."""
    weights = {tensor.name for tensor in graph.initializer}
    found = ModelGraph(
        name=graph.name,
        layers=describe_layers(graph),
        tensors={**tensor_specs(graph.value_info), **end_specs((*graph.input, *graph.output))},
        inputs=tuple(value.name for value in graph.input if value.name not in weights),
        outputs=tuple(value.name for value in graph.output),
    )
    found.verify()
    exact = exact_tensors(found)
    return replace(found, tensors={name: replace(spec, exact=name in exact) for name, spec in found.tensors.items()})


def describe_layers(graph: GraphProto) -> tuple[Layer, ...]:
    """A layer per node that is not weight-only, in the order of `graph`."""
    shapes = value_shapes(graph)
    weight_bytes = {tensor.name: held_bytes(tensor) for tensor in graph.initializer}
    makers = weight_only(graph)
    for node in makers:  # what they make counts as what they were made from
        total = sum(weight_bytes.get(name, 0) for name in node_inputs(node))
        weight_bytes.update({name: total for name in node.output if name})
    skipped = {id(node) for node in makers}
    layers = []
    for node in graph.node:
        if id(node) in skipped:
            continue
        needs = node_inputs(node)
        layer = Layer(
            name=node.name,
            op=node.op_type,
            inputs=tuple(name for name in needs if name not in weight_bytes),
            outputs=tuple(dict.fromkeys(name for name in node.output if name)),
            macs=node_macs(node, shapes),
            weight_bytes=math.ceil(sum(weight_bytes.get(name, 0) for name in needs) * held_ratio(node.op_type)),
        )
        layers.append(layer)
    return tuple(layers)


def tensor_specs(values: Iterable[ValueInfoProto]) -> dict[str, TensorSpec]:
    """Specs of those `values` that have a fixed shape and a dtype that can be sent."""
    specs = {}
    for value in values:
        shape = fixed_shape(value)
        dtype = _DTYPES.get(value.type.tensor_type.elem_type)
        if shape is not None and dtype in DTYPE_BYTES:
            specs[value.name] = TensorSpec(name=value.name, dtype=dtype, shape=shape)
    return specs


def end_specs(values: Iterable[ValueInfoProto]) -> dict[str, TensorSpec]:
    """Specs of inputs or outputs, also of those whose extents the frame decides and of kinds that no wire carries.

    A dtype that NumPy has not, or the wire, is missing.
    """
    specs = tensor_specs(values := tuple(values))
    for value in values:
        kind = _kind(value.type)
        if value.name in specs or kind is None:
            continue
        shape = fixed_shape(value)
        specs[value.name] = TensorSpec(
            name=value.name,
            dtype=kind,
            shape=tuple(max(1, axis.dim_value) for axis in value.type.tensor_type.shape.dim)
            if shape is None
            else shape,
            is_open=shape is None,
            is_local=kind not in DTYPE_BYTES,
        )
    return specs


def _kind(kind: TypeProto) -> str | None:
    """What a value is, in words: ``float32``, ``string``, ``sequence(float32)``; None for a dtype without a word."""
    match kind.WhichOneof("value"):
        case "tensor_type" if kind.tensor_type.elem_type == TensorProto.STRING:
            return STRING
        case "tensor_type":
            dtype = _DTYPES.get(kind.tensor_type.elem_type)
            return dtype if dtype in DTYPE_BYTES else None
        case "sequence_type":
            outer, parts = "sequence", [_kind(kind.sequence_type.elem_type)]
        case "optional_type":
            outer, parts = "optional", [_kind(kind.optional_type.elem_type)]
        case "map_type":
            key = STRING if kind.map_type.key_type == TensorProto.STRING else _DTYPES.get(kind.map_type.key_type)
            outer, parts = "map", [key, _kind(kind.map_type.value_type)]
        case _:
            return None
    return None if None in parts else f"{outer}({', '.join(filter(None, parts))})"


def value_shapes(graph: GraphProto) -> Mapping[str, tuple[int, ...]]:
    """Fixed shapes of all tensors in `graph` and the graphs inside, weights included."""
    shapes: dict[str, tuple[int, ...]] = {}
    for inner in nested_graphs(graph):
        shapes.update({tensor.name: tuple(tensor.dims) for tensor in inner.initializer})
        for value in (*inner.input, *inner.value_info, *inner.output):
            shape = fixed_shape(value)
            if shape is not None:
                shapes[value.name] = shape
    return shapes


def fixed_shape(value: ValueInfoProto) -> tuple[int, ...] | None:
    """Shape of a dense tensor, or None when an axis is open or it is something else."""
    kind = value.type
    if not kind.HasField("tensor_type") or not kind.tensor_type.HasField("shape"):
        return None
    axes = kind.tensor_type.shape.dim
    if any(not axis.HasField("dim_value") or axis.dim_value < 0 for axis in axes):
        return None
    shape = tuple(axis.dim_value for axis in axes)
    if math.prod(shape) > 1 << 40:
        raise ModelError(f"tensor `{value.name}` has shape {list(shape)}: too large to be meant")
    return shape
