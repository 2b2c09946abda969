"""The best plan for a problem, exact over all orders of nodes, candidate cuts and codecs; `brute_force` is its oracle.

Theory of operation. An order of nodes (origin first, each node once, any may be skipped) is extended node by node, so
that orders share their prefixes. Per prefix a vector over cuts holds the best cost of having arrived there:

    arrive[c]  = best over codecs of (leave[c] + encode + transfer + decode)         boundary at cut c
    leave'[c]  = until[c] + min over a < c of (arrive[a] - before[a])                 next node runs a..c

Computing a..c takes until[c] - before[a] (prefix sums, with what cutting there adds), so the inner minimum is one
cumulative minimum: O(cuts) per prefix instead of O(cuts^2). Latency and energy are both sums and differ only in the
prices. Throughput is a maximum and lives in `bottleneck.py`, deadlines and weighted sums in `weighted.py`. Every
search keeps two rows, offload (the origin runs nothing) and split, for `alternatives`.

Ties: fewest stages, then node names, then the lowest last cut. Costs of single plans are `formulas.py`'s business.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterator
from dataclasses import dataclass, field, replace
from enum import StrEnum
from itertools import combinations, permutations, product

from seamline.core.cost.feasibility import why_infeasible
from seamline.core.cost.formulas import Sums, latency_s, sums
from seamline.core.cost.payload import offered_codecs
from seamline.core.cost.problem import EnergyScope, Problem
from seamline.core.planning.additive import search_additive
from seamline.core.planning.bottleneck import search_bottleneck
from seamline.core.planning.infeasibility import infeasible, why_no_plan
from seamline.core.planning.model_arrays import ModelArrays
from seamline.core.planning.problem_arrays import OFFLOAD, SPLIT, Found, arrays_of
from seamline.core.planning.weighted import search_weighted
from seamline.core.vocabulary.objectives import Goal, Objective, Weights, Within, counts_energy
from seamline.core.vocabulary.plans import Plan

__all__ = ["EnergyScope", "Planned", "Planner", "PlanKind", "Problem", "Alternative", "plan", "evaluate", "brute_force"]

TIE_RATIO = 1e-9
"""Costs nearer than this are the same: sums in another order differ by less, and nobody can measure it."""

MOST_PLANS = 256
"""Plans that a `Planner` keeps."""


class PlanKind(StrEnum):
    """Local: one stage. Offload: the origin runs no layer. Split: it runs some of them."""

    LOCAL = "local"
    OFFLOAD = "offload"
    SPLIT = "split"


@dataclass(frozen=True, slots=True, kw_only=True)
class Alternative:
    """The best plan of one kind, or none.

    cost: of the objective, lower is better (s, s per frame, J, or what a weighted sum makes of them). objection: what
    is known to be in the way. lacking_in: the problem that has no plan of this kind, where nobody has asked yet why.
    """

    kind: PlanKind
    plan: Plan | None
    cost: float = math.inf
    latency_s: float = math.inf
    throughput_fps: float = 0.0
    energy_j: float | None = None
    objection: str | None = None
    lacking_in: Problem | None = field(default=None, repr=False, compare=False)

    @property
    def refusal(self) -> str | None:
        """Reason why there is no plan, or why it may not be used; None when it may.

        Found by searching again without one constraint after the other, at each call: a decision takes place many times
        a second, and seldom needs the words.
        """
        if self.lacking_in is None:
            return self.objection
        return why_no_plan(OFFLOAD if self.kind is PlanKind.OFFLOAD else SPLIT, self.lacking_in)


@dataclass(frozen=True, slots=True, kw_only=True)
class Planned:
    """The best plan and what it is predicted to cost. alternatives: one per kind, in the order of `PlanKind`."""

    plan: Plan
    cost: float
    latency_s: float
    throughput_fps: float
    energy_j: float | None
    alternatives: tuple[Alternative, ...]

    def best(self, kind: PlanKind) -> Alternative:
        return next(alternative for alternative in self.alternatives if alternative.kind is kind)


@dataclass(slots=True)
class Planner:
    """Planner for one stream: what profiles, cuts and constraints imply is worked out once, not with every problem.

    Whoever plans again and again owns one; it may be asked about any problem, but by one thread at a time.
    """

    _model: ModelArrays = field(default_factory=ModelArrays)
    _plans: dict[Hashable, Plan] = field(default_factory=dict)

    def plan(self, problem: Problem) -> Planned:
        """`plan` of this file."""
        found = _search(problem, self._model)
        best = (
            _local_alternative(self._plan_of(Found(math.inf, (problem.origin,), (), ()), problem), problem),
            self._alternative(PlanKind.OFFLOAD, found[OFFLOAD], problem),
            self._alternative(PlanKind.SPLIT, found[SPLIT], problem),
        )
        chosen = best[0]
        for other in sorted(best[1:], key=_n_stages):
            if other.cost < chosen.cost * (1.0 - TIE_RATIO) or (chosen.plan is None and other.plan is not None):
                chosen = other
        if chosen.plan is None:
            raise infeasible(problem, self._model)
        return Planned(
            plan=chosen.plan,
            cost=chosen.cost,
            latency_s=chosen.latency_s,
            throughput_fps=chosen.throughput_fps,
            energy_j=chosen.energy_j,
            alternatives=best,
        )

    def _alternative(self, kind: PlanKind, found: Found | None, problem: Problem) -> Alternative:
        if found is None:
            return Alternative(kind=kind, plan=None, lacking_in=problem)
        return evaluate(self._plan_of(found, problem), problem)

    def _plan_of(self, found: Found, problem: Problem) -> Plan:
        """`found` as a plan: the same object when it is found again, as it mostly is."""
        key = found.order, found.cuts, found.codecs, problem.last_cut
        known = self._plans.get(key)
        if known is None:
            if len(self._plans) >= MOST_PLANS:
                self._plans.clear()
            known = self._plans[key] = found.plan(problem.last_cut)
        return known


def plan(problem: Problem) -> Planned:
    """The best allowed plan, exactly. Raises `Infeasible` naming the constraint, or the deadline, that leaves none."""
    return Planner().plan(problem)


def evaluate(candidate: Plan, problem: Problem) -> Alternative:
    """Costs of any plan in `problem`, also of one given by hand; `refusal` says whether it may be used.

    Raises `PlanError` when it is not a plan for this model and these nodes.
    """
    return _judged(candidate, problem, why_infeasible(candidate, problem))


def evaluate_allowed(candidate: Plan, problem: Problem) -> Alternative | None:
    """`evaluate` for a plan that may be used; None for one that may not, or is none for this model and these nodes."""
    return _judged(candidate, problem, None) if why_infeasible(candidate, problem) is None else None


def cost_allowed(candidate: Plan, problem: Problem) -> float | None:
    """`cost` of `evaluate_allowed` alone, for an objective that is neither a deadline nor a weighted sum."""
    if why_infeasible(candidate, problem) is not None:
        return None
    if problem.objective is Objective.LATENCY:
        return latency_s(candidate, problem)
    return _cost(problem.objective, sums(candidate, problem))


def _cost(goal: Goal, known: Sums) -> float:
    """By an `Objective`; inf for other goals, which look at more."""
    if goal is Objective.LATENCY:
        return known.latency_s
    if goal is Objective.THROUGHPUT:
        return known.bottleneck_s
    return known.energy_j if goal is Objective.ENERGY and known.energy_j is not None else math.inf


def _judged(candidate: Plan, problem: Problem, objection: str | None) -> Alternative:
    goal, known = problem.objective, sums(candidate, problem)
    taken_s, bottleneck_s, joules = known
    cost = _cost(goal, known)
    kind = PlanKind.LOCAL if candidate.is_local else PlanKind.OFFLOAD if candidate.is_offload else PlanKind.SPLIT
    judged = Alternative(
        kind=kind,
        plan=candidate,
        cost=cost,
        latency_s=taken_s,
        throughput_fps=math.inf if bottleneck_s == 0.0 else 1.0 / bottleneck_s,
        energy_j=joules,
        objection=objection,
    )
    return judged if isinstance(goal, Objective) else replace(judged, cost=goal.cost(judged))


def brute_force(problem: Problem) -> Alternative:
    """The best plan by looking at every one of them: the oracle of `plan`, in plain Python and far too slow for use.

    Raises `Infeasible` when none is allowed.
    """
    best: tuple[float, int] | None = None
    winner: Alternative | None = None
    for candidate in all_plans(problem):
        evaluated = evaluate(candidate, problem)
        if evaluated.refusal is not None or math.isinf(evaluated.cost):
            continue
        key = (evaluated.cost, len(candidate.stages))
        if best is None or key < best:
            best, winner = key, evaluated
    if winner is None:
        raise infeasible(problem)
    return winner


def all_plans(problem: Problem) -> Iterator[Plan]:
    """Every plan over candidate cuts with the codecs of the constraints, otherwise allowed or not."""
    may_use = set(problem.constraints.codecs)
    cuts = [cut.index for cut in problem.cuts[:-1] if cut.is_candidate or cut.index == 0]
    others = sorted(problem.profiles.keys() - {problem.origin})
    yield Plan.local(problem.origin, len(problem.cuts))
    for n_others in range(1, len(others) + 1):
        for order in permutations(others, n_others):
            for boundaries in combinations(cuts, n_others):
                offered = [offered_codecs(problem.cuts[cut], problem.frame) for cut in boundaries]
                for codecs in product(*([codec for codec in each if codec in may_use] for each in offered)):
                    yield Found(math.inf, (problem.origin, *order), boundaries, codecs).plan(problem.last_cut)


def _search(problem: Problem, model: ModelArrays) -> tuple[Found | None, Found | None]:
    arrays, goal = arrays_of(problem, model), problem.objective
    if isinstance(goal, Within | Weights):
        return search_weighted(arrays, goal)
    return search_bottleneck(arrays) if goal is Objective.THROUGHPUT else search_additive(arrays)


def _local_alternative(whole: Plan, problem: Problem) -> Alternative:
    local = evaluate(whole, problem)
    why_not = local.refusal
    if why_not is None and math.isinf(local.cost):
        is_unknown = local.energy_j is None and counts_energy(problem.objective)
        why_not = (
            f"`{problem.origin}` has no power figures" if is_unknown else f"it takes {local.latency_s * 1e3:.0f} ms"
        )
    return local if why_not is None else Alternative(kind=PlanKind.LOCAL, plan=None, objection=why_not)


def _n_stages(alternative: Alternative) -> int:
    return len(alternative.plan.stages) if alternative.plan is not None else 0
