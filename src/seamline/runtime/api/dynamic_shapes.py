"""Models made ready for what they will be given: open axes fixed from the first frame, pictures told from arrays.

The first frame is taken only when an axis stays open after everything that is said about the model: a camera need not
be started to learn what nobody asks.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import cast

import numpy as np

from seamline.core.vocabulary.errors import OpenAxis, UsageError
from seamline.core.vocabulary.ports import Array
from seamline.model import FrameRecipe, ModelStore, Preprocess, StoredModel, input_shapes
from seamline.model.metadata.preprocess import FRAME
from seamline.model.metadata.recipe import ARRAYS, layout_of
from seamline.runtime.sources.arrays import ArrayFrames
from seamline.runtime.sources.frames import FrameSource, StampedSource

Frame = Array | Mapping[str, Array]
First = Frame | FrameSource | Callable[[], Frame]
"""A frame as a stream takes it (uint8[H, W, 3], an input's array, or arrays by input name), or where to get one."""


def add_model(
    store: ModelStore,
    path: Path,
    *,
    shapes: Mapping[str, tuple[int, ...]] | None = None,
    values: Mapping[str, float] | None = None,
    preprocess: Preprocess | FrameRecipe | str | None = None,
    first: First | None = None,
) -> StoredModel:
    """`path` in `store`; what `shapes` and the model leave open is what `first` has. The rest as `ModelStore.add`.

    preprocess: may be a preset's name. Where `first` is arrays the model takes arrays, whatever its file says of
    pictures. Raises `OpenAxis` naming what is open still, `UsageError` when `first` has no frame or does not fit, or is
    a picture and nobody says how one becomes the input.
    """
    said = FrameRecipe(preprocess=preprocess) if isinstance(preprocess, str) else preprocess
    gives_pictures = _gives_pictures(first)
    if first is not None and gives_pictures is False:
        fixed = {**_shapes_of(_frame_of(first), path, values or {}), **(shapes or {})}
        return store.add(path, shapes=fixed, values=values, preprocess=said or FrameRecipe(preprocess=ARRAYS))
    add = partial(store.add, path, values=values, preprocess=said)
    try:
        return add(shapes=shapes, gives_pictures=bool(gives_pictures))
    except OpenAxis:
        if first is None:
            raise
    frame = _frame_of(first)
    if isinstance(frame, np.ndarray) and _is_picture(frame):
        rows, columns = frame.shape[:2]
        return add(shapes=shapes, frame_size=(rows, columns), gives_pictures=True)
    return add(shapes={**_shapes_of(frame, path, values or {}), **(shapes or {})})


def _gives_pictures(first: First | None) -> bool | None:
    """Whether frames like `first` are pictures; None when that is not known before one is taken."""
    if isinstance(first, ArrayFrames):
        return False
    if isinstance(first, FrameSource):
        return True
    if isinstance(first, Mapping):
        return any(name == FRAME or _is_picture(array) for name, array in first.items())
    if isinstance(first, np.ndarray):
        return _is_picture(first)
    return None


def _is_picture(frame: Frame) -> bool:
    return isinstance(frame, np.ndarray) and frame.dtype == np.uint8 and frame.ndim == 3 and frame.shape[2] == 3


def _frame_of(first: First) -> Frame:
    if isinstance(first, np.ndarray | Mapping):
        return first
    if isinstance(first, StampedSource):  # which keeps its first frame, and is opened once
        frame = first.first()
        if frame is None:
            raise UsageError(_no_frame(first))
        return cast(Frame, frame.data)
    if not isinstance(first, FrameSource):
        return first()
    frames = first.frames()
    try:
        return next(frames)
    except StopIteration:
        raise UsageError(_no_frame(first)) from None
    finally:
        close = getattr(frames, "close", None)
        if close is not None:  # a camera is given back before the stream opens it
            close()


def _no_frame(source: FrameSource) -> str:
    return f"`{source.name}` has no frame to take the size of the model's input from"


def _shapes_of(frame: Frame, path: Path, values: Mapping[str, float]) -> dict[str, tuple[int, ...]]:
    """Shapes of the inputs with an open axis, as `frame` has them, also where that is the first.

    An open first axis of something that is shaped like a picture is a batch, though: a stack of frames.
    """
    declared = {name: shape for name, shape in input_shapes(path).items() if name not in values}
    opened = {name: shape for name, shape in declared.items() if None in shape or not shape}
    if not isinstance(frame, Mapping):
        if not opened:
            return {}
        if len(declared) != 1 and len(opened) != 1:
            raise UsageError(f"the model takes {len(declared)} inputs", hint="give dicts of arrays by input name")
        frame = {next(iter(opened)): frame}
    return {
        name: _shape_for(array, declared.get(name, (None,)))
        for name, array in frame.items()
        if isinstance(array, np.ndarray) and (name in opened or name not in declared)
    }


def _shape_for(array: Array, declared: tuple[int | None, ...]) -> tuple[int, ...]:
    """The shape of an input that is `declared` so and is given `array`."""
    if array.ndim == len(declared) + 1:
        return tuple(array.shape[1:])  # a stack of frames
    is_batch = len(declared) == 4 and layout_of(declared) is not None and None not in declared[1:]
    if array.ndim == len(declared) and declared and (declared[0] == 1 or is_batch):
        return (1, *array.shape[1:])
    if array.ndim == 1 and len(declared) > 1:  # a row of samples, which goes along the last open axis
        at = max(axis for axis, extent in enumerate(declared) if extent is None)
        return tuple(len(array) if axis == at else extent or 1 for axis, extent in enumerate(declared))
    return tuple(array.shape)
