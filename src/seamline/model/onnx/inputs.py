"""Inputs of an ONNX graph: which they are, how open axes are fixed, which become constants, which is the picture.

Their declared sizes and values come from flags or from a sidecar of the model, see `sidecar.py`.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
import onnx
from onnx import GraphProto, ModelProto, TensorProto, TensorShapeProto, ValueInfoProto, helper, numpy_helper

from seamline.core.vocabulary.errors import ModelError, OpenAxis, UsageError
from seamline.model.onnx.preprocess import read_preprocess, write_preprocess
from seamline.model.onnx.shape_inference import copied
from seamline.model.onnx.sidecar import FrameRecipe

log = logging.getLogger(__name__)


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
    """Make constants of the inputs that `values` names, whose shapes are fixed (`fix_inputs`)."""
    kept = []
    for value in map(copied, graph.input):
        if value.name not in values:
            kept.append(value)
            continue
        if value.type.tensor_type.elem_type in (TensorProto.UNDEFINED, TensorProto.STRING):
            raise UsageError(f"input `{value.name}` takes no numbers, so it cannot become one")
        dtype = helper.tensor_dtype_to_np_dtype(value.type.tensor_type.elem_type)
        shape = [dim.dim_value for dim in value.type.tensor_type.shape.dim]
        graph.initializer.append(numpy_helper.from_array(np.full(shape, values[value.name], dtype), value.name))
    del graph.input[:]
    graph.input.extend(kept)


def fix_inputs(
    graph: GraphProto,
    shapes: Mapping[str, tuple[int, ...]],
    values: Mapping[str, float],
    batch: int | None = 1,
) -> dict[str, int]:
    """Give every input a fixed shape and drop weights from the inputs; the extents of axes that were open, by name.

    values: inputs that will become constants. batch: extent of a first axis that nothing else says; None where it is to
    be asked for. Raises `OpenAxis` naming an axis that stays open, `UsageError` for a name that is no input.
    """
    inputs = given_inputs(graph)
    _check_names((*values, *shapes), inputs)
    symbols: dict[str, int] = {}
    for value in sorted(inputs, key=lambda value: value.name not in shapes):  # what was given names the symbols
        said = _extents_said(value)
        is_guessed = _fix_input(value, shapes.get(value.name), symbols, 1 if value.name in values else batch)
        if is_guessed and value.name not in values and not _is_batch(said):
            log.warning("axis 0 of input `%s` is open: [%s]; 1 is taken, see --shape", value.name, ",".join(said))
    fixed = [copied(value) for value in inputs]
    del graph.input[:]
    graph.input.extend(fixed)
    return symbols


def _fix_input(
    value: ValueInfoProto, shape: tuple[int, ...] | None, symbols: dict[str, int], batch: int | None
) -> bool:
    """Give `value` the `shape`, or what is known of its own; an open axis takes what its name has elsewhere.

    Whether the first axis took `batch`, which nothing said. symbols: extents of named axes, completed here. An axis
    that says 0 is empty, and open only for a `shape` that says more: some exporters mean an open one by it, and the
    runtime does not.
    """
    if not value.type.HasField("tensor_type"):
        if shape is not None:
            raise UsageError(f"input `{value.name}` is no tensor, it has no shape")
        return False
    found = value.type.tensor_type
    if shape is None and not found.HasField("shape"):
        raise OpenAxis(f"input `{value.name}` has no shape", hint=f"give one, e.g. {value.name}=1,3,224,224")
    if shape is not None and found.HasField("shape") and len(found.shape.dim) != len(shape):
        raise UsageError(f"input `{value.name}` has {len(found.shape.dim)} axes, the shape {list(shape)} has not")
    fixed = list(shape or ())
    is_guessed = False
    for axis, dim in enumerate(found.shape.dim):
        known = dim.dim_value if _is_fixed(dim) else symbols.get(dim.dim_param or "")
        if shape is None:
            is_guessed = is_guessed or known is None
            fixed.append(_extent(value, axis, known, batch))
        elif dim.dim_value > 0 and dim.dim_value != shape[axis]:
            raise UsageError(f"axis {axis} of input `{value.name}` is {known}, it cannot become {shape[axis]}")
        if dim.dim_param and dim.dim_param != "?":
            symbols.setdefault(dim.dim_param, fixed[axis])
    if any(extent < 0 for extent in fixed):
        raise UsageError(f"shape {fixed} of input `{value.name}` has an extent below 0")
    value.CopyFrom(helper.make_tensor_value_info(value.name, found.elem_type, fixed))
    return is_guessed


def _is_fixed(dim: TensorShapeProto.Dimension) -> bool:
    return bool(dim.HasField("dim_value") and dim.dim_value >= 0)


def _extent(value: ValueInfoProto, axis: int, known: int | None, batch: int | None) -> int:
    """The extent of one axis: a first one that is open is `batch`, anything else must be known."""
    if known is not None:
        return known
    if axis == 0 and batch is not None:
        return batch
    label = value.type.tensor_type.shape.dim[axis].dim_param
    name = f" ({label})" if label else ""
    raise OpenAxis(
        f"axis {axis}{name} of input `{value.name}` is open: [{','.join(_extents_said(value))}]",
        hint=f"fix it, e.g. --shape {value.name}={_example(value)}",
    )


def _extents_said(value: ValueInfoProto) -> list[str]:
    """Extents as the file says them: numbers, names of open axes, ``?``."""
    dims = value.type.tensor_type.shape.dim
    return [str(dim.dim_value) if _is_fixed(dim) else dim.dim_param or "?" for dim in dims]


def _is_batch(said: Sequence[str]) -> bool:
    """Whether the first axis counts frames: its name says so, or what follows it is a picture."""
    is_picture = len(said) == 4 and bool({said[1], said[3]} & {"1", "3", "4"})
    return is_picture or "batch" in said[0].lower()


def _example(value: ValueInfoProto) -> str:
    """A shape that would fit: picture-sized where an axis is open."""
    dims = value.type.tensor_type.shape.dim
    return ",".join(str(dim.dim_value if _is_fixed(dim) else 1 if axis == 0 else 224) for axis, dim in enumerate(dims))


def _check_names(given: Iterable[str], inputs: Sequence[ValueInfoProto]) -> None:
    unknown = set(given) - {value.name for value in inputs}
    if unknown:
        names = ", ".join(f"`{value.name}`" for value in inputs)
        raise UsageError(f"the model has no input `{min(unknown)}`", hint=f"its inputs are {names}")
