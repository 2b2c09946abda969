"""Carries out what the switching table commands: prepares nodes, swaps the route, releases what has drained.

The table itself is `core.switching`; this is its shell. Everything here runs on the controller's thread; answers of
nodes come back to it through `post`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial

from seamline.core import switching as sw
from seamline.core.errors import SeamlineError
from seamline.core.values import NodeId, Plan
from seamline.runtime.clock import now_s
from seamline.runtime.node import Node
from seamline.runtime.stream import Route, StreamFrames

log = logging.getLogger(__name__)

PREPARE_DEADLINE_S = 30.0
DRAIN_DEADLINE_S = 30.0
DRAIN_GRACE_S = 0.2


@dataclass(frozen=True, slots=True, kw_only=True)
class Switched:
    """A switch is complete: frames accepted from now on follow `to_plan`. from_plan: None for the first one.

    decided_s: clock reading of the request. prepare_s: from there until the route was swapped. switch_s: how long the
    swap kept frames from being accepted.
    """

    from_plan: Plan | None
    to_plan: Plan
    generation: int
    reason: str
    decided_s: float
    prepare_s: float
    switch_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """A requested plan will not serve; the old one goes on. node: whose fault it was, if one node's."""

    plan: Plan
    reason: str
    node: NodeId | None


Outcome = Switched | Refused


@dataclass(frozen=True, slots=True)
class _Request:
    plan: Plan
    reason: str
    decided_s: float


class Switcher:
    """Owner of one stream's switching state.

    post: runs a function on the controller's thread, soon. route_of: the route for a plan (window, expected latency).
    outcome: told of every request that ended.
    """

    def __init__(
        self,
        node: Node,
        frames: StreamFrames,
        model_id: str,
        *,
        post: Callable[[Callable[[], None]], None],
        route_of: Callable[[int, Plan], Route],
        outcome: Callable[[Outcome], None],
        strategy: sw.Strategy = sw.live,
    ) -> None:
        self._node = node
        self._frames = frames
        self._model_id = model_id
        self._post = post
        self._route_of = route_of
        self._outcome = outcome
        self._strategy = strategy
        self._state: sw.State = sw.Idle(newest=0)  # generation 0 is the local plan, which needs no switching
        self._requests: dict[int, _Request] = {}
        self._deadlines: dict[int, float] = {}
        self._drained_at_s: dict[int, float] = {}

    @property
    def is_warming(self) -> bool:
        return isinstance(self._state, sw.Warming)

    @property
    def pending(self) -> Plan | None:
        """The plan that is being prepared."""
        return self._state.new.plan if isinstance(self._state, sw.Warming) else None

    def request(self, plan: Plan, reason: str) -> None:
        """Move to `plan` when all of its nodes are ready; a plan still being prepared is given up for it."""
        number = self._state.newest + 1
        self._requests[number] = _Request(plan, reason, now_s())
        self._feed(sw.SwitchRequested(sw.Generation(number, plan)))

    def peer_lost(self, node: NodeId) -> None:
        self._feed(sw.NodeLost(node))

    def drained(self, generation: int) -> None:
        """The last frame of `generation` has its answer; it is released after a grace time."""
        self._drained_at_s[generation] = now_s() + DRAIN_GRACE_S

    def tick(self, now: float) -> None:
        """Act on what is due: grace times that are over, and deadlines."""
        for generation in [number for number, at_s in self._drained_at_s.items() if now >= at_s]:
            del self._drained_at_s[generation]
            self._deadlines.pop(generation, None)
            self._feed(sw.Drained(generation))
        for generation in [number for number, at_s in self._deadlines.items() if now >= at_s]:
            del self._deadlines[generation]
            self._feed(sw.Deadline(generation))

    def stop(self) -> None:
        """Release everything."""
        self._feed(sw.StopRequested())

    def _feed(self, event: sw.Event) -> None:
        self._state, commands = self._strategy(self._state, event)
        for command in commands:
            match command:
                case sw.Prepare(generation):
                    self._prepare(generation)
                case sw.Route(generation):
                    self._route(generation)
                case sw.Release(generation):
                    self._release(generation)
                case sw.Refuse(generation, reason, node):
                    self._refuse(generation, reason, node)

    def _prepare(self, generation: sw.Generation) -> None:
        self._deadlines[generation.number] = now_s() + PREPARE_DEADLINE_S
        for node in generation.plan.nodes:
            answer = self._node.prepare(node, self._frames.stream, generation.number, self._model_id, generation.plan)
            answer.add_done_callback(partial(self._prepared, generation.number, node))

    def _prepared(self, number: int, node: NodeId, answer: Future[float]) -> None:
        if answer.cancelled():
            return
        error = answer.exception()
        if error is None:
            event: sw.Event = sw.NodePrepared(number, node)
        else:
            event = sw.NodeFailed(number, node, str(error))
            if not isinstance(error, SeamlineError):
                log.error("preparing generation %d on %s failed", number, node, exc_info=error)
        self._post(lambda: self._feed(event))

    def _route(self, generation: sw.Generation) -> None:
        old = self._frames.route
        self._deadlines.pop(generation.number, None)
        switch_s = self._frames.set_route(self._route_of(generation.number, generation.plan))
        request = self._requests.pop(generation.number)
        if old.generation > 0:
            self._deadlines[old.generation] = now_s() + DRAIN_DEADLINE_S
            if self._frames.n_in_flight(old.generation) == 0:
                self.drained(old.generation)
        self._outcome(
            Switched(
                from_plan=old.plan,
                to_plan=generation.plan,
                generation=generation.number,
                reason=request.reason,
                decided_s=request.decided_s,
                prepare_s=now_s() - request.decided_s,
                switch_s=switch_s,
            )
        )

    def _release(self, generation: sw.Generation) -> None:
        self._deadlines.pop(generation.number, None)
        self._drained_at_s.pop(generation.number, None)
        self._requests.pop(generation.number, None)
        for node in generation.plan.nodes:
            self._node.release(node, self._frames.stream, generation.number)

    def _refuse(self, generation: sw.Generation, reason: str, node: NodeId | None) -> None:
        log.warning("plan %s is refused: %s", generation.plan, reason)
        self._outcome(Refused(plan=generation.plan, reason=reason, node=node))
