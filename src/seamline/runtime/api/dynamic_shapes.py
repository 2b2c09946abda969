"""Models with open axes, fixed from the first frame of what they will be given.

The first frame is taken only when an axis stays open after everything that is said about the model: a camera need not
be started to learn what nobody asks.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from seamline.core.vocabulary.errors import OpenAxis, UsageError
from seamline.core.vocabulary.ports import Array
from seamline.model import FrameRecipe, ModelStore, Preprocess, StoredModel, input_names
from seamline.runtime.shared.sources import FrameSource

First = Array | Mapping[str, Array] | FrameSource | Callable[[], "Array | Mapping[str, Array]"]
"""A frame as a stream takes it (uint8[H, W, 3], an input's array, or arrays by input name), or where to get one."""


def add_model(
    store: ModelStore,
    path: Path,
    *,
    shapes: Mapping[str, tuple[int, ...]] | None = None,
    values: Mapping[str, float] | None = None,
    preprocess: Preprocess | FrameRecipe | None = None,
    first: First | None = None,
) -> StoredModel:
    """`path` in `store`; what `shapes` and the model leave open is what `first` has. The rest as `ModelStore.add`.

    Raises `OpenAxis` naming what is open still, `UsageError` when `first` has no frame or does not fit.
    """
    batch = 1 if first is None else None  # the first frame has a first axis too, batch or not
    try:
        return store.add(path, shapes=shapes, values=values, preprocess=preprocess, batch=batch)
    except OpenAxis:
        if first is None:
            raise
    frame = _frame_of(first)
    if not isinstance(frame, Mapping) and frame.dtype == np.uint8 and frame.ndim == 3 and frame.shape[2] == 3:
        rows, columns = frame.shape[:2]
        return store.add(path, shapes=shapes, values=values, preprocess=preprocess, frame_size=(rows, columns))
    fixed = {**_shapes_of(frame, path, values or {}), **(shapes or {})}
    return store.add(path, shapes=fixed, values=values, preprocess=preprocess)


def _frame_of(first: First) -> Array | Mapping[str, Array]:
    if isinstance(first, np.ndarray | Mapping):
        return first
    if not isinstance(first, FrameSource):
        return first()
    frames = first.frames()
    try:
        return next(frames)
    except StopIteration:
        raise UsageError(f"`{first.name}` has no frame to take the size of the model's input from") from None
    finally:
        close = getattr(frames, "close", None)
        if close is not None:  # a camera is given back before the stream opens it
            close()


def _shapes_of(
    frame: Array | Mapping[str, Array], path: Path, values: Mapping[str, float]
) -> dict[str, tuple[int, ...]]:
    if isinstance(frame, Mapping):
        return {name: tuple(array.shape) for name, array in frame.items() if isinstance(array, np.ndarray)}
    names = [name for name in input_names(path) if name not in values]
    if len(names) != 1:
        raise UsageError(f"the model takes {len(names)} inputs", hint="give dicts of arrays by input name")
    return {names[0]: tuple(frame.shape)}
