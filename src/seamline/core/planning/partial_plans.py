"""Partial plans as arrays, and the transitions that extend them: the labels of the label-setting searches.

A partial plan is the beginning of a plan, up to a boundary that has been decoded on the next node. Which are worth
going on with is decided in `label_setting.py` and, for the Pareto front, in `analysis/pareto.py`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from seamline.core.planning.model_arrays import Floats
from seamline.core.planning.problem_arrays import OFFLOAD
from seamline.core.planning.stacked_arrays import Places, PricedCosts, StackedArrays

_MOST_CODECS = 64
"""To tell boundaries apart by one number."""


@dataclass(frozen=True, slots=True)
class PartialPlans:
    """The beginnings of L plans. at: int[L], the candidate where the last node was entered, row: with which codec.

    cost, seconds, slowest_s: float64[L], so far; the last node is not over. busy_s: float64[L], what it has done
    already. nodes, cuts, rows: int[L, n_transitions], the way there.
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

    def only(self, chosen: Places | npt.NDArray[np.bool_]) -> PartialPlans:
        return PartialPlans(*(getattr(self, name)[chosen] for name in self.__slots__))


@dataclass(frozen=True, slots=True)
class Transition:
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

    def only(self, chosen: Places) -> Transition:
        return Transition(self.source, self.target, *(getattr(self, name)[chosen] for name in self.__slots__[2:]))


@dataclass(frozen=True, slots=True)
class Extensions:
    """Labels of a transition's source and its boundaries in pairs, which, place: int[P], and what they add up to."""

    which: Places
    place: Places
    cost: Floats
    seconds: Floats
    slowest_s: Floats

    def only(self, chosen: Places | npt.NDArray[np.bool_]) -> Extensions:
        return Extensions(*(getattr(self, name)[chosen] for name in self.__slots__))

    def labels(self, before: PartialPlans, transition: Transition) -> PartialPlans:
        """The labels `before`, handed over."""
        cut, row = transition.cut[self.place], transition.row[self.place]
        target = np.full(len(cut), transition.target)
        return PartialPlans(
            cut,
            row,
            self.cost,
            self.seconds,
            self.slowest_s,
            transition.enter_s[self.place],
            np.column_stack([before.nodes[self.which], target]),
            np.column_stack([before.cuts[self.which], cut]),
            np.column_stack([before.rows[self.which], row]),
        )


def joined(parts: list[PartialPlans]) -> PartialPlans:
    if len(parts) == 1:
        return parts[0]
    return PartialPlans(*(np.concatenate([getattr(part, name) for part in parts]) for name in PartialPlans.__slots__))


def transition_between(
    stacked: StackedArrays, costs: PricedCosts, seconds: PricedCosts, source: int, target: int, kind: int
) -> Transition:
    """The boundaries between two nodes; on the origin of an offload plan, which runs nothing, cut 0 alone."""
    cut, row = np.nonzero(np.isfinite(stacked.serialise_s[source, target]).T)
    runs_nothing = source == stacked.origin and kind == OFFLOAD
    chosen = cut == 0 if runs_nothing else cut > 0
    cut, row = cut[chosen], row[chosen]
    computed_s = np.zeros(len(cut)) if runs_nothing else stacked.until_s[source, cut]
    queue, queue_s = (0.0, 0.0) if runs_nothing else (costs.queue[source], seconds.queue[source])
    return Transition(
        source,
        target,
        cut,
        row,
        costs.crossing[source, target, row, cut] + costs.busy[source] * computed_s + queue,
        seconds.crossing[source, target, row, cut] + computed_s + queue_s,
        stacked.encode_s[source, row, cut] + computed_s,
        stacked.serialise_s[source, target, row, cut],
        stacked.enter_s[target, row, cut],
    )


def pairs_within(labels: PartialPlans, transition: Transition, stacked: StackedArrays) -> npt.NDArray[np.bool_]:
    """bool[L, J]: whether the source may run what lies between a label and a boundary, by order and by memory."""
    reach = stacked.reach[transition.source]
    within: npt.NDArray[np.bool_]
    if transition.source == stacked.origin:
        within = np.ones((len(labels), len(transition.cut)), dtype=np.bool_)
    else:
        within = labels.at[:, np.newaxis] < transition.cut
    if (reach < stacked.n_cuts - 1).any():
        within &= transition.cut <= reach[labels.at][:, np.newaxis]
    return within


def extended(
    labels: PartialPlans,
    transition: Transition,
    pairs: npt.NDArray[np.bool_],
    stacked: StackedArrays,
    costs: PricedCosts,
) -> Extensions:
    """Extensions of labels by boundaries, for each pair in `pairs`, bool[L, J]."""
    which, place = np.nonzero(pairs)
    before_s = stacked.before_s[transition.source, labels.at]
    cost, seconds = labels.cost - costs.busy[transition.source] * before_s, labels.seconds - before_s
    stage_s = (labels.busy_s - before_s)[which] + transition.leaving_s[place]
    slowest_s = np.maximum(np.maximum(stage_s, labels.slowest_s[which]), transition.serialise_s[place])
    return Extensions(
        which, place, cost[which] + transition.cost[place], seconds[which] + transition.seconds[place], slowest_s
    )


def completed(
    labels: PartialPlans, node: int, stacked: StackedArrays, costs: PricedCosts, seconds: PricedCosts
) -> tuple[Floats, Floats, Floats]:
    """Cost, seconds and slowest part, float64[L] each, of `labels` run on `node` to the end.

    Cost and seconds are inf where it may not.
    """
    computed_s = stacked.until_s[node, -1] - stacked.before_s[node, labels.at]
    cost = labels.cost + costs.busy[node] * computed_s + costs.queue[node] + costs.back[node]
    taken_s = labels.seconds + computed_s + seconds.queue[node] + seconds.back[node]
    slowest_s = np.maximum(labels.slowest_s, np.maximum(labels.busy_s + computed_s, stacked.answer_s[node]))
    may_end = stacked.reach[node, labels.at] == stacked.n_cuts - 1
    return np.where(may_end, cost, math.inf), np.where(may_end, taken_s, math.inf), slowest_s


def first_partial_plan(stacked: StackedArrays, costs: PricedCosts, kind: int) -> PartialPlans:
    """The partial plan at the origin, which preprocesses unless it runs nothing."""
    busy_s = 0.0 if kind == OFFLOAD else float(stacked.preprocess_s[stacked.origin])
    cost, place = float(costs.busy[stacked.origin]) * busy_s, np.zeros(1, dtype=np.intp)
    none = np.zeros((1, 0), dtype=np.intp)
    return PartialPlans(
        place, place, np.array([cost]), np.array([busy_s]), np.zeros(1), np.array([busy_s]), none, none, none
    )


def boundary_number(cut: Places, row: Places) -> Places:
    """int[L]: one number for each boundary of a link."""
    numbered: Places = cut * _MOST_CODECS + row
    return numbered


def non_dominated(group: Places, first: Floats, second: Floats) -> Places:
    """Places of those that no other of their group dominates in `first` and `second`; one of equal ones."""
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
