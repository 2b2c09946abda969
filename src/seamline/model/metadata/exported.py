"""What exporters say of a model: of pictures, of labels and of the task the first that says something."""

from __future__ import annotations

from pathlib import Path

from onnx import ModelProto

from seamline.model.metadata.frameworks import keras, torchvision
from seamline.model.metadata.huggingface import huggingface
from seamline.model.metadata.image_category import image_category
from seamline.model.metadata.recipe import Exported
from seamline.model.metadata.ultralytics import ultralytics


def exported_with(model: ModelProto, path: Path) -> Exported:
    """What stands in the file `path` of `model`, then in the files beside it; what nobody says is None.

    What is written there and cannot be meant is left out with a warning in the log: it is no part of the model.
    """
    frame, labels, task = None, None, None
    for read in (ultralytics, image_category, torchvision, keras, huggingface):
        found = read(model, path)
        frame = found.frame if frame is None else frame
        labels = found.labels if labels is None else labels
        task = found.task if task is None else task
    return Exported(frame=frame, labels=labels, task=task)
