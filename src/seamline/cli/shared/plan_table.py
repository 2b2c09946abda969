"""Report of a plan as text and tables: what it costs, where the time goes, and its alternatives. Pure functions."""

from __future__ import annotations

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from seamline.cli.shared.plan_summary import Costs, Parts, PlanSummary
from seamline.cli.shared.tables import add_row, new_table
from seamline.core.vocabulary.quantities import ABSENT, bytes_text, energy_text, seconds_text


def plan_report(summary: PlanSummary) -> RenderableType:
    """The whole report."""
    lines: list[RenderableType] = [Text(f"{summary.model}: {summary.plan.text}", style="bold")]
    lines.append(Text(_costs_text(summary.costs)))
    if any(joules is not None for joules in summary.energy_nodes_j.values()):
        drawn = ", ".join(f"{node} {energy_text(joules)}" for node, joules in summary.energy_nodes_j.items())
        counted = "" if summary.energy_scope == "all" else f"; {summary.energy_scope} counts"
        lines.append(Text(f"drawn (modelled): {drawn}{counted}"))
    if summary.refusal is not None:
        lines.append(Text(f"may not be used: {summary.refusal}", style="red"))
    if summary.best is not None:
        lines.append(Text(f"best: {summary.best.text}   {_costs_text(summary.best.costs)}"))
    for each in summary.front or ():
        lines.append(Text(f"non-dominated: {each.plan}   {_costs_text(each.costs)}"))
    lines += [Text(), _parts_table(summary.parts), Text(), _alternatives_table(summary), Text(), Text(summary.why)]
    return Group(*lines)


def _costs_text(costs: Costs) -> str:
    joules = ABSENT if costs.energy_j is None else f"{energy_text(costs.energy_j)} (modelled)"
    return f"{seconds_text(costs.latency_s)}, {costs.throughput_fps:.1f} frames/s, {joules} a frame"


def _parts_table(parts: Parts) -> Table:
    table = new_table("part", "what", "time", "bytes", right=("time", "bytes"))
    links = [*parts.links, *([parts.answer] if parts.answer else [])]
    for number, stage in enumerate(parts.stages):
        segment = f"{stage.node}[{stage.start}:{stage.stop}]"
        for what, duration_s in (
            ("wait", stage.queue_s),
            ("decode", stage.decode_s),
            ("compute", stage.compute_s),
            ("encode", stage.encode_s),
        ):
            if duration_s > 0.0 or what == "compute":
                add_row(table, segment, what, seconds_text(duration_s), ABSENT)
        if number < len(links):
            link = links[number]
            name, time = f"{link.source} > {link.target}", seconds_text(link.transfer_s)
            add_row(table, name, link.codec or "answer", time, bytes_text(link.payload_bytes))
    return table


def _alternatives_table(summary: PlanSummary) -> Table:
    table = new_table("kind", "latency", "frames/s", "modelled", "plan", right=("latency", "frames/s", "modelled"))
    for alternative in summary.alternatives:
        if alternative.plan is None:
            add_row(table, alternative.name, ABSENT, ABSENT, ABSENT, alternative.refusal or "")
            continue
        rate, joules = f"{alternative.costs.throughput_fps:.1f}", energy_text(alternative.costs.energy_j)
        words = alternative.plan + ("" if alternative.refusal is None else f" ({alternative.refusal})")
        add_row(table, alternative.name, seconds_text(alternative.costs.latency_s), rate, joules, words)
    return table
