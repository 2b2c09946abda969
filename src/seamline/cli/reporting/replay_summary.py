"""Summary of a replay: every decision of a recording beside the one of today's code."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, TypeVar

from seamline.core.recording.record import Decision, Step, plan_of, reason_of
from seamline.core.session import commands as cmd


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


def replayed_decision(step: Step) -> ReplayedDecision:
    return ReplayedDecision(
        at_s=step.elapsed_s,
        about=type(step.event).__name__,
        is_same=step.is_same,
        recorded=_one(step.recorded, RecordedDecision),
        today=_one(step.replayed, TodaysDecision),
    )


def _one(decision: Decision | None, make: type[Kind]) -> Kind | None:
    if decision is None:
        return None
    plan = plan_of(decision)
    kinds = {cmd.SwitchBegun: "begun", cmd.SwitchDone: "done"}
    kind = kinds.get(type(decision), "keep" if plan is None else "switch")
    return make(kind=kind, plan=None if plan is None else str(plan), reason=reason_of(decision))
