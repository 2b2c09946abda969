"""`seamline replay`: what a recorded stream decided, and whether the code of today would decide the same."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from seamline.cli.shared.options import JsonFlag
from seamline.core.vocabulary.documented import key_docs

if TYPE_CHECKING:
    from seamline.core.recording.record import Decision, Step


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedDecision:
    """What the stream decided."""

    kind: Annotated[str, "`keep`, `switch` (chosen), `begun` (being prepared), `done` (serving)"]
    plan: Annotated[str | None, "the plan it is about; null when the one in use was kept"]
    reason: Annotated[str, "why, in words and numbers"]


@dataclass(frozen=True, slots=True, kw_only=True)
class TodaysDecision:
    """What the code of today decides at that moment."""

    kind: Annotated[str, "the same of the code of today"]
    plan: Annotated[str | None, "its plan"]
    reason: Annotated[str, "its reason"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplayedDecision:
    """One decision, then and now."""

    at_s: Annotated[float, "when, seconds since the first event"]
    about: Annotated[str, "the event that was decided about"]
    is_same: Annotated[bool, "whether the code of today comes to the same plan; words may differ"]
    recorded: Annotated[RecordedDecision | None, "null where nothing was decided"]
    today: Annotated[TodaysDecision | None, "null where the code of today decides nothing"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplaySummary:
    """What `seamline replay --json` prints."""

    file: Annotated[str, "the recording"]
    seconds: Annotated[float, "from its first event to its last decision, by its own clock"]
    n_decisions: Annotated[int, "how many decisions are compared"]
    n_different: Annotated[int, "of these, how many come to another plan today"]
    decisions: tuple[ReplayedDecision, ...]


Kind = TypeVar("Kind", RecordedDecision, TodaysDecision)

JSON_KEYS = {"replay": partial(key_docs, ReplaySummary)}


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
    from seamline.core.recording.record import replay as replay_lines
    from seamline.core.vocabulary.errors import ConfigError
    from seamline.runtime.origin.recording import read_recording

    try:
        decisions = tuple(map(_decision, replay_lines(read_recording(file))))
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


def _decision(step: Step) -> ReplayedDecision:
    return ReplayedDecision(
        at_s=step.elapsed_s,
        about=type(step.event).__name__,
        is_same=step.is_same,
        recorded=_one(step.recorded, RecordedDecision),
        today=_one(step.replayed, TodaysDecision),
    )


def _one(decision: Decision | None, make: type[Kind]) -> Kind | None:
    from seamline.core.recording.record import plan_of, reason_of
    from seamline.core.session import commands as cmd

    if decision is None:
        return None
    plan = plan_of(decision)
    kinds = {cmd.SwitchBegun: "begun", cmd.SwitchDone: "done"}
    kind = kinds.get(type(decision), "keep" if plan is None else "switch")
    return make(kind=kind, plan=None if plan is None else str(plan), reason=reason_of(decision))


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
