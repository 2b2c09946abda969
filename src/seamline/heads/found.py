"""Objects found by a network, still in pixels of its input: what every layout of outputs is read into.

Which of them are answers (score, overlap) is `detect.py`'s business.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from seamline.codec.opencv import require_opencv

Floats = npt.NDArray[np.float64]
Indices = npt.NDArray[np.int64]

MAX_CANDIDATES = 30_000
"""More are never compared with each other; Ultralytics has the same limit."""


LARGEST_UNIT = 1.5
"""Centres in pixels reach across the input; where none is beyond this they are shares of its sides."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """N objects. boxes: float64[N, 4] as left, top, right, bottom in pixels of the input. scores, classes: [N].

    coefficients: float64[N, M] of masks. points: float64[N, K, 3] as x, y, score.
    """

    boxes: Floats
    scores: Floats
    classes: Indices
    coefficients: Floats | None = None
    points: Floats | None = None

    def __len__(self) -> int:
        return len(self.scores)

    def at(self, which: npt.NDArray[Any]) -> Found:
        """Those at indices, or where a mask is true."""
        return Found(
            boxes=self.boxes[which],
            scores=self.scores[which],
            classes=self.classes[which],
            coefficients=None if self.coefficients is None else self.coefficients[which],
            points=None if self.points is None else self.points[which],
        )


def surest(found: Found, least_ratio: float, n: int) -> Found:
    """At most `n` of those whose score is at least `least_ratio`, the surest first; equal ones in their order."""
    kept = np.flatnonzero((found.scores >= least_ratio) & np.isfinite(found.boxes).all(axis=1))
    return found.at(kept[np.argsort(-found.scores[kept], kind="stable")[:n]])


def suppressed(found: Found, overlap_ratio: float) -> Found:
    """`found` without those that overlap a surer one of the same class by more than `overlap_ratio` (greedy NMS)."""
    if len(found) < 2:
        return found
    corners = found.boxes[:, :2]
    moved = corners - corners.min(axis=0)  # OpenCV moves classes apart by the largest coordinate: none may be negative
    rectangles = np.concatenate([moved, found.boxes[:, 2:] - corners], axis=1)
    kept = require_opencv().dnn.NMSBoxesBatched(
        rectangles.tolist(), found.scores.tolist(), found.classes.tolist(), -1.0, overlap_ratio
    )
    return found.at(np.sort(np.asarray(kept, np.int64).reshape(-1)))


def from_centres(boxes: Floats) -> Floats:
    """Boxes as centre and size, [..., 4], as left, top, right, bottom."""
    half = boxes[..., 2:] / 2
    return np.concatenate([boxes[..., :2] - half, boxes[..., :2] + half], axis=-1)


def in_pixels(boxes: Floats, size: tuple[int, int], by: npt.NDArray[Any] | None = None) -> Floats:
    """`boxes`, times the input's height and width when `by` (they themselves, if None) are shares of these."""
    measured = boxes if by is None else by
    if measured.size and float(np.abs(measured).max()) <= LARGEST_UNIT:
        height, width = size
        return boxes * np.array([width, height] * 2, np.float64)
    return boxes
