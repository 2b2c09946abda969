"""Decision cache: proves by a lower bound that `decide` would return the same `Keep`, without deciding again.

`DecisionCache` owns the state between decisions: the last decision, and the planner's arrays.

Theory of operation. A decision compares every plan. The gain bound avoids that: a plan cannot have become cheaper by
more than its parts have. Where the cheapest plan cost L, and no node or link is faster by more than a factor f, the
cheapest plan costs f L at least now. The current plan's cost is quickly found. While it exceeds that bound by less than
the least gain worth a switch, `decide` would return the same `Keep`. Everything else that changes a decision (nodes,
constraints, refusals, a plan that surprised) must be as it was. The cache pays where decisions are many: a simulation
asks some hundred thousand times.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from operator import attrgetter

from seamline.core.adaptation.policy import (
    Adaptive,
    Decision,
    Keep,
    Policy,
    PolicySettings,
    charged,
    decide,
    has_surprise,
    is_charged,
)
from seamline.core.adaptation.risk_adjustment import risk_adjusted
from seamline.core.adaptation.view import View, problem_of
from seamline.core.cost.formulas import fixed_s
from seamline.core.cost.problem import Problem
from seamline.core.planning.planner import Planner, cost_allowed
from seamline.core.vocabulary.nodes import NodeId
from seamline.core.vocabulary.objectives import Objective
from seamline.core.vocabulary.plans import Plan


@dataclass(slots=True)
class DecisionCache:
    """Cached decisions of one stream under `policy`; a valid one is returned again, the same object."""

    policy: Policy
    planner: Planner = field(default_factory=Planner)
    _newest: CachedDecision | None = None

    def decide(self, view: View) -> Decision:
        """`policy.decide`, for views of one stream in order."""
        if self._newest is not None and is_valid(self._newest, view, self.policy):
            return self._newest.decision
        decision = decide(view, self.policy, self.planner)
        self._newest = cacheable(view, self.policy, decision) if isinstance(decision, Keep) else None
        return decision


@dataclass(frozen=True, slots=True, kw_only=True)
class CachedDecision:
    """Cache entry: a decision to keep `current`, the problem it was taken for, and the cheapest plan's cost in that.

    tolls: what each node charged for the whole model. is_silent, silent: of the view then.
    """

    decision: Keep
    current: Plan
    problem: Problem
    least_cost: float
    tolls: Mapping[NodeId, float]
    is_silent: bool
    silent: frozenset[NodeId]


def cacheable(view: View, policy: Policy, decision: Keep) -> CachedDecision | None:
    """Cache entry of `decision`, just taken; None when time alone may change it."""
    problem = _judged_problem(view, policy)
    if problem is None or view.current is None or decision.gain_ratio is None or not _is_quiet(view, policy):
        return None
    if not isinstance(problem.objective, Objective):  # a deadline may let in a cheaper plan all at once
        return None
    cost = _cost_now(view.current, view, problem)
    if cost is None:
        return None
    return CachedDecision(
        decision=decision,
        current=view.current,
        problem=problem,
        least_cost=(1.0 - decision.gain_ratio) * cost,
        tolls=_tolls(view, problem),
        is_silent=view.is_uplink_silent,
        silent=view.silent,
    )


def is_valid(known: CachedDecision, view: View, policy: Policy) -> bool:
    """Whether `decide` would return for `view` the decision in `known`, by the gain bound."""
    if view.current != known.current or known.is_silent != view.is_uplink_silent or known.silent != view.silent:
        return False
    if not _is_quiet(view, policy):
        return False
    problem, before = _judged_problem(view, policy), known.problem
    if problem is None or _rest_of(before) != _rest_of(problem):
        return False
    speed_up = _speed_up_bound(before, problem)
    cost = None if speed_up is None else _cost_now(known.current, view, problem)
    if speed_up is None or cost is None:
        return False
    ratio, less_s = speed_up
    tolls = _tolls(view, problem)
    if known.tolls.keys() != tolls.keys() or (view.objective is not Objective.LATENCY and known.tolls != tolls):
        return False
    less_s += math.fsum([max(0.0, was_s - tolls[node]) for node, was_s in known.tolls.items()])
    least, settings = ratio * known.least_cost - less_s, _settings(policy)
    return cost - least < settings.min_gain_ratio * cost


def _cost_now(plan: Plan, view: View, problem: Problem) -> float | None:
    """What `plan`, the current one, costs; None when it may not be used."""
    return cost_allowed(plan, charged(problem, view, plan))


def _tolls(view: View, problem: Problem) -> Mapping[NodeId, float]:
    """Seconds that nodes charge; of those that report no load, what is waited there."""
    if not is_charged(view):
        return problem.queue_s
    return {**problem.queue_s, **view.shared.tolls(problem)}


def _speed_up_bound(before: Problem, now: Problem) -> tuple[float, float] | None:
    """Gain bound of any plan: the factor by which its parts may be quicker, and how many seconds besides.

    None when a link has come, gone, or gone up or down; or when seconds besides are no part of what plans are judged
    by.
    """
    if now.links is not before.links and now.links.keys() != before.links.keys():
        return None
    ratio, less_s = 1.0, 0.0
    for node in now.profiles:
        ratio = min(ratio, now.compute_ratio.get(node, 1.0) / before.compute_ratio.get(node, 1.0))
    for link, was in before.links.items():
        known = now.links[link]
        if known is was:
            continue
        if (known.goodput_bps > 0.0) != (was.goodput_bps > 0.0):
            return None
        if was.goodput_bps > 0.0:
            ratio = min(ratio, was.goodput_bps / known.goodput_bps)
        earlier_s = fixed_s(was) - fixed_s(known)
        if earlier_s > 0.0 and now.objective is not Objective.LATENCY:
            return None
        less_s += max(0.0, earlier_s)
    return ratio, less_s


def _is_quiet(view: View, policy: Policy) -> bool:
    """Whether nothing is going on that time alone may end: a switch, a restart, a refusal, a surprise."""
    settings = _settings(policy)
    lately = any(view.now_s - refused.at_s < settings.refused_retry_s for refused in view.refused)
    return view.pending is None and not view.restarted and not lately and not has_surprise(view, settings)


_USUAL = PolicySettings()


def _settings(policy: Policy) -> PolicySettings:
    return policy.settings if isinstance(policy, Adaptive) else _USUAL


def _judged_problem(view: View, policy: Policy) -> Problem | None:
    """The planning problem as `policy` judges it."""
    problem = problem_of(view)
    if problem is None or not isinstance(policy, Adaptive):
        return problem
    return risk_adjusted(problem, view, policy.settings.hop_cost_s)


_BOUNDED = frozenset(("links", "compute_ratio", "queue_s"))

_rest_of = attrgetter(*(one.name for one in fields(Problem) if one.name not in _BOUNDED))
"""Fields of the problem that must be the same for a cached decision: all but speeds and waiting."""
