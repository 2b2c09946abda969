"""Chapter about a recorded run: frames, plans, switches and links through time, decisions, and what could be."""

from __future__ import annotations

import statistics
from collections.abc import Mapping

from seamline.cli.reporting.chapter import Chapter, latency_parts
from seamline.cli.reporting.costs import Costed, cuts_parts, energy_parts, front_parts
from seamline.cli.reporting.facts import fact_table, provenance_parts
from seamline.cli.reporting.replay_summary import replayed_decision
from seamline.cli.reporting.replayed import replay_parts
from seamline.core.analysis.energy_by_node import joules_by_node
from seamline.core.analysis.pareto import front
from seamline.core.cost.problem import Problem
from seamline.core.recording.history import History
from seamline.core.session.events import FrameFinished
from seamline.core.vocabulary.documented import copied
from seamline.core.vocabulary.errors import PlanError
from seamline.core.vocabulary.plans import Codec, Plan
from seamline.core.vocabulary.quantities import rate_text, seconds_text
from seamline.report.bars import stacked_figure
from seamline.report.course import Course, SwitchRow, course_parts
from seamline.report.document import Parts, heading, numbers, plot, table, text
from seamline.runtime.lab.sweep_summary import sweep_summary

MOST_PLANS = 8
"""Of the plans in use, so many are broken down, those with the most frames."""

VISIBLE_RATIO = 0.004
"""Parts that are less of the longest bar are in the numbers only."""


def recording_chapter(found: History, name: str) -> Chapter:
    """All that a recording shows. name: of the run, in comparisons."""
    latencies = {name: sorted(each.latency_s for each in found.frames if each.error is None)}
    course = _course(found)
    parts = fact_table(_counts(found)) + course_parts(course)
    parts += heading("Latency") + latency_parts(latencies) + _by_plan(found)
    parts += _what_it_could_be(found.problem)
    seconds = found.ended_s - found.started_s
    parts += heading("Decided again") + replay_parts([replayed_decision(step) for step in found.steps], seconds)
    parts += _machines(found)
    spec = found.recorded.spec
    facts = {
        "origin": spec.origin,
        "over": ", ".join(spec.others),
        "objective": spec.objective,
        "policy": type(spec.policy).__name__,
        "private cuts": spec.constraints.n_private_cuts,
        "codecs": ", ".join(spec.constraints.codecs),
        "strategy": spec.strategy.name,
    }
    return Chapter(f"Recorded run {name}", parts + provenance_parts(found.recorded.made_by, facts), latencies)


def _counts(found: History) -> Mapping[str, object]:
    answered = [each.latency_s for each in found.frames if each.error is None]
    return {
        "frames answered": f"{len(answered)}, {len(found.frames) - len(answered)} of them with an error",
        "run again elsewhere": sum(each.n_attempts > 1 for each in found.frames),
        "seconds": f"{found.ended_s - found.started_s:.1f}",
        "latency": _mean_and_median(answered) if answered else None,
        "switches": len(found.switches),
    }


def _mean_and_median(latencies_s: list[float]) -> str:
    return f"{seconds_text(statistics.fmean(latencies_s))} mean, {seconds_text(statistics.median(latencies_s))} median"


def _course(found: History) -> Course:
    start_s = found.started_s
    frames = sorted(found.frames, key=lambda each: each.accepted_s)
    plans: list[tuple[float, str]] = []
    for each in frames:  # the first attempt's plan is not recorded, so a frame that was run again tells nothing
        if each.n_attempts == 1 and (not plans or plans[-1][1] != str(each.plan)):
            plans.append((each.accepted_s - start_s, str(each.plan)))
    return Course(
        length_s=max(found.ended_s - start_s, 1e-3),
        latency_s={"latency": [(each.accepted_s - start_s, each.latency_s) for each in frames if each.error is None]},
        plans=[(0.0, plans[0][1]), *plans[1:]] if plans else (),
        switches=tuple(
            SwitchRow(
                at_s=max(0.0, each.at_s - start_s),
                from_plan=str(each.from_plan),
                to_plan=str(each.to_plan),
                reason=each.reason,
                prepare_s=each.prepare_s,
            )
            for each in found.switches
        ),
        link_bps={
            f"{source} to {target}": [(max(0.0, at_s - start_s), bps) for at_s, bps in news]
            for (source, target), news in found.links.items()
            if any(bps > 0.0 for _, bps in news)
        },
    )


def _by_plan(found: History) -> Parts:
    """Mean latency of the plans in use, by part: computing and waiting on each node, and what is left, the links."""
    by_plan: dict[str, list[FrameFinished]] = {}
    for each in found.frames:
        if each.error is None and each.n_attempts == 1:
            by_plan.setdefault(str(each.plan), []).append(each)
    if not by_plan:
        return ()
    shown = dict(sorted(by_plan.items(), key=lambda item: -len(item[1]))[:MOST_PLANS])
    spent = {plan: _mean_parts(frames) for plan, frames in shown.items()}
    worth_s = VISIBLE_RATIO * max(sum(parts.values()) for parts in spent.values())
    names = dict.fromkeys(name for parts in spent.values() for name, seconds in parts.items() if seconds > worth_s)
    names = dict.fromkeys([*(name for name in names if name != "links"), "links"])
    parts = {name: [1e3 * each.get(name, 0.0) for each in spent.values()] for name in names}
    labels = [f"{plan}  (n {len(shown[plan])})" for plan in spent]
    rows = [(plan, name, seconds) for plan, each in spent.items() for name, seconds in each.items()]
    caption = "Mean latency by plan and part, measured: waiting and computing on each node; links: all that is left."
    values = numbers("by-plan", ("plan", "part", "seconds"), rows)
    return heading("By plan") + plot(stacked_figure(labels, parts, "ms"), caption, values)


def _mean_parts(frames: list[FrameFinished]) -> Mapping[str, float]:
    sums: dict[str, float] = {}
    for each in frames:
        rest = each.latency_s
        for report in each.reports:
            for name, seconds in (
                (f"{report.node} computes", report.compute_s),
                (f"{report.node} waits", report.queue_s),
            ):
                sums[name] = sums.get(name, 0.0) + seconds
                rest -= seconds
        sums["links"] = sums.get("links", 0.0) + max(0.0, rest)
    return {name: total / len(frames) for name, total in sums.items()}


def _what_it_could_be(problem: Problem | None) -> Parts:
    """Every cut to each other node, the Pareto front, and joules by node: as last known while most nodes were there."""
    if problem is None:
        return ()
    parts = heading("What could be chosen") + text(
        "By the profiles, links and loads that were known last while most nodes were there (modelled)."
    )
    model = problem.profiles[problem.origin].model.name
    for target in problem.profiles:
        link = problem.links.get((problem.origin, target))
        if target == problem.origin or link is None or link.goodput_bps <= 0.0:
            continue
        words = (
            f"{problem.origin} to {target}: {rate_text(link.goodput_bps)}, {seconds_text(link.rtt_s)} there and back"
        )
        parts += cuts_parts(sweep_summary(model, (problem.origin, target), Codec.RAW, [(words, problem, {})]))
    try:
        plans = front(problem)
    except PlanError as error:
        return parts + text(f"No Pareto front: {error}")
    costed = [copied(Costed, each, plan=str(each.plan)) for each in plans]
    parts += heading("Pareto front") + front_parts(costed)
    drawn = {str(each.plan): _known(each.plan, problem) for each in plans[:MOST_PLANS] if each.plan is not None}
    energy = energy_parts(drawn, "Joules of one frame by node, above idle, for plans of the front (modelled).")
    return parts + (heading("Energy by node") + energy if energy else ())


def _known(plan: Plan, problem: Problem) -> Mapping[str, float]:
    return {node: joules for node, joules in joules_by_node(plan, problem).items() if joules is not None}


def _machines(found: History) -> Parts:
    rows = []
    for node, profile in found.profiles.items():
        device = profile.device
        power = "-" if device.busy_w is None else f"{device.idle_w or 0.0:g} to {device.busy_w:g} W"
        whole = seconds_text(profile.whole_s.median)
        tier = found.tiers.get(node, "origin" if node == found.recorded.spec.origin else "-")
        rows.append((node, tier, device.cpu, str(device.threads), device.engine, whole, power))
    head = ("node", "tier", "processor", "threads", "engine", "whole model", "power")
    return heading("Machines") + table(head, rows, "machines")
