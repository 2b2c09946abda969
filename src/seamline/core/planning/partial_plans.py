"""Beginnings of plans as arrays, and the boundaries they are handed over at: what the walk for mixed goals moves.

A label is the beginning of a plan, up to a boundary that has been decoded on the next node. Which labels are worth
going on with is `label_setting.py`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from seamline.core.planning.lattice import Charged, Lattice, Places
from seamline.core.planning.model_arrays import Floats
from seamline.core.planning.problem_arrays import OFFLOAD

_MOST_CODECS = 64
"""To tell boundaries apart by one number."""


@dataclass(frozen=True, slots=True)
class Labels:
    """Of L plans. at: int[L], the candidate where the last node was entered, row: with which codec.

    cost, seconds, slowest_s: float64[L], so far; the last node is not over. busy_s: float64[L], what it has done
    already. nodes, cuts, rows: int[L, hops], the way there.
    """

    at: Places
    row: Places
    cost: Floats
    seconds: Floats
    slowest_s: Floats
    busy_s: Floats
    nodes: Places
    cuts: Places
    rows: Places

    def __len__(self) -> int:
        return len(self.at)

    def only(self, chosen: Places | npt.NDArray[np.bool_]) -> Labels:
        return Labels(*(getattr(self, name)[chosen] for name in self.__slots__))


@dataclass(frozen=True, slots=True)
class Hop:
    """From one node to the next, at any of J boundaries, by rising cut.

    cut, row: int[J]. cost, seconds: float64[J], until the target has decoded, with the source's compute from cut 0.
    leaving_s: float64[J], that compute and encoding. serialise_s: of the link. enter_s: decoding.
    """

    source: int
    target: int
    cut: Places
    row: Places
    cost: Floats
    seconds: Floats
    leaving_s: Floats
    serialise_s: Floats
    enter_s: Floats

    def only(self, chosen: Places) -> Hop:
        return Hop(self.source, self.target, *(getattr(self, name)[chosen] for name in self.__slots__[2:]))


@dataclass(frozen=True, slots=True)
class Longer:
    """Labels of one hop's source and its boundaries in pairs, which, place: int[P], and what they add up to."""

    which: Places
    place: Places
    cost: Floats
    seconds: Floats
    slowest_s: Floats

    def only(self, chosen: Places | npt.NDArray[np.bool_]) -> Longer:
        return Longer(*(getattr(self, name)[chosen] for name in self.__slots__))

    def labels(self, before: Labels, hop: Hop) -> Labels:
        """The labels `before`, handed over."""
        cut, row = hop.cut[self.place], hop.row[self.place]
        target = np.full(len(cut), hop.target)
        return Labels(
            cut,
            row,
            self.cost,
            self.seconds,
            self.slowest_s,
            hop.enter_s[self.place],
            np.column_stack([before.nodes[self.which], target]),
            np.column_stack([before.cuts[self.which], cut]),
            np.column_stack([before.rows[self.which], row]),
        )


def first_label(busy_s: float, cost: float) -> Labels:
    """The one beginning, at the origin, which has been busy for `busy_s` with preprocessing."""
    place, none = np.zeros(1, dtype=np.intp), np.zeros((1, 0), dtype=np.intp)
    return Labels(place, place, np.array([cost]), np.array([busy_s]), np.zeros(1), np.array([busy_s]), none, none, none)


def joined(parts: list[Labels]) -> Labels:
    if len(parts) == 1:
        return parts[0]
    return Labels(*(np.concatenate([getattr(part, name) for part in parts]) for name in Labels.__slots__))


def hop_of(lattice: Lattice, costs: Charged, seconds: Charged, source: int, target: int, kind: int) -> Hop:
    """The boundaries between two nodes; on the origin of an offload plan, which runs nothing, cut 0 alone."""
    cut, row = np.nonzero(np.isfinite(lattice.serialise_s[source, target]).T)
    runs_nothing = source == lattice.origin and kind == OFFLOAD
    chosen = cut == 0 if runs_nothing else cut > 0
    cut, row = cut[chosen], row[chosen]
    computed_s = np.zeros(len(cut)) if runs_nothing else lattice.until_s[source, cut]
    queue, queue_s = (0.0, 0.0) if runs_nothing else (costs.queue[source], seconds.queue[source])
    return Hop(
        source,
        target,
        cut,
        row,
        costs.crossing[source, target, row, cut] + costs.busy[source] * computed_s + queue,
        seconds.crossing[source, target, row, cut] + computed_s + queue_s,
        lattice.encode_s[source, row, cut] + computed_s,
        lattice.serialise_s[source, target, row, cut],
        lattice.enter_s[target, row, cut],
    )


def boundary(cut: Places, row: Places) -> Places:
    """int[L]: one number for each boundary of a link."""
    numbered: Places = cut * _MOST_CODECS + row
    return numbered


def unbeaten(group: Places, first: Floats, second: Floats) -> Places:
    """Places of those that no other of their group beats in both `first` and `second`; one of equal ones."""
    if len(group) == 0:
        return np.zeros(0, dtype=np.intp)
    by = np.lexsort((second, first, group))
    rank = np.empty(len(by), dtype=np.intp)
    rank[np.argsort(second[by], kind="stable")] = np.arange(len(by))
    n_groups_before = np.cumsum(np.diff(group[by], prepend=group[by[0]]) != 0)
    lowest = rank - n_groups_before * len(by)  # below all of the groups before, so that the minimum begins anew
    keeps = np.concatenate([[True], lowest[1:] < np.minimum.accumulate(lowest)[:-1]])
    kept: Places = by[keeps]
    return kept
