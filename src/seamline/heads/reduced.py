"""Reduced outputs: what a head needs of a network's outputs, so that it can be read where the last stage ran.

A detector's raw outputs are megabytes, its objects a few kilobytes. The last stage's node makes the one of the other
(`ReducingHead.reduce`), and the origin, which knows how the picture was fitted and what classes are called, makes the
answer (`finish`). `read` is both, one after the other, so that answers are the same wherever the first half runs.

A node chooses the head anew from its own copy of the model. `fingerprint` tells whether it came to the same: a node of
another version sends the outputs as they are.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import replace
from typing import Protocol, runtime_checkable

import numpy as np

from seamline.core.vocabulary.pictures import PictureTransform
from seamline.core.vocabulary.ports import Array
from seamline.heads.answers import Answer
from seamline.heads.found import MAX_CANDIDATES, Found
from seamline.heads.names import NO_NAMES, ClassNames

BOXES, SCORES, CLASSES = "read.boxes", "read.scores", "read.classes"
COEFFICIENTS, POINTS, PROTOTYPES, CLASS_MAP = "read.coefficients", "read.points", "read.prototypes", "read.class_map"

EXPECTED_OBJECTS = 100
"""In a picture, for the planner."""

MAX_MAP_SIDE = 1 << 14


@runtime_checkable
class ReducingHead(Protocol):
    """A head whose first half can run elsewhere. expected_bytes: of `reduce`, as the planner counts it."""

    names: ClassNames

    @property
    def expected_bytes(self) -> int: ...

    def reduce(self, outputs: Mapping[str, Array]) -> dict[str, Array]:
        """What the outputs say, still in pixels of the input."""
        ...

    def finish(self, reduced: Mapping[str, Array], transform: PictureTransform | None) -> Answer:
        """The answer to what `reduce` gave."""
        ...

    def fault(self, reduced: Mapping[str, Array]) -> str | None:
        """What shows that another node's arrays are none of `reduce`, in words; None when nothing does."""
        ...


def fingerprint(head: ReducingHead) -> str:
    """Equal for heads that read outputs alike; class names do not count."""
    nameless = replace(head, names=NO_NAMES)  # type: ignore[type-var]  # every head is a dataclass
    return hashlib.sha256(repr(nameless).encode()).hexdigest()[:16]


def to_arrays(found: Found, prototypes: Array | None) -> dict[str, Array]:
    """Objects as tensors by name."""
    optional = {COEFFICIENTS: found.coefficients, POINTS: found.points, PROTOTYPES: prototypes}
    arrays: dict[str, Array] = {BOXES: found.boxes, SCORES: found.scores, CLASSES: found.classes}
    return arrays | {name: array for name, array in optional.items() if array is not None}


def from_arrays(arrays: Mapping[str, Array]) -> Found:
    """The objects in such tensors."""
    return Found(
        boxes=arrays[BOXES],
        scores=arrays[SCORES],
        classes=arrays[CLASSES],
        coefficients=arrays.get(COEFFICIENTS),
        points=arrays.get(POINTS),
    )


def objects_fault(arrays: Mapping[str, Array], *, has_prototypes: bool) -> str | None:
    """What shows that tensors are no objects: every one of them is as long as the others."""
    needed = {BOXES, SCORES, CLASSES} | ({PROTOTYPES} if has_prototypes else set())
    if not needed <= arrays.keys() <= needed | {COEFFICIENTS, POINTS}:
        return f"objects are {len(arrays)} tensors, not those of this head"
    n_objects = len(arrays[SCORES]) if arrays[SCORES].ndim else 0
    shapes = {BOXES: (n_objects, 4), SCORES: (n_objects,), CLASSES: (n_objects,)}
    for name, array in arrays.items():
        wanted = np.int64 if name == CLASSES else np.float64
        if name != PROTOTYPES and (array.dtype != wanted or array.shape[:1] != (n_objects,)):
            return f"`{name}` is {array.dtype}, with {array.ndim} axes"
        if name in shapes and array.shape != shapes[name]:
            return f"`{name}` has {array.ndim} axes of {array.size} values"
    if n_objects > MAX_CANDIDATES:
        return f"{n_objects} objects, at most {MAX_CANDIDATES}"
    points, coefficients, prototypes = arrays.get(POINTS), arrays.get(COEFFICIENTS), arrays.get(PROTOTYPES)
    if points is not None and (points.ndim != 3 or points.shape[2] != 3):
        return "the points are no points"
    if prototypes is not None and (prototypes.ndim != 3 or prototypes.dtype.kind != "f"):
        return "the prototypes are none"
    if coefficients is not None and (
        coefficients.ndim != 2 or (prototypes is not None and coefficients.shape[1] != len(prototypes))
    ):
        return "the coefficients do not fit the prototypes"
    return None


def map_fault(arrays: Mapping[str, Array]) -> str | None:
    """What shows that tensors are no map of classes."""
    class_map = arrays.get(CLASS_MAP)
    if len(arrays) != 1 or class_map is None or class_map.dtype != np.int16 or class_map.ndim != 2:
        return "it is no map of classes"
    if not 0 < min(class_map.shape) <= max(class_map.shape) <= MAX_MAP_SIDE:
        return f"a map of {class_map.size} pixels"
    return None
