"""The walk over beginnings of plans that finds the best plan of a mixed goal, given bounds; see `weighted.py` for
those.

Theory of operation. Labels that visited the same nodes and stand on the same one are kept together and handed over to
every next node, one node more at a time. What a label and a boundary add to a bound are two separate numbers, so
boundaries that even the best label cannot use go first, then pairs; only what is left is computed in full. Of labels at
the same boundary, one that another beats in all that counts goes: cost, and seconds where there is a deadline, or the
slowest stage or link so far where that counts. Of nodes that could change places the first is visited first.

A walk that would look at too many pairs goes on with those that look best, and says that it did not see all.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

from seamline.core.planning.cost_to_go import Rest
from seamline.core.planning.lattice import Charged, Lattice, Places, earlier_twins
from seamline.core.planning.model_arrays import Floats
from seamline.core.planning.partial_plans import Hop, Labels, Longer, boundary, first_label, hop_of, joined, unbeaten
from seamline.core.planning.problem_arrays import OFFLOAD, Found
from seamline.core.vocabulary.objectives import Weights

TIE_RATIO = 1e-9
"""A plan that is better by less is not looked for: `planner.TIE_RATIO`."""

_SLACK_RATIO = 1e-12
_FEW_LABELS, _FEW_BOUNDARIES = 40, 160
"""What a walk goes on with where it cannot look at all."""
_MOST_AT_ONCE = 2_000_000
"""Pairs whose bounds are held in memory at a time."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """What a walk may rely on. low_s, high_s: only plans whose slowest stage or link takes that long are looked for.

    cost: of what follows. With a deadline, late: cost + price * seconds of what follows, and soon: the seconds.
    """

    cost: Rest
    low_s: float = 0.0
    high_s: float = math.inf
    price: float = 0.0
    late: Rest | None = None
    soon: Rest | None = None


@dataclass(slots=True)
class Walk:
    """Walks for one kind of plan, OFFLOAD or SPLIT. costs, seconds: what parts of a plan cost and take.

    limit_s: the deadline, or endless. best, least: the plan to beat, and its cost.
    """

    lattice: Lattice
    kind: int
    weights: Weights
    limit_s: float
    costs: Charged
    seconds: Charged
    best: Found | None = None
    least: float = math.inf
    hops: dict[tuple[int, int], Hop] = field(default_factory=dict)
    twins: tuple[int, ...] = field(init=False)
    is_complete: bool = True

    def __post_init__(self) -> None:
        self.twins = earlier_twins(self.lattice, self.costs, self.seconds)

    @property
    def to_beat(self) -> float:
        return self.least * (1.0 - TIE_RATIO)

    def run(self, bounds: Bounds, n_most_pairs: int | None = None) -> bool:
        """Look for a better plan than `best`; whether all that could be one were seen.

        n_most_pairs: of labels and boundaries that are looked at for one link and set of visited nodes, None for all.
        """
        self.is_complete = True
        states = {(1 << self.lattice.origin, self.lattice.origin): self._start()}
        while states:
            handed: dict[tuple[int, int], list[Labels]] = {}
            for (visited, node), labels in states.items():
                for target in range(self.lattice.n_nodes):
                    if not visited >> target & 1 and not self.twins[target] & ~visited:
                        key = (visited | 1 << target, target)
                        parts = self._hand_over(labels, self._hop(node, target), key[0], bounds, n_most_pairs)
                        handed.setdefault(key, []).extend(parts)
            states = {key: self._joined(parts, bounds) for key, parts in handed.items() if parts}
            for (visited, node), labels in states.items():
                self._finish(labels, visited, node)
        return self.is_complete

    # -- one hop -------------------------------------------------------------------------------------------------------

    def _start(self) -> Labels:
        busy_s = 0.0 if self.kind == OFFLOAD else float(self.lattice.preprocess_s[self.lattice.origin])
        return first_label(busy_s, float(self.costs.busy[self.lattice.origin]) * busy_s)

    def _hop(self, source: int, target: int) -> Hop:
        known = self.hops.get((source, target))
        if known is None:
            known = hop_of(self.lattice, self.costs, self.seconds, source, target, self.kind)
            self.hops[source, target] = known
        return known

    def _hand_over(self, labels: Labels, hop: Hop, visited: int, bounds: Bounds, n_most: int | None) -> list[Labels]:
        """Labels of the hop's source behind every boundary of it where the best plan may be.

        visited: the nodes behind it, a bit each.
        """
        labels = labels.only(np.argsort(labels.at, kind="stable"))
        is_first = hop.source == self.lattice.origin
        n_before = np.searchsorted(labels.at, hop.cut, side="right" if is_first else "left")
        tests = self._tests(labels, hop, visited, bounds)
        promising = hop.serialise_s <= bounds.high_s
        for test in tests:
            bound = np.concatenate([[math.inf], test.lowest()])[n_before] + test.of_seams
            promising &= bound < test.most
        chosen = np.flatnonzero(promising)
        if n_most is not None and len(chosen) * len(labels) > n_most:
            self.is_complete = False
            chosen = _lowest(chosen, bound[chosen], _FEW_BOUNDARIES)
            labels = labels.only(
                _lowest(np.arange(len(labels)), self._promise(labels, hop, visited, bounds), _FEW_LABELS)
            )
        hop = hop.only(chosen)
        n_parts = 1 + len(chosen) * len(labels) // _MOST_AT_ONCE
        parts = (labels.only(part) for part in np.array_split(np.arange(len(labels)), n_parts))
        return [longer for part in parts if len(longer := self._behind(part, hop, visited, bounds))]

    def _promise(self, labels: Labels, hop: Hop, visited: int, bounds: Bounds) -> Floats:
        """float64[L]: the cost of the whole plan at least, as the price of a second has it where there is one."""
        if hop.source == self.lattice.origin:
            return labels.cost
        rest = bounds.cost if bounds.late is None else bounds.late
        behind: Floats = rest.after(visited & ~(1 << hop.target))[hop.source, labels.at]
        return labels.cost + bounds.price * labels.seconds + behind

    def _before_s(self, labels: Labels, source: int) -> Floats:
        """float64[L]: what `source` need not compute of a segment that begins at cut 0."""
        before_s: Floats = self.lattice.before_s[source, labels.at]
        return np.zeros(len(labels)) if source == self.lattice.origin else before_s

    def _tests(self, labels: Labels, hop: Hop, visited: int, bounds: Bounds) -> list[_Test]:
        """The bounds that a label and a boundary must pass together; the last one tells best what is promising."""
        before_s = self._before_s(labels, hop.source)
        cost, seconds = labels.cost - self.costs.busy[hop.source] * before_s, labels.seconds - before_s
        slowest = self.weights.bottleneck_s * np.maximum(hop.serialise_s, bounds.low_s)
        behind = bounds.cost.after(visited)[hop.target, hop.cut]
        tests = [_Test(cost, hop.cost + behind + slowest, self.to_beat)]
        if bounds.soon is not None:
            soon = bounds.soon.after(visited)[hop.target, hop.cut]
            tests.append(_Test(seconds, hop.seconds + soon, self.limit_s * (1.0 + _SLACK_RATIO)))
        if bounds.late is not None:
            late = bounds.late.after(visited)[hop.target, hop.cut]
            priced = hop.cost + bounds.price * hop.seconds + late
            tests.append(_Test(cost + bounds.price * (seconds - self.limit_s), priced, self.to_beat))
        return tests

    def _behind(self, labels: Labels, hop: Hop, visited: int, bounds: Bounds) -> Labels:
        """The labels behind the boundaries of `hop` that pass all tests, and that no other beats."""
        reach = self.lattice.reach[hop.source]
        passed = np.ones((len(labels), len(hop.cut)), dtype=np.bool_)
        for test in self._tests(labels, hop, visited, bounds):
            passed &= test.of_labels[:, np.newaxis] + test.of_seams < test.most
        if hop.source != self.lattice.origin:
            passed &= labels.at[:, np.newaxis] < hop.cut
        if (reach < self.lattice.n_cuts - 1).any():
            passed &= hop.cut <= reach[labels.at][:, np.newaxis]
        longer = self._added(labels, hop, *np.nonzero(passed))
        weight = self.weights.bottleneck_s
        if not weight:
            return longer.only(unbeaten(hop.cut[longer.place], longer.cost, longer.seconds)).labels(labels, hop)
        behind = bounds.cost.after(visited)[hop.target, hop.cut[longer.place]]
        slowest_s = np.maximum(longer.slowest_s, bounds.low_s)
        longer = longer.only(
            (longer.slowest_s <= bounds.high_s) & (longer.cost + behind + weight * slowest_s < self.to_beat)
        )
        slowest_s = np.maximum(longer.slowest_s, bounds.low_s)
        return longer.only(unbeaten(longer.place, longer.cost, slowest_s)).labels(labels, hop)

    def _added(self, labels: Labels, hop: Hop, which: Places, place: Places) -> Longer:
        """What the labels `which` and the boundaries at `place` come to."""
        before_s = self._before_s(labels, hop.source)
        cost, seconds = labels.cost - self.costs.busy[hop.source] * before_s, labels.seconds - before_s
        stage_s = (labels.busy_s - before_s)[which] + hop.leaving_s[place]
        slowest_s = np.maximum(np.maximum(stage_s, labels.slowest_s[which]), hop.serialise_s[place])
        return Longer(which, place, cost[which] + hop.cost[place], seconds[which] + hop.seconds[place], slowest_s)

    def _joined(self, parts: list[Labels], bounds: Bounds) -> Labels:
        """All `parts`, without those that another at the same boundary beats."""
        labels = joined(parts)
        if len(parts) == 1:
            return labels
        if not self.weights.bottleneck_s:  # then it does not matter with which codec a node was entered
            return labels.only(unbeaten(labels.at, labels.cost, labels.seconds))
        slowest_s = np.maximum(labels.slowest_s, bounds.low_s)
        return labels.only(unbeaten(boundary(labels.at, labels.row), labels.cost, slowest_s))

    # -- whole plans ---------------------------------------------------------------------------------------------------

    def _finish(self, labels: Labels, visited: int, node: int) -> None:
        """Run every label on `node` to the end, and remember the best if it beats the one so far."""
        lattice = self.lattice
        if math.isinf(lattice.answer_s[node]) or not all(visited >> each & 1 for each in lattice.required):
            return
        computed_s = lattice.until_s[node, -1] - lattice.before_s[node, labels.at]
        costs = labels.cost + self.costs.busy[node] * computed_s + self.costs.queue[node] + self.costs.back[node]
        seconds = labels.seconds + computed_s + self.seconds.queue[node] + self.seconds.back[node]
        slowest_s = np.maximum(labels.slowest_s, np.maximum(labels.busy_s + computed_s, lattice.answer_s[node]))
        costs = costs + self.weights.bottleneck_s * slowest_s
        fits = (lattice.reach[node, labels.at] == lattice.n_cuts - 1) & (seconds <= self.limit_s)
        best = int(np.argmin(np.where(fits, costs, math.inf)))
        if fits[best] and costs[best] < self.to_beat:
            self.least = float(costs[best])
            self.best = Found(
                self.least,
                (lattice.tables.origin, *(lattice.nodes[each] for each in labels.nodes[best])),
                tuple(int(lattice.tables.index[cut]) for cut in labels.cuts[best]),
                tuple(lattice.tables.codecs[row] for row in labels.rows[best]),
            )


@dataclass(frozen=True, slots=True)
class _Test:
    """A bound that is a sum of two: passed where of_labels, float64[L], + of_seams, float64[J], is below `most`."""

    of_labels: Floats
    of_seams: Floats
    most: float

    def lowest(self) -> Floats:
        """float64[L]: the least of the labels up to each."""
        least: Floats = np.minimum.accumulate(self.of_labels)
        return least


def _lowest(places: Places, values: Floats, n: int) -> Places:
    """The `n` of `places` with the lowest `values`, in their order."""
    return places if len(places) <= n else places[np.sort(np.argpartition(values, n)[:n])]
