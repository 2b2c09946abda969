"""Outputs of networks that ask for objects, and of those that give boxes and scores as two tensors.

    Layout   outputs                          boxes                       of
    -------  -------------------------------  --------------------------  -----------------------------------------
    PAIR     [1, N, 4] and [1, N, n], or      centre and size, or edges   DETR, RT-DETR, RF-DETR, YOLO-NAS, UltraFace,
             [1, 4, N] and [1, n, N]                                      YOLO for accelerators
    QUERIES  [1, N, 4 + n]                    centre and size in shares   RT-DETR as Ultralytics exports it

Boxes in shares of the input's sides are told from those in pixels by their values; edges from centre and size by that
no right edge lies left of a left one, in any row. Scores go through the softmax where one more class than the names
stands for "no object", and through the sigmoid where they are not in 0-1 otherwise.
"""

from __future__ import annotations

from enum import StrEnum

import numpy as np

from seamline.core.vocabulary.ports import Array
from seamline.heads.found import Floats, Found, from_centres, in_pixels
from seamline.heads.scores import SUM_TOLERANCE, Scores, object_scores, softmax

MANY_ROWS = 12
"""So many rows of random centres and sizes never all look like edges."""


class Background(StrEnum):
    """Which class of the scores, if any, means that there is no object."""

    NONE = "none"
    FIRST = "first"
    LAST = "last"


def read_pair(boxes: Array, scores: Array, size: tuple[int, int], background: Background, least_ratio: float) -> Found:
    """Objects of `boxes`, [1, N, 4] or [1, N, 1, 4], and `scores`, [1, N, n]; size: the input's height and width."""
    return _read(boxes.reshape(-1, 4).astype(np.float64), scores.reshape(-1, scores.shape[-1]), size, background,
                 least_ratio)  # fmt: skip


def read_queries(output: Array, size: tuple[int, int], least_ratio: float) -> Found:
    """Objects of `output`, [1, N, 4 + n] or [1, 4 + n, N] with fewer classes than rows."""
    rows = output.reshape(output.shape[-2:])
    boxes = from_centres(in_pixels(rows[:, :4].astype(np.float64), size))
    return _best(boxes, object_scores(rows[:, 4:]), least_ratio)


def _read(boxes: Floats, raw: Array, size: tuple[int, int], background: Background, least_ratio: float) -> Found:
    scores = _scores(raw, background)
    is_edges = len(boxes) >= MANY_ROWS and bool((boxes[:, 2:] >= boxes[:, :2]).all())
    edges = boxes if is_edges else from_centres(boxes)
    return _best(in_pixels(edges, size, boxes), scores, least_ratio)


def _scores(raw: Array, background: Background) -> Scores:
    if background is Background.LAST:
        return _probabilities(raw)[:, :-1]
    if background is Background.FIRST:
        scores = _probabilities(raw).copy()
        scores[:, 0] = 0.0
        return scores
    return object_scores(raw)


def _probabilities(raw: Array) -> Scores:
    values = raw.astype(np.float64)
    is_done = values.size > 0 and values.min() >= 0.0 and bool(np.all(np.abs(values.sum(axis=1) - 1) < SUM_TOLERANCE))
    return values if is_done else softmax(values)


def _best(boxes: Floats, scores: Scores, least_ratio: float) -> Found:
    best = scores.argmax(axis=1)
    values = scores[np.arange(len(scores)), best]
    kept = np.flatnonzero(values >= least_ratio)
    return Found(boxes=boxes[kept], scores=values[kept], classes=best[kept].astype(np.int64))
