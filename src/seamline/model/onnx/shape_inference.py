"""Shape inference: types and shapes of every tensor, from ONNX, then the runtime (its own operators), then the file.

Data stays out of it: weights are known by their shape alone. What depends on the data (NonZero, suppression of boxes)
gets no shape, and no cut is offered where it would cross.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import onnx.shape_inference
from onnx import GraphProto, ModelProto, TensorProto, ValueInfoProto, helper

from seamline.core.vocabulary.errors import ModelError
from seamline.model.onnx.operators import STANDARD_DOMAINS, nested_graphs, node_inputs
from seamline.model.onnx.protobuf import copied, refill
from seamline.model.onnx.session import quiet_session
from seamline.model.onnx.to_graph import fixed_shape, value_shapes

_DECIDED_BY_VALUES = frozenset(
    {"BeamSearch", "ExpandDims", "GreedySearch", "Pad", "Range", "RemovePadding", "Sampling", "Tokenizer", "Unique"}
    | {"DynamicTimeWarping", "WhisperBeamSearch"}
)
"""Operators of the runtime's own whose results have the extents that values say."""

_NUMPY_NAMES = {"float": "FLOAT", "double": "DOUBLE"}


def infer(model: ModelProto, said: Mapping[str, ValueInfoProto]) -> ModelProto:
    """`model` with all types and shapes inferred again: those of the file may still have the axes that were open.

    said: declared shapes (`declared`), for tensors that inference leaves open although no frame decides them. Raises
    `ModelError` when shapes contradict each other.
    """
    for graph in nested_graphs(model.graph):
        del graph.value_info[:]
        inputs = {value.name for value in graph.input}
        for value in graph.output:
            if value.type.HasField("tensor_type") and value.name not in inputs:
                value.type.tensor_type.ClearField("shape")
    inferred = _inferred(model)
    is_more_known = False
    if any(node.domain not in STANDARD_DOMAINS for node in inferred.graph.node):
        is_more_known = _complete(inferred.graph, _asked(inferred))
    if _complete(inferred.graph, said) or is_more_known:
        inferred = _inferred(inferred)  # what follows such a tensor
    return inferred


def declared(graph: GraphProto, symbols: Mapping[str, int]) -> dict[str, ValueInfoProto]:
    """Shapes that the file itself declares for its tensors, where complete. symbols: extents of named open axes."""
    found = {}
    for value in (*graph.value_info, *graph.output):
        value = copied(value)
        for dim in value.type.tensor_type.shape.dim:
            if dim.dim_param in symbols:
                dim.dim_value = symbols[dim.dim_param]
        if fixed_shape(value) is not None and 0 not in (dim.dim_value for dim in value.type.tensor_type.shape.dim):
            found[value.name] = value
    return found


def _inferred(model: ModelProto) -> ModelProto:
    try:
        return onnx.shape_inference.infer_shapes(model, data_prop=True)
    except (onnx.shape_inference.InferenceError, RuntimeError, ValueError) as exc:
        raise ModelError(f"the model's shapes contradict each other: {exc}") from exc


def _complete(graph: GraphProto, said: Mapping[str, ValueInfoProto]) -> bool:
    """Take the declared shapes `said` for tensors of `graph` that inference left open; whether there were any."""
    known = value_shapes(graph)
    free = _free_of_frame(graph, known)
    missing = {name: value for name, value in said.items() if name in free and name not in known}
    if not missing:
        return False
    for value in graph.output:
        if value.name in missing:
            value.CopyFrom(missing[value.name])
    ends = {value.name for value in graph.output}
    found = [value for value in graph.value_info if value.name not in missing]
    refill(graph.value_info, [*found, *(value for name, value in missing.items() if name not in ends)])
    return True


def _free_of_frame(graph: GraphProto, known: Mapping[str, tuple[int, ...]]) -> set[str]:
    """Tensors whose extents no frame decides, as far as can be told: all but those that a file may only guess.

    ONNX knows its own operators: where one takes nothing but known shapes and its result has none, values decide it
    (NonZero, suppression of boxes, a reshape by a computed shape), and so for all that is made of it.
    """
    decided_by_frame: set[str] = set()
    free: set[str] = set()
    for node in graph.node:
        needs = node_inputs(node)
        is_standard = node.domain in STANDARD_DOMAINS or node.op_type in _DECIDED_BY_VALUES
        is_open = any(name not in known for name in node.output if name)
        if is_open and (not decided_by_frame.isdisjoint(needs) or (is_standard and known.keys() >= set(needs))):
            decided_by_frame.update(node.output)
        else:
            free.update(node.output)
    return free


def _asked(model: ModelProto) -> dict[str, ValueInfoProto]:
    """Shapes that the runtime infers for tensors that ONNX does not know; none when it refuses.

    Every unknown tensor is made an output of a session, whose outputs have their shapes; weights are its inputs, so
    that no value is read.
    """
    graph = model.graph
    known = value_shapes(graph)
    unknown = [name for node in graph.node for name in node.output if name and name not in known]
    if not unknown:
        return {}
    probe = copied(model)
    _weights_to_inputs(probe.graph)
    del probe.graph.value_info[:]
    refill(probe.graph.output, (ValueInfoProto(name=name) for name in unknown))
    probe.ir_version = max(probe.ir_version, 8)
    try:
        session = quiet_session(probe)
    except Exception:  # the runtime's errors share no base; the store asks it again and reports what it says
        return {}
    return {value.name: found for value in session.get_outputs() if (found := _value_info(value)) is not None}


def _weights_to_inputs(graph: GraphProto) -> None:
    given = {value.name for value in graph.input}
    small = []
    for tensor in graph.initializer:
        if tensor.data_location != TensorProto.EXTERNAL:
            small.append(tensor)
        elif tensor.name not in given:
            graph.input.append(helper.make_tensor_value_info(tensor.name, tensor.data_type, list(tensor.dims)))
    refill(graph.initializer, small)


def _value_info(value: Any) -> ValueInfoProto | None:
    """Type and shape of a session's output, when the shape is fixed."""
    match = re.fullmatch(r"tensor\((\w+)\)", value.type)
    if match is None or not all(isinstance(extent, int) and extent >= 0 for extent in value.shape):
        return None
    kind = _NUMPY_NAMES.get(match[1], match[1].upper())
    if kind not in TensorProto.DataType.keys():  # noqa: SIM118 # a protobuf enum, which cannot be iterated
        return None
    return helper.make_tensor_value_info(value.name, TensorProto.DataType.Value(kind), list(value.shape))
