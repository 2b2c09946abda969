"""Scores of classes as numbers in 0-1, whatever the network ends in.

Many networks end before the softmax, many after; some end in one sigmoid per class. The last operator says which, and
where it does not (a quantised or wrapped end) the values do.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any

import numpy as np
import numpy.typing as npt

from seamline.core.vocabulary.ports import Array

Scores = npt.NDArray[np.float64]
SUM_TOLERANCE = 0.02
"""Float16 and int8 probabilities do not sum to 1 exactly."""


class Ending(StrEnum):
    """What the scores of a network are."""

    PROBABILITIES = "probabilities"
    LOG_PROBABILITIES = "log probabilities"
    LOGITS = "logits"
    UNKNOWN = "unknown"


ENDINGS = {"Softmax": Ending.PROBABILITIES, "Sigmoid": Ending.PROBABILITIES, "HardSigmoid": Ending.PROBABILITIES}
ENDINGS |= {"LogSoftmax": Ending.LOG_PROBABILITIES}


def ending_of(op: str) -> Ending:
    """What a network whose last operator is `op` ends in."""
    return ENDINGS.get(op, Ending.LOGITS if op in ("Gemm", "MatMul", "Add", "Conv") else Ending.UNKNOWN)


def class_scores(scores: Array, ending: Ending) -> Scores:
    """Scores float or integer[..., n_classes] as probabilities float64 of the same shape.

    Integers are a quantised network's, as shares of what their type can hold.
    """
    if np.issubdtype(scores.dtype, np.integer):
        limits = np.iinfo(scores.dtype)
        return (scores.astype(np.float64) - limits.min) / (limits.max - limits.min)
    values = scores.astype(np.float64)
    match ending:
        case Ending.PROBABILITIES:
            return values
        case Ending.LOG_PROBABILITIES:
            return np.exp(values)
        case Ending.LOGITS:
            return softmax(values)
    return values if _sum_to_one(values) else softmax(values)


def object_scores(scores: Array) -> Scores:
    """Scores of objects, each class for itself: as they are when all are in 0-1, else through the sigmoid."""
    values = scores.astype(np.float64)
    return values if _in_unit(values) else sigmoid(values)


def softmax(logits: npt.NDArray[Any]) -> Scores:
    """Softmax over the last axis; logits may be minus infinity."""
    highest = np.max(logits, axis=-1, keepdims=True)
    raised = np.exp(logits - np.where(np.isfinite(highest), highest, 0.0))
    total = raised.sum(axis=-1, keepdims=True)
    return np.asarray(np.divide(raised, total, out=np.zeros_like(raised), where=total > 0), np.float64)


def sigmoid(logits: npt.NDArray[Any]) -> Scores:
    """The logistic function, without overflow."""
    return np.asarray(0.5 * (1.0 + np.tanh(0.5 * np.asarray(logits, np.float64))), np.float64)


def _in_unit(values: Scores) -> bool:
    return values.size == 0 or bool(values.min() >= 0.0 and values.max() <= 1.0 + 1e-3)


def _sum_to_one(values: Scores) -> bool:
    return _in_unit(values) and bool(np.all(np.abs(values.sum(axis=-1) - 1.0) < SUM_TOLERANCE))
