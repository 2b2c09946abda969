"""What a user gives a stream, made into what it runs on: any iterable into a source, any frame into input tensors.

Sources that OpenCV reads are `sources.py`, the pace at which they are read `feeder.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from seamline.core.vocabulary.errors import ModelError, UsageError
from seamline.core.vocabulary.ports import Array, FrameArray, Tensors
from seamline.model import StoredModel
from seamline.runtime.shared.sources import FrameSource, fit


def as_source(frames: FrameSource | Iterable[Any], live: bool | None) -> FrameSource:
    """`frames` as a source. live: whether its newest frame wins; None for what the source says, else no."""
    if isinstance(frames, FrameSource):
        is_live = frames.is_live if live is None else live
        return _Source(name=frames.name, fps=frames.fps, is_live=is_live, open=frames.frames)
    return _Source(name="frames", fps=None, is_live=bool(live), open=lambda stride: iter(frames))


def input_tensors(frame: Array | dict[str, Array], model: StoredModel) -> Tensors:
    """The tensors that the first segment of `model` takes, from one frame: uint8[H, W, 3], an array or a dict of them.

    Raises `UsageError` for a frame of another kind, `ModelError` when the model does not say how to make one its input.
    """
    if not isinstance(frame, np.ndarray | dict):
        raise UsageError(f"a frame is an array or a dict of arrays, not a {type(frame).__name__}")
    preprocess = model.preprocess
    if preprocess is not None:
        if isinstance(frame, dict) or frame.ndim != 3 or frame.shape[2] != 3 or frame.dtype != np.uint8:
            raise UsageError("frames of this model are uint8[H, W, 3] arrays in RGB order")
        fitted: FrameArray = fit(frame, preprocess.height, preprocess.width)
        return {"frame": np.ascontiguousarray(fitted)}
    if isinstance(frame, dict):
        return frame
    inputs = model.cuts[0].tensors
    if len(inputs) != 1:
        raise UsageError(f"the model takes {len(inputs)} inputs", hint="give dicts of arrays by input name")
    if frame.dtype == np.uint8 and inputs[0].dtype != "uint8":
        raise ModelError(
            f"model `{model.name}` does not say how a camera frame becomes its input `{inputs[0].name}`",
            hint="its file carries no pre-processing; give arrays of the input's shape and dtype",
        )
    return {inputs[0].name: frame}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Source:
    """An iterable as a source, or a source whose `is_live` the caller has chosen."""

    name: str
    fps: float | None
    is_live: bool
    open: Callable[[float], Iterator[Any]]

    def frames(self, stride: float = 1.0) -> Iterator[Any]:
        return self.open(stride)
