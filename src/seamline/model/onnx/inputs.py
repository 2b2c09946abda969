"""Inputs of an ONNX graph: which they are, how open axes are fixed, which become constants, which is the picture.

Their declared sizes and values come from flags or from a sidecar of the model, see `sidecar.py`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
import onnx
from onnx import GraphProto, ModelProto, ValueInfoProto, helper, numpy_helper

from seamline.core.vocabulary.errors import ModelError, OpenAxis, UsageError
from seamline.model.onnx.preprocess import read_preprocess, write_preprocess
from seamline.model.onnx.shape_inference import copied
from seamline.model.onnx.sidecar import FrameRecipe
from seamline.model.onnx.to_graph import fixed_shape


def shapes_described(
    model: ModelProto,
    shapes: dict[str, tuple[int, ...]],
    values: Mapping[str, float],
    frame: FrameRecipe | None,
    frame_size: tuple[int, int] | None,
) -> dict[str, tuple[int, ...]]:
    """`shapes`, with the picture's when `frame` or the metadata of `model` describes it; `frame` becomes metadata.

    Raises `ModelError` when there is no single input for it.
    """
    preprocess = read_preprocess(model)
    if frame is None and preprocess is None:
        return shapes
    inputs = [value for value in given_inputs(model.graph) if value.name not in values]
    if len(inputs) != 1:
        raise ModelError(f"a camera frame is one input, the model takes {len(inputs)}", hint="leave out [frame]")
    name = inputs[0].name
    if frame is not None:
        dims = inputs[0].type.tensor_type.shape.dim
        open_shape = tuple(dim.dim_value if dim.dim_value > 0 else None for dim in dims)
        preprocess = frame.at(shapes.get(name, open_shape), frame_size)
        write_preprocess(model, preprocess)
    return shapes if preprocess is None else {name: preprocess.input_shape, **shapes}


def input_names(path: Path) -> tuple[str, ...]:
    """Names of the inputs of the ONNX file `path`, which was read before; weights left out."""
    return tuple(value.name for value in given_inputs(onnx.load(path, load_external_data=False).graph))


def given_inputs(graph: GraphProto) -> list[ValueInfoProto]:
    """The inputs of `graph` that are no weights: in old files weights stand among the inputs."""
    weights = {tensor.name for tensor in graph.initializer}
    return [value for value in graph.input if value.name not in weights]


def fix_values(graph: GraphProto, values: Mapping[str, float]) -> None:
    """Make constants of the inputs that `values` names."""
    inputs = given_inputs(graph)
    _check_names(values, inputs)
    for value in inputs:
        if value.name not in values:
            continue
        shape = fixed_shape(value)
        if shape is None:
            raise UsageError(f"input `{value.name}` has an open axis, so it cannot become one constant")
        dtype = helper.tensor_dtype_to_np_dtype(value.type.tensor_type.elem_type)
        graph.initializer.append(numpy_helper.from_array(np.full(shape, values[value.name], dtype), value.name))


def fix_inputs(graph: GraphProto, shapes: dict[str, tuple[int, ...]]) -> dict[str, int]:
    """Give every input a fixed shape and drop weights from the inputs; the extents of axes that were open, by name."""
    inputs = given_inputs(graph)
    _check_names(shapes, inputs)
    symbols: dict[str, int] = {}
    for value in sorted(inputs, key=lambda value: value.name not in shapes):  # what was given names the symbols
        _fix_input(value, shapes.get(value.name), symbols)
    fixed = [copied(value) for value in inputs]
    del graph.input[:]
    graph.input.extend(fixed)
    return symbols


def _fix_input(value: ValueInfoProto, shape: tuple[int, ...] | None, symbols: dict[str, int]) -> None:
    """Give `value` the `shape`, or what is known of its own; an open axis takes what its name has elsewhere.

    symbols: extents of named axes, completed here.
    """
    if not value.type.HasField("tensor_type"):
        raise ModelError(f"input `{value.name}` is not a plain tensor")
    found = value.type.tensor_type
    if shape is None and not found.HasField("shape"):
        raise ModelError(f"input `{value.name}` has no shape", hint=f"give one, e.g. {value.name}=1,3,224,224")
    if shape is not None and found.HasField("shape") and len(found.shape.dim) != len(shape):
        raise UsageError(f"input `{value.name}` has {len(found.shape.dim)} axes, the shape {list(shape)} has not")
    fixed = list(shape or ())
    for axis, dim in enumerate(found.shape.dim):
        known = dim.dim_value if dim.HasField("dim_value") and dim.dim_value > 0 else symbols.get(dim.dim_param or "")
        if shape is None:
            fixed.append(_extent(value, axis, known))
        elif dim.dim_value > 0 and dim.dim_value != shape[axis]:
            raise UsageError(f"axis {axis} of input `{value.name}` is {known}, it cannot become {shape[axis]}")
        if dim.dim_param and dim.dim_param != "?":
            symbols.setdefault(dim.dim_param, fixed[axis])
    if any(extent < 1 for extent in fixed):
        raise UsageError(f"shape {fixed} of input `{value.name}` has an extent below 1")
    value.CopyFrom(helper.make_tensor_value_info(value.name, found.elem_type, fixed))


def _extent(value: ValueInfoProto, axis: int, known: int | None) -> int:
    """The extent of one axis: a batch that is open is 1, anything else must be known."""
    if known is None and axis > 0:
        dims = value.type.tensor_type.shape.dim
        name = f" ({dims[axis].dim_param})" if dims[axis].dim_param else ""
        said = ",".join(str(dim.dim_value) if dim.dim_value > 0 else dim.dim_param or "?" for dim in dims)
        raise OpenAxis(
            f"axis {axis}{name} of input `{value.name}` is open: [{said}]",
            hint=f"fix it, e.g. --shape {value.name}={_example(value)}",
        )
    return 1 if known is None else known


def _example(value: ValueInfoProto) -> str:
    """A shape that would fit: picture-sized where an axis is open."""
    dims = value.type.tensor_type.shape.dim
    return ",".join(
        str(dim.dim_value if dim.dim_value > 0 else 1 if axis == 0 else 224) for axis, dim in enumerate(dims)
    )


def _check_names(given: Iterable[str], inputs: Sequence[ValueInfoProto]) -> None:
    unknown = set(given) - {value.name for value in inputs}
    if unknown:
        names = ", ".join(f"`{value.name}`" for value in inputs)
        raise UsageError(f"the model has no input `{min(unknown)}`", hint=f"its inputs are {names}")
