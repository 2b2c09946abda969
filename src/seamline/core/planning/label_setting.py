"""Label-setting search with bounds: the best plan by a constrained (SLO) or weighted objective.

Theory of operation. A label is a partial plan. Labels that visited the same nodes and stand on the same one are kept
together and handed over to every next node, one node more at a time. What a label and a boundary add to a bound are two
separate numbers, so boundaries that even the best label cannot use go first, then pairs; only what is left is computed
in full. Of labels at the same boundary only the non-dominated stay, by all that counts: cost, and seconds where there
is a deadline, or the slowest stage or link so far where that counts. Symmetry breaking: of nodes that could change
places the first is visited first.

A search that would look at too many pairs goes on with those that look best, and says that it did not see all. Bounds
are chosen in `weighted.py`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

from seamline.core.planning.cost_to_go import CostToGo
from seamline.core.planning.model_arrays import Floats
from seamline.core.planning.partial_plans import (
    PartialPlans,
    Transition,
    boundary_number,
    completed,
    extended,
    first_partial_plan,
    joined,
    non_dominated,
    pairs_within,
    transition_between,
)
from seamline.core.planning.problem_arrays import Found
from seamline.core.planning.stacked_arrays import Places, PricedCosts, StackedArrays, interchangeable_before
from seamline.core.vocabulary.objectives import Weights

TIE_RATIO = 1e-9
"""A plan that is better by less is not looked for: `planner.TIE_RATIO`."""

_SLACK_RATIO = 1e-12
_FEW_LABELS, _FEW_BOUNDARIES = 40, 160
"""Labels and boundaries that a search goes on with where it cannot look at all."""
_MOST_AT_ONCE = 2_000_000
"""Pairs whose bounds are held in memory at a time."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """Bounds of one search. low_s, high_s: only plans whose slowest stage or link takes that long are looked for.

    cost: to go. With a deadline, priced: cost + price * seconds to go, and seconds: to go.
    """

    cost: CostToGo
    low_s: float = 0.0
    high_s: float = math.inf
    price: float = 0.0
    priced: CostToGo | None = None
    seconds: CostToGo | None = None


@dataclass(slots=True)
class LabelSearch:
    """Label-setting searches for one kind of plan, OFFLOAD or SPLIT.

    costs, seconds: of the parts of plans. limit_s: the deadline, or endless. best, least: the plan to beat, and its
    cost. interchangeable: for each node, those before it that could change places with it, a bit each.
    """

    stacked: StackedArrays
    kind: int
    weights: Weights
    limit_s: float
    costs: PricedCosts
    seconds: PricedCosts
    best: Found | None = None
    least: float = math.inf
    transitions: dict[tuple[int, int], Transition] = field(default_factory=dict)
    interchangeable: tuple[int, ...] = field(init=False)
    is_complete: bool = True

    def __post_init__(self) -> None:
        self.interchangeable = interchangeable_before(self.stacked, self.costs, self.seconds)

    @property
    def to_beat(self) -> float:
        return self.least * (1.0 - TIE_RATIO)

    def run(self, bounds: Bounds, n_most_pairs: int | None = None) -> bool:
        """Look for a better plan than `best`; whether all that could be one were seen.

        n_most_pairs: of labels and boundaries that are looked at for one link and set of visited nodes, None for all.
        """
        self.is_complete = True
        states = {
            (1 << self.stacked.origin, self.stacked.origin): first_partial_plan(self.stacked, self.costs, self.kind)
        }
        while states:
            handed: dict[tuple[int, int], list[PartialPlans]] = {}
            for (visited, node), labels in states.items():
                for target in range(self.stacked.n_nodes):
                    if not visited >> target & 1 and not self.interchangeable[target] & ~visited:
                        key = (visited | 1 << target, target)
                        parts = self._hand_over(labels, self._transition(node, target), key[0], bounds, n_most_pairs)
                        handed.setdefault(key, []).extend(parts)
            states = {key: self._joined(parts, bounds) for key, parts in handed.items() if parts}
            for (visited, node), labels in states.items():
                self._finish(labels, visited, node)
        return self.is_complete

    # -- one transition ------------------------------------------------------------------------------------------------

    def _transition(self, source: int, target: int) -> Transition:
        known = self.transitions.get((source, target))
        if known is None:
            known = transition_between(self.stacked, self.costs, self.seconds, source, target, self.kind)
            self.transitions[source, target] = known
        return known

    def _hand_over(
        self, labels: PartialPlans, transition: Transition, visited: int, bounds: Bounds, n_most: int | None
    ) -> list[PartialPlans]:
        """Labels of the transition's source behind every boundary of it where the best plan may be.

        visited: the nodes behind it, a bit each.
        """
        labels = labels.only(np.argsort(labels.at, kind="stable"))
        is_first = transition.source == self.stacked.origin
        n_before = np.searchsorted(labels.at, transition.cut, side="right" if is_first else "left")
        tests = self._tests(labels, transition, visited, bounds)
        promising = transition.serialise_s <= bounds.high_s
        for test in tests:
            bound = np.concatenate([[math.inf], test.lowest()])[n_before] + test.of_boundaries
            promising &= bound < test.most
        chosen = np.flatnonzero(promising)
        if n_most is not None and len(chosen) * len(labels) > n_most:
            self.is_complete = False
            chosen = _lowest(chosen, bound[chosen], _FEW_BOUNDARIES)
            labels = labels.only(
                _lowest(np.arange(len(labels)), self._promise(labels, transition, visited, bounds), _FEW_LABELS)
            )
        transition = transition.only(chosen)
        n_parts = 1 + len(chosen) * len(labels) // _MOST_AT_ONCE
        parts = (labels.only(part) for part in np.array_split(np.arange(len(labels)), n_parts))
        return [longer for part in parts if len(longer := self._behind(part, transition, visited, bounds))]

    def _promise(self, labels: PartialPlans, transition: Transition, visited: int, bounds: Bounds) -> Floats:
        """float64[L]: the cost of the whole plan at least, as the price of a second has it where there is one."""
        if transition.source == self.stacked.origin:
            return labels.cost
        to_go = bounds.cost if bounds.priced is None else bounds.priced
        behind: Floats = to_go.after(visited & ~(1 << transition.target))[transition.source, labels.at]
        return labels.cost + bounds.price * labels.seconds + behind

    def _tests(self, labels: PartialPlans, transition: Transition, visited: int, bounds: Bounds) -> list[_Test]:
        """The bounds that a label and a boundary must pass together; the last one tells best what is promising."""
        before_s = self.stacked.before_s[transition.source, labels.at]
        cost, seconds = labels.cost - self.costs.busy[transition.source] * before_s, labels.seconds - before_s
        slowest = self.weights.bottleneck_s * np.maximum(transition.serialise_s, bounds.low_s)
        behind = bounds.cost.after(visited)[transition.target, transition.cut]
        tests = [_Test(cost, transition.cost + behind + slowest, self.to_beat)]
        if bounds.seconds is not None:
            seconds_to_go = bounds.seconds.after(visited)[transition.target, transition.cut]
            tests.append(_Test(seconds, transition.seconds + seconds_to_go, self.limit_s * (1.0 + _SLACK_RATIO)))
        if bounds.priced is not None:
            priced_to_go = bounds.priced.after(visited)[transition.target, transition.cut]
            priced = transition.cost + bounds.price * transition.seconds + priced_to_go
            tests.append(_Test(cost + bounds.price * (seconds - self.limit_s), priced, self.to_beat))
        return tests

    def _behind(self, labels: PartialPlans, transition: Transition, visited: int, bounds: Bounds) -> PartialPlans:
        """The labels behind the boundaries of `transition` that pass all tests, non-dominated."""
        passed = pairs_within(labels, transition, self.stacked)
        for test in self._tests(labels, transition, visited, bounds):
            passed &= test.of_labels[:, np.newaxis] + test.of_boundaries < test.most
        longer = extended(labels, transition, passed, self.stacked, self.costs)
        weight = self.weights.bottleneck_s
        if not weight:
            kept = non_dominated(transition.cut[longer.place], longer.cost, longer.seconds)
            return longer.only(kept).labels(labels, transition)
        behind = bounds.cost.after(visited)[transition.target, transition.cut[longer.place]]
        slowest_s = np.maximum(longer.slowest_s, bounds.low_s)
        longer = longer.only(
            (longer.slowest_s <= bounds.high_s) & (longer.cost + behind + weight * slowest_s < self.to_beat)
        )
        slowest_s = np.maximum(longer.slowest_s, bounds.low_s)
        return longer.only(non_dominated(longer.place, longer.cost, slowest_s)).labels(labels, transition)

    def _joined(self, parts: list[PartialPlans], bounds: Bounds) -> PartialPlans:
        """All `parts`, of those at the same boundary the non-dominated."""
        labels = joined(parts)
        if len(parts) == 1:
            return labels
        if not self.weights.bottleneck_s:  # then it does not matter with which codec a node was entered
            return labels.only(non_dominated(labels.at, labels.cost, labels.seconds))
        slowest_s = np.maximum(labels.slowest_s, bounds.low_s)
        return labels.only(non_dominated(boundary_number(labels.at, labels.row), labels.cost, slowest_s))

    # -- whole plans ---------------------------------------------------------------------------------------------------

    def _finish(self, labels: PartialPlans, visited: int, node: int) -> None:
        """Run every label on `node` to the end, and remember the best if it beats the one so far."""
        stacked = self.stacked
        if math.isinf(stacked.answer_s[node]) or not all(visited >> each & 1 for each in stacked.required):
            return
        costs, seconds, slowest_s = completed(labels, node, stacked, self.costs, self.seconds)
        costs = np.where(seconds <= self.limit_s, costs + self.weights.bottleneck_s * slowest_s, math.inf)
        best = int(np.argmin(costs))
        if costs[best] < self.to_beat:
            self.least = float(costs[best])
            self.best = Found(
                self.least,
                (stacked.arrays.origin, *(stacked.nodes[each] for each in labels.nodes[best])),
                tuple(int(stacked.arrays.index[cut]) for cut in labels.cuts[best]),
                tuple(stacked.arrays.codecs[row] for row in labels.rows[best]),
            )


@dataclass(frozen=True, slots=True)
class _Test:
    """Bound that is a sum of two: of_labels, float64[L], + of_boundaries, float64[J], must be below `most`."""

    of_labels: Floats
    of_boundaries: Floats
    most: float

    def lowest(self) -> Floats:
        """float64[L]: the least of the labels up to each."""
        least: Floats = np.minimum.accumulate(self.of_labels)
        return least


def _lowest(places: Places, values: Floats, n: int) -> Places:
    """The `n` of `places` with the lowest `values`, in their order."""
    return places if len(places) <= n else places[np.sort(np.argpartition(values, n)[:n])]
