"""Agreement of two answers to one frame, as a share: do they mean the same, whatever their numbers?

Of classes, whether the likeliest is the same; of boxes, the share that have a counterpart of their class (F1 at an
overlap of one half, the rule that mean average precision counts by); of regions, the share of pixels with the same
class; of anything else, one less the relative error of the outputs. Of many frames it is the mean.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from seamline.core.vocabulary.ports import Array
from seamline.heads.answers import Box, Boxes, Classes, Regions
from seamline.heads.choosing import Head, choose_head, facts_of
from seamline.model import StoredModel

OVERLAP_RATIO = 0.5
"""Intersection over union from which two boxes of one class are the same object."""


@dataclass(frozen=True, slots=True)
class Judge:
    """Compares outputs of one model by what its `head` reads in them."""

    head: Head

    def agreement_ratio(self, found: Mapping[str, Array], expected: Mapping[str, Array]) -> float | None:
        """Agreement in 0-1; None for a frame that says nothing, in which neither finds an object."""
        match self.head.read(found, None), self.head.read(expected, None):
            case Classes(labels=one), Classes(labels=other):
                return float([label.index for label in one[:1]] == [label.index for label in other[:1]])
            case Boxes(boxes=boxes), Boxes(boxes=others):
                return _matched_ratio(boxes, others)
            case Regions(class_map=one), Regions(class_map=other):
                return float(np.mean(one == other)) if one.shape == other.shape else 0.0
        return max(0.0, 1.0 - relative_error(found, expected))


def judge_of(model: StoredModel) -> Judge:
    """What tells whether two answers of `model` mean the same: its head, chosen as for a stream."""
    preprocess = model.preprocess
    size = None if preprocess is None else (preprocess.height, preprocess.width)
    return Judge(choose_head(facts_of(model.graph, model.metadata, size=size)).head)


def relative_error(found: Mapping[str, Array], expected: Mapping[str, Array]) -> float:
    """Euclidean norm of the deviation over that of the expected output; of several outputs the largest."""
    return max(_deviation(found[name], value) for name, value in expected.items())


def _deviation(found: Array, expected: Array) -> float:
    if found.shape != expected.shape:
        return math.inf
    one, other = found.astype(np.float64), expected.astype(np.float64)
    scale = float(np.linalg.norm(other))
    off = float(np.linalg.norm(one - other))
    return off / scale if scale > 0.0 else (0.0 if off == 0.0 else math.inf)


def _matched_ratio(boxes: Sequence[Box], others: Sequence[Box]) -> float | None:
    """F1 of a greedy matching, the surest box first; None when there are none at all."""
    if not boxes and not others:
        return None
    if not boxes or not others:
        return 0.0
    same_class = np.array([[one.label.index == other.label.index for other in others] for one in boxes])
    overlap = np.where(same_class, _overlap_ratios(_edges(boxes), _edges(others)), 0.0)
    n_matched = 0
    for row in overlap:
        best = int(np.argmax(row))
        if row[best] >= OVERLAP_RATIO:
            n_matched += 1
            overlap[:, best] = 0.0
    return 2.0 * n_matched / (len(boxes) + len(others))


def _edges(boxes: Sequence[Box]) -> npt.NDArray[np.float64]:
    return np.array([[box.left, box.top, box.right, box.bottom] for box in boxes], np.float64)


def _overlap_ratios(ones: npt.NDArray[np.float64], others: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """float64[N, M]: intersection over union of edges [N, 4] and [M, 4]."""
    first = np.maximum(ones[:, None, :2], others[None, :, :2])
    last = np.minimum(ones[:, None, 2:], others[None, :, 2:])
    shared = np.prod(np.maximum(last - first, 0.0), axis=2)
    areas = [np.prod(edges[:, 2:] - edges[:, :2], axis=1) for edges in (ones, others)]
    ratios: npt.NDArray[np.float64] = shared / np.maximum(areas[0][:, None] + areas[1][None] - shared, 1e-12)
    return ratios
