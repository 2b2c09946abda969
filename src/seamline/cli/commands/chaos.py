"""`seamline chaos`: faults by seed against real processes, and what became of the frames."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated

import typer

from seamline.cli.shared.options import JsonFlag
from seamline.cli.shared.output import TERMINAL, print_result, progress_console
from seamline.cli.shared.tables import add_row, new_table
from seamline.core.vocabulary.documented import key_docs
from seamline.core.vocabulary.errors import UsageError
from seamline.core.vocabulary.quantities import ABSENT, bytes_text, seconds_text

if TYPE_CHECKING:
    from rich.console import RenderableType

    from seamline.runtime.chaos.faults import FaultKind
    from seamline.runtime.chaos.summary import ChaosSummary, FaultFigures


def _keys() -> Mapping[str, str]:
    from seamline.runtime.chaos.summary import ChaosSummary

    return key_docs(ChaosSummary)


JSON_KEYS = {"chaos": _keys}


def register(app: typer.Typer) -> None:
    app.command(name="chaos")(chaos)


def chaos(
    seed: Annotated[int, typer.Option("--seed", metavar="N", help="Faults, models and pictures follow from it.")] = 1,
    minutes: Annotated[
        float, typer.Option("--minutes", metavar="M", min=0.0, max=1e6, help="After so long no new fault begins.")
    ] = 2.0,
    only: Annotated[
        str | None, typer.Option("--only", metavar="KINDS", help="Faults of these kinds only: kill,freeze.")
    ] = None,
    lease: Annotated[
        float | None,
        typer.Option("--lease", metavar="S", min=0.1, max=3600.0, help="Silence after which a node is lost."),
    ] = None,
    json: JsonFlag = False,
) -> None:
    """Run two streams over three nodes on this machine, let processes and links fail, and check every answer.

    Exit code 1 when an accepted frame was lost, doubled, out of order, failed or answered otherwise than by the unsplit
    model, a process crashed or did not end, or the streams were not back on their best plan after the last fault.
    """
    from seamline.core.vocabulary.ports import LEASE_S
    from seamline.runtime.chaos.run import ChaosRequest, run_chaos

    kinds, said = _kinds(only), progress_console().print
    with TERMINAL.working(f"two streams, three nodes, faults of seed {seed}"):
        summary = run_chaos(ChaosRequest(seed=seed, minutes=minutes, kinds=kinds, lease_s=lease or LEASE_S, said=said))
    print_result(summary, as_json=json, words=lambda: _words(summary))
    if not summary.passed:
        raise typer.Exit(1)


def _kinds(only: str | None) -> tuple[FaultKind, ...]:
    from seamline.runtime.chaos.faults import FaultKind

    if only is None:
        return tuple(FaultKind)
    try:
        return tuple(FaultKind(word.strip()) for word in only.split(","))
    except ValueError as exc:
        raise UsageError(f"`{only}` has {exc}".replace("FaultKind", "kind"), hint=", ".join(FaultKind)) from None


def _words(summary: ChaosSummary) -> RenderableType:
    from rich.console import Group

    table = new_table(
        "fault", "times", "frames", "gap p50", "gap p99", "lost", "recovered in, p50", "longest", "not in time",
        right=("times", "frames", "gap p50", "gap p99", "lost", "recovered in, p50", "longest", "not in time"),
    )  # fmt: skip
    for each in summary.faults:
        add_row(table, *_row(each))
    lines = [
        f"stream of {each.model}, at the end {each.plan}: "
        f"{each.frames.accepted} frames accepted, {each.frames.answered} answered, "
        f"{each.frames.lost} lost, {each.frames.completed_elsewhere} failed over, "
        f"{each.frames.dropped_before_acceptance} dropped before acceptance; {each.switches} switches; "
        f"largest deviation {each.largest_deviation:.1g}"
        for each in summary.streams
    ]
    before, after = summary.before, summary.after
    lines.append(
        f"origin: {before.threads} threads before, {after.threads} after; {before.files} and {after.files} open files; "
        f"{bytes_text(before.rss_bytes)} and {bytes_text(after.rss_bytes)} of memory"
    )
    lines += [f"not tried: {each}" for each in summary.skipped]
    lines += [f"wrong: {each}" for each in summary.complaints]
    verdict = "nothing wrong" if summary.passed else f"{len(summary.complaints)} things wrong"
    lines.append(f"seed {summary.seed}: {verdict} (load {summary.load:.1f} on {summary.cores} cores)")
    return Group(table, *lines)


def _row(each: FaultFigures) -> tuple[str, ...]:
    return (
        each.kind,
        str(each.times),
        str(each.frames),
        seconds_text(each.gap_p50_s),
        seconds_text(each.gap_p99_s),
        str(each.lost),
        ABSENT if each.recovered_p50_s is None else seconds_text(each.recovered_p50_s),
        ABSENT if each.recovered_max_s is None else seconds_text(each.recovered_max_s),
        str(each.unrecovered),
    )
