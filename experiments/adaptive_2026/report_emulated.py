"""The report's part about real processes: what was gained, the simulator beside it, and one round over time."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

from seamline.report.course import Course, course_figure, plans_table
from seamline.report.document import Parts, bullets, heading, table, text

BESIDE = ("local", "static_best", "static_at_start", "adaptive", "offload")


def emulated(found: Mapping[str, Any]) -> Parts:
    """Of the results' `emulated`."""
    parts = text(
        f"{found['model']} at {found['fps']:g} frames/s, {found['seconds']:.0f} s a run, codecs up to "
        f"{found['codecs']}; all policies at the same time, each on three processes of its own. Links are "
        "shaped and engines slowed on this computer; energy is modelled. Sending the frame (offload) is not allowed "
        "here, and measured all the same."
    )
    for objective, played in found["objectives"].items():
        parts += heading(f"{objective} as objective, n = {played['n_runs']}", 3) + _reductions(played)
        parts += _policies(played) + _phases(found["phases"], played) + _plot(found, objective, played)
        parts += heading("Why adaptive switched", 3) + bullets(played["policies"]["adaptive"]["reasons"][0])
    return parts


def _reductions(played: Mapping[str, Any]) -> Parts:
    rows = []
    for what in ("latency", "energy"):
        cells = [what]
        for name in ("start", "best", "local", "offload"):
            low, high = played[f"{what}_reduction_vs_{name}_spread"]
            cells.append(f"{played[f'{what}_reduction_vs_{name}']:.1%} [{low:.0%}, {high:.0%}]")
        rows.append(cells)
    return table(("adaptive lower", "vs start's plan", "vs best fixed", "vs local", "vs offload"), rows)


def _policies(played: Mapping[str, Any]) -> Parts:
    rows = []
    for name in BESIDE:
        each = played["policies"][name]
        low_s, high_s = each["latency_spread_s"]
        rows.append(
            (name, f"{1e3 * each['latency_s']:.0f} [{1e3 * low_s:.0f}, {1e3 * high_s:.0f}]",
             f"{1e3 * each['simulated_latency_s']:.0f} ({each['latency_apart_ratio']:+.0%})",
             f"{each['energy_j_per_frame']:.2f}",
             f"{each['simulated_energy_j_per_frame']:.2f} ({each['energy_apart_ratio']:+.0%})",
             f"{each['switches']:g}", str(each["simulated_switches"]), str(each["frames_counted"]),
             str(each["frames_completed_elsewhere"]), str(each["frames_lost"]))
        )  # fmt: skip
    head = ("policy", "emulated ms", "simulated ms", "emulated J", "simulated J", "switches", "simulated", "frames",
            "failed over", "lost")  # fmt: skip
    return table(head, rows)


def _phases(phases: Sequence[Mapping[str, Any]], played: Mapping[str, Any]) -> Parts:
    rows = [
        (phase["what"], f"{phase['at_s']:.0f} s",
         *(_milliseconds(played["policies"][name]["latency_s_by_phase"][at]) for name in BESIDE))
        for at, phase in enumerate(phases)
    ]  # fmt: skip
    return table(("emulated, ms", "from", *BESIDE), rows)


def _milliseconds(latency_s: float | None) -> str:
    return "-" if latency_s is None else f"{1e3 * latency_s:.0f}"


def _plot(found: Mapping[str, Any], objective: str, played: Mapping[str, Any]) -> Parts:
    """The first round."""
    timelines = played["timelines"]
    runs = [next(group) for _, group in itertools.groupby(timelines["adaptive"], key=lambda point: point[2])]
    course = Course(
        length_s=found["seconds"],
        latency_s={name: [(at_s, value) for at_s, value, _ in points] for name, points in timelines.items()},
        plans=[(at_s, plan) for at_s, _, plan in runs],
        scenes=[(change["at_s"], change["what"]) for change in found["changes"]],
    )
    return course_figure(course, f"timeline-{objective}") + plans_table(course)
