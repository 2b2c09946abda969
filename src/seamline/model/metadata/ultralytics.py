"""Metadata of Ultralytics exports (YOLOv5 to YOLO26, RT-DETR): names, imgsz, stride and task, as Python writes them.

Source: ``ultralytics/engine/exporter.py``, ``self.metadata``; YOLOv5 writes only names and stride. Pictures are treated
as ``ultralytics/data/augment.py`` does: ``LetterBox`` for detectors, ``classify_transforms`` for classifiers.
"""

from __future__ import annotations

import ast
import logging
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from onnx import ModelProto

from seamline.core.vocabulary.pictures import Fit
from seamline.model.metadata.labels import TASKS
from seamline.model.metadata.preprocess import Channels
from seamline.model.metadata.recipe import PRESETS, Exported, FrameRecipe

log = logging.getLogger(__name__)

MAX_TEXT = 1 << 20
"""Longer values are not read: the names of 1,000 classes take 30 kB."""


def ultralytics(model: ModelProto, path: Path) -> Exported:
    """What Ultralytics wrote into `model`; nothing unless it has names of classes and a stride."""
    said = {entry.key: entry.value for entry in model.metadata_props}
    if not {"names", "stride"} <= said.keys():
        return Exported()
    labels = _labels(_literal(said["names"], path))
    said_task = said.get("task", "detect")
    task = said_task if said_task in TASKS else None
    size = _literal(said.get("imgsz", "None"), path)
    height, width = size if _is_size(size) else (None, None)
    stride = _literal(said["stride"], path)
    channels: Channels | None = "grey" if said.get("channels") == "1" else None
    if task == "classify":
        unit = PRESETS["unit"]
        return Exported(
            frame=FrameRecipe(
                height=height, width=width, mean=unit.mean, std=unit.std, channels=channels, fit=Fit.CROP,
            ),
            labels=labels, task=task,
        )  # fmt: skip
    usual = FrameRecipe(preprocess="yolo", height=height, width=width, channels=channels)
    frame = replace(usual, stride=stride if type(stride) is int else None).resolved()
    return Exported(frame=frame, labels=labels, task=task)


def _literal(text: str, path: Path) -> Any:
    """The Python literal in `text`, None when it is none: numbers, strings, lists and dicts; nothing is called."""
    try:
        return ast.literal_eval(text) if len(text) <= MAX_TEXT else None
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        log.warning("`%s` has metadata that cannot be read: %.80r", path, text)
        return None


def _labels(names: Any) -> tuple[str, ...] | None:
    """``{0: 'person', 1: 'car'}`` or a list of names, in order; None unless every number has its name."""
    if isinstance(names, Mapping):
        numbers = list(names)
        if not all(type(number) is int for number in numbers) or sorted(numbers) != list(range(len(numbers))):
            return None
        names = [names[number] for number in range(len(numbers))]
    if not isinstance(names, list) or not names:
        return None
    return tuple(str(name) for name in names)


def _is_size(size: Any) -> bool:
    return isinstance(size, list | tuple) and len(size) == 2 and all(type(side) is int and side > 0 for side in size)
