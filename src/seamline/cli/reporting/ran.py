"""Chapters about runs that printed JSON: one stream, and a demo's policies in their scenes."""

from __future__ import annotations

from collections.abc import Mapping

from seamline.cli.demo.story import OFFLOAD, TITLES
from seamline.cli.demo.summary import DemoSummary
from seamline.cli.reporting.chapter import Chapter, latency_parts
from seamline.cli.reporting.costs import energy_parts
from seamline.cli.reporting.facts import fact_table, provenance_parts
from seamline.core.vocabulary.documented import copied
from seamline.core.vocabulary.quantities import seconds_text
from seamline.report.course import Course, SwitchRow, course_parts
from seamline.report.document import Parts, bullets, heading, table
from seamline.runtime.origin.summary import RunSummary


def run_chapter(found: RunSummary) -> Chapter:
    """Of `seamline run --json`: no times of single frames, so the distribution, plans and switches."""
    length_s = max((each.at_s for each in found.plan_timeline), default=0.0) + 1.0
    latencies = {"this run": found.latency_percentiles_s}
    parts = fact_table(_counts(found)) + heading("Latency") + latency_parts(latencies)
    parts += course_parts(_course(found, length_s)) if found.switches else ()
    parts += _energy(found)
    return Chapter("A stream", parts + provenance_parts(found.made_by, {}), latencies)


def demo_chapter(found: DemoSummary) -> Chapter:
    """Of `seamline demo --json`: a scenario, and what every policy made of it."""
    adaptive = found.adaptive
    latencies = {_title(key, found): sorted(value for _, value in given) for key, given in found.answers.items()}
    scenes = [(each.from_s, each.name) for each in found.scenes]
    course = Course(
        length_s=found.seconds,
        latency_s={_title(key, found): sorted(given) for key, given in found.answers.items()},
        plans=[(max(0.0, each.at_s), each.plan) for each in adaptive.plan_timeline],
        switches=_switches(adaptive),
        scenes=scenes if len(scenes) > 1 else (),
    )
    parts = table(
        ("scene", *(_title(key, found) for key in found.answers)),
        ((scene.name, *(seconds_text(scene.mean_s(key)) for key in found.answers)) for scene in found.scenes),
        "scenes",
    )
    parts += bullets([f"Mean latency of the frames that came in each scene. {_lost(adaptive)}"])
    parts += course_parts(course) + heading("Latency") + latency_parts(latencies) + _energy(adaptive)
    parts += heading("What was done to the testbed") + table(
        ("at", "what"), ((f"{each.at_s:.2f} s", each.what) for each in found.scene_changes)
    )
    parts += heading("Machines") + table(
        ("node", "imitates", "slowdown", "whole model"),
        (
            (n, each.machine or "-", f"{each.slowdown:.2f}", seconds_text(each.model_s))
            for n, each in found.machines.items()
        ),
    )
    facts = {"model": found.model, "testbed": found.testbed, "seconds": found.seconds, "frames/s": found.fps,
             "private cuts": found.private, "codecs": found.allowed_codecs}  # fmt: skip
    return Chapter(
        f"{found.model} on the testbed {found.testbed}", parts + provenance_parts(adaptive.made_by, facts), latencies
    )


def _title(key: str, found: DemoSummary) -> str:
    words = TITLES.get(key, key)
    return f"{words} (not allowed)" if key == OFFLOAD and found.private > 0 else words


def _counts(found: RunSummary) -> Mapping[str, object]:
    frames, latency = found.frames, found.latency_s
    return {
        "frames accepted, answered, lost": f"{frames.accepted}, {frames.answered}, {frames.lost}",
        "dropped before acceptance": frames.dropped_before_acceptance,
        "completed elsewhere": frames.completed_elsewhere,
        "latency: mean, median, p95": ", ".join(map(seconds_text, (latency.mean, latency.p50, latency.p95))),
        "longest gap": seconds_text(found.longest_gap_s),
        "switches": len(found.switches),
    }


def _lost(found: RunSummary) -> str:
    frames = found.frames
    return f"Adaptive: {frames.answered} of {frames.accepted} accepted frames answered, {len(found.switches)} switches."


def _course(found: RunSummary, length_s: float) -> Course:
    return Course(
        length_s=length_s,
        latency_s={},
        plans=[(max(0.0, each.at_s), each.plan) for each in found.plan_timeline],
        switches=_switches(found),
    )


def _switches(found: RunSummary) -> tuple[SwitchRow, ...]:
    return tuple(copied(SwitchRow, each) for each in found.switches)


def _energy(found: RunSummary) -> Parts:
    nodes = found.energy.nodes
    sources = "; ".join(f"{name}: {each.source}, {each.scope}" for name, each in nodes.items())
    drawn = {"this run": {name: each.j_per_frame for name, each in nodes.items()}} if nodes else {}
    shown = energy_parts(
        drawn, f"All that each node drew while frames flowed, by answered frame, idling included ({sources})."
    )
    return heading("Energy by node") + shown if shown else ()
