"""Comparison of two answers: how far the arrays of one are from those of another, in one number."""

from __future__ import annotations

import math

import numpy as np

from seamline.core.vocabulary.local_values import is_local, is_same
from seamline.core.vocabulary.ports import Array


def relative_error(found: Array, expected: Array) -> float:
    """Largest deviation of any element over the largest finite expected magnitude; 0.0 exactly when all are the same.

    Infinite where the shapes differ, and where one side has a NaN, an infinity or a text that the other has not: such
    an element has no distance, and as a scale an infinity would hide all others. Sequences and maps differ or do not.
    """
    if is_local(found) or is_local(expected):
        return 0.0 if is_same(found, expected) else math.inf
    if found.shape != expected.shape:
        return math.inf
    if not (_is_number(found) and _is_number(expected)):
        return 0.0 if np.array_equal(found, expected) else math.inf
    one, other = _wide(found), _wide(expected)
    same = (found == expected) | (np.isnan(one) & np.isnan(other))
    if same.all():
        return 0.0
    scale = float(np.abs(other[np.isfinite(other)]).max(initial=0.0)) or 1.0
    one, other = one[~same], other[~same]
    if not (np.isfinite(one).all() and np.isfinite(other).all()):
        return math.inf
    error = float(np.abs(one - other).max() / scale)
    return max(error, float(np.finfo(np.float64).eps))  # integers beyond 2**53 may differ by less than float64 shows


def is_blank(values: Array) -> bool:
    """Whether there are elements and none of them is a finite number."""
    return not is_local(values) and values.size > 0 and _is_number(values) and not np.isfinite(_wide(values)).any()


def _is_number(values: Array) -> bool:
    return values.dtype.kind in "biufc" or "float" in values.dtype.name  # bfloat16 and float8 have kinds of their own


def _wide(values: Array) -> Array:
    return values.astype(np.complex128 if values.dtype.kind == "c" else np.float64)
