"""Frames of one stream: the lock around `core.session.ledger`, and what it commands.

Whichever thread brings an event runs the ledger and carries out what follows: a frame begins, an answer is put where
the user takes it. The rules are the ledger's; here are the lock, the clock, tensors and joules.
"""

from __future__ import annotations

import logging
import math
import queue
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

from seamline.core.cost.problem import EnergyScope
from seamline.core.hosting.compute_queue import MOST_LEFT_S
from seamline.core.session import commands as cmd
from seamline.core.session import events as ev
from seamline.core.session.events import Route
from seamline.core.session.frame_counts import FrameCounts
from seamline.core.session.ledger import Ledger, Output
from seamline.core.session.stories import Step
from seamline.core.vocabulary.complaints import quoted
from seamline.core.vocabulary.nodes import NodeId
from seamline.core.vocabulary.ports import Array, Tensors
from seamline.core.vocabulary.stamps import FrameStamp
from seamline.fabric import messages as msg
from seamline.fabric.peer_log import PeerLog
from seamline.runtime.node.node import Node
from seamline.runtime.origin.answer_check import AnswerCheck
from seamline.runtime.origin.answer_reading import AnswerReading
from seamline.runtime.origin.audit import Auditor
from seamline.runtime.origin.results import Result
from seamline.runtime.origin.seen import Seen
from seamline.runtime.shared.bounds import bounded_report
from seamline.runtime.shared.clock import now_s

log = logging.getLogger(__name__)


Settle = Callable[[Result], None]


class _Reduced(dict[str, Array]):
    """What was read of a frame's outputs elsewhere, in place of these."""


@dataclass(frozen=True, slots=True)
class _Offered:
    """What the ledger keeps of a frame: what its first stage takes, where it came from, and what is seen of it.

    settle: takes its answer as soon as there is one, in place of whoever takes answers in order.
    """

    tensors: Tensors
    stamp: FrameStamp | None
    seen: Seen | None
    settle: Settle | None = None


@dataclass(frozen=True, slots=True)
class _Auditable:
    """An answered frame, with what its first stage took."""

    tensors: Tensors
    result: Result


@dataclass(frozen=True, slots=True)
class _Settled:
    """An answered frame whose giver waits for it alone."""

    settle: Settle
    result: Result


_Later = cmd.RunFrame | cmd.CancelFrame | cmd.Say | ev.ToPilot | Result | _Auditable | _Settled


class StreamFrames:
    """Owner of the ledger of one stream; every method is safe from any thread.

    to_pilot: takes what the ledger says to the pilot. answered: hears of every first answer, in any order. check: of
    the outputs that other nodes send. reading: what they read of these first, unless `sends_outputs`. auditor: sees
    what goes into frames and what comes out, in any order. priority: of its frames on every node. results: answers in
    order of acceptance, for the user to take.
    """

    def __init__(
        self,
        node: Node,
        stream: str,
        model_id: str,
        ledger: Ledger,
        *,
        to_pilot: Callable[[ev.ToPilot], None],
        answered: Callable[[Result], None],
        check: AnswerCheck,
        reading: AnswerReading | None = None,
        auditor: Auditor | None = None,
        priority: int = 0,
    ) -> None:
        self.stream = stream
        self._priority = priority
        self._node = node
        self._model_id = model_id
        self._ledger = ledger
        self._to_pilot = to_pilot
        self._answered = answered
        self._check = check
        self._reading = reading
        self.sends_outputs = False
        self._auditor = auditor
        self._peer_log = PeerLog(log)
        self._n_strange = 0
        self._room = threading.Condition(threading.Lock())
        self._finished: dict[int, Result | None] = {}  # first answers that wait for those before them; None: settled
        self._unanswered: dict[int, _Offered] = {}
        self.energy_scope = EnergyScope.ALL
        self.results: queue.SimpleQueue[Result] = queue.SimpleQueue()

    # -- the door ------------------------------------------------------------------------------------------------------

    def handle(self, event: ev.FrameEvent) -> None:
        """Let the ledger take `event`, and carry out what it commands."""
        with self._room:
            later = self._carry_out_locked(self._ledger.handle(event, now_s()))
            self._room.notify_all()
        self._carry_out(later)

    def offer(self, tensors: Tensors, stamp: FrameStamp | None = None, seen: Seen | None = None) -> None:
        """A live frame: accepted when there is room, else kept as the newest, replacing an older one (dropped)."""
        self.handle(ev.FrameOffered(_Offered(tensors, stamp, seen)))

    def put(
        self,
        tensors: Tensors,
        stamp: FrameStamp | None = None,
        seen: Seen | None = None,
        *,
        timeout_s: float | None = None,
        settle: Settle | None = None,
    ) -> bool:
        """A frame that must not be dropped: waits for room; False when there was none in time. settle: see `_Offered`;
        called on whichever thread brings the answer."""
        with self._room:
            if not self._has_room_locked(timeout_s):
                return False
            event = ev.FrameOffered(_Offered(tensors, stamp, seen, settle), is_live=False)
            later = self._carry_out_locked(self._ledger.handle(event, now_s()))
        self._carry_out(later)
        return True

    def wait_room(self, timeout_s: float) -> bool:
        """Whether there is room for another frame within `timeout_s`."""
        with self._room:
            return self._has_room_locked(timeout_s)

    def _has_room_locked(self, timeout_s: float | None) -> bool:
        until_s = math.inf if timeout_s is None else now_s() + timeout_s
        while (room_in_s := self._ledger.room_in_s(now_s())) > 0.0:
            if (left_s := until_s - now_s()) <= 0.0:
                return False
            wait_s = min(room_in_s, left_s)
            self._room.wait(None if wait_s == math.inf else wait_s)
        return True

    def answer(self, source: NodeId, result: msg.ResultData, outputs: dict[str, Array]) -> None:
        """An answer has arrived, the first to its frame or not. From elsewhere only outputs of this model are taken."""
        if source == self._node.name:
            self._check.learn(outputs)
            reports = result.reports
        elif (fault := self._fault(result, outputs)) is not None:
            self.strange(source, "an answer", fault)
            return
        else:
            reports = tuple(bounded_report(report) for report in result.reports)
        answer = _Reduced(outputs) if result.is_read else outputs
        self.handle(ev.AnswerArrived(result.frame, result.attempt, result.generation, source, answer, reports))

    def _fault(self, result: msg.ResultData, outputs: dict[str, Array]) -> str | None:
        """What shows that an answer from elsewhere cannot be one."""
        if not result.is_read:
            return self._check.fault(outputs)
        return "nobody asked to have outputs read" if self._reading is None else self._reading.fault(outputs)

    def strange(self, source: NodeId, what: str, why: str) -> None:
        """Count and drop a message of `source` that cannot be right."""
        with self._room:
            self._n_strange += 1
        self._peer_log.warn(source, f"{what} of `{quoted(source, 40)}` was dropped: {why}")

    def take(self, timeout_s: float) -> Result | None:
        """The next answer in order; None when there was none in time."""
        try:
            result = self.results.get(timeout=timeout_s)
        except queue.Empty:
            return None
        self.handle(ev.AnswerTaken())
        return result

    # -- to look at ----------------------------------------------------------------------------------------------------

    @property
    def route(self) -> Route:
        """What new frames follow."""
        return self._ledger.route

    @property
    def due_s(self) -> float:
        """When a frame is overdue next."""
        with self._room:
            return self._ledger.due_s

    def counts(self) -> FrameCounts:
        with self._room:
            counts = self._ledger.counts
            return replace(counts, strange_answers=counts.strange_answers + self._n_strange)

    def n_in_flight(self) -> int:
        """Frames on their way."""
        with self._room:
            return self._ledger.n_in_flight()

    def story(self, frame: int) -> tuple[Step, ...]:
        """The life of one frame, for debugging."""
        with self._room:
            return self._ledger.story(frame)

    def wait_idle(self, timeout_s: float) -> bool:
        """Whether every accepted frame was answered within `timeout_s`."""
        with self._room:
            return self._room.wait_for(lambda: self._ledger.is_empty, timeout_s)

    # -- commands ------------------------------------------------------------------------------------------------------

    def _carry_out_locked(self, commands: list[Output]) -> list[_Later]:
        """Results are made and delivered under the lock, which keeps them in order; returns what is left to do."""
        later: list[_Later] = []
        for command in commands:
            match command:
                case cmd.Deliver(frame):
                    if (due := self._finished.pop(frame)) is not None:
                        self.results.put(due)
                    else:
                        later += self._carry_out_locked(self._ledger.handle(ev.AnswerTaken(), now_s()))
                case ev.FrameFinished():
                    offered = self._unanswered.pop(command.frame, None)
                    result = self._result_of(command, offered)
                    settle = None if offered is None else offered.settle
                    self._finished[command.frame] = result if settle is None else None
                    if settle is not None:
                        later.append(_Settled(settle, result))
                    if self._auditor is not None and offered is not None:
                        later.append(_Auditable(offered.tensors, result))
                    later += (replace(result, picture=None), command)  # who counts answers keeps them for seconds
                case cmd.RunFrame(frame, 0, _, offered):
                    assert isinstance(offered, _Offered)
                    self._unanswered[frame] = offered
                    later.append(command)
                case _:
                    later.append(command)
        return later

    def _carry_out(self, commands: list[_Later]) -> None:
        for command in commands:
            match command:
                case cmd.RunFrame():
                    self._begin(command)
                case cmd.CancelFrame(frame, nodes):
                    for node in nodes:
                        self._node.uplink.send_best_effort(node, msg.CancelFrame(self.stream, frame))
                case _Auditable(tensors, result):
                    if self._auditor is not None:
                        self._auditor.answered(result.plan, tensors, result.outputs)
                case _Settled(settle, result):
                    settle(result)
                case Result():
                    self._answered(command)
                    if (tracer := self._node.frames.tracer) is not None:
                        tracer.finish(self.stream, command.frame, command.plan, command.n_attempts, command.error)
                case cmd.Say(level, words):
                    log.log(logging.getLevelNamesMapping()[level.upper()], words)
                case _:
                    self._to_pilot(command)

    def _begin(self, run: cmd.RunFrame) -> None:
        plan, offered = run.route.plan, run.tensors
        assert isinstance(offered, _Offered)
        tracer = self._node.frames.tracer
        header = msg.FrameData(
            stream=self.stream,
            frame=run.frame,
            attempt=run.attempt,
            generation=run.route.generation,
            model_id=self._model_id,
            plan=str(plan),
            stage=0,
            seq=0,
            encoding=b"",
            reports=(),
            head=None if self._reading is None or self.sends_outputs or plan.is_local else self._reading.ask,
            traceparent="" if tracer is None else tracer.begin(self.stream, run.frame, run.attempt, plan),
            left_s=min(run.route.wanted_s, MOST_LEFT_S),
            priority=self._priority,
        )
        claim = partial(self._claim, run.frame, run.attempt)
        self._node.frames.begin(header, plan, offered.tensors, urgent=run.is_urgent, claim=claim)

    def _claim(self, frame: int, attempt: int) -> bool:
        """Whether to run the first stage of an attempt, whose turn has come; without the lock, as nearly always."""
        if self._ledger.is_wanted(frame):
            return True
        self.handle(ev.AttemptDropped(frame, attempt))
        return False

    def _result_of(self, finished: ev.FrameFinished, offered: _Offered | None) -> Result:
        seen = None if offered is None else offered.seen
        answer = finished.answer if isinstance(finished.answer, dict) else {}
        is_read = isinstance(answer, _Reduced)
        reports = tuple(report for report in finished.reports if isinstance(report, msg.StageReport))
        answer_bytes = sum(output.nbytes for output in answer.values()) if len(reports) > 1 else 0
        energy = self._node.energy.frame(
            reports, finished.latency_s, answer_bytes, origin=finished.plan.origin, scope=self.energy_scope
        )
        return Result(
            frame=finished.frame,
            outputs={} if is_read else answer,
            reduced=dict(answer) if is_read else None,
            latency_s=finished.latency_s,
            accepted_s=finished.accepted_s,
            plan=finished.plan,
            generation=finished.generation,
            reports=reports,
            n_attempts=finished.n_attempts,
            error=finished.error,
            energy_j=None if energy is None else energy.energy_j,
            energy_source=None if energy is None else energy.source,
            stamp=None if offered is None else offered.stamp,
            transform=None if seen is None else seen.transform,
            picture=None if seen is None else seen.picture,
        )
