"""Bottleneck objective (throughput): minimax search for the least slowest stage or link.

Plans and ties are those of `planner.py`.

Theory of operation. For a limit L on all stages and links, V(L) is the least that the last two stages and the last link
of any plan need while everything before keeps within L. A pass over boundaries, node by node, computes it; orders that
have visited the same nodes and stand on the same one share a state, since only the best entry counts for what follows,
so that there are 2^n of them and not n!. V falls as L grows, and the optimum is the least L with V(L) <= L. So a pass
at L that finds V(L) <= L may stop there, and bounds the optimum from above by L; any other goes through all orders that
keep within L, which are few where L is low, and places the optimum in (L, V(L)].

The interval is halved a few times. Then the first order within its upper end, by number of stages and names, is traced:
its plan's cost is the new upper end, and a pass just below it shows that nothing is better, or the search goes on.
Exact up to 1e-9 relative, which is what plans are compared with.

`label_setting.py` would find the same; measured on 500 cuts it takes 2 to 3 times as long, though it starts from the
plan found here, and it does not know what else is light in a pipeline (`_Search.lighten`).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from itertools import islice, pairwise

import numpy as np
import numpy.typing as npt

from seamline.core.planning.boundary_arrays import BoundaryArrays, StageEnds, boundary_arrays, stage_ends
from seamline.core.planning.model_arrays import Floats
from seamline.core.planning.problem_arrays import OFFLOAD, SPLIT, Found, ProblemArrays
from seamline.core.vocabulary.nodes import NodeId

_RESOLUTION_RATIO = 1e-9
_N_HALVINGS = 8
_NEAR_RATIO = 0.01
"""So near to the optimum, tracing a plan helps more than halving."""
_LARGEST = float(np.finfo(np.float64).max)
"""The first limit: everything but what cannot be crossed at all."""

Reached = npt.NDArray[np.bool_]
_State = tuple[frozenset[NodeId], NodeId]
"""The nodes visited, the origin among them, and the last of them."""


def search_bottleneck(arrays: ProblemArrays) -> tuple[Found | None, Found | None]:
    """The offload plan and the split plan with the least bottleneck; None where no finite one exists."""
    if arrays.origin not in arrays.nodes or not arrays.codecs:
        return None, None
    links = _Links(arrays)
    offload = _Search(links, OFFLOAD).run() if arrays.problem.constraints.allow_offload else None
    return offload, _Search(links, SPLIT).run()


@dataclass(slots=True)
class _Links:
    """Boundaries of every link that a search came to, shared by both kinds of plan."""

    arrays: ProblemArrays
    ends: dict[NodeId, StageEnds] = field(init=False)
    known: dict[tuple[NodeId, NodeId], BoundaryArrays] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.ends = stage_ends(self.arrays)

    def between(self, source: NodeId, target: NodeId) -> BoundaryArrays:
        found = self.known.get((source, target))
        if found is None:
            found = self.known[source, target] = boundary_arrays(source, target, self.arrays, self.ends)
        return found


@dataclass(frozen=True, slots=True)
class _FirstBoundary:
    """Boundaries behind the origin. reached_s: float64[J], the slower of the origin and the link; least_s: the least.

    whole_s: of the best plan of two stages, inf when there is none.
    """

    boundaries: BoundaryArrays
    reached_s: Floats
    least_s: float
    whole_s: float


@dataclass(slots=True)
class _Search:
    """One kind of plan, OFFLOAD or SPLIT. origin_s: float64[Q, C], the origin's busy time, inf where it may not end."""

    links: _Links
    kind: int
    arrays: ProblemArrays = field(init=False)
    origin_s: Floats = field(init=False)
    first: dict[NodeId, _FirstBoundary] = field(init=False)

    def __post_init__(self) -> None:
        self.arrays = self.links.arrays
        origin = self.arrays.nodes[self.arrays.origin]
        self.origin_s = self.links.ends[self.arrays.origin].leaving_s.copy()
        if self.kind == OFFLOAD:
            self.origin_s[:, 1:] = math.inf
        else:
            self.origin_s[:, 1:] += origin.preprocess_s
            self.origin_s[:, 0] = math.inf
            if origin.window is not None:
                self.origin_s[:, origin.window.first > 0] = math.inf
        self.first = {target: self.first_boundary(target) for target in self.arrays.next_nodes((self.arrays.origin,))}

    def first_boundary(self, target: NodeId) -> _FirstBoundary:
        boundaries = self.links.between(self.arrays.origin, target)
        boundaries = boundaries.only(np.isfinite(self.origin_s.ravel()[boundaries.flat]))
        reached_s = np.maximum(self.origin_s.ravel()[boundaries.flat], boundaries.serialise_s)
        least_s, whole_s = float(reached_s.min(initial=math.inf)), math.inf
        if self.arrays.required <= {target}:
            whole_s = float(np.maximum(reached_s, boundaries.whole_s).min(initial=math.inf))
        return _FirstBoundary(boundaries, reached_s, least_s, whole_s)

    def run(self) -> Found | None:
        two_stages_s = min((each.whole_s for each in self.first.values()), default=math.inf)
        low = min((each.least_s for each in self.first.values()), default=math.inf)
        limit, best = _just_below(two_stages_s), None
        while low <= limit and self.least(limit) <= limit:
            low, high = self.narrow(low, limit, is_first=best is None)
            best = self.trace(_with_ties(high))
            limit = _just_below(best.cost)
        if best is None and two_stages_s < math.inf:
            best = self.trace(_with_ties(two_stages_s))
        return None if best is None else self.lighten(best)

    def narrow(self, low: float, high: float, is_first: bool) -> tuple[float, float]:
        """A closer interval around the optimum, `high` being kept by some plan.

        is_first: whether `low` itself is worth a try, being what the first boundary needs at least.
        """
        limit = low if is_first or high == _LARGEST else low + (high - low) / 2
        for _ in range(_N_HALVINGS):
            if limit >= high:
                break
            value = self.least(limit)
            low, high = (low, limit) if value <= limit else (limit, min(high, value))
            if high <= low * (1.0 + _NEAR_RATIO) or high == _LARGEST:
                break
            limit = low + (high - low) / 2
        return low, high

    def least(self, limit: float) -> float:
        """V(`limit`), of orders no longer than the shortest that keeps within it."""
        value = math.inf
        for longer in self.levels(limit):
            value = min(value, longer)
            if value <= limit:
                break
        return value

    def levels(self, limit: float, prefix: tuple[NodeId, ...] = ()) -> Iterator[float]:
        """V(`limit`) of orders of two stages, of three, and so on. prefix: the nodes that follow the origin."""
        states: dict[_State, Floats] = {}
        value = math.inf
        for target, known in self.first.items():
            if prefix[:1] in ((), (target,)):
                visited = frozenset((self.arrays.origin, target))
                value = min(value, known.whole_s)
                entry_s = known.boundaries.best_entry(self.arrays.nodes[target], known.reached_s <= limit)
                if entry_s is not None:
                    states[visited, target] = entry_s
        yield value
        depth = 1
        while states:
            value, states = self.step(states, limit, prefix[depth : depth + 1])
            yield value
            depth += 1

    def step(
        self, states: dict[_State, Floats], limit: float, following: tuple[NodeId, ...]
    ) -> tuple[float, dict[_State, Floats]]:
        """One more node behind every state: V of the plans that end there, and the states within `limit` behind it."""
        value, longer = math.inf, dict[_State, Floats]()
        for (before, node), entry_s in states.items():
            for target in following or self.arrays.nodes:
                if target in before or (node, target) not in self.arrays.links:
                    continue
                boundaries, visited = self.links.between(node, target), before | {target}
                busy_s = boundaries.leaving_s + entry_s[boundaries.cut]
                if self.arrays.required <= visited:
                    value = min(value, float(np.maximum(busy_s, boundaries.whole_s).min(initial=math.inf)))
                if len(visited) == len(self.arrays.nodes):
                    continue
                reached = np.maximum(busy_s, boundaries.serialise_s) <= limit
                behind_s = boundaries.best_entry(self.arrays.nodes[target], reached)
                if behind_s is not None:
                    other_s = longer.get((visited, target))
                    longer[visited, target] = behind_s if other_s is None else np.minimum(behind_s, other_s)
        return value, longer

    def first_order(self, limit: float) -> tuple[NodeId, ...]:
        """The order within `limit` of the fewest stages, then of the lowest names; there must be one."""
        n_others = next(n for n, value in enumerate(self.levels(limit), 1) if value <= limit)
        others: tuple[NodeId, ...] = ()
        while len(others) < n_others:
            *candidates, last = self.arrays.next_nodes((self.arrays.origin, *others))
            within = (node for node in candidates if self.value(limit, (*others, node), n_others) <= limit)
            others = (*others, next(within, last))
        return self.arrays.origin, *others

    def value(self, limit: float, prefix: tuple[NodeId, ...], n_others: int) -> float:
        """V(`limit`) of orders of `n_others` nodes behind the origin, `prefix` being the first of them."""
        return next(islice(self.levels(limit, prefix), n_others - 1, None), math.inf)

    def trace(self, limit: float) -> Found:
        """A plan of the first order within `limit`, from the last boundary back: the fastest, then the lowest cut."""
        order = self.first_order(limit)
        reached = self.reach(order, limit)
        end = len(self.arrays.index) - 1
        slowest_s, stop = self.arrays.answers[order[-1]][1], end
        leaving_s = float(self.arrays.nodes[order[-1]].until_s[end])
        boundaries: list[tuple[int, int]] = []
        for at in range(len(reached) - 1, -1, -1):
            node = order[at + 1]
            first = self.arrays.nodes[node].lowest_entry(stop)
            entering_s = np.where(reached[at], self.links.ends[node].entering_s, math.inf)[:, first:stop]
            worst_s = np.maximum(entering_s + leaving_s, self.arrays.links[order[at], node].serialise_s[:, first:stop])
            place, row = divmod(int(np.argmin(worst_s.T)), len(self.arrays.codecs))
            slowest_s = max(slowest_s, float(worst_s[row, place]))
            stop = first + place
            boundaries.append((stop, row))
            leaving_s = float(self.links.ends[order[at]].leaving_s[row, stop])
        stop, row = boundaries[-1]
        slowest_s = max(slowest_s, float(self.origin_s[row, stop]))
        cuts = tuple(int(self.arrays.index[cut]) for cut, _ in reversed(boundaries))
        return Found(slowest_s, order, cuts, tuple(self.arrays.codecs[row] for _, row in reversed(boundaries)))

    def reach(self, order: tuple[NodeId, ...], limit: float) -> list[Reached]:
        """bool[Q, C] per boundary of `order`: can it be reached and crossed within `limit`?"""
        reached: list[Reached] = []
        for at, (source, target) in enumerate(pairwise(order)):
            until_s = self.origin_s if at == 0 else self.stage_s(source, reached[-1])
            reached.append(np.maximum(until_s, self.arrays.links[source, target].serialise_s) <= limit)
        return reached

    def stage_s(self, node: NodeId, entered: Reached) -> Floats:
        """float64[Q, C]: how long `node` is busy, entered at the best reachable earlier cut, left at each boundary."""
        enter_s = np.where(entered, self.links.ends[node].entering_s, math.inf).min(axis=0)
        busy_s: Floats = self.links.ends[node].leaving_s + self.arrays.nodes[node].best_entry(enter_s[np.newaxis])
        return busy_s

    def lighten(self, found: Found) -> Found:
        """Plan of the same stages with the quickest codecs that keep the bottleneck.

        Most codecs of a pipeline do not matter to it, and then fewer bytes and less work are better.
        """
        ends, links = self.links.ends, self.arrays.links
        rows = [self.arrays.codecs.index(codec) for codec in found.codecs]
        for at, (source, target) in enumerate(pairwise(found.order)):
            cut = int(np.searchsorted(self.arrays.index, found.cuts[at]))
            codec_s = (ends[source].leaving_s + ends[target].entering_s)[:, cut]
            for row in np.argsort(codec_s + links[source, target].serialise_s[:, cut], kind="stable"):
                lighter = [*rows[:at], int(row), *rows[at + 1 :]]
                if self.bottleneck_s(found, lighter) <= found.cost:
                    rows = lighter
                    break
        return replace(found, codecs=tuple(self.arrays.codecs[row] for row in rows))

    def bottleneck_s(self, found: Found, rows: list[int]) -> float:
        """Seconds of the slowest stage or link of `found` with codec `rows` at its boundaries."""
        ends = self.links.ends
        cuts = [int(cut) for cut in np.searchsorted(self.arrays.index, found.cuts)]
        slowest_s = max(self.arrays.answers[found.order[-1]][1], float(self.origin_s[rows[0], cuts[0]]))
        for at, (source, target) in enumerate(pairwise(found.order)):
            crossing_s = float(self.arrays.links[source, target].serialise_s[rows[at], cuts[at]])
            is_last = at + 1 == len(cuts)
            left_s = (
                self.arrays.nodes[target].until_s[-1] if is_last else ends[target].leaving_s[rows[at + 1], cuts[at + 1]]
            )
            slowest_s = max(slowest_s, crossing_s, float(ends[target].entering_s[rows[at], cuts[at]] + left_s))
        return slowest_s


def _just_below(cost: float) -> float:
    return min(cost * (1.0 - _RESOLUTION_RATIO), math.nextafter(cost, -math.inf), _LARGEST)


def _with_ties(limit: float) -> float:
    """With plans that are as good, by less than `_just_below` takes off again."""
    return min(limit * (1.0 + _RESOLUTION_RATIO / 2), _LARGEST)
