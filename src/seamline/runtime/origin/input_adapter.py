"""What a user gives a stream, made into what it runs on: any frame into input tensors.

Whatever does not fit is refused here, before a node has seen it: a wrong frame is its giver's fault. How pictures are
brought to size is `inputs.pictures`; sources are `runtime.sources`, the pace at which they are read is `feeder.py`.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any

import numpy as np

from seamline.core.vocabulary.errors import ModelError, UsageError
from seamline.core.vocabulary.pictures import PictureTransform
from seamline.core.vocabulary.ports import Array, Tensors
from seamline.core.vocabulary.profiles import TensorSpec
from seamline.model import StoredModel
from seamline.model.metadata.preprocess import FRAME
from seamline.model.metadata.recipe import preset_list
from seamline.runtime.inputs.pictures import fitted
from seamline.runtime.origin.feed_back import FeedBack
from seamline.runtime.sources.arrays import ArrayFrames
from seamline.runtime.sources.frames import FrameSource, StampedSource, stamped

log = logging.getLogger(__name__)

NO_STATE: Mapping[str, Array] = MappingProxyType({})
SEEN_RATIO, STRETCH_RATIO = 0.98, 1.02
"""What is lost of a picture, and how far it is distorted, before a word is said: less is rounding to whole pixels."""


class InputAdapter:
    """Makes input tensors of frames for one run, and says once what pictures lose on the way.

    feed_back: the state that frames take with them, None without one.
    """

    def __init__(self, model: StoredModel, feed_back: FeedBack | None = None) -> None:
        self._model = model
        self._feed_back = feed_back
        self._has_spoken = False

    @property
    def inputs(self) -> tuple[TensorSpec, ...]:
        """What a frame has to bring."""
        fed = self._feed_back.names if self._feed_back is not None else frozenset()
        return tuple(spec for spec in self._model.inputs if spec.name not in fed)

    def wait_ready(self, timeout_s: float) -> bool:
        """Whether the next frame may be made within `timeout_s`; with a state, only after the last one's answer."""
        return self._feed_back is None or self._feed_back.wait_ready(timeout_s)

    def check(self, frame: Array | Mapping[str, Array]) -> None:
        """Raises as `input_tensors` does, for a frame that is not sent."""
        input_tensors(frame, self._model, self._state())

    def _state(self) -> Mapping[str, Array]:
        return {} if self._feed_back is None else self._feed_back.state()

    def __call__(self, frame: Array | Mapping[str, Array]) -> Tensors:
        """The tensors of the first segment, see `input_tensors`; the frame counts as sent."""
        tensors = input_tensors(frame, self._model, self._state())
        if self._feed_back is not None:
            self._feed_back.begun()
        if not self._has_spoken and self._model.preprocess is not None:
            self._has_spoken = True
            rows, columns = _picture_of(frame, self._model).shape[:2]
            words = loss_words(self._model.preprocess.transform(rows, columns))
            if words:
                log.warning("%s", words)
        return tensors


def source_of(frames: FrameSource | Iterable[Any], inputs: tuple[TensorSpec, ...]) -> StampedSource:
    """`frames` as a source with stamps; one of arrays gives them as `inputs` want them.

    Raises `UsageError` for one frame where frames are wanted.
    """
    if isinstance(frames, np.ndarray | Mapping):
        raise UsageError("this is one frame where frames are wanted", hint="give a list of them: run([frame])")
    return frames.of(inputs) if isinstance(frames, ArrayFrames) else stamped(frames)


def input_tensors(
    frame: Array | Mapping[str, Array], model: StoredModel, state: Mapping[str, Array] = NO_STATE
) -> Tensors:
    """The tensors that the first segment of `model` takes, from one frame: uint8[H, W, 3], an array or a dict of them.

    state: inputs that the frame need not bring. Raises `UsageError` for a frame of another kind, shape or dtype,
    `ModelError` when the model does not say how to make one its input.
    """
    if not isinstance(frame, np.ndarray | Mapping):
        raise UsageError(
            f"a frame is an array or a dict of arrays, not a {type(frame).__name__}", hint="numpy.asarray makes one"
        )
    if model.preprocess is None:
        return _checked({**state, **_by_name(frame, model, state)}, model.inputs)
    given = {**state, **(frame if isinstance(frame, Mapping) else {FRAME: frame})}
    picture = _picture_of(frame, model)
    given.pop(model.preprocess.target(model.graph.input_specs).name, None)
    given[FRAME] = fitted(picture, model.preprocess)
    return _checked(given, model.inputs)


def loss_words(transform: PictureTransform) -> str | None:
    """What the network does not see of a picture, or sees distorted; None when it sees all of it as it is."""
    size = f"pictures of {transform.picture_width}x{transform.picture_height}"
    wanted = f"{transform.width}x{transform.height}"
    if transform.seen_ratio < SEEN_RATIO:
        lost = f"{100 * (1 - transform.seen_ratio):.0f} % of each is not seen"
        return f"{size} are cropped about the centre to {wanted}: {lost}; --fit letterbox keeps all of it"
    if not 1 / STRETCH_RATIO < transform.stretch_ratio < STRETCH_RATIO:
        return f"{size} are stretched to {wanted}; --fit letterbox keeps their aspect"
    return None


def _picture_of(frame: Array | Mapping[str, Array], model: StoredModel) -> Array:
    """The picture in a frame of a model that takes one. Raises `UsageError` when there is none."""
    preprocess = model.preprocess
    assert preprocess is not None, "called only for models that take camera frames"
    picture: Array | None
    if isinstance(frame, Mapping):
        name = preprocess.target(model.graph.input_specs).name
        picture = frame.get(FRAME, frame.get(name))
    else:
        picture = frame
    if not isinstance(picture, np.ndarray) or picture.ndim != 3 or picture.shape[2] != 3 or picture.dtype != np.uint8:
        found = f", not {picture.dtype}{list(picture.shape)}" if isinstance(picture, np.ndarray) else ""
        raise UsageError(
            f"frames of this model are uint8[H, W, 3] arrays in RGB order{found}",
            hint="to give arrays of the input's own shape instead, say --preprocess none",
        )
    if 0 in picture.shape:
        raise UsageError(f"a frame of {list(picture.shape)} has no pixels", hint="what gives frames may be closed")
    return picture


def _by_name(frame: Array | Mapping[str, Array], model: StoredModel, state: Mapping[str, Array]) -> Mapping[str, Array]:
    """Arrays by the name of the input they are for. Raises `UsageError` for one array where more are wanted."""
    if isinstance(frame, Mapping):
        return frame
    wanted = [spec for spec in model.inputs if spec.name not in state]
    if len(wanted) != 1:
        names = ", ".join(spec.name for spec in wanted)
        raise UsageError(f"the model takes {len(wanted)} inputs", hint=f"give dicts of arrays by input name: {names}")
    (spec,) = wanted
    if frame.dtype == np.uint8 and spec.dtype != "uint8":
        raise ModelError(
            f"model `{model.name}` does not say how a camera frame becomes its input `{spec.name}`",
            hint=f"say it with --preprocess NAME: {preset_list()}; or give arrays of the input's shape and dtype",
        )
    return {spec.name: frame}


def _checked(tensors: Mapping[str, Any], inputs: tuple[TensorSpec, ...]) -> dict[str, Array]:
    """`tensors`, contiguous, when they are exactly what `inputs` want."""
    names = [spec.name for spec in inputs]
    for name in tensors:
        if name not in names:
            raise UsageError(f"the model has no input `{name}`", hint=f"its inputs are {', '.join(names)}")
    checked: dict[str, Any] = {}
    for spec in inputs:
        if spec.is_local and spec.name in tensors:
            checked[spec.name] = tensors[spec.name]  # the runtime says itself what is wrong with strings and lists
            continue
        array = tensors.get(spec.name)
        if array is None:
            hint = (
                f"a frame has {', '.join(names)}; --value makes one a constant, --feed-back an output of the last frame"
            )
            raise UsageError(f"input `{spec.name}` is missing", hint=hint)
        if not isinstance(array, np.ndarray):
            raise UsageError(f"input `{spec.name}` is an array, not a {type(array).__name__}")
        if array.shape != spec.shape or array.dtype != spec.dtype:
            raise UsageError(
                f"`{spec.name}` must be {spec.dtype}{list(spec.shape)}, it is {array.dtype}{list(array.shape)}",
                hint=_hint(array, spec),
            )
        checked[spec.name] = array if array.flags.c_contiguous else np.ascontiguousarray(array)
    return checked


def _hint(array: Array, spec: TensorSpec) -> str:
    if array.shape == spec.shape:
        return f"convert it: array.astype(numpy.{spec.dtype})"
    if array.shape == spec.shape[1:]:
        return "it lacks the first axis: array[None]"
    return "a stream has one shape: open another for other shapes, or leave the axis open and give `first`"
