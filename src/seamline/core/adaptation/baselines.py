"""Baseline policies, each with one static plan: all on the origin, all sent away, the first plan, or a pinned one.

While the static plan is infeasible the origin works alone (fallback), until the plan is feasible again. Policies that
weigh plans are `policy.py`.
"""

from __future__ import annotations

from dataclasses import dataclass

from seamline.core.adaptation.decision import Decision, Keep, Switch
from seamline.core.adaptation.view import View
from seamline.core.cost.feasibility import why_infeasible
from seamline.core.cost.problem import Problem
from seamline.core.planning.planner import PlanKind, Planner
from seamline.core.vocabulary.plans import Plan

REFUSED_RETRY_S = 5.0
"""Until a plan that failed to prepare is tried again; more often would keep its nodes busy with failing."""


@dataclass(frozen=True, slots=True)
class Local:
    """Everything on the origin."""


@dataclass(frozen=True, slots=True)
class Offload:
    """The best plan that sends the frame itself, chosen once."""


@dataclass(frozen=True, slots=True)
class Static:
    """The plan that was best at the start, chosen once."""


@dataclass(frozen=True, slots=True)
class Fixed:
    """A pinned plan, given by the user."""

    plan: Plan


Baseline = Local | Offload | Static | Fixed


def decide_baseline(view: View, problem: Problem, policy: Baseline, planner: Planner) -> Decision:
    """Decision for the static plan of `policy`; while it is infeasible, for the origin alone or whatever is allowed.

    Raises `Infeasible` when nothing is.
    """
    wanted, why_not = _static_plan(view, problem, policy, planner)
    if wanted is not None:
        why_not = why_infeasible(wanted, problem) or _lately_refused(view, wanted)
    target = wanted
    if wanted is None or why_not is not None:
        local = Plan.local(view.origin, len(problem.cuts))
        target = local if why_infeasible(local, problem) is None else planner.plan(problem).plan
    assert target is not None
    if target == view.current and not view.restarted:
        return Keep(f"{target} is pinned", 0.0) if why_not is None else Keep(f"{target} is the fallback: {why_not}")
    if why_not is not None:
        return Switch(target, f"{why_not}; {target} is the fallback")
    if view.current is None:
        return Switch(target, f"first plan: {target}, pinned from now on")
    return Switch(target, f"{target} is possible again")


def _static_plan(view: View, problem: Problem, policy: Baseline, planner: Planner) -> tuple[Plan | None, str | None]:
    """The static plan of a policy, or why there is none."""
    match policy:
        case Local():
            return Plan.local(view.origin, len(problem.cuts)), None
        case Fixed(given):
            return given, None
        case Static():
            return view.first or planner.plan(problem).plan, None
        case Offload():
            for chosen in (view.first, view.current):  # where a fallback served first, chosen after that
                if chosen is not None and chosen.is_offload:
                    return chosen, None
            offload = planner.plan(problem).best(PlanKind.OFFLOAD)
            return offload.plan, offload.refusal


def _lately_refused(view: View, wanted: Plan) -> str | None:
    for refused in view.refused:
        if refused.plan == wanted and view.now_s - refused.at_s < REFUSED_RETRY_S:
            return refused.reason
    return None
