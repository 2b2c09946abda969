"""Names of a model's classes and its task, in the metadata of the ONNX file: what an answer means."""

from __future__ import annotations

import json

from onnx import ModelProto

from seamline.core.vocabulary.errors import ModelError
from seamline.model.metadata.recipe import Exported

LABELS_KEY = "seamline.labels"
"""Metadata key under which a model carries the names of its classes, a JSON list."""

TASK_KEY = "seamline.task"
"""Metadata key of the task that a model was exported for: ``classify``, ``detect``, ``segment``, ``pose``, ``obb``."""

TASKS = ("classify", "detect", "segment", "pose", "obb")


def write_labels(model: ModelProto, exported: Exported) -> None:
    """Put what the exporter of `model` said of its answers into the metadata, where nothing is there."""
    if exported.labels is not None and _value(model, LABELS_KEY) is None:
        model.metadata_props.add(key=LABELS_KEY, value=json.dumps(exported.labels))
    if exported.task in TASKS and _value(model, TASK_KEY) is None:
        model.metadata_props.add(key=TASK_KEY, value=exported.task)


def read_labels(model: ModelProto) -> tuple[str, ...] | None:
    """Names of the classes of `model`, if it carries them. Raises `ModelError` when they are malformed."""
    text = _value(model, LABELS_KEY)
    if text is None:
        return None
    try:
        labels = json.loads(text)
    except (ValueError, RecursionError) as exc:
        raise ModelError("class names in the model's metadata are malformed") from exc
    if not isinstance(labels, list) or not all(isinstance(label, str) for label in labels):
        raise ModelError("class names in the model's metadata are malformed")
    return tuple(labels)


def read_task(model: ModelProto) -> str | None:
    """One of `TASKS`, if `model` carries it."""
    text = _value(model, TASK_KEY)
    return text if text in TASKS else None


def _value(model: ModelProto, key: str) -> str | None:
    return next((entry.value for entry in model.metadata_props if entry.key == key), None)
