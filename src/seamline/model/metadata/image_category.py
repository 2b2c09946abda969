"""ONNX's own metadata of picture inputs: pixel format and range (Windows ML, Azure Custom Vision, Core ML converters).

Source: https://onnx.ai/onnx/repo-docs/MetadataProps.html; keys and values are case insensitive.
"""

from __future__ import annotations

from pathlib import Path

from onnx import ModelProto

from seamline.model.metadata.preprocess import Channels
from seamline.model.metadata.recipe import PRESETS, Exported, FrameRecipe

_FORMAT, _RANGE = "image.bitmappixelformat", "image.nominalpixelrange"
_CHANNELS: dict[str, Channels] = {"gray8": "grey", "rgb8": "rgb", "bgr8": "bgr"}
_VALUES = {
    "nominalrange_0_255": PRESETS["raw"],
    "normalized_0_1": PRESETS["unit"],
    "normalized_1_1": PRESETS["symmetric"],
    "nominalrange_16_235": FrameRecipe(mean=(-255 * 16 / 219,) * 3, std=(255 / 219,) * 3),
}


def image_category(model: ModelProto, _: Path) -> Exported:
    """What `model` says of pixels by the standard's keys; nothing for a format that no camera frame becomes (RGBA)."""
    said = {entry.key.lower(): entry.value.lower() for entry in model.metadata_props}
    if not {_FORMAT, _RANGE} & said.keys():
        return Exported()
    channels = _CHANNELS.get(said.get(_FORMAT, "rgb8"))
    values = _VALUES.get(said.get(_RANGE, "nominalrange_0_255"))
    if channels is None or values is None:
        return Exported()
    return Exported(frame=FrameRecipe(mean=values.mean, std=values.std, channels=channels))
