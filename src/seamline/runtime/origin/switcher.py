"""Carries out what the switching tables command: pauses, prepares nodes, swaps the route, releases what has drained.

The tables are `core.switching`; this is their shell, with the clocks. Everything here runs on the controller's thread;
answers of nodes come back to it through `post`. The strategy may change between two switches: what the old one held
beyond the routed generation is let go first, and requests wait for that.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial
from typing import assert_never

from seamline.core import switching as sw
from seamline.core.vocabulary.errors import SeamlineError
from seamline.core.vocabulary.nodes import NodeId
from seamline.core.vocabulary.plans import Plan
from seamline.runtime.node.node import Node
from seamline.runtime.origin.frames import LOCAL_GENERATION, Route, StreamFrames
from seamline.runtime.shared.clock import now_s

log = logging.getLogger(__name__)

PREPARE_DEADLINE_S = 30.0
DRAIN_DEADLINE_S = 30.0
DRAIN_GRACE_S = 0.2


@dataclass(frozen=True, slots=True, kw_only=True)
class Switched:
    """A switch is complete: frames accepted from now on follow `to_plan`. from_plan: at first the local one.

    decided_s: clock reading of the request. prepare_s: from there until the route was swapped. switch_s: how long the
    swap kept frames from being accepted (t_switch). pause_s: how long nothing was accepted before the swap (t_update
    without it). load_s: what the slowest node spent on preparing (t_exec, t_initialisation). sent_bytes: messages to
    other nodes for the switch. is_restored: nobody asked for it, the plan before came back after a failure.
    """

    from_plan: Plan
    to_plan: Plan
    generation: int
    reason: str
    strategy: str
    decided_s: float
    prepare_s: float
    switch_s: float
    pause_s: float
    load_s: float
    sent_bytes: int
    is_restored: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """A requested plan will not serve; the old one goes on. node: whose fault it was, if one node's."""

    plan: Plan
    reason: str
    node: NodeId | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Retreated:
    """No plan could be loaded, not even the one before: frames run on the origin alone."""

    plan: Plan


Outcome = Switched | Refused | Retreated


@dataclass(slots=True)
class _Request:
    """A wish for a plan. sent_before_bytes: what had been sent for switching when it came."""

    plan: Plan
    reason: str
    decided_s: float
    sent_before_bytes: int


@dataclass(slots=True)
class _Made:
    """One generation's preparation. load_s: what the slowest node has spent so far."""

    load_s: float = 0.0


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
        strategy: sw.NamedStrategy = sw.STRATEGIES["live"],
    ) -> None:
        self._node = node
        self._frames = frames
        self._model_id = model_id
        self._post = post
        self._route_of = route_of
        self._outcome = outcome
        self._strategy = strategy
        self._next_strategy: sw.NamedStrategy | None = None
        self._postponed: tuple[Plan, str] | None = None
        self._state: sw.State = sw.Idle(newest=LOCAL_GENERATION)  # the local plan needs no switching
        self._requests: dict[int, _Request] = {}
        self._made: dict[int, _Made] = {}
        self._paused_s: float | None = None
        self._deadlines: dict[int, float] = {}
        self._drained_at_s: dict[int, float] = {}

    @property
    def is_warming(self) -> bool:
        """Whether a plan that was asked for is on its way into service."""
        return sw.is_switching(self._state)

    @property
    def strategy(self) -> sw.NamedStrategy:
        return self._next_strategy or self._strategy

    @property
    def spare(self) -> Plan | None:
        """The plan that stands by, ready, if the strategy keeps one."""
        return self._state.spare.plan if isinstance(self._state, sw.Paired) and self._state.spare else None

    def request(self, plan: Plan, reason: str) -> None:
        """Move to `plan` when all of its nodes are ready; a plan still being prepared is given up for it."""
        if self._next_strategy is not None:
            self._postponed = (plan, reason)
            return
        number = self._state.newest + 1
        sent_bytes = self._node.uplink.switching_bytes.total()
        self._requests[number] = _Request(plan, reason, now_s(), sent_bytes)
        self._feed(sw.SwitchRequested(sw.Generation(number, plan)))

    def stand_by(self, plan: Plan) -> None:
        """Guess that `plan` is the next one; a strategy that keeps no spare does nothing about it."""
        if self.strategy.keeps_spare and self._next_strategy is None and self._state.newest > LOCAL_GENERATION:
            self._feed(sw.SpareChosen(sw.Generation(self._state.newest + 1, plan)))

    def use(self, strategy: sw.NamedStrategy) -> None:
        """Switch by `strategy` from now on."""
        if strategy is not self.strategy:
            self._next_strategy = strategy
            self._change_strategy()

    def peer_lost(self, node: NodeId) -> None:
        self._feed(sw.NodeLost(node))

    def drained(self, generation: int) -> None:
        """The last frame of `generation` has its answer; it is released after a grace time, or at once in a pause."""
        is_paused = isinstance(self._state, sw.Pausing) and generation == self._state.now.number
        if is_paused:
            self._feed(sw.Drained(generation))
        else:
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
        self._change_strategy()

    def stop(self) -> None:
        """Release everything."""
        self._feed(sw.StopRequested())

    # -- between strategies --------------------------------------------------------------------------------------------

    def _change_strategy(self) -> None:
        """Take the next strategy as soon as nothing but the routed generation is held."""
        if self._next_strategy is None or sw.is_switching(self._state):
            return
        self._state, commands = sw.leave(self._state)
        self._strategy = sw.STRATEGIES["live"]  # its table lets drain what is left
        self._obey(commands)
        if not isinstance(self._state, sw.Idle | sw.Serving):
            return
        self._state = sw.enter(self._state, self._next_strategy)
        self._strategy, self._next_strategy = self._next_strategy, None
        postponed, self._postponed = self._postponed, None
        if postponed is not None:
            self.request(*postponed)

    # -- the table and its commands ------------------------------------------------------------------------------------

    def _feed(self, event: sw.Event) -> None:
        self._state, commands = self._strategy.table(self._state, event)
        self._obey(commands)

    def _obey(self, commands: list[sw.Command]) -> None:
        for command in commands:
            match command:
                case sw.Prepare(generation):
                    self._prepare(generation)
                case sw.Route(generation, request):
                    self._route(generation, generation.number if request is None else request)
                case sw.Release(generation):
                    self._release(generation)
                case sw.Refuse(generation, reason, node):
                    self._refuse(generation, reason, node)
                case sw.Retire(generation):
                    self._retire(generation.number)
                case sw.Pause(generation):
                    self._pause(generation)
                case sw.Resume():
                    self._paused_s = None
                    self._frames.resume()
                case sw.Retreat():
                    self._retreat()
                case _:
                    assert_never(command)

    def _prepare(self, generation: sw.Generation) -> None:
        self._deadlines[generation.number] = now_s() + PREPARE_DEADLINE_S
        self._made[generation.number] = _Made()
        for node in generation.plan.nodes:
            answer = self._node.client.prepare(
                node, self._frames.stream, generation.number, self._model_id, generation.plan, self._strategy.form
            )
            answer.add_done_callback(partial(self._prepared, generation.number, node))

    def _prepared(self, number: int, node: NodeId, answer: Future[float]) -> None:
        """On whichever thread the answer came."""
        if answer.cancelled():
            return
        error = answer.exception()
        if error is None:
            self._post(partial(self._node_prepared, number, node, answer.result()))
            return
        if not isinstance(error, SeamlineError):
            log.error("preparing generation %d on %s failed", number, node, exc_info=error)
        self._post(partial(self._feed, sw.NodeFailed(number, node, str(error))))

    def _node_prepared(self, number: int, node: NodeId, load_s: float) -> None:
        if (made := self._made.get(number)) is not None:
            made.load_s = max(made.load_s, load_s)
        self._feed(sw.NodePrepared(number, node))

    def _route(self, generation: sw.Generation, request_number: int) -> None:
        old = self._frames.route
        self._deadlines.pop(generation.number, None)
        self._drained_at_s.pop(generation.number, None)
        switch_s = self._frames.set_route(self._route_of(generation.number, generation.plan))
        swapped_s = now_s()
        request = self._requests.pop(request_number, None)
        made = self._made.pop(generation.number, _Made())
        pause_s = 0.0 if self._paused_s is None else swapped_s - switch_s - self._paused_s
        self._paused_s = None
        for number in [number for number in self._requests if number < request_number]:
            del self._requests[number]  # given up for this one
        if old.generation > LOCAL_GENERATION and old.generation != generation.number:
            self._retire(old.generation)
        decided_s = request.decided_s if request is not None else swapped_s
        sent_before_bytes = request.sent_before_bytes if request is not None else 0
        self._outcome(
            Switched(
                from_plan=old.plan,
                to_plan=generation.plan,
                generation=generation.number,
                reason=request.reason if request is not None else "the plan before is back",
                strategy=self._strategy.name,
                decided_s=decided_s,
                prepare_s=swapped_s - decided_s,
                switch_s=switch_s,
                pause_s=pause_s,
                load_s=made.load_s,
                sent_bytes=self._node.uplink.switching_bytes.total() - sent_before_bytes,
                is_restored=request is None,
            )
        )

    def _retire(self, number: int) -> None:
        self._deadlines[number] = now_s() + DRAIN_DEADLINE_S
        if self._frames.n_in_flight(number) == 0:
            self.drained(number)

    def _pause(self, generation: sw.Generation) -> None:
        self._paused_s = now_s()
        self._frames.pause()
        self._deadlines[generation.number] = self._paused_s + DRAIN_DEADLINE_S
        if self._frames.n_in_flight(generation.number) == 0:
            number = generation.number
            self._post(lambda: self.drained(number))  # not from within a command: the table must see one event a time

    def _retreat(self) -> None:
        self._paused_s = None
        self._frames.set_route(self._frames.local)
        log.warning("no plan could be loaded; frames run on %s alone", self._node.name)
        self._outcome(Retreated(plan=self._frames.local.plan))

    def _release(self, generation: sw.Generation) -> None:
        self._deadlines.pop(generation.number, None)
        self._drained_at_s.pop(generation.number, None)
        self._made.pop(generation.number, None)
        for node in generation.plan.nodes:
            self._node.client.release(node, self._frames.stream, generation.number)

    def _refuse(self, generation: sw.Generation, reason: str, node: NodeId | None) -> None:
        self._requests.pop(generation.number, None)
        log.warning("plan %s is refused: %s", generation.plan, reason)
        self._outcome(Refused(plan=generation.plan, reason=reason, node=node))
