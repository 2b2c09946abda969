"""Controller of one stream: the thread that runs `core.session.pilot`, and what it commands.

Other threads only put events into its inbox. It hands over all that waits, ticks the pilot when something is due, and
sleeps until then; figures of frames and links that come all the time wait for the next look. Every rule is the pilot's;
here are the thread, the clock, requests to nodes and futures.
"""

from __future__ import annotations

import itertools
import logging
import threading
from collections import deque
from collections.abc import Callable, Mapping
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import Any, TypeVar, assert_never

from seamline.core.adaptation.view import View
from seamline.core.cost.loads import SegmentLoad, StageLoad
from seamline.core.cost.problem import EnergyScope
from seamline.core.link.report import report_from
from seamline.core.session import commands as cmd
from seamline.core.session import events as ev
from seamline.core.session.ledger import MIN_DEADLINE_S
from seamline.core.session.pilot import DECISION_INTERVAL_S, Pilot
from seamline.core.vocabulary.errors import Infeasible, SeamlineError, SwitchError
from seamline.core.vocabulary.links import LinkEstimate
from seamline.core.vocabulary.nodes import NodeId, Tier
from seamline.core.vocabulary.objectives import Goal
from seamline.core.vocabulary.plans import Plan, Segment
from seamline.core.vocabulary.profiles import Profile
from seamline.fabric import messages as msg
from seamline.runtime.node.node import Node
from seamline.runtime.origin.frames import StreamFrames
from seamline.runtime.origin.record import Recorder
from seamline.runtime.origin.recording import Recording
from seamline.runtime.shared.clock import now_s

log = logging.getLogger(__name__)

LOOK_S = MIN_DEADLINE_S
"""The longest sleep: no frame that begins while the thread sleeps is overdue sooner. All else that may be due sooner
comes with an event."""

FIGURES_S = 0.05
"""While figures of frames come all the time, they are taken together this often and wake nobody."""

FIRST_ROUTE_TIMEOUT_S = 60.0
_Answer = TypeVar("_Answer")


class Controller:
    """Owner of a stream's pilot; `start` blocks until the first plan serves. `frames` is set before `start`."""

    def __init__(
        self, node: Node, pilot: Pilot, recorder: Recorder, *, others: tuple[NodeId, ...], stream: str, model_id: str,
        profile_budget_s: float, recording: Recording | None = None,
    ) -> None:  # fmt: skip
        self._node = node
        self._pilot = pilot
        self._recorder = recorder
        self._recording = recording
        self._others = frozenset(others)
        self._stream, self._model_id, self._profile_budget_s = stream, model_id, profile_budget_s
        self._inbox: deque[ev.PilotEvent | None] = deque()
        self._is_called = threading.Event()
        self._is_flowing = False
        self._inline: deque[ev.PilotEvent] = deque()
        self._numbers = itertools.count(1)
        self._asking = threading.Lock()
        self._asked: dict[int, Future[Any]] = {}
        self._sent_before_bytes: dict[int, int] = {}
        self._switched: tuple[cmd.SwitchRecord, cmd.SwitchRecord] | None = None
        self._failure: SeamlineError | None = None
        self._closed = False
        self._serving = threading.Event()
        self._memory_s = -DECISION_INTERVAL_S
        self._thread = threading.Thread(target=self._run, name=f"control-{stream}", daemon=True)
        self.frames: StreamFrames | None = None
        self.last_reason = "starting"
        self.predicted_s: float | None = None

    # -- told by others, on their threads ------------------------------------------------------------------------------

    def post(self, event: ev.PilotEvent) -> None:
        """Let the pilot take `event` soon; at once, in order, when the pilot's own commands brought it about."""
        if threading.get_ident() == self._thread.ident:  # without making an object of a thread that is Zenoh's
            self._inline.append(event)
            return
        self._inbox.append(event)
        if not (self._is_flowing and _can_wait(event)):
            self._is_called.set()

    def know(self, profiles: Mapping[NodeId, Profile]) -> None:
        """What the model costs on some nodes. Before `Node.listen`: one without a profile is asked when it shows."""
        for name, profile in profiles.items():
            self.post(ev.ProfileKnown(name, profile))

    def status(self, name: NodeId, status: msg.Status) -> None:
        """Another node has said how it fares."""
        if name in self._others:
            self.post(_status_of(name, status))

    def start(self) -> None:
        """Choose the first plan and make it serve. Raises `Infeasible` when none is allowed."""
        self.post(ev.Begin())
        self._thread.start()
        self._serving.wait(FIRST_ROUTE_TIMEOUT_S)
        if self._failure is not None:
            raise self._failure
        if not self._serving.is_set():
            raise Infeasible(f"no plan came into service: {self.last_reason}")

    def close(self) -> None:
        """End the thread, after releasing what was prepared; whoever still waits for an answer is told."""
        with self._asking:
            self._closed = True
        if self._thread.is_alive():
            self._inbox.extend((ev.StopAsked(), None))
            self._is_called.set()
            self._thread.join(timeout=0.5)
        if self._recording is not None:
            self._recording.close()
        for number in tuple(self._asked):  # asked before the thread began, or while it hung
            self._settle(number, SwitchError("the stream has ended"))

    # -- by hand -------------------------------------------------------------------------------------------------------

    def switch(self, plan: Plan, strategy: str | None, reason: str) -> Future[cmd.SwitchRecord]:
        """Move to `plan` and pin it. Settles with the record when it serves, with `SwitchError` when it will not."""
        return self._ask(lambda number: ev.SwitchAsked(number, plan, strategy, reason))

    def unpin(self, strategy: str | None) -> Future[cmd.SwitchRecord]:
        """Let the policy decide again that was there before plans were given by hand; settles at once."""
        return self._ask(lambda number: ev.UnpinAsked(number, strategy))

    def set_objective(self, objective: Goal) -> Future[Goal]:
        """Judge plans by `objective` from now on. Settles with the one before, or with `UsageError`: no figures."""
        return self._ask(lambda number: ev.ObjectiveAsked(number, objective))

    def set_energy_scope(self, scope: EnergyScope) -> Future[EnergyScope]:
        """Count joules as `scope` says from now on. Settles with the one before, or with `UsageError`: no such node."""
        return self._ask(lambda number: ev.EnergyScopeAsked(number, scope))

    def avoid(self, nodes: tuple[NodeId, ...]) -> Future[tuple[NodeId, ...]]:
        """Let `nodes` run nothing from now on. Settles with those before, or with `UsageError`: no other node."""
        return self._ask(lambda number: ev.AvoidAsked(number, nodes))

    def stand_by(self, plan: Plan) -> None:
        """Keep `plan` ready beside the one that serves, where the strategy does so."""
        self.post(ev.StandbyAsked(plan))

    def _ask(self, event_of: Callable[[int], ev.PilotEvent]) -> Future[_Answer]:
        """Post a request; its future is settled by the pilot, or with `SwitchError` after the end."""
        answer: Future[_Answer] = Future()
        with self._asking:
            if not self._closed:
                number = next(self._numbers)
                self._asked[number] = answer
                self.post(event_of(number))
                return answer
        answer.set_exception(SwitchError("the stream has ended"))
        return answer

    def _settle(self, number: int, outcome: object) -> None:
        answer = self._asked.pop(number, None)
        if answer is None:
            return
        with suppress(InvalidStateError):  # it was cancelled by whoever asked
            if isinstance(outcome, Exception):
                answer.set_exception(outcome)
            else:
                answer.set_result(outcome)

    # -- to look at ----------------------------------------------------------------------------------------------------

    @property
    def strategy(self) -> str:
        return self._pilot.strategy

    @property
    def standby(self) -> Plan | None:
        """The plan that stands by, ready."""
        return self._pilot.standby

    @property
    def is_pinned(self) -> bool:
        """Whether one plan is held, by hand or from the start."""
        return self._pilot.is_pinned

    @property
    def view(self) -> View:
        """All that decisions rest on, as it is now."""
        return self._pilot.view

    @property
    def links(self) -> tuple[LinkEstimate, ...]:
        """Current estimates between the stream's nodes."""
        nodes = {self._node.name, *self._others}
        return tuple(one for (source, target), one in sorted(self.view.links.items()) if {source, target} <= nodes)

    # -- the loop ------------------------------------------------------------------------------------------------------

    def _run(self) -> None:
        while True:
            try:
                if self._take_events():
                    return
                self._tick()
            except Exception:  # the controller must not die with frames in flight
                log.exception("the controller of %s stumbled", self._stream)

    def _take_events(self) -> bool:
        """Hand over everything that waits once something is due, or an event that cannot wait has come; whether the end
        was among it."""
        most_s = FIGURES_S if self._is_flowing else LOOK_S
        self._is_called.wait(min(most_s, max(0.0, self._due_s() - now_s())))
        self._is_called.clear()  # before looking, so that what comes from now on ends the next wait
        self._is_flowing = is_flowing = False
        while self._inbox:
            event = self._inbox.popleft()
            if event is None:
                return True
            is_flowing = is_flowing or _can_wait(event)
            self._handle(event)
        self._is_flowing = is_flowing
        return False

    def _due_s(self) -> float:
        assert self.frames is not None, "set frames before start"
        return min(self._pilot.due_s, max(self.frames.due_s, self._pilot.retry_from_s))

    def _tick(self) -> None:
        now = now_s()
        if now - self._memory_s >= DECISION_INTERVAL_S:
            self._memory_s = now
            self._handle(ev.MemoryMeasured(self._node.status.usable_memory_bytes()))
        if now >= self._due_s():
            self._handle(ev.Tick())

    def _handle(self, event: ev.PilotEvent) -> None:
        self._inline.append(event)
        while self._inline:
            event, now = self._inline.popleft(), now_s()
            outputs = self._pilot.handle(event, now)
            if self._recording is not None:
                self._recording.heard(event, now, outputs)
            for output in outputs:
                self._carry_out(output)

    # -- commands ------------------------------------------------------------------------------------------------------

    def _carry_out(self, command: cmd.PilotOutput) -> None:
        match command:
            case ev.SetRoute(route):
                self._to_ledger(ev.SetRoute(route, now_s()))  # timed from here: what the ledger's lock costs
            case (
                ev.SilenceChanged() | ev.AdjustRoute() | ev.SetLocalExpected() | ev.PauseFrames() | ev.ResumeFrames()
                | ev.DrainWanted() | ev.RetryOverdue()
            ):  # fmt: skip
                self._to_ledger(command)
            case cmd.Prepare():
                self._prepare(command)
            case cmd.Release(generation):
                for node in generation.plan.nodes:
                    self._node.client.release(node, self._stream, generation.number)
            case cmd.AskProfile(node):
                answer = self._node.client.profile(node, self._model_id, self._profile_budget_s)
                answer.add_done_callback(partial(self._profiled, node))
            case cmd.MeasureLinks(node, targets, for_s):
                self._node.client.measure_links(node, self._stream, targets, for_s)
            case cmd.TimeSegment(node, segment):
                timed = self._node.client.time_segment(node, self._model_id, segment)
                timed.add_done_callback(partial(self._timed, node, segment))
            case cmd.SwitchBegun(generation=number):
                self._sent_before_bytes[number] = self._node.uplink.switching_bytes.total()
            case cmd.SwitchDone():
                self._switch_done(command)
            case cmd.FallBackDone(plan):
                self._recorder.plan_in_use(now_s(), plan)
            case cmd.Started():
                self._serving.set()
            case cmd.StartFailed(error):
                self._failure = error
                self._serving.set()
            case cmd.ChargeEnergy(scope):
                self.charge(scope)
            case cmd.Settle(number, outcome):
                is_newest = self._switched is not None and self._switched[0] is outcome
                self._settle(number, self._switched[1] if self._switched is not None and is_newest else outcome)
            case cmd.Reject(number, error):
                self._settle(number, error)
            case cmd.Decided(_, reason, predicted_s):
                self.last_reason = reason
                self.predicted_s = predicted_s if predicted_s is not None else self.predicted_s
            case cmd.Say(level, words, problem):
                log.log(logging.getLevelNamesMapping()[level.upper()], "%s: %s", self._stream, words, exc_info=problem)
            case _:
                assert_never(command)

    def charge(self, scope: EnergyScope) -> None:
        """Joules of frames are those of `scope` from now on."""
        assert self.frames is not None, "set frames before start"
        self.frames.energy_scope = scope
        self._recorder.charge(scope)

    def _to_ledger(self, event: ev.ToLedger) -> None:
        assert self.frames is not None, "set frames before start"
        self.frames.handle(event)

    def _switch_done(self, done: cmd.SwitchDone) -> None:
        sent_bytes = 0
        if done.generation is not None:
            now_bytes = self._node.uplink.switching_bytes.total()
            sent_bytes = now_bytes - self._sent_before_bytes.get(done.generation, now_bytes)
            self._sent_before_bytes = {
                number: n_bytes for number, n_bytes in self._sent_before_bytes.items() if number > done.generation
            }
        record = replace(done.record, sent_bytes=sent_bytes)
        self._switched = (done.record, record)
        self._recorder.plan_in_use(now_s(), record.to_plan)
        if not done.is_first and not done.record.is_restored:
            self._recorder.switched(record)

    def _prepare(self, wanted: cmd.Prepare) -> None:
        generation = wanted.generation
        for node in generation.plan.nodes:
            answer = self._node.client.prepare(
                node,
                self._stream,
                generation.number,
                self._model_id,
                generation.plan,
                wanted.mode,
                wanted.loads.get(node, StageLoad()),
            )
            answer.add_done_callback(partial(self._prepared, generation.number, node))

    def _prepared(self, number: int, node: NodeId, answer: Future[float]) -> None:
        """On whichever thread the answer came; so are the next two."""
        if answer.cancelled():
            return
        error = answer.exception()
        if error is None:
            self.post(ev.NodePrepared(number, node, answer.result()))
            return
        if not isinstance(error, SeamlineError):
            log.error("preparing generation %d on %s failed", number, node, exc_info=error)
        self.post(ev.NodePrepareFailed(number, node, str(error)))

    def _profiled(self, node: NodeId, answer: Future[Profile]) -> None:
        error = answer.exception()
        self.post(ev.ProfileKnown(node, answer.result()) if error is None else ev.ProfileFailed(node, str(error)))

    def _timed(self, node: NodeId, segment: Segment, answer: Future[float]) -> None:
        took_s = None if answer.cancelled() or answer.exception() is not None else answer.result()
        self.post(ev.SegmentTimed(node, segment, took_s))


def _can_wait(event: ev.PilotEvent) -> bool:
    """Whether `event` is a figure that comes with every frame, for which a change of threads would be too much."""
    match event:
        case ev.FrameFinished():
            return event.error is None and event.refused is None
        case ev.LinkEstimated(estimate):
            return estimate.goodput_bps > 0.0
    return False


def _status_of(name: NodeId, status: msg.Status) -> ev.StatusReceived:
    return ev.StatusReceived(
        node=name,
        tier=Tier(status.tier),
        incarnation=status.incarnation,
        queue_s=status.queue_s,
        usable_memory_bytes=status.usable_memory_bytes,
        links=tuple(report_from(report) for report in status.links),
        loads=None if status.loads is None else tuple(map(_load_from, status.loads)),
        n_workers=status.n_workers,
    )


def _load_from(load: msg.SegmentLoadReport) -> SegmentLoad:
    return SegmentLoad(
        model_id=load.model_id,
        segment=Segment(load.start, load.stop),
        n_streams=load.n_streams,
        rate_per_s=load.rate_per_s,
        busy_s=load.busy_s,
        wait_s=load.wait_s,
    )
