"""What exporters say of a model: of pictures, of labels and of the task the first that says something.

ONNX's own keys for pictures, which Windows ML, Azure Custom Vision and Core ML's converters write, are read here; every
other exporter has a file of its own.
"""

from __future__ import annotations

from pathlib import Path

from onnx import ModelProto

from seamline.model.metadata.frameworks import keras, torchvision
from seamline.model.metadata.huggingface import huggingface
from seamline.model.metadata.preprocess import Channels
from seamline.model.metadata.recipe import PRESETS, Exported, FrameRecipe
from seamline.model.metadata.ultralytics import ultralytics

_FORMAT, _RANGE = "image.bitmappixelformat", "image.nominalpixelrange"
_CHANNELS: dict[str, Channels] = {"gray8": "grey", "rgb8": "rgb", "bgr8": "bgr"}
_VALUES = {
    "nominalrange_0_255": PRESETS["raw"],
    "normalized_0_1": PRESETS["unit"],
    "normalized_1_1": PRESETS["symmetric"],
    "nominalrange_16_235": FrameRecipe(mean=(-255 * 16 / 219,) * 3, std=(255 / 219,) * 3),
}
"""Source: https://onnx.ai/onnx/repo-docs/MetadataProps.html; keys and values are case insensitive."""


def exported_with(model: ModelProto, path: Path) -> Exported:
    """What stands in the file `path` of `model`, then in the files beside it; what nobody says is None.

    What is written there and cannot be meant is left out with a warning in the log: it is no part of the model.
    """
    frame, labels, task = None, None, None
    for read in (ultralytics, _image_category, torchvision, keras, huggingface):
        found = read(model, path)
        frame = found.frame if frame is None else frame
        labels = found.labels if labels is None else labels
        task = found.task if task is None else task
    return Exported(frame=frame, labels=labels, task=task)


def _image_category(model: ModelProto, _: Path) -> Exported:
    """What `model` says of pixels by the standard's keys; nothing for a format that no camera frame becomes (RGBA)."""
    said = {entry.key.lower(): entry.value.lower() for entry in model.metadata_props}
    if not {_FORMAT, _RANGE} & said.keys():
        return Exported()
    channels = _CHANNELS.get(said.get(_FORMAT, "rgb8"))
    values = _VALUES.get(said.get(_RANGE, "nominalrange_0_255"))
    if channels is None or values is None:
        return Exported()
    return Exported(frame=FrameRecipe(mean=values.mean, std=values.std, channels=channels))
