"""What plans cost: every cut between two nodes, the Pareto front, and joules by node."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from seamline.core.vocabulary.quantities import energy_text, milliseconds, seconds_text
from seamline.report.bars import stacked_figure
from seamline.report.course import letter
from seamline.report.document import Parts, Value, numbers, plot, table
from seamline.report.points import Point, front_figure
from seamline.runtime.lab.sweep_figure import sweep_figure
from seamline.runtime.lab.sweep_summary import SweepSummary


@dataclass(frozen=True, slots=True, kw_only=True)
class Costed:
    """A plan and what it costs; energy_j None where it is not known."""

    plan: str
    latency_s: float
    throughput_fps: float
    energy_j: float | None


def cuts_parts(swept: SweepSummary) -> Parts:
    """The figure of every cut, and its numbers."""
    rows: list[tuple[Value, ...]] = [
        (
            link.text, cut.cut, cut.after, cut.origin_s, cut.transfer_s, cut.target_s, cut.latency_s,
            cut.boundary_bytes, cut.sent_bytes, None if cut.measured_s is None else cut.measured_s.median,
        )
        for link in swept.links
        for cut in link.cuts
    ]  # fmt: skip
    head = ("link", "cut", "after", "origin_s", "transfer_s", "target_s", "latency_s", "boundary_bytes", "sent_bytes",
            "measured_median_s")  # fmt: skip
    caption = (
        f"What a frame takes at every cut between {swept.origin} and {swept.target}, from profiles (modelled)"
        + ("; points: measured, median and range." if any(row[-1] is not None for row in rows) else ".")
        + " Marked: the best of those that are allowed. Below: what crosses the cut."
    )
    return plot(sweep_figure(swept), caption, numbers(f"cuts-{swept.target}", head, rows))


def best_cuts_table(swept: SweepSummary) -> Parts:
    rows = []
    for link in swept.links:
        best = link.cuts[link.best_cut]
        rows.append((link.text, link.best_plan, best.after, milliseconds(best.latency_s),
                     milliseconds(link.cuts[-1].latency_s), milliseconds(link.cuts[0].latency_s)))  # fmt: skip
    head = ("link", "best plan", "cut after", "takes", f"all on {swept.origin}", f"all on {swept.target}")
    return table(head, rows)


def front_parts(plans: Sequence[Costed]) -> Parts:
    """Plans that no other beats in latency, throughput and energy; drawn by latency and energy where that is known."""
    if not plans:
        return ()
    has_energy = all(each.energy_j is not None for each in plans)
    letters = [letter(place).lower() for place in range(len(plans))]
    points = [
        Point(label=name, x=1e3 * each.latency_s, y=(each.energy_j or 0.0) if has_energy else each.throughput_fps)
        for name, each in zip(letters, plans, strict=True)
    ]
    y_label = "energy (J per frame, modelled)" if has_energy else "throughput (frames/s)"
    rows = [
        (name, each.plan, seconds_text(each.latency_s), f"{each.throughput_fps:.1f} /s", energy_text(each.energy_j))
        for name, each in zip(letters, plans, strict=True)
    ]
    values: list[tuple[Value, ...]] = [
        (each.plan, each.latency_s, each.throughput_fps, each.energy_j) for each in plans
    ]
    caption = (
        f"Pareto front of {len(plans)} plans (modelled), by latency and {'energy' if has_energy else 'throughput'}; "
        "hollow points are better than the others in the third respect only."
    )
    head = ("plan", "latency_s", "throughput_fps", "energy_j")
    figure = front_figure(points, "latency (ms)", y_label, is_more_y_better=not has_energy)
    parts = plot(figure, caption, numbers("front", head, values))
    return parts + table(("", "plan", "latency", "throughput", "energy"), rows)


def energy_parts(by_node: Mapping[str, Mapping[str, float]], caption: str, name: str = "energy") -> Parts:
    """Joules of a frame by node, one bar for each key; nothing where nothing is known."""
    known = {key: drawn for key, drawn in by_node.items() if drawn}
    if not known:
        return ()
    nodes = list(dict.fromkeys(node for drawn in known.values() for node in drawn))
    parts = {node: [drawn.get(node, 0.0) for drawn in known.values()] for node in nodes}
    rows: list[tuple[Value, ...]] = [
        (key, node, joules) for key, drawn in known.items() for node, joules in drawn.items()
    ]
    figure = stacked_figure(list(known), parts, "joules per frame")
    return plot(figure, caption, numbers(name, ("of", "node", "joules"), rows))
