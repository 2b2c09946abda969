"""Models, plans and testbeds as tables, and the house style that all tables share. Pure functions of values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from seamline.core.vocabulary.quantities import (
    ABSENT,
    bytes_text,
    energy_text,
    macs_text,
    rate_text,
    ratio_text,
    seconds_text,
)

if TYPE_CHECKING:
    from seamline.cli.shared.plan_summary import Costs, Parts, Pays, PlanSummary
    from seamline.config import ChangeSpec, LifeSpec, LoadSpec, SceneSpec, Testbed
    from seamline.core.vocabulary.profiles import Cut, Profile, TensorSpec
    from seamline.meters.profile_check import SegmentCheck
    from seamline.model.engine.verify import CutCheck


def new_table(*columns: str, title: str | None = None, right: Sequence[str] = ()) -> Table:
    """An empty table of the house style: no lines but one, long cells folded, numbers to the right.

    A number that does not fit ends in an ellipsis, so that nobody reads part of one.
    """
    table = Table(
        title=None if title is None else Text(title),
        title_justify="left",
        caption_justify="left",
        box=box.SIMPLE_HEAD,
        show_edge=False,
        pad_edge=False,
        collapse_padding=True,
    )
    for name in columns:
        is_number = name in right
        table.add_column(
            name,
            justify="right" if is_number else "left",
            no_wrap=is_number,
            overflow="ellipsis" if is_number else "fold",
        )
    return table


def add_row(table: Table, *cells: str) -> None:
    """Add `cells` as they are: names of layers and nodes may look like rich's markup, ``relu[final]``."""
    table.add_row(*map(Text, cells))


def cut_table(title: str, cuts: Sequence[Cut], macs: int, *, is_narrow: bool = False) -> Table:
    """The table of `seamline inspect`: a star marks cuts the planner considers, ``!`` where the input crosses.

    is_narrow: leave out what fits no terminal of 40 columns, the crossing tensors and the work behind the cut.
    """
    names = ("cut", "", "after", "bytes", "MACs before", "crossing", "MACs behind")
    n_shown = 5 if is_narrow else len(names)
    table = new_table(
        *names[:n_shown],
        title=f"{title}: {len(cuts)} cuts, {macs_text(macs)} MACs",
        right=("cut", "bytes", "MACs before", "MACs behind"),
    )
    for cut in cuts:
        cells = (
            str(cut.index),
            ("*" if cut.is_candidate else "") + ("!" if cut.carries_input else ""),
            cut.after,
            bytes_text(cut.payload_bytes),
            macs_text(cut.macs_before),
            "\n".join(_tensor_text(tensor) for tensor in cut.tensors) or ABSENT,
            macs_text(macs - cut.macs_before),
        )
        add_row(table, *cells[:n_shown])
    table.caption = "* considered when planning   ! the model input itself crosses"
    return table


def verify_report(
    title: str,
    checks: Sequence[CutCheck],
    failed: Sequence[CutCheck],
    after: Mapping[int, str],
    tolerance: float,
    elapsed_s: float,
) -> RenderableType:
    """What `seamline verify` found: one line when all is well, else a table of the cuts that deviate."""
    ran = [check for check in checks if check.error is None]
    worst = max(ran, key=lambda check: check.max_relative_error, default=None)
    equal = sum(check.bit_equal for check in ran)
    text = f"{title}: {len(checks)} cuts in {seconds_text(elapsed_s)}, {equal} bit-equal"
    if worst is not None and worst.max_relative_error > 0.0:
        text += f", largest deviation {ratio_text(worst.max_relative_error)} at cut {worst.cut}"
    if not failed:
        return Text(f"{text}; all within {ratio_text(tolerance)}")
    table = new_table("cut", "after", "deviation", "error", right=("cut", "deviation"))
    for check in failed:
        deviation = ABSENT if check.error is not None else ratio_text(check.max_relative_error)
        add_row(table, str(check.cut), after[check.cut], deviation, check.error or "beyond the tolerance")
    return Group(Text(f"{text}; {len(failed)} FAILED (tolerance {ratio_text(tolerance)})", style="bold red"), table)


def profile_report(profile: Profile, checks: Sequence[SegmentCheck], elapsed_s: float) -> RenderableType:
    """What `seamline profile` measured: every block with what cutting behind it adds, and the errors when checked."""
    device, whole = profile.device, seconds_text(profile.whole_s.median)
    table = new_table(
        "block",
        "after",
        "median",
        "p90",
        "cut adds",
        "bytes",
        title=f"{profile.model.name}: {whole} on {device.cpu}, threads: {device.threads}",
        right=("median", "p90", "cut adds", "bytes"),
    )
    overheads_s = {each.cut: each.overhead_s for each in profile.boundaries}
    for block in profile.blocks:
        cut = profile.cuts[block.to_cut]
        times = block.compute_s
        added = ABSENT if cut is profile.cuts[-1] else seconds_text(overheads_s.get(cut.index, 0.0))
        size = bytes_text(cut.payload_bytes)
        name = f"[{block.from_cut}:{block.to_cut}]"
        add_row(table, name, cut.after, seconds_text(times.median), seconds_text(times.p90), added, size)
    table.caption = f"measured in {seconds_text(elapsed_s)}; a segment pays half of what each of its inner cuts adds"
    return Group(table, Text(), _check_table(checks)) if checks else table


def _check_table(checks: Sequence[SegmentCheck]) -> Table:
    from seamline.meters.profile_check import error_quantiles

    median, p90 = error_quantiles(checks)
    title = f"{len(checks)} random segments: error {median:.1%} in the median, {p90:.1%} at the 90th percentile"
    table = new_table(
        "segment", "predicted", "measured", "error", title=title, right=("predicted", "measured", "error")
    )
    for each in checks:
        times = (seconds_text(each.predicted_s), seconds_text(each.measured_s))
        add_row(table, str(each.segment), *times, f"{each.error_ratio:+.1%}")
    return table


def plan_report(summary: PlanSummary) -> RenderableType:
    """What `seamline plan` found: what the plan costs, where the time goes, and its alternatives."""
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
    lines += [Text(_pays_words(pays)) for pays in summary.pays]
    return Group(*lines)


def _pays_words(pays: Pays) -> str:
    """From which link speed on splitting pays, and from which it is beaten, in a sentence."""
    if pays.split_bps is None:
        words = f"splitting with `{pays.node}` pays at no link speed"
    else:
        words = f"splitting with `{pays.node}` pays from {rate_text(pays.split_bps)} on ({pays.split})"
    if pays.whole_bps is not None:
        words += f", sending the frame whole from {rate_text(pays.whole_bps)} on"
    if pays.beaten_bps is not None and pays.split_bps is not None:
        words += f", which beats every split from {rate_text(max(pays.beaten_bps, pays.whole_bps or 0.0))} on"
    return words


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


def zoo_table(rows: Sequence[tuple[str, str, bool]]) -> Table:
    """Name, description and whether it is built, for every model of the zoo."""
    table = new_table("name", "description", "built")
    for name, description, is_cached in rows:
        add_row(table, name, description, "yes" if is_cached else "on demand")
    return table


def testbed_tables(testbed: Testbed) -> RenderableType:
    """Nodes, links and changes of a testbed, one below the other."""
    names = ("node", "tier", "slowdown of", "slowdown", "threads")
    nodes = new_table(*names, title=testbed.name, right=names[3:])
    for node in testbed.nodes:
        machine = node.machine or "this computer"
        add_row(nodes, node.name, node.tier, machine, f"{node.slowdown:g}x", str(node.threads or "all"))
    links = new_table("link", "rate", "one-way delay", "loss", right=("rate", "one-way delay", "loss"))
    for link in testbed.links:
        jitter = f" +- {seconds_text(link.jitter_s)}" if link.jitter_s else ""
        rate = str(link.trace) if link.trace is not None else rate_text(link.rate_bps) if link.rate_bps else "unshaped"
        add_row(links, link.name, rate, seconds_text(link.delay_s) + jitter, f"{link.loss_ratio:.1%}")
    changes = new_table("change at", "link", "rate", "one-way delay", "loss", right=("rate", "one-way delay", "loss"))
    for change in testbed.changes:
        loss = ABSENT if change.loss_ratio is None else f"{change.loss_ratio:.1%}"
        values = rate_text(change.rate_bps), seconds_text(change.delay_s), loss
        add_row(changes, _when(change), "-".join(change.between), *values)
    loads = new_table("change at", "node", "slowdown", right=("slowdown",))
    for load in testbed.loads:
        add_row(loads, _when(load), load.node, f"{load.slowdown:g}x")
    lives = new_table("change at", "node", "")
    for life in testbed.lives:
        add_row(lives, _when(life), life.node, "starts again" if life.up else "is killed")
    scenes = new_table("from", "scene")
    for scene in testbed.scenes:
        add_row(scenes, _when(scene), scene.name)
    tables = [table for table in (nodes, links, changes, loads, lives, scenes) if table.row_count]
    return Group(*(part for table in tables for part in (table, Text())))


def _when(change: ChangeSpec | LoadSpec | LifeSpec | SceneSpec) -> str:
    return f"{change.at_ratio:.0%} of the run" if change.at_ratio is not None else f"{change.at_s:g} s"


def _tensor_text(tensor: TensorSpec) -> str:
    if tensor.is_local and not tensor.shape:
        return f"{tensor.name} {tensor.dtype}"
    extents = "x".join(str(extent) for extent in tensor.shape) or "scalar"
    if tensor.is_open:
        extents = f"{extents} or more"
    return f"{tensor.name} {tensor.dtype}[{extents}]"
