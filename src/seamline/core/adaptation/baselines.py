"""Policies that hold one plan, as baselines do: everything on the origin, everything sent away, the first one, any one.

While the plan is impossible the origin works alone, and goes back to it as soon as it can. Weighing is `policy.py`'s.
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
    """A plan given by hand."""

    plan: Plan


Holding = Local | Offload | Static | Fixed


def hold(view: View, problem: Problem, policy: Holding, planner: Planner) -> Decision:
    """Hold the policy's plan; while it is impossible the origin works alone, or whatever is allowed.

    Raises `Infeasible` when nothing is.
    """
    wanted, why_not = _wanted(view, problem, policy, planner)
    if wanted is not None:
        why_not = why_infeasible(wanted, problem) or _lately_refused(view, wanted)
    target = wanted
    if wanted is None or why_not is not None:
        local = Plan.local(view.origin, len(problem.cuts))
        target = local if why_infeasible(local, problem) is None else planner.plan(problem).plan
    assert target is not None
    if target == view.current and not view.restarted:
        return Keep(f"{target} is held", 0.0) if why_not is None else Keep(f"{target} stands in: {why_not}")
    if why_not is not None:
        return Switch(target, f"{why_not}; {target} stands in")
    if view.current is None:
        return Switch(target, f"first plan: {target}, held from now on")
    return Switch(target, f"{target} is possible again")


def _wanted(view: View, problem: Problem, policy: Holding, planner: Planner) -> tuple[Plan | None, str | None]:
    """The plan a policy holds, or why there is none."""
    match policy:
        case Local():
            return Plan.local(view.origin, len(problem.cuts)), None
        case Fixed(given):
            return given, None
        case Static():
            return view.first or planner.plan(problem).plan, None
        case Offload():
            for chosen in (view.first, view.current):  # where another plan stood in first, chosen after that
                if chosen is not None and chosen.is_offload:
                    return chosen, None
            offload = planner.plan(problem).best(PlanKind.OFFLOAD)
            return offload.plan, offload.refusal


def _lately_refused(view: View, wanted: Plan) -> str | None:
    for refused in view.refused:
        if refused.plan == wanted and view.now_s - refused.at_s < REFUSED_RETRY_S:
            return refused.reason
    return None
