"""Preview of a plan: what it would cost by the estimates of now, by part, and which limit it breaks."""

from __future__ import annotations

from dataclasses import dataclass

from seamline.core.adaptation.policy import PolicySettings
from seamline.core.adaptation.view import View, problem_of
from seamline.core.cost.feasibility import why_infeasible
from seamline.core.cost.formulas import Breakdown, breakdown
from seamline.core.cost.uncertainty import gain_std
from seamline.core.planning.planner import evaluate
from seamline.core.vocabulary.errors import PlanError
from seamline.core.vocabulary.plans import Plan
from seamline.runtime.origin.record import LatencyPart


@dataclass(frozen=True, slots=True, kw_only=True)
class Preview:
    """What a plan would cost by the estimates of now. refusal: the limit that it breaks.

    gain_s: less than the plan in use, by the objective's units; gain_std_s: one standard deviation of that.
    """

    plan: str
    latency_s: float
    throughput_fps: float
    energy_j: float | None
    parts: tuple[LatencyPart, ...]
    gain_s: float | None
    gain_std_s: float | None
    refusal: str | None


def preview(plan: Plan, view: View) -> Preview:
    """`plan`, which fits the model and the nodes of the stream, by `view`. Raises `PlanError` when nothing is known."""
    problem = problem_of(view)
    if problem is None:
        raise PlanError("nothing is known of the origin yet", hint="ask again in a moment")
    if missing := [node for node in plan.nodes if node not in problem.profiles]:
        raise PlanError(f"`{missing[0]}` is not there, or not profiled yet", hint="the page shows who is there")
    costs, judged, now = breakdown(plan, problem), evaluate(plan, problem), view.current
    gain_s = gain_std_s = None
    if now is not None and why_infeasible(now, problem) is None:
        before = breakdown(now, problem)
        gain_s = before.latency_s - costs.latency_s
        gain_std_s = gain_std(before, costs, problem, PolicySettings().compute_std_ratio)
    return Preview(
        plan=str(plan),
        latency_s=judged.latency_s,
        throughput_fps=judged.throughput_fps,
        energy_j=judged.energy_j,
        parts=_parts(costs),
        gain_s=gain_s,
        gain_std_s=gain_std_s,
        refusal=judged.refusal,
    )


def _parts(costs: Breakdown) -> tuple[LatencyPart, ...]:
    """In the order of a frame's way: what links take is one part, as in what is measured."""
    nodes = [LatencyPart(name=each.node, duration_s=each.queue_s + each.busy_s) for each in costs.stages]
    links_s = sum(link.transfer_s for link in costs.all_links)
    links = [LatencyPart(name="transfer", duration_s=links_s, is_transfer=True)] if costs.all_links else []
    return (*nodes[:1], *links, *nodes[1:])
