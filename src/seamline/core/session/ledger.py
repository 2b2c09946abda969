"""Ledger: tracks every frame of a stream at its origin, from the offer to the delivered answer.

Theory of operation. An offered frame is accepted when there is room, else it waits and replaces an older one that does.
An accepted frame is kept until its first answer arrives; later answers (of a retry, or of a node given up too soon) are
counted and dropped. Answers are delivered in the order of acceptance.

Retry: a frame whose node is lost, that was refused, or that is overdue (past its deadline) runs again, on the current
route when that avoids the trouble and on the origin otherwise. While one is retried on the origin no frame is accepted:
it would wait behind that one, be late itself, be retried too, and so on for as long as frames come.

Refusal of a frame's values: a segment that ran and refused a frame (an index out of range, a shape that does not fit)
says nothing yet of its node. The frame runs on the origin alone: when that refuses it too it is the frame's fault and
ends as an error, and when that answers `FrameFinished` names the node that refused.

Local fallback: while a node of the route is lost or silent, frames wait for another route until `RetryOverdue`, and run
on the origin from then on.

    event             what becomes of frames                                    commands
    ----------------  --------------------------------------------------------  ------------------------------------
    FrameOffered      accepted, or waits for room and drops the one that did    RunFrame
    SourceEnded       the one that waits is dropped                             -
    AnswerArrived     finished; or known already, or strange, and dropped       FrameFinished, Deliver, RunFrame
    StageFailed       the latest attempt runs again, an earlier one is no news; RunFrame, or as a last answer
                      of one that the origin refuses too it was the last
    AttemptDropped    its retry on the origin is over                           RunFrame
    AnswerTaken       room for one more that nobody has taken                   RunFrame
    PeerChanged       none goes to a node that is gone                          RunFrame, when it is back
    SilenceChanged    nor to one that is silent; those there run on the origin  RunFrame, when it is heard
                      too, and the first answer counts
    SetRoute          those accepted from now on follow it; others get as long  Routed, RunFrame
                      as a retry
    AdjustRoute       deadlines and depth of the route in use are updated; of   RunFrame
                      frames on it only downwards
    SetLocalExpected  deadlines of retries on the origin are updated            -
    PauseFrames       none is accepted                                          Drained, when none is in flight
    ResumeFrames      accepted again                                            RunFrame
    DrainWanted       -                                                         Drained, when none is in flight
    RetryOverdue      overdue ones and those of a lost node run again; frames   RunFrame, or as a last answer;
                      that waited for another route fall back to the origin     DeadlineMissed for a first attempt

`CancelFrame` follows the answer to a frame that ran again, to whom else it was sent. `RunFrame` follows whatever made
room. `Drained` also follows the last answer of a generation that takes no more frames.
Which plan is routed, and when to retry, is the pilot's business; how many frames fit is `pipeline_depth.py`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import assert_never

from seamline.core.adaptation.pipeline_depth import paced_depth, pipeline_depth
from seamline.core.session import commands as cmd
from seamline.core.session import events as ev
from seamline.core.session.events import LOCAL_GENERATION, Route
from seamline.core.session.frame_counts import FrameCounts
from seamline.core.session.source_pace import SourcePace
from seamline.core.session.stories import Step, Stories
from seamline.core.vocabulary.complaints import Complaints, quoted, with_unsaid
from seamline.core.vocabulary.nodes import NodeId
from seamline.core.vocabulary.plans import Plan

MAX_ATTEMPTS = 4
MAX_UNDELIVERED = 256
"""Answers that the user has not taken yet; beyond that no frame is accepted."""

MIN_DEADLINE_S, MAX_DEADLINE_S = 0.5, 60.0
DEADLINE_FACTOR = 4.0
RETRY_DEADLINE_FACTOR = 4.0
"""A frame that runs again is given more time, as it waits behind what made it late."""

STUCK_RATIO = 0.5
Output = cmd.LedgerCommand | ev.Drained | ev.Routed | ev.DeadlineMissed


@dataclass(slots=True)
class _Frame:
    """A frame in flight. route: of its latest attempt. routes: of each attempt. refused: the first refusal of its
    values. failed: attempts that a node gave up."""

    number: int
    tensors: object
    accepted_s: float
    deadline_s: float
    route: Route
    attempt: int = 0
    routes: dict[int, Route] = field(default_factory=dict)
    refused: ev.StageFailed | None = None
    failed: set[int] = field(default_factory=set)


class Ledger:
    """Owner of the frames of one stream. Changed by `handle` alone; every other method only looks.

    local: everything on the origin. has_deadlines: whether frames are ever overdue. keeps_stories: for `story`.
    """

    def __init__(self, local: Plan, *, has_deadlines: bool = True, keeps_stories: bool = True) -> None:
        self._local = Route(generation=LOCAL_GENERATION, plan=local)
        self._has_deadlines = has_deadlines
        self._in_flight: dict[int, _Frame] = {}
        self._by_generation: dict[int, int] = {}
        self._finished: set[int] = set()
        self._waiting: object | None = None
        self._is_paused = False
        self._is_local_fallback = False
        self._local_retries: dict[int, int] = {}  # frame -> which of its attempts is a retry on the origin
        self._lost: frozenset[NodeId] = frozenset()
        self._silent: frozenset[NodeId] = frozenset()
        self._accepted_s = -math.inf
        self._next_out = 0
        self._n_undelivered = 0
        self._n_accepted = self._n_answered = self._n_dropped = self._n_retried = self._n_late = self._n_strange = 0
        self._complaints = Complaints()
        self._pace = SourcePace()
        self._stories = Stories() if keeps_stories else None
        self.route = self._local

    def handle(self, event: ev.FrameEvent, now_s: float) -> list[Output]:
        """Commands that follow from `event`, in order."""
        out: list[Output] = []
        match event:
            case ev.FrameOffered(tensors, is_live):
                self._offered(tensors, is_live, now_s)
                self._accept_waiting(out, now_s)
            case ev.AnswerArrived():
                self._answered(event, out, now_s)
            case ev.AnswerTaken():
                self._n_undelivered = max(0, self._n_undelivered - 1)
                self._accept_waiting(out, now_s)
            case ev.StageFailed():
                self._stage_failed(event, out, now_s)
            case ev.AttemptDropped(frame, attempt):
                self._note(frame, now_s, f"attempt {attempt} was not wanted any more")
                self._attempt_over(frame, attempt)
                self._accept_waiting(out, now_s)
            case ev.AdjustRoute(route):
                if route.generation == self.route.generation:
                    self.route = route
                    self._shorten_deadlines(now_s)
                    self._accept_waiting(out, now_s)
            case ev.SetRoute(route, asked_s):
                self.route, self._is_paused, self._is_local_fallback = route, False, False
                self._shorten_deadlines(now_s)
                out.append(ev.Routed(route.generation, max(0.0, now_s - asked_s)))
                self._accept_waiting(out, now_s)
            case ev.RetryOverdue():
                for frame in self.overdue(now_s):
                    self._say_if_missed(self._in_flight[frame], out)
                    self._retry(frame, None, "its node is gone or silent, or it took too long", out, now_s)
                self._is_local_fallback = self._is_broken
                self._accept_waiting(out, now_s)
            case ev.PeerChanged(node, is_alive):
                self._lost = self._lost - {node} if is_alive else self._lost | {node}
                self._available_changed(out, now_s)
            case ev.SilenceChanged(node, is_silent):
                self._silent = self._silent | {node} if is_silent else self._silent - {node}
                self._available_changed(out, now_s)
            case ev.PauseFrames(generation):
                self._is_paused = True
                self._say_if_drained(generation, out)
            case ev.ResumeFrames():
                self._is_paused = False
                self._accept_waiting(out, now_s)
            case ev.DrainWanted(generation):
                self._say_if_drained(generation, out)
            case ev.SetLocalExpected(expected_s):
                self._local = replace(self._local, expected_s=expected_s)
            case ev.SourceEnded():
                self._n_dropped += self._waiting is not None
                self._waiting = None
            case _:
                assert_never(event)
        return out

    # -- to look at ----------------------------------------------------------------------------------------------------

    @property
    def local(self) -> Route:
        """Everything on the origin: the route that is always there."""
        return self._local

    @property
    def counts(self) -> FrameCounts:
        return FrameCounts(
            accepted=self._n_accepted,
            answered=self._n_answered,
            dropped_before_acceptance=self._n_dropped,
            retried=self._n_retried,
            late_answers=self._n_late,
            strange_answers=self._n_strange,
        )

    @property
    def period_s(self) -> float:
        """Between two frames of the source, 0.0 when it waits for room."""
        return self._pace.period_s

    @property
    def due_s(self) -> float:
        """Time at which `RetryOverdue` is due: the next deadline, -inf when a node in use is lost."""
        due_s = -math.inf if self._is_broken and not self._is_local_fallback else math.inf
        for frame in self._in_flight.values():
            if not frame.route.plan.is_local:
                due_s = min(due_s, -math.inf if self._needs_missing_node(frame.route) else frame.deadline_s)
        return due_s

    @property
    def is_empty(self) -> bool:
        """Whether every accepted frame has its answer."""
        return not self._in_flight

    def n_in_flight(self, generation: int | None = None) -> int:
        """Frames on their way, of one generation or of all."""
        return len(self._in_flight) if generation is None else self._by_generation.get(generation, 0)

    def has_room(self, now_s: float) -> bool:
        """Whether a frame that is offered now is accepted at once."""
        return self.room_in_s(now_s) <= 0.0

    def room_in_s(self, now_s: float) -> float:
        """Seconds until a frame that is offered would be accepted, inf when something has to happen first."""
        if self._is_paused or self._local_retries or self._n_undelivered >= MAX_UNDELIVERED:
            return math.inf
        n_in_flight = len(self._in_flight)
        if self._is_broken:
            return 0.0 if self._is_local_fallback and not n_in_flight else math.inf
        if not n_in_flight:
            return 0.0
        if self._is_stuck(now_s):
            return math.inf
        if n_in_flight < self.depth:
            return 0.0
        route = self.route
        if route.bottleneck_s is None or self.period_s > 0.0:
            return math.inf
        if n_in_flight >= paced_depth(self._pipeline_s, route.bottleneck_s):
            return math.inf
        return max(0.0, self._accepted_s + route.bottleneck_s - now_s)

    @property
    def depth(self) -> int:
        """Frames that may be in flight on the current route, however closely they follow each other."""
        route = self.route
        if route.bottleneck_s is None:
            return 1
        return pipeline_depth(self._pipeline_s, route.bottleneck_s, period_s=self.period_s, wants_pace=route.wants_pace)

    @property
    def _pipeline_s(self) -> float:
        """What a frame takes on the current route, without waiting."""
        return self.route.expected_s - self.route.waiting_s

    def is_wanted(self, frame: int) -> bool:
        """Whether an attempt whose turn has come on the origin should be run: not when its frame has its answer."""
        return frame in self._in_flight

    def overdue(self, now_s: float) -> list[int]:
        """Frames in flight whose plan needs a node that is lost or silent, or that are past their deadline.

        One that runs on the origin alone is never overdue: there is no better place to take it.
        """
        return [
            frame.number
            for frame in self._in_flight.values()
            if not frame.route.plan.is_local and (now_s >= frame.deadline_s or self._needs_missing_node(frame.route))
        ]

    def story(self, frame: int) -> tuple[Step, ...]:
        """The life of one frame, oldest first; empty where it is not kept any more."""
        return () if self._stories is None else self._stories.of(frame)

    def validate(self) -> None:
        """Raises `AssertionError` when an invariant does not hold; for tests."""
        n_in_flight = len(self._in_flight)
        assert self._n_accepted == self._n_answered + n_in_flight, "an accepted frame is answered or in flight"
        assert sum(self._by_generation.values()) == n_in_flight, "every frame in flight has one generation"
        assert all(count > 0 for count in self._by_generation.values())
        assert self._next_out + len(self._finished) == self._n_answered, "a finished frame is delivered or waits"
        assert self._next_out not in self._finished, "the next frame waits for nothing"
        assert all(number > self._next_out for number in self._finished)
        assert self._finished.isdisjoint(self._in_flight), "a finished frame is in flight"
        for frame in self._in_flight.values():
            assert frame.routes[frame.attempt] is frame.route
            assert frame.attempt < MAX_ATTEMPTS
        for number, attempt in self._local_retries.items():
            frame_in_flight = self._in_flight.get(number)
            assert frame_in_flight is None or attempt <= frame_in_flight.attempt

    # -- in ------------------------------------------------------------------------------------------------------------

    def _offered(self, tensors: object, is_live: bool, now_s: float) -> None:
        if is_live:
            self._pace.offered(now_s)
        self._n_dropped += self._waiting is not None
        self._waiting = tensors

    def _accept_waiting(self, out: list[Output], now_s: float) -> None:
        if self._waiting is None or not self.has_room(now_s):
            return
        tensors, self._waiting = self._waiting, None
        number, route = self._n_accepted, self._local if self._is_broken else self.route
        self._n_accepted += 1
        self._accepted_s = now_s
        frame = _Frame(number, tensors, now_s, now_s + self._deadline_s(route), route)
        self._in_flight[number] = frame
        self._begin(frame, route, out, now_s)

    def _begin(self, frame: _Frame, route: Route, out: list[Output], now_s: float) -> None:
        frame.route = frame.routes[frame.attempt] = route
        self._by_generation[route.generation] = self._by_generation.get(route.generation, 0) + 1
        if self._stories is not None:
            self._note(frame.number, now_s, f"attempt {frame.attempt} begins by {route.generation}:`{route.plan}`")
        out.append(cmd.RunFrame(frame.number, frame.attempt, route, frame.tensors, frame.attempt > 0))

    @property
    def _is_broken(self) -> bool:
        """Whether a node of the route is lost or silent."""
        return self._needs_missing_node(self.route)

    def _needs_missing_node(self, route: Route) -> bool:
        if route.plan.is_local or not (self._lost or self._silent):
            return False
        return not (self._lost.isdisjoint(route.plan.nodes) and self._silent.isdisjoint(route.plan.nodes))

    def _available_changed(self, out: list[Output], now_s: float) -> None:
        self._is_local_fallback = self._is_local_fallback and self._is_broken
        self._accept_waiting(out, now_s)

    def _is_stuck(self, now_s: float) -> bool:
        """Whether the oldest frame of the route has used up half its time: another would only wait behind it.

        So a link that falls or dies swallows one frame, and the next takes the plan that comes.
        """
        route = self.route
        if route.plan.is_local:
            return False
        for frame in self._in_flight.values():
            if frame.route.generation == route.generation:
                return now_s - frame.accepted_s > STUCK_RATIO * self._deadline_s(route)
        return False

    def _deadline_s(self, route: Route) -> float:
        """Time that a frame may take on `route` before it is retried."""
        if not self._has_deadlines:
            return math.inf
        return min(max(MIN_DEADLINE_S, DEADLINE_FACTOR * route.expected_s), MAX_DEADLINE_S)

    def _shorten_deadlines(self, now_s: float) -> None:
        """Less is expected of the route than before: its frames are overdue sooner. Those of another route are given
        as long as a retry. Otherwise one that was accepted while something absurd was believed of a link, and is lost,
        would be waited for as long as that was."""
        deadline_s = self._deadline_s(self.route)
        for frame in self._in_flight.values():
            if frame.route.generation != self.route.generation:
                frame.deadline_s = min(frame.deadline_s, now_s + RETRY_DEADLINE_FACTOR * deadline_s)
            elif frame.attempt == 0:
                frame.deadline_s = min(frame.deadline_s, frame.accepted_s + deadline_s)

    # -- out -----------------------------------------------------------------------------------------------------------

    def _answered(self, event: ev.AnswerArrived, out: list[Output], now_s: float) -> None:
        frame = self._in_flight.get(event.frame)
        route = self._route_of(event)
        if frame is None and 0 <= event.frame < self._n_accepted:
            self._attempt_over_on(event.node, event.frame, event.attempt)
            self._n_late += 1
            self._note(event.frame, now_s, f"attempt {event.attempt} answered late")
        elif frame is None or route is None or event.node != route.plan.stages[-1].node:
            self._strange("an answer", event, out, now_s)
        else:
            self._attempt_over(event.frame, event.attempt)
            self._finish(frame, route, event.answer, event.reports, None, out, now_s)
        self._accept_waiting(out, now_s)

    def _route_of(self, event: ev.AnswerArrived | ev.StageFailed) -> Route | None:
        """The route of the attempt that `event` is about; None when there is none such, of that generation."""
        frame = self._in_flight.get(event.frame)
        route = None if frame is None else frame.routes.get(event.attempt)
        return route if route is not None and route.generation == event.generation else None

    def _strange(self, what: str, event: ev.AnswerArrived | ev.StageFailed, out: list[Output], now_s: float) -> None:
        """Count and drop what does not come from a node with that part in that attempt, and say so now and then."""
        self._n_strange += 1
        if (n_unsaid := self._complaints.due(event.node, now_s)) is not None:
            words = f"frame {event.frame} has no attempt {event.attempt} in generation {event.generation} that ends so"
            line = f"{what} of `{quoted(event.node, 40)}` was dropped: {words}"
            out.append(cmd.Say(cmd.Level.WARNING, with_unsaid(line, n_unsaid)))

    def _finish(
        self,
        frame: _Frame,
        route: Route,
        answer: object,
        reports: ev.Reports,
        error: str | None,
        out: list[Output],
        now_s: float,
    ) -> None:
        del self._in_flight[frame.number]
        self._n_answered += 1
        self._finished.add(frame.number)
        self._note(frame.number, now_s, f"answered by {route.generation}" if error is None else f"failed: {error}")
        out.append(
            ev.FrameFinished(
                frame=frame.number,
                plan=route.plan,
                generation=route.generation,
                accepted_s=frame.accepted_s,
                latency_s=now_s - frame.accepted_s,
                n_attempts=frame.attempt + 1,
                answer=answer,
                reports=reports,
                error=error,
                refused=frame.refused if error is None else None,
                excess_s=_excess_s(frame, now_s),
                transfer_s=frame.routes[0].transfer_s,
                period_s=self._pace.period_s,
            )
        )
        if frame.attempt and (nodes := self._unneeded(frame, route)):
            out.append(cmd.CancelFrame(frame.number, nodes))
        while self._next_out in self._finished:
            self._finished.remove(self._next_out)
            out.append(cmd.Deliver(self._next_out))
            self._next_out += 1
            self._n_undelivered += 1
        self._left(frame.route.generation, out)

    def _unneeded(self, frame: _Frame, route: Route) -> frozenset[NodeId]:
        """Other nodes that may have an attempt of `frame`, which was answered by `route`."""
        tried = [one for attempt, one in frame.routes.items() if attempt not in frame.failed and one is not route]
        nodes = frozenset(node for one in tried for node in one.plan.nodes)
        return nodes - {self._local.plan.origin} - self._lost

    def _left(self, generation: int, out: list[Output]) -> None:
        """Count one frame in flight fewer of `generation`."""
        self._by_generation[generation] -= 1
        if self._by_generation[generation] == 0:
            del self._by_generation[generation]
            if generation != self.route.generation or self._is_paused:
                self._say_if_drained(generation, out)

    def _say_if_drained(self, generation: int, out: list[Output]) -> None:
        if generation != LOCAL_GENERATION and generation not in self._by_generation:
            out.append(ev.Drained(generation))

    # -- retries -------------------------------------------------------------------------------------------------------

    def _stage_failed(self, failure: ev.StageFailed, out: list[Output], now_s: float) -> None:
        number, attempt, reason = failure.frame, failure.attempt, failure.reason
        route = self._route_of(failure)
        if number in self._in_flight and (route is None or failure.node not in route.plan.nodes):
            self._strange("a failure", failure, out, now_s)
            return
        self._note(number, now_s, f"attempt {attempt} failed on {failure.node}: {reason}")
        frame = self._in_flight.get(number)
        if frame is not None:
            frame.failed.add(attempt)
        if frame is None:
            self._attempt_over_on(failure.node, number, attempt)
            self._accept_waiting(out, now_s)
        elif not failure.is_input or attempt != frame.attempt:
            self._retry(number, attempt, reason, out, now_s)
        elif frame.route.plan.is_local:
            self._attempt_over(number, attempt)
            self._finish(frame, frame.route, None, (), f"the model cannot compute this frame: {reason}", out, now_s)
            self._accept_waiting(out, now_s)
        else:
            frame.refused = frame.refused or failure
            self._retry(number, attempt, reason, out, now_s, on_origin=True)

    def _retry(
        self,
        number: int,
        attempt: int | None,
        reason: str,
        out: list[Output],
        now_s: float,
        *,
        on_origin: bool = False,
    ) -> None:
        """Retry a frame: on the current route if no node of it is lost and it is another one, else on the origin.

        attempt: only if this was its latest try; a refusal of an earlier one is old news.
        """
        frame = self._in_flight.get(number)
        if frame is None or attempt not in (None, frame.attempt):
            if attempt is not None:
                self._attempt_over(number, attempt)
                self._accept_waiting(out, now_s)
            return
        self._attempt_over(number, frame.attempt)
        if frame.attempt + 1 >= MAX_ATTEMPTS:
            self._finish(frame, frame.route, None, (), f"gave up after {MAX_ATTEMPTS} tries: {reason}", out, now_s)
            self._accept_waiting(out, now_s)
            return
        old, route = frame.route, self.route
        if on_origin or frame.attempt or route.generation == old.generation or self._is_broken:
            route = self._local
        frame.attempt += 1
        if route.plan.is_local:
            self._local_retries[number] = frame.attempt
        frame.deadline_s = now_s + RETRY_DEADLINE_FACTOR * self._deadline_s(route)
        self._n_retried += 1
        self._begin(frame, route, out, now_s)
        self._left(old.generation, out)

    def _say_if_missed(self, frame: _Frame, out: list[Output]) -> None:
        """The first attempt of a frame misses its deadline by the route in use, all of its nodes being heard."""
        route = frame.route
        if route.generation == self.route.generation and not frame.attempt and not self._needs_missing_node(route):
            out.append(ev.DeadlineMissed(route.generation, route.plan, frame.accepted_s))

    def _attempt_over(self, number: int, attempt: int) -> None:
        """An attempt is over: when it was a retry on the origin, frames may be accepted once more."""
        if self._local_retries and self._local_retries.get(number) == attempt:
            del self._local_retries[number]

    def _attempt_over_on(self, node: NodeId, number: int, attempt: int) -> None:
        """The same, when `node` says so of a frame that has its answer: of a retry on the origin only that knows."""
        if node == self._local.plan.origin:
            self._attempt_over(number, attempt)

    def _note(self, number: int, now_s: float, words: str) -> None:
        if self._stories is not None and 0 <= number < self._n_accepted:
            self._stories.note(number, now_s, words)


def _excess_s(frame: _Frame, now_s: float) -> float | None:
    """Latency of `frame` beyond what was expected of its first route when it was accepted; None for a local one."""
    first = frame.routes[0]
    if first.plan.is_local or not 0.0 < first.expected_s < math.inf:
        return None
    return now_s - frame.accepted_s - first.expected_s
