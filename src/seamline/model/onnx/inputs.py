"""Inputs of an ONNX graph: which they are, how open axes are fixed, which become constants, which is the picture.

Their declared sizes and values come from flags or from a sidecar of the model, see `sidecar.py`.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from onnx import GraphProto, ModelProto, TensorProto, TensorShapeProto, ValueInfoProto, helper, numpy_helper

from seamline.core.vocabulary.errors import ModelError, OpenAxis, UsageError
from seamline.model.metadata.preprocess import read_preprocess, write_preprocess
from seamline.model.metadata.recipe import FrameRecipe, layout_of, preset_list, recipe_of
from seamline.model.onnx.protobuf import parse_outline, refill

log = logging.getLogger(__name__)


def shapes_described(
    model: ModelProto,
    shapes: dict[str, tuple[int, ...]],
    values: Mapping[str, float],
    frame: FrameRecipe | None,
    exported: FrameRecipe | None,
    frame_size: tuple[int, int] | None,
    gives_pictures: bool,
) -> dict[str, tuple[int, ...]]:
    """`shapes`, with the picture's when `frame`, the metadata of `model` or its exporter describes it.

    The first of them that says something goes before the next; all together become the metadata of `model`.
    exported: what its exporter said, which yields to the shape of the input. gives_pictures: frames will be pictures;
    an input of bytes then takes them as they are, and it is an error when nobody says how one becomes floats.
    Raises `ModelError` when there is no input for a picture, `UsageError` listing the presets for that error.
    """
    inputs = [value for value in given_inputs(model.graph) if value.name not in values]
    own = recipe_of(read_preprocess(model))
    recipe = own if frame is None else frame.over(own)
    if exported is not None and len(inputs) == 1 and picture_inputs(inputs):
        said = _yielding(exported, shapes.get(inputs[0].name, open_shape(inputs[0])))
        recipe = said if recipe is None else recipe.over(said)
    if recipe is None and gives_pictures:
        recipe = _of_bytes(model, inputs)
    if recipe is None or not recipe.takes_pictures:
        write_preprocess(model, None)
        return shapes
    target = _picture_input(inputs, recipe)
    if not recipe.says_values and target.type.tensor_type.elem_type != TensorProto.UINT8:
        log.warning("nothing says what numbers pixels become: `%s` gets 0 to 255; see --preprocess", target.name)
    dtype = helper.tensor_dtype_to_np_dtype(target.type.tensor_type.elem_type).name
    named = replace(recipe, input=target.name if len(inputs) > 1 else "")
    preprocess = named.at(shapes.get(target.name, open_shape(target)), dtype, frame_size)
    write_preprocess(model, preprocess)
    return {target.name: preprocess.input_shape, **shapes}


def open_shape(value: ValueInfoProto) -> tuple[int | None, ...]:
    """The declared shape of a tensor, None where an axis is open."""
    return tuple(dim.dim_value if dim.dim_value > 0 else None for dim in value.type.tensor_type.shape.dim)


def picture_inputs(inputs: Iterable[ValueInfoProto]) -> list[ValueInfoProto]:
    """Those of `inputs` that could take a picture by their shape: colours or grey, and rows and columns above 1."""
    found = []
    for value in inputs:
        shape = open_shape(value)
        layout = layout_of(shape) if len(shape) > 2 else None
        if layout is not None and all(shape[layout.index(axis)] != 1 for axis in "hw"):
            found.append(value)
    return found


def _of_bytes(model: ModelProto, inputs: Sequence[ValueInfoProto]) -> FrameRecipe:
    """The recipe of a model of which nobody says anything: an input of bytes takes pixels as they are."""
    candidates = picture_inputs(inputs)
    for value in candidates:
        if value.type.tensor_type.elem_type == TensorProto.UINT8:
            return FrameRecipe(preprocess="raw", input=value.name)
    taken = ", ".join(f"`{value.name}` {_words(value)}" for value in inputs)
    if not candidates:
        raise UsageError(
            f"model `{model.graph.name}` takes no picture but {taken}",
            hint="give arrays of that shape: .npy, .npz, lines of JSON, or sound: .wav",
        )
    raise UsageError(
        f"model `{model.graph.name}` does not say how a picture becomes its input {taken}",
        hint=f"say it with --preprocess NAME: {preset_list()}; or with --mean and --std, or in seamline.toml",
    )


def _words(value: ValueInfoProto) -> str:
    """``float32[1,3,?,?]``."""
    if not value.type.HasField("tensor_type"):
        return "(no tensor)"
    dtype = helper.tensor_dtype_to_np_dtype(value.type.tensor_type.elem_type).name
    return f"{dtype}[{','.join(str(extent or '?') for extent in open_shape(value))}]"


def _picture_input(inputs: Sequence[ValueInfoProto], recipe: FrameRecipe) -> ValueInfoProto:
    if recipe.input:
        _check_names([recipe.input], inputs)
        return next(value for value in inputs if value.name == recipe.input)
    found = inputs if len(inputs) == 1 else picture_inputs(inputs)
    if len(found) != 1:
        names = ", ".join(f"`{value.name}`" for value in inputs)
        raise ModelError(
            f"a camera frame is one input, the model takes {len(inputs)}: {names}",
            hint="say which, `input = NAME` under [frame] in seamline.toml, or --preprocess none for arrays",
        )
    return found[0]


def _yielding(exported: FrameRecipe, shape: tuple[int | None, ...]) -> FrameRecipe:
    """`exported` without the sizes that the input's `shape` fixes: exporters write the size they trained at."""
    is_open = any(extent is None for extent in shape[1:])
    return exported if is_open else replace(exported, height=None, width=None)


def input_shapes(path: Path) -> dict[str, tuple[int | None, ...]]:
    """Declared shapes of the inputs of the ONNX file `path`, None where an axis is open; weights left out.

    Raises `ModelError` when it is not ONNX.
    """
    model = parse_outline(path, large_bytes=1024).model
    return {value.name: open_shape(value) for value in given_inputs(model.graph)}


def given_inputs(graph: GraphProto) -> list[ValueInfoProto]:
    """The inputs of `graph` that are no weights: in old files weights stand among the inputs."""
    weights = {tensor.name for tensor in graph.initializer}
    return [value for value in graph.input if value.name not in weights]


def fix_values(graph: GraphProto, values: Mapping[str, float]) -> None:
    """Make constants of the inputs that `values` names, whose shapes are fixed (`fix_inputs`)."""
    kept = []
    for value in graph.input:
        if value.name not in values:
            kept.append(value)
            continue
        if value.type.tensor_type.elem_type in (TensorProto.UNDEFINED, TensorProto.STRING):
            raise UsageError(f"input `{value.name}` takes no numbers, so it cannot become one")
        dtype = helper.tensor_dtype_to_np_dtype(value.type.tensor_type.elem_type)
        shape = [dim.dim_value for dim in value.type.tensor_type.shape.dim]
        graph.initializer.append(numpy_helper.from_array(np.full(shape, values[value.name], dtype), value.name))
    refill(graph.input, kept)


def fix_inputs(graph: GraphProto, shapes: Mapping[str, tuple[int, ...]], values: Mapping[str, float]) -> dict[str, int]:
    """Give every input a fixed shape and drop weights from the inputs; the extents of axes that were open, by name.

    values: inputs that will become constants. A first axis that nothing says is 1; that is said where it may be no
    batch. Raises `OpenAxis` naming an axis that stays open, `UsageError` for a name that is no input.
    """
    inputs = given_inputs(graph)
    _check_names((*values, *shapes), inputs)
    symbols: dict[str, int] = {}
    for value in sorted(inputs, key=lambda value: value.name not in shapes):  # what was given names the symbols
        said = _extents_said(value)
        is_guessed = _fix_input(value, shapes.get(value.name), symbols)
        if is_guessed and value.name not in values and not _is_batch(said):
            log.warning("axis 0 of input `%s` is open: [%s]; 1 is taken, see --shape", value.name, ",".join(said))
    refill(graph.input, inputs)
    return symbols


def _fix_input(value: ValueInfoProto, shape: tuple[int, ...] | None, symbols: dict[str, int]) -> bool:
    """Give `value` the `shape`, or what is known of its own; an open axis takes what its name has elsewhere.

    Whether the first axis took 1, which nothing said. symbols: extents of named axes, completed here. An axis
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
            fixed.append(_extent(value, axis, known))
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


def _extent(value: ValueInfoProto, axis: int, known: int | None) -> int:
    """The extent of one axis: a first one that is open is 1, anything else must be known."""
    if known is not None:
        return known
    if axis == 0:
        return 1
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
