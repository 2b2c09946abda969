"""Frames in virtual time: accepted when there is room, computed, sent on, answered, and completed at home when late.

The rules are those of `runtime/origin/frames.py` (newest wins, deadlines, retries, the first answer counts, none is
accepted while one runs again at home). A node computes one stage after the other in order of arrival.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from seamline.core.vocabulary.links import Link
from seamline.core.vocabulary.nodes import NodeId
from seamline.core.vocabulary.plans import Plan
from seamline.sim.journey import Journeys, Leg
from seamline.sim.meter import Meter
from seamline.sim.network import Network
from seamline.sim.scene import Scene
from seamline.sim.schedule import Schedule

MIN_DEADLINE_S = 0.5
DEADLINE_FACTOR = 4.0
STUCK_RATIO = 0.5
RETRY_FACTOR = 4.0
"""A frame on its second way is given more time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """The plan in use. n_window: frames that may be under way. expected_s: what its deadlines are made of."""

    generation: int
    plan: Plan
    n_window: int = 1
    expected_s: float = 1.0

    @property
    def deadline_s(self) -> float:
        return max(MIN_DEADLINE_S, DEADLINE_FACTOR * self.expected_s)


@dataclass(slots=True)
class Frame:
    """One accepted frame. computed_s: per node of its latest way, how long its stage took there."""

    number: int
    accepted_s: float
    route: Route
    deadline_s: float
    n_attempts: int = 1
    is_late: bool = False
    answered_s: float | None = None
    computed_s: dict[NodeId, float] = field(default_factory=dict)

    @property
    def latency_s(self) -> float:
        assert self.answered_s is not None
        return self.answered_s - self.accepted_s


@dataclass(slots=True)
class Stream:
    """All frames of one run. answered: told of every frame's first answer. busy_s: compute and codec time per node.
    sent_bytes: payload by link, which radios draw for.
    """

    scene: Scene
    schedule: Schedule
    network: Network
    journeys: Journeys
    meters: Mapping[NodeId, Meter]
    noise: Mapping[NodeId, Sequence[float]]
    answered: Callable[[Frame], None]
    route: Route
    local_s: float
    frames: list[Frame] = field(default_factory=list)
    in_flight: dict[int, Frame] = field(default_factory=dict)
    busy_s: dict[NodeId, float] = field(default_factory=dict)
    sent_bytes: dict[Link, int] = field(default_factory=dict)
    n_offered: int = 0
    lost_nodes: frozenset[NodeId] = frozenset()
    _free_s: dict[NodeId, float] = field(default_factory=dict)
    _at_home: set[int] = field(default_factory=set)
    _pending: int | None = None
    _n_frames: int = 0

    def start(self) -> None:
        """The first frame comes now; when all have been answered, the schedule is stopped."""
        self._n_frames = self.scene.n_frames
        self.busy_s = dict.fromkeys(self.scene.profiles, 0.0)
        self._free_s = dict.fromkeys(self.scene.profiles, 0.0)
        self._offer()

    def set_route(self, route: Route) -> None:
        """Frames accepted from now on follow `route`."""
        self.route = route
        self._accept()

    def occupy(self, node: NodeId, seconds: float) -> None:
        """`node` is busy with something else than frames."""
        self._free_s[node] = max(self._free_s[node], self.schedule.now_s) + seconds

    def rescue(self) -> None:
        """Frames whose plan needs a lost node run again."""
        for frame in list(self.in_flight.values()):
            if not frame.route.plan.is_local and not self.lost_nodes.isdisjoint(frame.route.plan.nodes):
                self._retry(frame)

    def _offer(self) -> None:
        self._pending = self.n_offered
        self.n_offered += 1
        if self.n_offered < self._n_frames:
            self.schedule.at(self.n_offered / self.scene.fps, self._offer)
        self._accept()

    def _accept(self) -> None:
        if self._pending is None or self._at_home or len(self.in_flight) >= self.route.n_window:
            return
        if self.in_flight and self._is_stuck():
            return
        now_s = self.schedule.now_s
        frame = Frame(self._pending, now_s, self.route, now_s + self.route.deadline_s)
        self._pending = None
        self.in_flight[frame.number] = frame
        self.frames.append(frame)
        self._begin(frame)

    def _is_stuck(self) -> bool:
        route = self.route
        oldest = next((one for one in self.in_flight.values() if one.route.generation == route.generation), None)
        if oldest is None or route.plan.is_local:
            return False
        return self.schedule.now_s - oldest.accepted_s > STUCK_RATIO * route.deadline_s

    def _begin(self, frame: Frame) -> None:
        if not frame.route.plan.is_local:
            self.schedule.at(frame.deadline_s, self._overdue, frame, frame.n_attempts)
        frame.computed_s.clear()
        if frame.n_attempts > 1 and frame.route.plan.is_local:
            self._at_home.add(frame.number)
            self._begin_at_home(frame)
            return
        self._arrive(frame, self.journeys.of(frame.route.plan), 0, frame.n_attempts)

    def _begin_at_home(self, frame: Frame) -> None:
        """A second way begins when the origin is free, unless the first one has answered by then."""
        free_s = self._free_s[self.scene.origin]
        if frame.answered_s is not None:
            self._at_home.discard(frame.number)
            self._accept()
        elif free_s > self.schedule.now_s:
            self.schedule.at(free_s, self._begin_at_home, frame)
        else:
            self._arrive(frame, self.journeys.of(frame.route.plan), 0, frame.n_attempts)

    def _arrive(self, frame: Frame, legs: tuple[Leg, ...], at: int, attempt: int) -> None:
        leg, now_s = legs[at], self.schedule.now_s
        factor = self.scene.slowdown(leg.node, now_s) if self.scene.slowdowns else 1.0
        compute_s = leg.compute_s * factor * self.noise[leg.node][frame.number]
        busy_s = compute_s + leg.codec_s * factor
        done_s = max(now_s, self._free_s[leg.node]) + busy_s
        self._free_s[leg.node] = done_s
        self.busy_s[leg.node] += busy_s
        if attempt == frame.n_attempts:
            frame.computed_s[leg.node] = compute_s
        self.schedule.at(done_s, self._done, frame, legs, at, attempt)

    def _done(self, frame: Frame, legs: tuple[Leg, ...], at: int, attempt: int) -> None:
        leg, now_s = legs[at], self.schedule.now_s
        if leg.to != leg.node:
            self.sent_bytes[leg.node, leg.to] = self.sent_bytes.get((leg.node, leg.to), 0) + leg.payload_bytes
        if at + 1 < len(legs):
            arrived_s = self.meters[leg.node].send(leg.to, leg.sent_bytes)
            self.schedule.at(arrived_s, self._arrive, frame, legs, at + 1, attempt)
        elif leg.to == leg.node:
            if attempt == frame.n_attempts:
                self._at_home.discard(frame.number)
            self._finish(frame)
        else:
            # answers are small and not acknowledged: they travel in the lane of control messages
            arrived_s = self.network.send_control((leg.node, leg.to), now_s, leg.sent_bytes)
            self.schedule.at(arrived_s, self._finish, frame)

    def _finish(self, frame: Frame) -> None:
        if self.in_flight.pop(frame.number, None) is None:  # answered before, by another attempt
            self._accept()
            return
        frame.answered_s = self.schedule.now_s
        self.answered(frame)
        self._accept()
        if not self.in_flight and self.n_offered == self._n_frames:
            self.schedule.stop()

    def _overdue(self, frame: Frame, attempt: int) -> None:
        if frame.answered_s is None and frame.n_attempts == attempt:
            frame.is_late = True
            self._retry(frame)

    def _retry(self, frame: Frame) -> None:
        """On the current route when that is another one without a lost node, else at home."""
        route = self.route
        is_same = frame.n_attempts > 1 or route.generation == frame.route.generation
        if is_same or not self.lost_nodes.isdisjoint(route.plan.nodes):
            local = Plan.local(self.scene.origin, len(self.journeys.problem.cuts))
            route = Route(generation=0, plan=local, expected_s=self.local_s)
        frame.route = route
        frame.n_attempts += 1
        frame.deadline_s = self.schedule.now_s + RETRY_FACTOR * route.deadline_s
        self._begin(frame)
