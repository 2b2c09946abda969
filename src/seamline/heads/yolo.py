"""YOLO's dense outputs: one row for each place of a grid, before suppression.

    Layout      shape                     a row                                      of
    ----------  ------------------------  -----------------------------------------  -----------------------------
    ANCHORS     [1, 3 G, 5 + n + m]       centre, size, objectness, n classes        YOLOv5, v7 (and v3 of both)
    FREE        [1, 4 + n + p + m, G]     centre, size, n classes, points            YOLOv8, v9, v11, v12
    OBJECTNESS  [1, G, 5 + n]             centre, size, objectness, n classes        YOLOv6, YOLOX

G is the number of grid places, m the coefficients of masks, p the numbers of key points. YOLOX leaves centre and size
relative to the grid; sizes are then logarithms, some of which are negative, as no true size is.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from seamline.core.vocabulary.ports import Array
from seamline.heads.found import Floats, Found, from_centres, in_pixels
from seamline.heads.scores import sigmoid

STRIDES = ((8, 16, 32), (8, 16, 32, 64), (4, 8, 16, 32), (16, 32), (8, 16), (32,), (16,))
"""Grids of published networks; the smallest stride is the finest grid."""

N_ANCHORS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Dense:
    """How a dense output is read. height, width: of the input. strides: of its grids.

    has_objectness: a fifth column stands before the classes. n_classes: of them. n_points, n_point_values: key points
    and numbers for each. is_channels_first: rows lie along the last axis.
    """

    height: int
    width: int
    strides: tuple[int, ...]
    has_objectness: bool
    is_channels_first: bool
    n_classes: int
    n_points: int = 0
    n_point_values: int = 3


def n_places(height: int, width: int, strides: Iterable[int]) -> int:
    """Grid places of an input at all strides."""
    return sum(-(-height // stride) * -(-width // stride) for stride in strides)


def grid_of(n: int, height: int, width: int) -> tuple[tuple[int, ...], int] | None:
    """The strides and the rows a place for which an input has `n` rows; None when no known grid has as many."""
    for n_each in (1, N_ANCHORS):
        for strides in STRIDES:
            if n == n_each * n_places(height, width, strides):
                return strides, n_each
    return None


def read_dense(output: Array, dense: Dense, least_ratio: float) -> Found:
    """Rows of `output` whose best class reaches `least_ratio`."""
    rows = output[0] if output.ndim == 3 else output
    rows = rows.T if dense.is_channels_first else rows
    first = 5 if dense.has_objectness else 4
    likely = np.arange(len(rows))
    objectness = np.ones(len(rows))
    if dense.has_objectness:
        objectness = rows[:, 4].astype(np.float64)
        objectness = sigmoid(objectness) if _are_logits(objectness, objectness) else objectness
        likely = np.flatnonzero(objectness >= least_ratio)  # no class raises it: few rows are left to look at
    classes = rows[:, first : first + dense.n_classes]
    classes = classes[likely] if dense.has_objectness else classes
    scores = classes.max(axis=1).astype(np.float64)  # before the class: the maximum alone is quick, in either order
    scores = objectness[likely] * (sigmoid(scores) if _are_logits(classes, scores) else scores)
    which = np.flatnonzero(scores >= least_ratio)
    kept = likely[which]
    boxes = _boxes(rows[:, :4], kept, dense)
    rest = rows[kept, first + dense.n_classes :].astype(np.float64)
    n_point_numbers = dense.n_points * dense.n_point_values
    return Found(
        boxes=boxes,
        scores=scores[which],
        classes=classes[which].argmax(axis=1).astype(np.int64),
        points=_points(rest[:, :n_point_numbers], dense) if n_point_numbers else None,
        coefficients=rest[:, n_point_numbers:] if rest.shape[1] > n_point_numbers else None,
    )


def _boxes(rows: Array, kept: npt.NDArray[np.intp], dense: Dense) -> Floats:
    """Left, top, right, bottom in pixels of the rows `kept`."""
    boxes = rows[kept].astype(np.float64)
    if dense.has_objectness and not dense.is_channels_first and bool((rows[:, 2:] < 0).any()):
        places, strides = _grid(dense)
        if len(places) == len(rows):
            boxes[:, :2] = (boxes[:, :2] + places[kept]) * strides[kept, np.newaxis]
            boxes[:, 2:] = np.exp(boxes[:, 2:]) * strides[kept, np.newaxis]
            return from_centres(boxes)
    return from_centres(in_pixels(boxes, (dense.height, dense.width), rows))


def _grid(dense: Dense) -> tuple[Floats, Floats]:
    """Column and row of every place, float64[G, 2], and its stride, float64[G]; strides in turn, rows within."""
    places, strides = [], []
    for stride in dense.strides:
        n_rows, n_columns = -(-dense.height // stride), -(-dense.width // stride)
        rows, columns = np.mgrid[:n_rows, :n_columns]
        places.append(np.stack([columns.reshape(-1), rows.reshape(-1)], axis=1).astype(np.float64))
        strides.append(np.full(n_rows * n_columns, float(stride)))
    return np.concatenate(places), np.concatenate(strides)


def _points(numbers: Floats, dense: Dense) -> Floats:
    """float64[N, K, 3] from rows of K times x, y and, if they have one, a score."""
    points = numbers.reshape(len(numbers), dense.n_points, dense.n_point_values)
    scores = points[:, :, 2:3] if dense.n_point_values > 2 else np.ones((*points.shape[:2], 1))
    return np.concatenate([points[:, :, :2], scores], axis=2)


def _are_logits(values: npt.NDArray[Any], highest: Floats) -> bool:
    """Whether `values` are not all in 0-1. highest: of each row."""
    return values.size > 0 and (float(highest.max()) > 1.0 + 1e-3 or float(values.min()) < 0.0)
