"""Course of a run: latency, links and plans through time, its plans by letter, its switches with their reasons."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from seamline.core.vocabulary.quantities import seconds_text
from seamline.report.document import Parts, Value, bullets, heading, numbers, plot, table
from seamline.report.lines import Panel, Points, Timeline, timeline_figure

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"


@dataclass(frozen=True, slots=True, kw_only=True)
class SwitchRow:
    """One switch, with what is known of its course."""

    at_s: float
    from_plan: str
    to_plan: str
    reason: str
    prepare_s: float | None = None
    gap_s: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Course:
    """A run through time. plans: (from when, plan). scenes: (from when, name). link_bps: by link."""

    length_s: float
    latency_s: Mapping[str, Points]
    plans: Sequence[tuple[float, str]] = ()
    switches: Sequence[SwitchRow] = ()
    scenes: Sequence[tuple[float, str]] = ()
    link_bps: Mapping[str, Points] | None = None


def letter(place: int) -> str:
    """Of the plan at `place` from 0: A, B, ... Z, A2, ..."""
    return LETTERS[place % 26] + (str(place // 26 + 1) if place >= 26 else "")


def letters_of(plans: Iterable[str]) -> dict[str, str]:
    """A letter for every plan in the order of their coming."""
    return {plan: letter(at) for at, plan in enumerate(dict.fromkeys(plans))}


def course_parts(course: Course) -> Parts:
    """The run through time, and its switches with their reasons."""
    letters = letters_of(plan for _, plan in course.plans)
    parts = heading("Through time") + course_figure(course) + plans_table(course)
    return parts + _switches_table(course.switches, letters)


def course_figure(course: Course, name: str = "timeline") -> Parts:
    """The run through time. name: of its numbers."""
    letters = letters_of(plan for _, plan in course.plans)
    panels = [Panel(label="latency (ms)", lines=_scaled(course.latency_s, 1e3), is_log=_is_wide(course.latency_s))]
    if course.link_bps:
        links = _scaled(course.link_bps, 1e-6)
        panels.append(Panel(label="links (Mbit/s)", lines=links, steps=True, is_log=_is_wide(links)))
    figure = timeline_figure(
        Timeline(
            length_s=course.length_s,
            panels=[panel for panel in panels if panel.lines],
            plans=[(at_s, letters[plan]) for at_s, plan in course.plans],
            marks=[(each.at_s, str(number)) for number, each in enumerate(course.switches, start=1)],
            scenes=course.scenes,
        )
    )
    rows: list[tuple[Value, ...]] = [
        (series, at_s, value) for series, points in course.latency_s.items() for at_s, value in points
    ]
    for link, points in (course.link_bps or {}).items():
        rows += [(f"link {link}", at_s, value) for at_s, value in points]
    shown = "Latency of every frame by the moment it was accepted" if course.latency_s else "The plan in use"
    switches = "; numbered lines are switches" if course.switches else ""
    plans = "; the strip is the plan in use" if course.plans and course.latency_s else ""
    head = ("series", "at_s", "seconds_or_bits_per_second")
    return plot(figure, f"{shown}{switches}{plans}.", numbers(name, head, rows))


def plans_table(course: Course) -> Parts:
    """Every plan of the strip by its letter, and for how long it was in use."""
    letters = letters_of(plan for _, plan in course.plans)
    used: dict[str, float] = {}
    for (at_s, plan), (end_s, _) in pairwise([*course.plans, (course.length_s, "")]):
        used[plan] = used.get(plan, 0.0) + max(0.0, end_s - at_s)
    rows = [(letters[plan], plan, f"{seconds:.1f} s") for plan, seconds in used.items()]
    return table(("plan", "which nodes run which layers", "in use"), rows)


def _scaled(lines: Mapping[str, Points], by: float) -> dict[str, Points]:
    return {name: [(at_s, by * value) for at_s, value in points] for name, points in lines.items() if points}


def _is_wide(lines: Mapping[str, Points]) -> bool:
    values = [value for points in lines.values() for _, value in points if value > 0.0]
    return bool(values) and max(values) > 12 * min(values)


def _switches_table(switches: Sequence[SwitchRow], letters: Mapping[str, str]) -> Parts:
    if not switches:
        return bullets(["The plan did not change."])
    rows = (
        (
            str(number),
            f"{each.at_s:.2f} s",
            letters.get(each.from_plan, each.from_plan),
            letters.get(each.to_plan, each.to_plan),
            seconds_text(each.prepare_s),
            seconds_text(each.gap_s),
            each.reason,
        )
        for number, each in enumerate(switches, start=1)
    )
    return heading("Switches and their reasons", 3) + table(
        ("", "at", "from", "to", "prepared in", "gap", "reason"), rows, "switches"
    )
