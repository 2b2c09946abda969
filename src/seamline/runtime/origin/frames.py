"""A stream's frames at their origin: accepted, on their way, answered in order, none forgotten.

A frame that was accepted is kept until its answer is here. The first answer wins; a later one (of a retry, or of a node
given up too soon) is counted and dropped. A frame whose node died, that was refused, or that is past its deadline runs
again, on the current route when that avoids the trouble and on the origin otherwise. While it does on the origin, no
frame is accepted: it would wait behind that one, be late itself, run again too, and so on for as long as frames come.
Which plan is in use is one reference, `route`, swapped by the controller; frames in flight finish under their own.
"""

from __future__ import annotations

import math
import queue
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial

from seamline.core.cost.problem import EnergyScope
from seamline.core.vocabulary.nodes import NodeId
from seamline.core.vocabulary.plans import Plan
from seamline.core.vocabulary.ports import Array, Tensors
from seamline.fabric import messages as msg
from seamline.runtime.node.node import Node
from seamline.runtime.origin.results import FrameCounts, Result
from seamline.runtime.shared.clock import now_s

LOCAL_GENERATION = 0
"""The generation of the plan that runs everything on the origin: prepared first, never released."""

MAX_ATTEMPTS = 4
MAX_UNDELIVERED = 256
"""Answers that the user has not taken yet; beyond that no frame is accepted."""
MIN_DEADLINE_S = 0.5
DEADLINE_FACTOR = 4.0
STUCK_RATIO = 0.5
PACE_GAIN = 0.2
LONGEST_GAP_S = 5.0
"""A source that was silent for longer has paused, which says nothing of its pace."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """The plan in use. n_window: frames that may be in flight. expected_s: predicted latency of one frame."""

    generation: int
    plan: Plan
    n_window: int = 1
    expected_s: float = 1.0


@dataclass(slots=True)
class _InFlight:
    """A frame on its way. route: what it last set out on. routes: the plan of each attempt."""

    number: int
    tensors: Tensors
    accepted_s: float
    deadline_s: float
    route: Route
    attempt: int = 0
    routes: dict[int, Plan] = field(default_factory=dict)


class StreamFrames:
    """Owner of the frames of one stream; every method is safe from any thread.

    period_s: between the frames of a live source, lately; 0.0 while that is not known, and for one that waits for room.
    `drained(generation)` is called when the last frame of a generation that is no longer routed has been answered,
    `gave_up(result)` for a frame whose answer is an error, because it could be run nowhere.
    """

    def __init__(
        self,
        node: Node,
        stream: str,
        model_id: str,
        local: Plan,
        *,
        drained: Callable[[int], None],
        gave_up: Callable[[Result], None],
    ) -> None:
        self.stream = stream
        self._node = node
        self._model_id = model_id
        self._local = Route(generation=LOCAL_GENERATION, plan=local)
        self._drained = drained
        self._gave_up = gave_up
        self._lock = threading.Lock()
        self._room = threading.Condition(self._lock)
        self._in_flight: dict[int, _InFlight] = {}
        self._by_generation: Counter[int] = Counter()
        self._counts: Counter[str] = Counter()
        self._answered: dict[int, Result] = {}
        self._last_out = -1
        self._next_out = 0
        self._pending: Tensors | None = None
        self._is_paused = False
        self._at_home: dict[int, int] = {}  # frame -> which of its attempts runs again on the origin
        self._unavailable: frozenset[NodeId] = frozenset()
        self.route = self._local
        self.energy_scope = EnergyScope.ALL
        self.results: queue.SimpleQueue[Result] = queue.SimpleQueue()
        self.last_accepted_s = 0.0
        self.period_s = 0.0
        self._offered_s = -math.inf

    # -- in ----------------------------------------------------------------------------------------------------------

    def offer(self, tensors: Tensors) -> None:
        """A live frame: accepted when there is room, else kept as the newest, replacing an older one (dropped)."""
        with self._lock:
            self._observe_pace()
            if self._pending is not None:
                self._counts["dropped_before_acceptance"] += 1
            self._pending = tensors
        self._accept_pending()

    def put(self, tensors: Tensors, *, timeout_s: float | None = None) -> bool:
        """A frame that must not be dropped: waits for room; False when there was none in time."""
        with self._room:
            if not self._room.wait_for(self._has_room, timeout_s):
                return False
            frame = self._accept(tensors)
        self._begin(frame)
        return True

    def drop_pending(self) -> None:
        """The source has ended: a frame still waiting for room is counted as dropped."""
        with self._lock:
            if self._pending is not None:
                self._counts["dropped_before_acceptance"] += 1
                self._pending = None

    def _observe_pace(self) -> None:
        now = now_s()
        gap_s, self._offered_s = now - self._offered_s, now
        if gap_s < LONGEST_GAP_S:
            self.period_s += PACE_GAIN * (gap_s - self.period_s) if self.period_s else gap_s

    def _has_room(self) -> bool:
        if self._is_paused or self._at_home:
            return False
        has_space = len(self._in_flight) < self.route.n_window and self.results.qsize() < MAX_UNDELIVERED
        return has_space and not self._is_stuck()

    def _is_stuck(self) -> bool:
        """Whether the oldest frame of the route has used up half its time: another would only wait behind it.

        So a link that falls or dies swallows one frame, and the next takes the plan that comes.
        """
        route = self.route
        oldest = next((one for one in self._in_flight.values() if one.route.generation == route.generation), None)
        if oldest is None or route.plan.is_local:
            return False
        return now_s() - oldest.accepted_s > STUCK_RATIO * deadline_s(route)

    def _accept_pending(self) -> None:
        with self._lock:
            if self._pending is None or not self._has_room():
                return
            tensors, self._pending = self._pending, None
            frame = self._accept(tensors)
        self._begin(frame)

    def _accept(self, tensors: Tensors) -> _InFlight:
        number = self._counts["accepted"]
        self._counts["accepted"] += 1
        now = self.last_accepted_s = now_s()
        route = self.route
        frame = _InFlight(number, tensors, now, now + deadline_s(route), route)
        frame.routes[0] = route.plan
        self._in_flight[number] = frame
        self._by_generation[route.generation] += 1
        return frame

    def _begin(self, frame: _InFlight) -> None:
        route = frame.route
        header = msg.FrameData(
            stream=self.stream,
            frame=frame.number,
            attempt=frame.attempt,
            generation=route.generation,
            model_id=self._model_id,
            plan=str(route.plan),
            stage=0,
            seq=0,
            encoding=b"",
            reports=(),
        )
        claim = partial(self._claim, frame.number, frame.attempt)
        self._node.frames.begin(header, route.plan, frame.tensors, urgent=frame.attempt > 0, claim=claim)

    def _claim(self, number: int, attempt: int) -> bool:
        """Whether to run the first stage of an attempt, whose turn has come: not when its frame has been answered."""
        if number in self._in_flight:
            return True
        self._ended_at_home(number, attempt)
        return False

    # -- out ---------------------------------------------------------------------------------------------------------

    def answer(self, result: msg.ResultData, outputs: dict[str, Array]) -> Result | None:
        """Take an arriving result; None when its frame was answered before."""
        return self._finish(result.frame, result.attempt, result.generation, outputs, result.reports, None)

    def _finish(
        self,
        number: int,
        attempt: int,
        generation: int,
        outputs: dict[str, Array],
        reports: tuple[msg.StageReport, ...],
        error: str | None,
    ) -> Result | None:
        self._ended_at_home(number, attempt)
        with self._room:
            frame = self._in_flight.pop(number, None)
            if frame is None:
                self._counts["late_answers"] += 1
                return None
            latency_s, answer_bytes = now_s() - frame.accepted_s, sum(output.nbytes for output in outputs.values())
            energy = self._node.energy.frame(
                reports,
                latency_s,
                answer_bytes if len(reports) > 1 else 0,
                origin=self._local.plan.origin,
                scope=self.energy_scope,
            )
            result = Result(
                frame=number,
                outputs=outputs,
                latency_s=latency_s,
                accepted_s=frame.accepted_s,
                plan=frame.routes.get(attempt, frame.route.plan),
                generation=generation,
                reports=reports,
                n_attempts=frame.attempt + 1,
                error=error,
                energy_j=None if energy is None else energy.energy_j,
                energy_source=None if energy is None else energy.source,
            )
            self._counts["answered"] += 1
            self._answered[number] = result
            while (ready := self._answered.pop(self._next_out, None)) is not None:
                self._deliver(ready)
                self._next_out += 1
            drained = self._left(frame.route.generation)
            self._room.notify_all()
        if drained is not None:
            self._drained(drained)
        self._accept_pending()
        return result

    def _deliver(self, result: Result) -> None:
        if result.frame == self._last_out:
            self._counts["duplicated"] += 1
        elif result.frame < self._last_out:
            self._counts["out_of_order"] += 1
        self._last_out = result.frame
        self.results.put(result)

    def _left(self, generation: int) -> int | None:
        """One frame fewer of `generation`; its number when that was the last and it is not routed any more."""
        self._by_generation[generation] -= 1
        if self._by_generation[generation] > 0:
            return None
        del self._by_generation[generation]
        is_routed = generation == self.route.generation and not self._is_paused
        return None if is_routed or generation == LOCAL_GENERATION else generation

    # -- routes and trouble ------------------------------------------------------------------------------------------

    def set_route(self, route: Route) -> float:
        """Swap the plan for the frames accepted from now on; returns the seconds that frames could not be accepted."""
        started_s = now_s()
        with self._room:
            self.route = route
            self._is_paused = False
            self._room.notify_all()
            swapped_s = now_s()
        self._accept_pending()
        return swapped_s - started_s

    def pause(self) -> None:
        """Accept no frame until `set_route` or `resume`; `drained` is called for the routed generation too."""
        with self._lock:
            self._is_paused = True

    def resume(self) -> None:
        """Accept frames again, on the route there is."""
        with self._room:
            self._is_paused = False
            self._room.notify_all()
        self._accept_pending()

    @property
    def local(self) -> Route:
        """Everything on the origin: the route that is always there."""
        return self._local

    def adjust_route(self, route: Route) -> None:
        """New window and expectation for the plan in use; ignored when another generation is routed by now."""
        with self._room:
            if route.generation != self.route.generation:
                return
            self.route = route
            self._room.notify_all()
        self._accept_pending()

    def set_local_expected(self, expected_s: float) -> None:
        """How long a frame takes on the origin alone."""
        self._local = replace(self._local, expected_s=expected_s)

    def taken(self) -> None:
        """The user has taken an answer: there may be room again."""
        if self.results.qsize() >= MAX_UNDELIVERED - 1:
            with self._room:
                self._room.notify_all()
            self._accept_pending()

    def n_in_flight(self, generation: int | None = None) -> int:
        """Frames on their way, of one generation or of all."""
        with self._lock:
            return len(self._in_flight) if generation is None else self._by_generation[generation]

    def peer(self, node: NodeId, alive: bool) -> None:
        """A node came or went: with a dead one no retry is attempted."""
        self._unavailable = self._unavailable - {node} if alive else self._unavailable | {node}

    def stranded(self) -> list[int]:
        """Frames in flight whose plan needs a node that is gone, or that are past their deadline.

        One that runs on the origin alone is never stranded: there is no better place to take it.
        """
        now = now_s()
        with self._lock:
            return [
                frame.number
                for frame in self._in_flight.values()
                if not frame.route.plan.is_local
                and (now > frame.deadline_s or not self._unavailable.isdisjoint(frame.route.plan.nodes))
            ]

    def retry(self, number: int, *, attempt: int | None = None, reason: str = "") -> None:
        """Run a frame again: on the current route if no node of it is gone and it is another one, else locally.

        attempt: retry only if this was its latest try (a refusal of an earlier one is old news).
        """
        with self._lock:
            frame = self._in_flight.get(number)
            if frame is not None and attempt not in (None, frame.attempt):
                frame = None
            exhausted = frame is not None and frame.attempt + 1 >= MAX_ATTEMPTS
            drained = None if frame is None or exhausted else self._reroute(frame)
        if frame is None:
            if attempt is not None:
                self._ended_at_home(number, attempt)
            return
        if exhausted:
            words = f"gave up after {MAX_ATTEMPTS} tries: {reason}"
            if (result := self._finish(number, frame.attempt, frame.route.generation, {}, (), words)) is not None:
                self._gave_up(result)
            return
        if drained is not None:
            self._drained(drained)
        self._begin(frame)

    def _reroute(self, frame: _InFlight) -> int | None:
        old = frame.route
        route = self.route
        if frame.attempt or route.generation == old.generation or not self._unavailable.isdisjoint(route.plan.nodes):
            route = self._local
        frame.route = route
        frame.attempt += 1
        frame.routes[frame.attempt] = route.plan
        if route.plan.is_local:
            self._at_home[frame.number] = frame.attempt
        frame.deadline_s = now_s() + 4 * deadline_s(route)
        self._counts["retried"] += 1
        self._by_generation[route.generation] += 1
        return self._left(old.generation)

    def _ended_at_home(self, number: int, attempt: int) -> None:
        """An attempt is over: when it ran again on the origin, frames may be accepted once more."""
        if not self._at_home:  # as nearly always
            return
        with self._room:
            if self._at_home.get(number) != attempt:
                return
            del self._at_home[number]
            self._room.notify_all()
        self._accept_pending()

    def counts(self) -> FrameCounts:
        with self._lock:
            return FrameCounts(**self._counts)

    def wait_idle(self, timeout_s: float) -> bool:
        """Whether every accepted frame was answered within `timeout_s`."""
        with self._room:
            return self._room.wait_for(lambda: not self._in_flight, timeout_s)


def deadline_s(route: Route) -> float:
    """How long a frame may take on `route` before it is run again."""
    return max(MIN_DEADLINE_S, DEADLINE_FACTOR * route.expected_s)
