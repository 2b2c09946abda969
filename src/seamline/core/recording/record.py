"""Recording of a session: events and decisions of its pilot as plain values, and their replay by the code of today.

A recording is a header, and then what happened in the order in which it did. Values only: no pixels, no answers.

    {"schema": "seamline.session/2", "session": {"kind": "SessionSpec", ...}}
    {"at_s": 12.5, "event": {"kind": "LinkEstimated", ...}}             what the pilot heard, at its clock's reading
    {"at_s": 12.5, "decision": {"kind": "Decided", "plan": ..., ...}}   what it decided about that: none, one or more

Reading and writing files is the caller's. `replay` builds a pilot from the header, hands it the same events at the same
times, and compares. A pilot reads no clock and draws no numbers, so the same code decides the same; where another one
decides otherwise, the events after it are those of the recorded decision, and what follows may differ for that reason.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, get_args

from seamline.core.adaptation.policy import Policy
from seamline.core.cost.problem import EnergyScope
from seamline.core.recording.plain import Plainly
from seamline.core.recording.provenance import Provenance
from seamline.core.session import commands as cmd
from seamline.core.session import events as ev
from seamline.core.session.pilot import Decide, Pilot
from seamline.core.session.spec import SessionSpec
from seamline.core.switching.named import strategy_named
from seamline.core.vocabulary.constraints import Constraints
from seamline.core.vocabulary.errors import ConfigError, SeamlineError
from seamline.core.vocabulary.nodes import NodeId
from seamline.core.vocabulary.objectives import Goal
from seamline.core.vocabulary.plans import Plan

SCHEMA = "seamline.session/2"

Decision = cmd.Decided | cmd.SwitchBegun | cmd.SwitchDone
"""What is compared. A plan that is kept, one that is asked for, and one that has come into service."""

DECISIONS = frozenset(get_args(Decision))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Header:
    """`SessionSpec` in values that can be written down: the strategy by its name."""

    origin: NodeId
    others: tuple[NodeId, ...]
    local: Plan
    objective: Goal
    constraints: Constraints
    policy: Policy
    energy_scope: EnergyScope
    strategy: str
    answer_bytes: int | None = None


PLAINLY = Plainly((_Header, Provenance, *ev.PILOT_EVENTS, *DECISIONS))


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One decision of a recording beside what the code of today decides at that moment; None where it decides nothing.

    at_s: reading of the recorded clock; elapsed_s: since the first event. event: what was decided about.
    """

    at_s: float
    elapsed_s: float
    event: ev.PilotEvent
    recorded: Decision | None
    replayed: Decision | None

    @property
    def is_same(self) -> bool:
        """Whether both come to the same plan; words and predictions may differ between versions."""
        return (
            self.recorded is not None
            and type(self.recorded) is type(self.replayed)
            and plan_of(self.recorded) == plan_of(self.replayed)
        )


@dataclass(slots=True)
class Call:
    """One call of the recorded pilot."""

    at_s: float
    event: ev.PilotEvent
    decisions: list[Decision]


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """A recording: of which session, made by whom, and what its pilot was handed."""

    spec: SessionSpec
    made_by: Provenance | None
    calls: Iterator[Call]


def to_plain(event: ev.PilotEvent) -> dict[str, Any]:
    """`event` as an object that JSON can say; the answer to a frame is left out."""
    return PLAINLY.tagged(event)


def from_plain(plain: object) -> ev.PilotEvent:
    """The event in such an object. Raises `ConfigError` saying what is wrong with it."""
    event: ev.PilotEvent = PLAINLY.untagged(plain)
    if type(event) not in ev.PILOT_EVENTS:
        raise ConfigError(f"{type(event).__name__} is no event")
    return event


def header(spec: SessionSpec, made_by: Provenance) -> dict[str, Any]:
    """The first line of a recording."""
    named = _Header(
        origin=spec.origin,
        others=spec.others,
        local=spec.local,
        objective=spec.objective,
        constraints=spec.constraints,
        policy=spec.policy,
        energy_scope=spec.energy_scope,
        strategy=spec.strategy.name,
        answer_bytes=spec.answer_bytes,
    )
    made_by_plain = PLAINLY.plain(made_by, Provenance)
    return {"schema": SCHEMA, "made_by": made_by_plain, "session": PLAINLY.plain(named, _Header)}


def provenance_of(line: object) -> Provenance | None:
    """Who made the recording that begins with `line`; None where it does not say, as older ones do not."""
    plain = line.get("made_by") if isinstance(line, Mapping) else None
    found: Provenance | None = None if plain is None else PLAINLY.value(plain, Provenance)
    return found


def spec_of(line: object) -> SessionSpec:
    """Session specification of a recording, from its first line. Raises `ConfigError`."""
    schema = line.get("schema") if isinstance(line, Mapping) else None
    if not isinstance(line, Mapping) or schema != SCHEMA:
        raise ConfigError(f"`schema` is {schema!r}", hint=f'this version reads "{SCHEMA}", as `run --record` writes it')
    known: _Header = PLAINLY.value(line.get("session"), _Header)
    return SessionSpec(
        origin=known.origin,
        others=known.others,
        local=known.local,
        objective=known.objective,
        constraints=known.constraints,
        policy=known.policy,
        energy_scope=known.energy_scope,
        strategy=strategy_named(known.strategy),
        answer_bytes=known.answer_bytes,
    )


def lines_of(event: ev.PilotEvent, now_s: float, outputs: Iterable[cmd.PilotOutput]) -> Iterator[dict[str, Any]]:
    """The lines about one call of a pilot: what it was handed, and what of its outputs are decisions."""
    at_s = PLAINLY.plain(now_s, float)
    yield {"at_s": at_s, "event": to_plain(event)}
    for output in outputs:
        if type(output) in DECISIONS:
            yield {"at_s": at_s, "decision": PLAINLY.tagged(output)}


def replay(lines: Iterable[object], decides: Decide | None = None) -> Iterator[Step]:
    """Every decision of a recording beside that of today's code. decides: as the pilot that was recorded had it.

    Raises `ConfigError` naming the line that cannot be.
    """
    recording = read(lines)
    pilot = Pilot(recording.spec, decides)
    first_s: float | None = None
    for call in recording.calls:
        first_s = call.at_s if first_s is None else first_s
        outputs = pilot.handle(call.event, call.at_s)
        yield from steps(call, outputs, first_s)


def steps(call: Call, outputs: Iterable[cmd.PilotOutput], first_s: float) -> Iterator[Step]:
    """The decisions of a recorded call beside those among `outputs` of another pilot. first_s: when the run began."""
    decisions = [output for output in outputs if isinstance(output, Decision)]
    for recorded, replayed in itertools.zip_longest(call.decisions, decisions):
        yield Step(
            at_s=call.at_s,
            elapsed_s=call.at_s - first_s,
            event=call.event,
            recorded=recorded,
            replayed=replayed,
        )


def read(lines: Iterable[object]) -> Recorded:
    """A recording, its calls read as they are asked for. Raises `ConfigError` naming the line that cannot be."""
    numbered = enumerate(lines, start=1)
    with_number = next(numbered, None)
    if with_number is None:
        raise ConfigError("the recording is empty", hint="`run --record` writes one")
    spec = _at_line(1, spec_of, with_number[1])
    made_by = _at_line(1, provenance_of, with_number[1])
    return Recorded(spec=spec, made_by=made_by, calls=_calls(numbered))


def plan_of(decision: Decision | None) -> Plan | None:
    """The plan that a decision is about; None when it keeps the one in use."""
    match decision:
        case cmd.SwitchDone(record=record):
            return record.to_plan
        case cmd.Decided(plan) | cmd.SwitchBegun(plan=plan):
            return plan
        case None:
            return None


def reason_of(decision: Decision | None) -> str:
    """Why, in the words of whoever decided; empty when nothing was."""
    match decision:
        case cmd.SwitchDone(record=record):
            return record.reason
        case cmd.Decided(reason=reason) | cmd.SwitchBegun(reason=reason):
            return reason
        case None:
            return ""


def _calls(numbered: Iterable[tuple[int, object]]) -> Iterator[Call]:
    """Events with the decisions that follow them."""
    call: Call | None = None
    for number, line in numbered:
        at_s, found = _at_line(number, _read_line, line)
        if type(found) in DECISIONS:
            if call is None:
                raise ConfigError(f"line {number}: a decision about nothing", hint="is the beginning missing?")
            call.decisions.append(found)
            continue
        if call is not None:
            yield call
        call = Call(at_s, found, [])
    if call is not None:
        yield call


def _read_line(line: object) -> tuple[float, Any]:
    if not isinstance(line, Mapping) or len(line.keys() & {"event", "decision"}) != 1:
        raise ConfigError("neither an event nor a decision")
    at_s: float = PLAINLY.value(line.get("at_s"), float)
    if "event" in line:
        return at_s, from_plain(line["event"])
    decision = PLAINLY.untagged(line["decision"])
    if type(decision) not in DECISIONS:
        raise ConfigError(f"{type(decision).__name__} is no decision")
    return at_s, decision


def _at_line(number: int, read: Any, line: object) -> Any:
    """Result of `read` on a line, whose number its errors name."""
    try:
        return read(line)
    except SeamlineError as error:
        raise ConfigError(f"line {number}: {str(error).partition('; hint: ')[0]}", hint=error.hint) from error
