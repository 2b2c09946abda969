"""Invariants of a session, checked from outside while a run goes on: what must hold whatever happens to the world.

    accepted frames     end once each, answered or failed, and are delivered in order
    answers             are of the frame that went in, and of the plan of their generation
    routes              none for new frames through a node that has been known dead for longer than `LEASE_S`
    generations         every Prepare has its one Release, and no node holds anything at the end
    requests by hand    are settled or rejected once
    the session         `validate()` after every event, and never an error of its own

`Invariants.watch` goes into the driver; it raises `Violation` with the frame concerned.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

from seamline.core.session import commands as cmd
from seamline.core.session import events as ev
from seamline.core.session.session import Session
from seamline.core.vocabulary.nodes import NodeId
from seamline.core.vocabulary.plans import Plan
from seamline.core.vocabulary.ports import LEASE_S
from seamline.sim.driver import Answer, Driver

DECISION_S = 0.1
"""From the loss of a node until a decision about it: the driver gathers events for a moment."""

N_LOGGED = 4000


class Violation(AssertionError):
    """An invariant does not hold. frame: the one concerned, if it is one's."""

    def __init__(self, words: str, frame: int | None = None) -> None:
        super().__init__(words)
        self.frame = frame


@dataclass(slots=True)
class Invariants:
    """What a run has shown so far. is_logging: keeps the newest events and commands, to tell the story of a failure."""

    session: Session
    local: Plan
    is_logging: bool = False
    log: deque[tuple[float, ev.Event, Sequence[cmd.Command]]] = field(default_factory=lambda: deque(maxlen=N_LOGGED))
    n_delivered: int = 0
    finished: dict[int, ev.FrameFinished] = field(default_factory=dict)
    _accepted: dict[int, object] = field(default_factory=dict)
    _plans: dict[int, Plan] = field(default_factory=dict)
    _released: set[int] = field(default_factory=set)
    _dead_since_s: dict[NodeId, float] = field(default_factory=dict)
    _open_requests: set[int] = field(default_factory=set)

    def __post_init__(self) -> None:
        self._plans[ev.LOCAL_GENERATION] = self.local

    def watch(self, now_s: float, event: ev.Event, commands: Sequence[cmd.Command]) -> None:
        """Check one event and what the session commands about it. Raises `Violation`."""
        if self.is_logging:
            self.log.append((now_s, event, commands))
        match event:
            case ev.PeerChanged(node, is_alive):
                if is_alive:
                    self._dead_since_s.pop(node, None)
                else:
                    self._dead_since_s.setdefault(node, now_s)
            case ev.SwitchAsked(request=request) | ev.UnpinAsked(request=request):
                self._open_requests.add(request)
        for command in commands:
            self._check(command, now_s)
        try:
            self.session.validate()
        except AssertionError as error:
            raise Violation(f"validate: {error}") from error

    def at_end(self, driver: Driver) -> None:
        """After the stream was stopped and all words have come through. Raises `Violation`."""
        for frame in self._accepted.keys() - self.finished.keys():
            raise Violation(f"frame {frame} was accepted and never ended", frame)
        if self.n_delivered != len(self.finished):
            raise Violation(f"{len(self.finished)} frames ended, {self.n_delivered} were delivered", self.n_delivered)
        if held := self._plans.keys() - self._released - {ev.LOCAL_GENERATION}:
            raise Violation(f"generations {sorted(held)} were prepared and never released")
        if self._open_requests:
            raise Violation(f"requests {sorted(self._open_requests)} were never answered")
        for name, host in driver.hosts.items():
            if driver.nodes[name].is_alive and (n_held := host.host.n_generations):
                raise Violation(f"`{name}` holds {n_held} generations at the end")

    def _check(self, command: cmd.Command, now_s: float) -> None:
        match command:
            case cmd.RunFrame(frame=frame, attempt=attempt, route=route, tensors=tensors):
                self._runs(frame, attempt, route, tensors, now_s)
            case ev.FrameFinished():
                self._ends(command)
            case cmd.Deliver(frame):
                if frame != self.n_delivered or frame not in self.finished:
                    raise Violation(f"frame {frame} was delivered, {self.n_delivered} was next", frame)
                self.n_delivered += 1
            case cmd.Prepare(generation):
                if self._plans.setdefault(generation.number, generation.plan) is not generation.plan:
                    raise Violation(f"generation {generation.number} was prepared twice")
            case cmd.Release(generation):
                if self._plans.get(generation.number) != generation.plan:
                    raise Violation(f"generation {generation.number} was released and never prepared")
                self._released.add(generation.number)
            case cmd.Settle(request=request) | cmd.Reject(request=request):
                if request not in self._open_requests:
                    raise Violation(f"request {request} was answered and not open")
                self._open_requests.discard(request)
            case cmd.Say(level=cmd.Level.ERROR, words=words):
                raise Violation(f"the session stumbled: {words}")

    def _runs(self, frame: int, attempt: int, route: ev.Route, tensors: object, now_s: float) -> None:
        if attempt == 0:
            if frame in self._accepted or frame != len(self._accepted):
                raise Violation(f"frame {frame} was accepted after {len(self._accepted)} others", frame)
            self._accepted[frame] = tensors
        elif frame in self.finished or frame not in self._accepted:
            raise Violation(f"frame {frame} runs again, and is not in flight", frame)
        elif self._accepted[frame] is not tensors:
            raise Violation(f"frame {frame} runs again with other tensors", frame)
        if self._plans.get(route.generation) != route.plan:
            raise Violation(f"frame {frame} runs by {route.plan}, which is not generation {route.generation}", frame)
        if route.generation in self._released:
            raise Violation(f"frame {frame} runs by generation {route.generation}, which was released", frame)
        for node in route.plan.nodes:
            dead_s = now_s - self._dead_since_s.get(node, now_s)
            if dead_s > LEASE_S + DECISION_S:
                raise Violation(f"frame {frame} goes to `{node}`, known dead for {dead_s:.3f} s", frame)

    def _ends(self, finished: ev.FrameFinished) -> None:
        frame = finished.frame
        if frame in self.finished:
            raise Violation(f"frame {frame} ended twice", frame)
        if frame not in self._accepted:
            raise Violation(f"frame {frame} ended and was never accepted", frame)
        self.finished[frame] = finished
        if finished.error is not None:
            return
        if finished.answer != Answer(finished.generation, self._accepted[frame]):  # type: ignore[arg-type] # compared
            raise Violation(f"frame {frame} has the answer {finished.answer}", frame)
        if self._plans.get(finished.generation) != finished.plan:
            raise Violation(f"frame {frame} names {finished.plan} for generation {finished.generation}", frame)
