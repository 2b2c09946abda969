"""From times of some segments to times of all: blocks and overheads of boundaries, by non-negative least squares.

A segment takes its blocks and half the overhead of each inner joint it ends at (`core.cost.profiled`). Every measured
segment is one such equation, and segments of many lengths overlap, so there are more equations than unknowns. Nothing
here measures; see `profiler.py`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Span = tuple[int, int]
"""A segment as a pair of joints, numbered from 0 (the input) to the number of blocks (the output)."""

NOISE_RATIO = 0.02
"""How sure one measured time is, relative: what medians of a few runs scatter by on a quiet machine."""

SHORT_SPAN_BLOCKS = 4.0
"""A span of so many blocks weighs half as much as a long one, a single one still less. An engine lays out a lone
layer otherwise than the same layer among others, so overheads of neighbouring cuts do not simply add up."""

LEAST_NOISE_RATIO = 1e-3
"""Of the whole model's time: no segment's time is known better, a clock and a call cost that much."""

WHOLE_NOISE_RATIO = 0.1
"""Noise of the whole model's time, relative to that of others: it runs most often, and they are relative to it."""

PRIOR_NOISE_RATIO = 2.0
"""How sure an overhead guessed from the crossing bytes is, relative: it only decides where measurements do not."""

_TOLERANCE = 1e-10


@dataclass(frozen=True, slots=True)
class Fitted:
    """blocks_s: float64[n], each >= 0, adding up to the whole model's time. overheads_s: float64[n + 1] by joint, each
    >= 0, and 0 at the two ends."""

    blocks_s: Floats
    overheads_s: Floats


def fit_times(times_s: Mapping[Span, float], joint_bytes: Sequence[int]) -> Fitted:
    """The blocks and overheads that explain `times_s` best, relative errors counting alike.

    times_s: by span; the whole model, ``(0, n)``, and every single block must be there. joint_bytes: what crosses each
    of the n + 1 joints; more bytes are first guessed to cost more.
    """
    n_blocks = len(joint_bytes) - 1
    whole_s = times_s[0, n_blocks]
    if whole_s <= 0.0:
        return Fitted(np.zeros(n_blocks), np.zeros(n_blocks + 1))
    rows, targets = _equations(times_s, n_blocks)
    n_in_span = rows[:, :n_blocks].sum(axis=1)
    noise_s = NOISE_RATIO * (1.0 + SHORT_SPAN_BLOCKS / n_in_span) * targets + LEAST_NOISE_RATIO * whole_s
    noise_s[list(times_s).index((0, n_blocks))] *= WHOLE_NOISE_RATIO
    guess_s = _guess(times_s, joint_bytes)
    guess_noise_s = PRIOR_NOISE_RATIO * guess_s + LEAST_NOISE_RATIO * whole_s
    priors = np.eye(n_blocks + 1, 2 * n_blocks + 1, n_blocks)[1:-1] / guess_noise_s[1:-1, None]
    solution = nonnegative_least_squares(
        np.vstack((rows / noise_s[:, None], priors)),
        np.concatenate((targets / noise_s, guess_s[1:-1] / guess_noise_s[1:-1])),
    )
    solution = solution * (whole_s / solution[:n_blocks].sum())
    return Fitted(solution[:n_blocks], solution[n_blocks:])


def nonnegative_least_squares(matrix: Floats, targets: Floats) -> Floats:
    """The x >= 0 that minimises ``|matrix @ x - targets|``. matrix: float64[m, n], targets: float64[m].

    Source: Lawson and Hanson 1974, ch. 23, in the form of Bro and De Jong 1997 (normal equations, started from the
    unconstrained solution). Columns of zeros get 0.
    """
    gram, right = matrix.T @ matrix, matrix.T @ targets
    least = _TOLERANCE * max(1.0, float(np.abs(right).max(initial=0.0)))
    free = np.diag(gram) > 0.0
    x = _solve_free(gram, right, free)
    while (x < 0.0).any():  # all that went below zero at once: a good start, put right below
        free &= x > 0.0
        x = _solve_free(gram, right, free)
    for _ in range(3 * len(x)):
        slope = np.where(free | (np.diag(gram) <= 0.0), -np.inf, right - gram @ x)
        if slope.max(initial=-np.inf) <= least:
            break
        free[int(np.argmax(slope))] = True
        x = _step_to_free(gram, right, free, x)
    return x


def _step_to_free(gram: Floats, right: Floats, free: npt.NDArray[np.bool_], x: Floats) -> Floats:
    """From the feasible `x` towards the minimum over `free`; what meets zero on the way is taken out of `free`."""
    while True:
        wanted = _solve_free(gram, right, free)
        below = free & (wanted <= 0.0)
        if not below.any():
            return wanted
        x = x + float((x[below] / (x[below] - wanted[below] + 1e-300)).min()) * (wanted - x)
        free &= ~(below & (x <= _TOLERANCE * max(1e-300, float(x.max()))))
        x = np.where(free, np.maximum(x, 0.0), 0.0)


def _solve_free(gram: Floats, right: Floats, free: npt.NDArray[np.bool_]) -> Floats:
    x = np.zeros(len(right))
    if free.any():
        x[free] = np.linalg.lstsq(gram[np.ix_(free, free)], right[free], rcond=None)[0]
    return x


def _equations(times_s: Mapping[Span, float], n_blocks: int) -> tuple[Floats, Floats]:
    """One row per span over (blocks, joints), and what it took."""
    rows = np.zeros((len(times_s), 2 * n_blocks + 1))
    for row, (start, stop) in zip(rows, times_s, strict=True):
        row[start:stop] = 1.0
        row[n_blocks + start] += 0.5
        row[n_blocks + stop] += 0.5
    rows[:, n_blocks] = rows[:, -1] = 0.0  # nothing is cut at the ends
    return rows, np.fromiter(times_s.values(), np.float64, len(times_s))


def _guess(times_s: Mapping[Span, float], joint_bytes: Sequence[int]) -> Floats:
    """What the blocks take together beyond the whole, shared out over the inner joints by bytes."""
    n_blocks = len(joint_bytes) - 1
    excess_s = sum(times_s[at, at + 1] for at in range(n_blocks)) - times_s[0, n_blocks]
    weights = np.array(joint_bytes, dtype=np.float64) + 1.0
    weights[[0, -1]] = 0.0
    return max(0.0, excess_s) * weights / max(1.0, float(weights.sum()))
