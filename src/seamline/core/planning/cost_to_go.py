"""Cost-to-go bounds: admissible lower bounds on the remaining cost of a partial plan.

Theory of operation. From the end: running everything that is left on a node, or running up to the best later cut and
handing over to the best node that was not visited. Up to `_MOST_EXACT` nodes this knows who was visited, as a set, and
is exact; beyond, nodes may be visited again, for as many hops as are left. With a limit on stages
and links, boundaries that take longer are closed, and a segment ends where its compute with the quickest codecs at both
ends would take longer: a plan within the limit is never shut out, some that are not within it are let in.

Nothing is searched here; `label_setting.py` does, `weighted.py` says with which bounds.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from seamline.core.planning.constraint_masks import least_between
from seamline.core.planning.model_arrays import Floats
from seamline.core.planning.problem_arrays import OFFLOAD
from seamline.core.planning.stacked_arrays import Places, PricedCosts, StackedArrays

_MOST_EXACT = 6
"""Sets double with every node: at 8, bounds that forget made whole searches three times as quick."""
_SLACK_RATIO = 1e-9
"""Sums in another order differ by less; a bound must not shut out a plan for that."""


@dataclass(frozen=True, slots=True)
class CostToGo:
    """Lower bounds for partial plans.

    behind: by set of visited nodes (a bit each) or, beyond `_MOST_EXACT` nodes, by how many they are: float64[N, C],
    the least that can follow once a node has been entered at a candidate and has decoded.
    """

    stacked: StackedArrays
    behind: dict[int, Floats]

    def after(self, visited: int) -> Floats:
        """float64[N, C] for the set `visited`, the origin among it."""
        return self.behind[visited if self.stacked.n_nodes <= _MOST_EXACT else visited.bit_count()]


def cost_to_go(stacked: StackedArrays, costs: PricedCosts, limit_s: float = math.inf) -> CostToGo:
    """Bounds on `costs` among plans whose stages and links take `limit_s` at most."""
    step = _step(stacked, costs, limit_s)
    others = [node for node in range(stacked.n_nodes) if node != stacked.origin]
    start = 1 << stacked.origin
    if stacked.n_nodes > _MOST_EXACT:
        behind = {stacked.n_nodes: step.alone}
        for n_visited in range(stacked.n_nodes - 1, 1, -1):
            (behind[n_visited],) = step.before_all([(others, others, behind[n_visited + 1][others])])
        return CostToGo(stacked, behind)
    behind = {sum(1 << node for node in others) | start: step.alone}
    for n_visited in range(len(others) - 1, 0, -1):
        sets = {sum(1 << node for node in seen) | start: list(seen) for seen in combinations(others, n_visited)}
        hops = []
        for visited, seen in sets.items():
            targets = [node for node in others if node not in seen]
            hops.append((seen, targets, np.array([behind[visited | 1 << node][node] for node in targets])))
        behind.update(zip(sets, step.before_all(hops), strict=True))
    return CostToGo(stacked, behind)


def least_cost(
    stacked: StackedArrays, costs: PricedCosts, to_go: CostToGo, kind: int, limit_s: float = math.inf
) -> float:
    """Lower bound on the cost of any plan of `kind`, OFFLOAD or SPLIT; inf when there is none."""
    origin, start = stacked.origin, 1 << stacked.origin
    crossing = np.where(stacked.serialise_s[origin] <= limit_s, costs.crossing[origin], math.inf).min(axis=1)
    onward = [
        crossing[node] + to_go.after(start | 1 << node)[node] for node in range(stacked.n_nodes) if node != origin
    ]
    if not onward:
        return math.inf
    handed = np.min(onward, axis=0)
    if kind == OFFLOAD:
        return float(handed[0])
    computed_s = stacked.preprocess_s[origin] + stacked.until_s[origin]
    whole = costs.queue[origin] + costs.busy[origin] * computed_s + handed
    whole[computed_s > limit_s * (1.0 + _SLACK_RATIO)] = math.inf
    return float(whole[1 : stacked.reach[origin, 0] + 1].min(initial=math.inf))


@dataclass(frozen=True, slots=True)
class _Step:
    """One node, and the next. alone: float64[N, C], running all that is left. crossing: float64[N, N, C], with the
    cheapest codec. until, before: float64[N, C], priced compute. reach: int[N, C]."""

    alone: Floats
    crossing: Floats
    until: Floats
    before: Floats
    reach: Places

    def before_all(self, hops: list[tuple[list[int], list[int], Floats]]) -> list[Floats]:
        """float64[N, C] for each of `hops`: the least for its nodes, inf for others, where one of its targets may
        follow, which costs float64[targets, C]. All at once, since single arrays are short."""
        handed = [(self.crossing[np.ix_(nodes, targets)] + costs).min(axis=1) for nodes, targets, costs in hops]
        rows = [node for nodes, _, _ in hops for node in nodes]
        later = _window_least(self.until[rows] + np.concatenate(handed), self.reach[rows]) - self.before[rows]
        least = np.minimum(self.alone[rows], later)
        found = []
        for nodes, _, _ in hops:
            found.append(np.full(self.alone.shape, math.inf))
            found[-1][nodes], least = least[: len(nodes)], least[len(nodes) :]
        return found


def _step(stacked: StackedArrays, costs: PricedCosts, limit_s: float) -> _Step:
    crossing, reach, busy = costs.crossing, stacked.reach, costs.busy[:, np.newaxis]
    alone = busy * (stacked.until_s[:, -1:] - stacked.before_s) + (costs.queue + costs.back)[:, np.newaxis]
    alone[reach < stacked.n_cuts - 1] = math.inf
    if math.isfinite(limit_s):
        is_open = stacked.serialise_s <= limit_s
        crossing = np.where(is_open, crossing, math.inf)
        entering_s = np.where(is_open.any(axis=0), stacked.enter_s, math.inf).min(axis=1)
        leaving_s = stacked.until_s + np.where(is_open.any(axis=1), stacked.encode_s, math.inf).min(axis=1)
        latest_s = stacked.before_s - entering_s + limit_s * (1.0 + _SLACK_RATIO)
        soonest_s = np.minimum.accumulate(leaving_s[:, ::-1], axis=1)[:, ::-1]
        within = [np.searchsorted(*each, side="right") - 1 for each in zip(soonest_s, latest_s, strict=True)]
        reach = np.minimum(reach, within)
        alone[(stacked.until_s[:, -1:] > latest_s) | (stacked.answer_s > limit_s)[:, np.newaxis]] = math.inf
    until = busy * stacked.until_s
    return _Step(alone, crossing.min(axis=2), until, busy * stacked.before_s - costs.queue[:, np.newaxis], reach)


def _window_least(values: Floats, reach: Places) -> Floats:
    """float64[K, C]: the minimum of ``values[:, c + 1 : reach[c] + 1]`` for every c, inf where that is empty.

    One pass where every window goes up to the end.
    """
    n_cuts = values.shape[1]
    if (reach < n_cuts - 2).any():
        return least_between(values, np.arange(1, n_cuts + 1), reach + 1)
    least = np.full_like(values, math.inf)  # nothing is handed over at the last cut
    least[:, :-1] = np.minimum.accumulate(values[:, :0:-1], axis=1)[:, ::-1]
    return least
