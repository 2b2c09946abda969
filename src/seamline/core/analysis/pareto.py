"""Pareto front: all plans that no other plan dominates. Exact; for people who ask once.

The controller asks `planner.plan`, also for deadlines and weighted sums.

Theory of operation. Label setting (Martins 1984) over the partial plans of `planning/partial_plans.py`: a label has
cost seconds so far, the slowest stage or link so far, joules so far, and the seconds that its last node has already
been busy decoding (they belong to a stage that is not over). Whatever follows adds the same to two labels that visited
the same nodes and stand at the same cut of the same one, so one that is worse in all four goes. What is left in the
end, and costs nearly the same there and here, is evaluated by `formulas.py`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from seamline.core.cost.rates import Rates
from seamline.core.planning.model_arrays import Floats
from seamline.core.planning.partial_plans import (
    PartialPlans,
    completed,
    extended,
    first_partial_plan,
    joined,
    pairs_within,
    transition_between,
)
from seamline.core.planning.planner import Alternative, Problem, evaluate
from seamline.core.planning.problem_arrays import OFFLOAD, SPLIT, Found, arrays_of
from seamline.core.planning.stacked_arrays import Places, priced_costs, stacked_arrays
from seamline.core.vocabulary.errors import Infeasible
from seamline.core.vocabulary.objectives import Objective
from seamline.core.vocabulary.plans import Plan

_N_DIGITS = 12
"""Costs that agree in so many digits are the same: sums in another order differ by less."""


def front(problem: Problem) -> tuple[Alternative, ...]:
    """The non-dominated allowed plans, by latency; judged by latency, throughput and, where known, energy.

    Of plans that cost the same in every respect, one is kept. Takes a hundred times as long as `planner.plan`.
    Raises `Infeasible` when no plan is allowed.
    """
    found = [evaluate(candidate, problem) for candidate in _candidates(problem)]
    allowed = [each for each in found if each.refusal is None and math.isfinite(each.latency_s)]
    if not allowed:
        raise Infeasible("no plan is allowed", hint="`seamline plan` without a front says what binds")
    allowed.sort(key=lambda each: (_criteria(each), len(each.plan.stages) if each.plan else 0, str(each.plan)))
    kept: list[Alternative] = []
    for each in allowed:
        if not any(_dominates(_criteria(other), _criteria(each)) for other in kept):
            kept.append(each)
    return tuple(kept)


@dataclass(frozen=True, slots=True)
class _Completed:
    """Complete plans that end on one node. costs: float64[L, 3], seconds, slowest part, joules (inf where unknown)."""

    labels: PartialPlans
    costs: Floats


def _candidates(problem: Problem) -> list[Plan]:
    """The local plan, and every other that no plan found here dominates."""
    found, local = _Front(problem), Plan.local(problem.origin, len(problem.cuts))
    completed_plans = list(found.completed_plans()) if found.arrays.codecs else []
    if not completed_plans:
        return [local]
    costs = np.concatenate([each.costs for each in completed_plans])
    of_group = np.repeat(np.arange(len(completed_plans)), [len(each.labels) for each in completed_plans])
    place = np.concatenate([np.arange(len(each.labels)) for each in completed_plans])
    n_stages = np.array([each.labels.nodes.shape[1] for each in completed_plans])[of_group]
    best = _non_dominated(costs, n_stages)
    return [local, *(found.plan(completed_plans[of_group[each]].labels, place[each]) for each in best)]


class _Front:
    """Label-setting search without a goal: of the partial plans at one place, the non-dominated."""

    def __init__(self, problem: Problem) -> None:
        arrays = arrays_of(replace(problem, objective=Objective.LATENCY))
        known = {
            node: replace(each, active_w=0.0) if math.isnan(each.active_w) else each
            for node, each in arrays.nodes.items()
        }
        self.problem, self.arrays = problem, replace(arrays, nodes=known)
        self.stacked = stacked_arrays(self.arrays)
        self.joules, self.seconds = priced_costs(self.stacked, Rates(0.0, 1.0)), priced_costs(self.stacked, Rates())
        is_known = [arrays.idle_w is not None and not math.isnan(each.active_w) for each in arrays.nodes.values()]
        self.unknown = frozenset(place for place, known in enumerate(is_known) if not known)

    def completed_plans(self) -> Iterator[_Completed]:
        """Complete plans over more than one node, by who was visited and where they end."""
        kinds = (OFFLOAD, SPLIT) if self.problem.constraints.allow_offload else (SPLIT,)
        for kind in kinds:
            origin = self.stacked.origin
            states = {(1 << origin, origin): first_partial_plan(self.stacked, self.joules, kind)}
            while states:
                handed: dict[tuple[int, int], list[PartialPlans]] = {}
                for (visited, node), labels in states.items():
                    for target in range(self.stacked.n_nodes):
                        if not visited >> target & 1:
                            longer = self.handed_over(labels, node, target, kind)
                            handed.setdefault((visited | 1 << target, target), []).append(longer)
                states = {key: _non_dominated_at_cuts(joined(parts)) for key, parts in handed.items()}
                states = {key: labels for key, labels in states.items() if len(labels)}
                for (visited, node), labels in states.items():
                    if all(visited >> each & 1 for each in self.stacked.required):
                        yield self.finished(labels, visited, node)

    def handed_over(self, labels: PartialPlans, source: int, target: int, kind: int) -> PartialPlans:
        """Every label, run on `source` up to every later candidate and sent on to `target` with every codec."""
        transition = transition_between(self.stacked, self.joules, self.seconds, source, target, kind)
        pairs = pairs_within(labels, transition, self.stacked)
        return _non_dominated_at_cuts(
            extended(labels, transition, pairs, self.stacked, self.joules).labels(labels, transition)
        )

    def finished(self, labels: PartialPlans, visited: int, node: int) -> _Completed:
        """Every label, run on `node` to the end and answered, where memory allows; the non-dominated."""
        joules, seconds, slowest_s = completed(labels, node, self.stacked, self.joules, self.seconds)
        if any(visited >> each & 1 for each in self.unknown):
            joules = np.full(len(joules), math.inf)
        costs = np.column_stack([seconds, slowest_s, joules])
        possible = np.flatnonzero(np.isfinite(seconds))
        best = possible[_non_dominated(costs[possible], np.zeros(len(possible)))]
        return _Completed(labels.only(best), costs[best])

    def plan(self, labels: PartialPlans, place: int) -> Plan:
        """The complete plan at `place` of `labels`."""
        others = (self.stacked.nodes[node] for node in labels.nodes[place])
        cuts = tuple(int(self.arrays.index[cut]) for cut in labels.cuts[place])
        codecs = tuple(self.arrays.codecs[row] for row in labels.rows[place])
        return Found(math.inf, (self.problem.origin, *others), cuts, codecs).plan(self.problem.last_cut)


def _non_dominated_at_cuts(labels: PartialPlans) -> PartialPlans:
    """Labels that none at the same cut dominates."""
    costs, kept = np.column_stack([labels.seconds, labels.slowest_s, labels.cost, labels.busy_s]), []
    for at in np.unique(labels.at):
        group = np.flatnonzero(labels.at == at)
        kept.append(group[_non_dominated(costs[group], np.zeros(len(group)))])
    return labels.only(np.concatenate(kept)) if kept else labels


def _non_dominated(costs: Floats, n_stages: npt.NDArray[np.generic]) -> Places:
    """Rows of `costs`, float64[N, K], that no other dominates; of equal ones the first with the fewest stages.

    Taken by rising sum, no row can be dominated by a later one, and the first ones dominate the most.
    """
    costs = _rounded(costs)
    finite = np.where(np.isfinite(costs), costs, 0.0)
    scale = finite.max(axis=0, initial=0.0)
    total = (costs / np.where(scale > 0.0, scale, 1.0)).sum(axis=1)
    left = np.lexsort((n_stages, *costs.T[::-1], total))
    kept = []
    while len(left):
        first, left = left[0], left[1:]
        kept.append(first)
        left = left[(costs[left] < costs[first]).any(axis=1)]
    return np.array(kept, dtype=np.intp)


def _rounded(costs: Floats) -> Floats:
    """`costs` to `_N_DIGITS` significant digits, which keeps their order."""
    fraction, exponent = np.frexp(costs)
    rounded: Floats = np.ldexp(np.round(fraction, _N_DIGITS), exponent)
    return rounded


def _criteria(found: Alternative) -> tuple[float, ...]:
    joules = math.inf if found.energy_j is None else found.energy_j
    return found.latency_s, _bottleneck_s(found), joules


def _bottleneck_s(found: Alternative) -> float:
    return math.inf if found.throughput_fps == 0.0 else 1.0 / found.throughput_fps


def _dominates(one: tuple[float, ...], other: tuple[float, ...]) -> bool:
    """No worse in any respect; then `other`, which comes later, is not needed."""
    return all(mine <= theirs for mine, theirs in zip(one, other, strict=True))
