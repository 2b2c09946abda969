"""`seamline replay`: what a recorded stream decided, and whether the code of today would decide the same."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from seamline.cli.shared.options import JsonFlag

if TYPE_CHECKING:
    from seamline.core.session.record import Decision, Step

JSON_KEYS = {
    "replay": {
        "file": "the recording",
        "seconds": "from its first event to its last decision, by its own clock",
        "n_decisions": "how many decisions are compared",
        "n_different": "of these, how many come to another plan today",
        "decisions[].at_s": "when, seconds since the first event",
        "decisions[].about": "the event that was decided about",
        "decisions[].is_same": "whether the code of today comes to the same plan; words may differ",
        "decisions[].recorded.kind": "`keep`, `switch` (chosen), `begun` (being prepared), `done` (serving)",
        "decisions[].recorded.plan": "the plan it is about; null when the one in use was kept",
        "decisions[].recorded.reason": "why, in words and numbers",
        "decisions[].today.kind": "the same of the code of today; `today` is null where it decides nothing",
        "decisions[].today.plan": "its plan",
        "decisions[].today.reason": "its reason",
    }
}


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

    data = _report(file)
    if json:
        print_json(data)
    else:
        _print_report(data)


def _report(file: Path) -> dict[str, Any]:
    from seamline.core.session.record import replay as replayed
    from seamline.core.vocabulary.errors import ConfigError
    from seamline.runtime.origin.recording import read_recording

    first_s = _first_s(file)
    decisions = []
    try:
        decisions = [_decision(step, first_s) for step in replayed(read_recording(file))]
    except ConfigError as error:
        text = str(error).partition("; hint: ")[0]
        words = text if str(file) in text else f"{file}: {text}"
        raise ConfigError(words, hint=error.hint or "`seamline run --record FILE` writes recordings") from error
    return {
        "file": str(file),
        "seconds": decisions[-1]["at_s"] if decisions else 0.0,
        "n_decisions": len(decisions),
        "n_different": sum(not one["is_same"] for one in decisions),
        "decisions": decisions,
    }


def _first_s(file: Path) -> float:
    """Reading of the recorded clock at the first event; checked when it is replayed."""
    from itertools import islice

    from seamline.runtime.origin.recording import read_recording

    for line in islice(read_recording(file), 1, 2):
        at_s = line.get("at_s") if isinstance(line, Mapping) else None
        return float(at_s) if isinstance(at_s, int | float) else 0.0
    return 0.0


def _decision(step: Step, first_s: float) -> dict[str, Any]:
    return {
        "at_s": step.at_s - first_s,
        "about": type(step.event).__name__,
        "is_same": step.is_same,
        "recorded": _one(step.recorded),
        "today": _one(step.replayed),
    }


def _one(decision: Decision | None) -> dict[str, str | None] | None:
    from seamline.core.session import commands as cmd
    from seamline.core.session.record import plan_of, reason_of

    if decision is None:
        return None
    plan = plan_of(decision)
    kinds = {cmd.SwitchBegun: "begun", cmd.SwitchDone: "done"}
    kind = kinds.get(type(decision), "keep" if plan is None else "switch")
    return {"kind": kind, "plan": None if plan is None else str(plan), "reason": reason_of(decision)}


def _print_report(data: Mapping[str, Any]) -> None:
    """One row a decision; one that only repeats the row before is left out."""
    from seamline.cli.shared.output import data_console
    from seamline.cli.shared.tables import add_row, new_table

    table = new_table("time", "plan", "reason", "today", right=("time",))
    before: tuple[str, ...] = ()
    for one in data["decisions"]:
        recorded, today = one["recorded"], one["today"]
        is_repeated = one["is_same"] and recorded["kind"] == "begun"  # its choice stands in the row before
        cells = (*_cells(recorded), "same" if one["is_same"] else ": ".join(_cells(today)))
        if cells != before and not is_repeated:
            add_row(table, f"{one['at_s']:.3f} s", *cells)
        before = cells
    console = data_console()
    console.print(table)
    console.print(_summary(data), markup=False, soft_wrap=True)


def _cells(decision: Mapping[str, str | None] | None) -> tuple[str, str]:
    if decision is None:
        return "-", "nothing is decided"
    words = {"keep": "kept", "done": f"{decision['plan']} serves", "begun": f"{decision['plan']} is prepared"}
    return words.get(decision["kind"] or "", str(decision["plan"])), decision["reason"] or ""


def _summary(data: Mapping[str, Any]) -> str:
    n_decisions, n_different = data["n_decisions"], data["n_different"]
    if not n_different:
        return f"{n_decisions} decisions in {data['seconds']:.1f} s, all the same today"
    first_s = next(one["at_s"] for one in data["decisions"] if not one["is_same"])
    return (
        f"{n_decisions} decisions in {data['seconds']:.1f} s, {n_different} of them otherwise today, "
        f"the first at {first_s:.3f} s"
    )
