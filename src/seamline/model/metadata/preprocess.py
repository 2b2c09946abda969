"""Preprocessing of a camera frame into a model's input, inside the first segment, so that it runs where that does.

The description travels in the metadata of the ONNX file. Where it comes from is `recipe.py`; bringing the picture to
network size is the origin's work (`runtime.inputs.pictures`), the layers that do the rest are `prepending.py`.
"""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass, fields
from typing import Literal

import numpy as np
from onnx import ModelProto

from seamline.core.vocabulary.errors import ModelError
from seamline.core.vocabulary.pictures import Fit, PictureTransform, picture_transform
from seamline.core.vocabulary.profiles import TensorSpec

METADATA_KEY = "seamline.preprocess"
FRAME = "frame"
"""Name of the input of a segment that starts with preprocessing."""

Layout = Literal["nchw", "nhwc", "chw", "hwc", "nhw", "hw"]
Channels = Literal["rgb", "bgr", "grey"]
Resample = Literal["area", "linear", "cubic", "nearest"]
Triple = tuple[float, float, float]

LAYOUTS: tuple[Layout, ...] = ("nchw", "nhwc", "chw", "hwc", "nhw", "hw")
CHANNELS: tuple[Channels, ...] = ("rgb", "bgr", "grey")
RESAMPLES: tuple[Resample, ...] = ("area", "linear", "cubic", "nearest")
DTYPES = ("float32", "float16", "float64", "uint8", "int8", "int16", "int32", "int64")

FEWEST_LEVELS = 64
"""An input of integers that takes fewer is one of which mean and std are wrong: 0 to 1 would leave two."""

_MAX_EXTENT = 1 << 14
_SINCE_2 = ("dtype", "channels", "fit", "pad", "resample", "crop_ratio", "is_centred", "input")
"""Left out of the JSON where they say what was understood before they came, so that ids of models stay."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Preprocess:
    """Preprocessing of ``frame: uint8[height, width, 3]`` (RGB) into an input: (frame - mean) / std, then layout.

    mean, std: of R, G, B on the 0-255 scale, whatever the order of `channels`; of grey the first. layout: axes of the
    input in order, n and (of grey) c being 1. dtype: of the input; integers take whole numbers. channels: of the input.
    fit to is_centred: how a picture of another size becomes the frame, see `picture_transform`; pad: grey level around
    a letterboxed one; resample: of its pixels, ``area`` where it shrinks and linear where it grows. input: which of
    several inputs takes the picture.
    Raises `ModelError` when a value makes no sense.
    """

    height: int
    width: int
    layout: Layout = "nchw"
    mean: Triple = (0.0, 0.0, 0.0)
    std: Triple = (1.0, 1.0, 1.0)
    dtype: str = "float32"
    channels: Channels = "rgb"
    fit: Fit = Fit.CROP
    pad: int = 0
    resample: Resample = "area"
    crop_ratio: float = 1.0
    is_centred: bool = True
    input: str = ""

    def __post_init__(self) -> None:
        extents_fit = all(type(extent) is int and 0 < extent <= _MAX_EXTENT for extent in (self.height, self.width))
        numbers = (*self.mean, *self.std, self.crop_ratio)
        numbers_fit = len(self.mean) == len(self.std) == 3 and all(math.isfinite(number) for number in numbers)
        words_fit = (
            self.layout in LAYOUTS
            and self.channels in CHANNELS
            and self.resample in RESAMPLES
            and self.dtype in DTYPES
            and isinstance(self.fit, Fit)
            and isinstance(self.input, str)
        )
        pad_fits = type(self.pad) is int and 0 <= self.pad <= 255 and 0 < self.crop_ratio <= 1
        if not (extents_fit and numbers_fit and all(self.std) and words_fit and pad_fits):
            raise ModelError(f"preprocessing makes no sense: {asdict(self)}", hint="mean and std are 3 numbers each")
        if "c" not in self.layout and self.channels != "grey":
            raise ModelError(f"an input of layout {self.layout} has no colours", hint='say channels = "grey"')
        if self.channels == "grey" and (len(set(self.mean)) > 1 or len(set(self.std)) > 1):
            raise ModelError("grey has one mean and one std, not one a colour", hint="write one number for each")

    @property
    def frame_spec(self) -> TensorSpec:
        return TensorSpec(name=FRAME, dtype="uint8", shape=(self.height, self.width, 3))

    @property
    def input_shape(self) -> tuple[int, ...]:
        sizes = {"n": 1, "c": 1 if self.channels == "grey" else 3, "h": self.height, "w": self.width}
        return tuple(sizes[axis] for axis in self.layout)

    @property
    def is_identity(self) -> bool:
        """Whether pixels enter as they are, but for dtype and layout."""
        return not any(self.mean) and all(number == 1 for number in self.std)

    def words(self) -> str:
        """How pictures enter: ``letterbox to 640x640 in grey 114, rgb, (pixel - 0) / 255, float32 nchw``."""
        numbers = [each[:1] if len(set(each)) == 1 else each for each in (self.mean, self.std)]
        mean, std = (" ".join(f"{number:.5g}" for number in each) for each in numbers)
        padded = f" in grey {self.pad}" if self.fit is Fit.LETTERBOX else ""
        values = "pixels as they are" if self.is_identity else f"(pixel - {mean}) / {std}"
        return (
            f"{self.fit} to {self.width}x{self.height}{padded}, {self.channels}, {values}, {self.dtype} {self.layout}"
        )

    def transform(self, rows: int, columns: int) -> PictureTransform:
        """How a picture of `rows` x `columns` becomes the frame, and boxes of the answer its boxes."""
        return picture_transform(
            self.fit,
            (rows, columns),
            (self.height, self.width),
            is_centred=self.is_centred,
            crop_ratio=self.crop_ratio,
        )

    def target(self, inputs: tuple[TensorSpec, ...]) -> TensorSpec:
        """The one of `inputs` that takes the picture. Raises `ModelError` unless it is exactly what this makes."""
        found = [spec for spec in inputs if spec.name == self.input] if self.input else list(inputs)
        if len(found) != 1 or (found[0].shape, found[0].dtype) != (self.input_shape, self.dtype):
            taken = ", ".join(f"{spec.name}: {spec.dtype}{list(spec.shape)}" for spec in found or inputs)
            raise ModelError(f"preprocessing makes {self.dtype}{list(self.input_shape)}, the model takes {taken}")
        if any(spec.name == FRAME for spec in inputs if spec is not found[0]):
            raise ModelError(f"an input is called `{FRAME}`, which is reserved for the camera frame beside it")
        if not self.dtype.startswith("float"):
            self._check_integers(found[0].name)
        return found[0]

    def _check_integers(self, name: str) -> None:
        """Raises `ModelError` when pixels leave the range of an input of integers, or only a few levels are left."""
        limits = np.iinfo(self.dtype)
        lowest = min((0 - mean) / std for mean, std in zip(self.mean, self.std, strict=True))
        highest = max((255 - mean) / std for mean, std in zip(self.mean, self.std, strict=True))
        if round(lowest) < limits.min or round(highest) > limits.max or highest - lowest < FEWEST_LEVELS:
            usual = "--preprocess raw" if limits.max >= 255 else "--mean 128"
            raise ModelError(
                f"input `{name}` takes {self.dtype}, in which pixels of {lowest:.4g} to {highest:.4g} are lost",
                hint=usual,
            )

    def to_json(self) -> str:
        usual = {field.name: field.default for field in fields(self) if field.name in _SINCE_2}
        said = {key: value for key, value in asdict(self).items() if key not in usual or value != usual[key]}
        return json.dumps(said, sort_keys=True, separators=(",", ":"))

    @staticmethod
    def from_json(text: str) -> Preprocess:
        """Raises `ModelError` when `text` is not what `to_json` writes."""
        try:
            said = json.loads(text)
            mean, std = (tuple(float(number) for number in said.pop(key)) for key in ("mean", "std"))
            fit = Fit(said.pop("fit", Fit.CROP))
            return Preprocess(mean=mean, std=std, fit=fit, **said)  # type: ignore[arg-type] # lengths are checked there
        except (ValueError, TypeError, KeyError, AttributeError) as exc:
            raise ModelError(f"preprocessing in the model's metadata is malformed: {text[:200]!r}") from exc


def read_preprocess(model: ModelProto) -> Preprocess | None:
    """Preprocessing in the metadata of `model`, if any."""
    texts = [entry.value for entry in model.metadata_props if entry.key == METADATA_KEY]
    return Preprocess.from_json(texts[0]) if texts else None


def write_preprocess(model: ModelProto, preprocess: Preprocess | None) -> None:
    """Put `preprocess` into the metadata of `model`, replacing what is there; None leaves nothing there."""
    for entry in list(model.metadata_props):
        if entry.key == METADATA_KEY:
            model.metadata_props.remove(entry)
    if preprocess is not None:
        model.metadata_props.add(key=METADATA_KEY, value=preprocess.to_json())
