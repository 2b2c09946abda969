"""Sidecar of a model file: how a camera frame becomes the model's input, and the values of open inputs.

    # seamline.toml, for every model in its folder; NAME.seamline.toml, for NAME.onnx, goes before it
    [frame]                      # RGB frames of 0-255 become (frame - mean) / std
    preprocess = "imagenet"      # a preset; what stands below goes before it
    height = 224                 # left out: what the model's input says, and so for all that follow
    width = 224
    layout = "nchw"              # or "nhwc"; "chw", "hwc", "nhw", "hw" without batch axis or colours
    mean = [123.675, 116.28, 103.53]
    std = [58.395, 57.12, 57.375]
    channels = "rgb"             # or "bgr", "grey"
    fit = "crop"                 # or "letterbox", "stretch"; and pad, resample, crop_ratio, is_centred
    input = "image"              # which of several inputs takes the picture
    [shapes]
    state = [2, 1, 128]
    [values]
    sr = 16000

Flags go before the sidecar, and that before what the ONNX file or its exporter says, see `recipe.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from seamline.config import load_toml
from seamline.core.vocabulary.errors import ConfigError, ModelError, UsageError
from seamline.model.metadata.preprocess import LAYOUTS
from seamline.model.metadata.recipe import FrameRecipe

FILE = "seamline.toml"


@dataclass(frozen=True, slots=True, kw_only=True)
class Sidecar:
    """Contents of a sidecar. frame: None without one. shapes: of inputs, by name. values: of inputs made constants."""

    frame: FrameRecipe | None = None
    shapes: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    values: Mapping[str, float] = field(default_factory=dict)


def read_sidecar(path: Path) -> Sidecar:
    """Sidecar of the model file `path`; an empty one when there is none. Raises `ConfigError`."""
    for name in (f"{path.stem}.{FILE}", FILE):
        beside = path.with_name(name)
        if beside.exists():
            found = load_toml(beside, Sidecar)
            _check(found, beside)
            return found
    return Sidecar()


def _check(found: Sidecar, path: Path) -> None:
    if any(extent < 0 for shape in found.shapes.values() for extent in shape):
        raise ConfigError(f"{path}: a shape has an extent below 0", hint="write e.g. state = [2, 1, 128]")
    if found.frame is None or not found.frame.takes_pictures:
        return
    frame = found.frame
    sized = replace(frame, height=frame.height or 1, width=frame.width or 1)  # whatever they will be
    try:
        sized.at((None,) * len(frame.layout or LAYOUTS[0]))
    except (ModelError, UsageError) as exc:
        raise ConfigError(f"{path}: {exc}") from exc
