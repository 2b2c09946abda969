"""Answers: what a head reads out of a network's outputs, as frozen values in pixels of the picture.

How each kind is written as JSON is here too, so that every sink says the same. A sink's record around it (frame number,
time, plan) is `sinks.answered`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from seamline.core.vocabulary.ports import Array

MAX_JSON_ELEMENTS = 4096
"""A larger output stands in JSON as its digest; its values are in an .npz."""

MOST_WORDS = 8
"""Numbers of an output that people are shown; of a larger one, its range."""

UNSEEN = -1
"""In a map of regions: pixels of the picture that the network did not see."""

ClassMap = npt.NDArray[np.int16]
Bits = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True)
class Label:
    """A class and how sure the network is. index: of the class. score_ratio: in 0-1."""

    index: int
    name: str
    score_ratio: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Mask:
    """The pixels of one object. pixels: bool[h, w], the first at (`left`, `top`) of the picture; all others are off."""

    left: int
    top: int
    pixels: Bits

    def within(self, height: int, width: int) -> Bits:
        """bool[height, width], of the whole picture."""
        whole = np.zeros((height, width), np.bool_)
        rows, columns = self.pixels.shape
        whole[self.top : self.top + rows, self.left : self.left + columns] = self.pixels
        return whole


@dataclass(frozen=True, slots=True, kw_only=True)
class Box:
    """One found object: its label, and its edges in pixels of the picture.

    mask: of networks that segment each object. points: its key points as (x, y, score), of networks that find poses.
    """

    label: Label
    left: float
    top: float
    right: float
    bottom: float
    mask: Mask | None = field(default=None, compare=False)
    points: tuple[tuple[float, float, float], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Classes:
    """The classes of a picture, the most likely first."""

    labels: tuple[Label, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Boxes:
    """The objects in a picture, the surest first. height, width: of the picture."""

    boxes: tuple[Box, ...]
    height: int
    width: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Regions:
    """The class of every pixel. class_map: int16[height, width] of the picture, `UNSEEN` where it was cropped away.

    labels: the classes that are there, the largest first; their score is the share of the pixels seen.
    """

    class_map: ClassMap = field(compare=False)
    labels: tuple[Label, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Tensors:
    """The network's outputs as they are, by name; those that are no tensors too (`value_json`)."""

    outputs: Mapping[str, Any] = field(compare=False)


Answer = Classes | Boxes | Regions | Tensors


def labels_of(answer: Answer) -> tuple[Label, ...]:
    """The labels in an answer, one for each box."""
    match answer:
        case Classes(labels=labels) | Regions(labels=labels):
            return labels
        case Boxes(boxes=boxes):
            return tuple(box.label for box in boxes)
        case Tensors():
            return ()


def answer_words(answer: Answer) -> str:
    """An answer on one line, for people."""
    match answer:
        case Classes(labels=labels):
            return ", ".join(f"{label.name} {label.score_ratio:.2f}" for label in labels)
        case Boxes(boxes=boxes):
            return ", ".join(_box_words(box) for box in boxes) or "nothing"
        case Regions(labels=labels):
            return ", ".join(f"{label.name} {label.score_ratio:.0%}" for label in labels) or "nothing"
        case Tensors(outputs=outputs):
            return ", ".join(_value_words(name, output) for name, output in outputs.items())


def counted_words(labels: Sequence[Label]) -> str:
    """Names of labels with how often each is there: ``2 person, 1 dog``."""
    counts: dict[str, int] = {}
    for label in labels:
        counts[label.name] = counts.get(label.name, 0) + 1
    return ", ".join(f"{count} {name}" for name, count in counts.items())


def answer_json(answer: Answer) -> dict[str, Any]:
    """An answer as JSON keys: ``labels``, ``boxes``, ``regions`` or ``outputs``.

    A box stands as ``[left, top, right, bottom]``, a mask as run lengths in the uncompressed form of COCO.
    """
    match answer:
        case Classes(labels=labels):
            return {"labels": [_label_json(label) for label in labels]}
        case Boxes(boxes=boxes, height=height, width=width):
            return {"boxes": [_box_json(box, height, width) for box in boxes], "size": [height, width]}
        case Regions(class_map=class_map, labels=labels):
            return {"regions": [_region_json(label, class_map == label.index) for label in labels]}
        case Tensors(outputs=outputs):
            return {"outputs": {name: value_json(output) for name, output in outputs.items()}}


def value_json(value: Any) -> Any:
    """An output as JSON: a tensor as its dtype, shape and values, or their digest when they are many.

    What is no tensor (sequences, maps, strings) stays what it is, tensors in it as above.
    """
    match value:
        case np.ndarray():
            return _tensor_json(value)
        case Mapping():
            return {str(key): value_json(each) for key, each in value.items()}
        case list() | tuple():
            return [value_json(each) for each in value]
        case np.generic():
            return value.item()
    return value if value is None or isinstance(value, str | int | float) else str(value)


def _tensor_json(output: Array) -> dict[str, Any]:
    found: dict[str, Any] = {"dtype": str(output.dtype), "shape": list(output.shape)}
    if output.dtype.kind in "OUS":
        return {**found, "dtype": "string", "values": output.astype(str).tolist()}
    if output.size <= MAX_JSON_ELEMENTS:
        return {**found, "values": output.tolist()}
    return {**found, "sha256": hashlib.sha256(np.ascontiguousarray(output).tobytes()).hexdigest()}


def run_lengths(mask: Bits) -> dict[str, Any]:
    """A mask as COCO's uncompressed run lengths: down the columns, beginning with those that are off."""
    flat = mask.flatten(order="F")
    changes = np.flatnonzero(flat[1:] != flat[:-1]) + 1
    counts = np.diff(np.concatenate(([0], changes, [flat.size]))).tolist()
    return {"size": list(mask.shape), "counts": [0, *counts] if flat.size and flat[0] else counts}


def _label_json(label: Label) -> dict[str, Any]:
    return {"label": label.name, "score": label.score_ratio, "class": label.index}


def _box_json(box: Box, height: int, width: int) -> dict[str, Any]:
    found = {**_label_json(box.label), "box": [box.left, box.top, box.right, box.bottom]}
    if box.points:
        found["points"] = [list(point) for point in box.points]
    if box.mask is not None:
        found["mask"] = run_lengths(box.mask.within(height, width))
    return found


def _region_json(label: Label, mask: Bits) -> dict[str, Any]:
    return {"label": label.name, "class": label.index, "share": label.score_ratio, "mask": run_lengths(mask)}


def _box_words(box: Box) -> str:
    edges = " ".join(str(round(edge)) for edge in (box.left, box.top, box.right, box.bottom))
    return f"{box.label.name} {box.label.score_ratio:.2f} [{edges}]"


def _value_words(name: str, value: Any) -> str:
    if not isinstance(value, np.ndarray):
        n_parts = f" of {len(value)}" if isinstance(value, Sequence | Mapping) else ""
        return f"{name} {type(value).__name__}{n_parts}"
    output: Array = value
    shape = ",".join(str(extent) for extent in output.shape)
    if 0 < output.size <= MOST_WORDS:
        return f"{name} " + " ".join(_numbers(output))
    if output.size == 0 or output.dtype.kind in "OUS":
        return f"{name} {output.dtype}[{shape}]"
    return f"{name} {output.dtype}[{shape}] {float(output.min()):.4g} to {float(output.max()):.4g}"


def _numbers(output: Array) -> Iterator[str]:
    for value in output.reshape(-1).tolist():
        yield f"{value:.4g}" if isinstance(value, float) else str(value)
