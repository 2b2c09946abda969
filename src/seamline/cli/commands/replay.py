"""`seamline replay`: what a recorded stream decided, and whether the code of today would decide the same."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from seamline.cli.shared.options import JsonFlag
from seamline.core.vocabulary.documented import key_docs

if TYPE_CHECKING:
    from seamline.cli.reporting.replay_summary import RecordedDecision, ReplaySummary, TodaysDecision


def _keys() -> Mapping[str, str]:
    from seamline.cli.reporting.replay_summary import ReplaySummary

    return key_docs(ReplaySummary)


JSON_KEYS = {"replay": _keys}


def register(app: typer.Typer) -> None:
    app.command("replay")(replay)


def replay(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="What `seamline run --record FILE` has written.")],
    json: JsonFlag = False,
) -> None:
    """Decide again what a recorded stream decided, and say where the code of today decides otherwise.

    The recording is a run's events without pixels: reports of nodes and links, times of frames, requests. It shows why
    each plan was chosen, and after an update whether it still would be. Once a decision differs, the events after it
    are those of the recorded one, so that later differences may follow from the first.
    """
    from seamline.cli.shared.output import print_json

    summary = _replayed(file)
    if json:
        print_json(summary)
    else:
        _print(summary)


def _replayed(file: Path) -> ReplaySummary:
    from seamline.cli.reporting.replay_summary import ReplaySummary, replayed_decision
    from seamline.core.recording.record import replay as replay_lines
    from seamline.core.vocabulary.errors import ConfigError
    from seamline.runtime.origin.recording import read_recording

    try:
        decisions = tuple(map(replayed_decision, replay_lines(read_recording(file))))
    except ConfigError as error:
        words = error.message if str(file) in error.message else f"{file}: {error.message}"
        raise ConfigError(words, hint=error.hint or "`seamline run --record FILE` writes recordings") from error
    return ReplaySummary(
        file=str(file),
        seconds=decisions[-1].at_s if decisions else 0.0,
        n_decisions=len(decisions),
        n_different=sum(not one.is_same for one in decisions),
        decisions=decisions,
    )


def _print(summary: ReplaySummary) -> None:
    """One row a decision; one that only repeats the row before is left out."""
    from seamline.cli.shared.output import data_console
    from seamline.cli.shared.tables import add_row, new_table

    table = new_table("time", "plan", "reason", "today", right=("time",))
    before: tuple[str, ...] = ()
    for one in summary.decisions:
        cells = (*_cells(one.recorded), "same" if one.is_same else ": ".join(_cells(one.today)))
        is_said = one.is_same and one.recorded is not None and one.recorded.kind == "begun"  # by the choice before it
        if cells != before and not is_said:
            add_row(table, f"{one.at_s:.3f} s", *cells)
        before = cells
    console = data_console()
    console.print(table)
    console.print(_last_line(summary), soft_wrap=True)


def _cells(decision: RecordedDecision | TodaysDecision | None) -> tuple[str, str]:
    if decision is None:
        return "-", "nothing is decided"
    words = {"keep": "kept", "done": f"{decision.plan} serves", "begun": f"{decision.plan} is prepared"}
    return words.get(decision.kind, str(decision.plan)), decision.reason


def _last_line(summary: ReplaySummary) -> str:
    words = f"{summary.n_decisions} decisions in {summary.seconds:.1f} s"
    if not summary.n_different:
        return f"{words}, all the same today"
    first_s = next(one.at_s for one in summary.decisions if not one.is_same)
    return f"{words}, {summary.n_different} of them otherwise today, the first at {first_s:.3f} s"
