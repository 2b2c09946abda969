"""Constraint masks over candidate cuts: which boundaries are closed, and where a segment that ends may have begun.

`feasibility.py` says the same of one plan in words; the searches of the planner read this. Memory is monotone (a longer
segment needs more), so for every end there is a lowest beginning, and the best entry before an end is the minimum of a
sliding window.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from seamline.core.cost.feasibility import MEMORY_HEADROOM_RATIO
from seamline.core.cost.problem import Problem
from seamline.core.vocabulary.nodes import NodeId
from seamline.core.vocabulary.plans import Codec
from seamline.core.vocabulary.profiles import Cut

Floats = npt.NDArray[np.float64]
Places = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class EntryWindow:
    """first: int[C], the lowest candidate at which a segment ending at each may begin; its own place when none may."""

    first: Places

    def least(self, values: Floats) -> Floats:
        """float64[K, C]: the minimum of ``values[:, first[c]:c]`` for every c, inf where that is empty."""
        return least_between(values, self.first, np.arange(values.shape[1]))


def least_between(values: Floats, first: Places, stop: Places) -> Floats:
    """float64[K, C]: the minimum of ``values[:, first[c]:stop[c]]`` for every c, inf where that is empty.

    values: float64[K, C]. first, stop: int[C], or int[K, C] where rows differ. Exact, by doubling, in O(C log C).
    """
    n_rows, n_places = values.shape
    lengths = stop - first
    level = np.frexp(np.maximum(lengths, 1))[1] - 1
    doubled = np.empty((int(level.max()) + 1, n_rows, n_places))  # [p, :, c]: the minimum of 2**p values from c on
    doubled[0] = values
    for power in range(1, len(doubled)):
        half, width = doubled[power - 1], 1 << (power - 1)
        np.minimum(half[:, :-width], half[:, width:], out=doubled[power, :, :-width])
        doubled[power, :, -width:] = half[:, -width:]
    row = (level * n_rows + np.arange(n_rows)[:, np.newaxis]) * n_places
    least: Floats = np.minimum(
        doubled.take(row + np.minimum(first, n_places - 1)), doubled.take(row + np.maximum(stop - (1 << level), 0))
    )
    np.copyto(least, math.inf, where=lengths <= 0)
    return least


def entry_window(node: NodeId, n_places: int, needs: Callable[[], Floats], problem: Problem) -> EntryWindow | None:
    """Window of the segments that `node` may run between candidates; None when it may run any.

    needs: gives `memory_between`, asked for where a limit may bind.
    """
    limit = problem.memory_limit_bytes(node)
    is_forbidden = node in problem.constraints.forbidden_nodes
    if limit is None and not is_forbidden:
        return None
    places = np.arange(n_places)
    if limit is None or is_forbidden:
        return EntryWindow(places)
    needed = needs()
    if needed[0, -1] <= limit:  # the whole model needs most, and nearly every node holds it
        return None
    fits = needed <= limit
    return EntryWindow(np.where(fits.any(axis=0), fits.argmax(axis=0), places))


def memory_between(index: npt.NDArray[np.int64], cuts: tuple[Cut, ...]) -> Floats:
    """float64[C, C]: `feasibility.memory_bytes` of segments from candidate row to candidate column, inf where none is.

    index: int[C], the candidates among `cuts`.
    """
    payload = np.array([cut.payload_bytes for cut in cuts], dtype=np.float64)
    weights = np.array([cuts[at].weights_before_bytes for at in index], dtype=np.float64)
    needs = np.full((len(index), len(index)), math.inf)
    for row in range(len(index) - 1):
        largest = np.maximum.accumulate(payload[index[row] :])[index[row + 1 :] - index[row]]
        needs[row, row + 1 :] = np.ceil(
            (1.0 + MEMORY_HEADROOM_RATIO) * (weights[row + 1 :] - weights[row] + 2 * largest)
        )
    return needs


def tails_of(problem: Problem) -> dict[NodeId, tuple[int, ...]]:
    """Cuts from which on nodes compute to the end, of those that compute nothing else."""
    return {node: profile.tails for node, profile in problem.profiles.items() if profile.tails is not None}


@dataclass(frozen=True, slots=True)
class BoundaryMask:
    """Mask of the boundaries that constraints close on links. index: int[C], carries_input: bool[C], candidates."""

    problem: Problem
    index: npt.NDArray[np.int64]
    carries_input: npt.NDArray[np.bool_]
    codecs: tuple[Codec, ...]

    def mask_key(self, source: NodeId, target: NodeId) -> Hashable:
        """Equal for links on which the same is closed."""
        limits, tails = self.problem.constraints, tails_of(self.problem)
        if limits.pins or limits.forbidden_codecs:
            return source, target
        return target in limits.trusted, source in tails, tails.get(target)

    def masked(self, source: NodeId, target: NodeId, sent_bytes: Floats) -> Floats:
        """`sent_bytes`, float64[Q, C], with inf where a boundary may not cross from `source` to `target`."""
        limits = self.problem.constraints
        closed = np.zeros(len(self.index), dtype=bool)
        if limits.n_private_cuts > 0 and target not in limits.trusted:
            closed |= (self.index < limits.n_private_cuts) | self.carries_input
        tails = tails_of(self.problem)
        if source in tails:
            closed[:] = True
        elif target in tails:
            closed |= ~np.isin(self.index, tails[target])
        for place, node in limits.pins:
            if node == target:
                closed |= self.index >= place
            if node == source:
                closed |= self.index < place
        rows = [
            row
            for row, codec in enumerate(self.codecs)
            if (source, codec) in limits.forbidden_codecs or (target, codec) in limits.forbidden_codecs
        ]
        unknown = self._uncalibrated()
        if not rows and not closed.any() and not unknown.any():
            return sent_bytes
        sent_bytes = np.where(closed | unknown, math.inf, sent_bytes)
        sent_bytes[rows] = math.inf
        return sent_bytes

    def _uncalibrated(self) -> npt.NDArray[np.bool_]:
        """bool[Q, C]: where a codec would lose bits that no calibration allows it to."""
        limits, closed = self.problem.constraints, np.zeros((len(self.codecs), len(self.index)), dtype=bool)
        if limits.lossy is not None:
            for row, codec in enumerate(self.codecs):
                closed[row] = [not limits.may_lose(int(cut), codec) for cut in self.index]
        return closed
