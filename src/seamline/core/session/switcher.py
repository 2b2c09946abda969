"""Switcher: drives the tables of `core.switching` for one session, with their deadlines and grace times.

The strategy may change between two switches: all generations but the routed one are drained first, and requests wait
for that.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import assert_never

from seamline.core import switching as sw
from seamline.core.cost.loads import StageLoad
from seamline.core.session import commands as cmd
from seamline.core.session import events as ev
from seamline.core.session.events import LOCAL_GENERATION, Route
from seamline.core.session.releases import Releases
from seamline.core.vocabulary.nodes import NodeId
from seamline.core.vocabulary.plans import Plan

PREPARE_DEADLINE_S = 30.0
DRAIN_DEADLINE_S = 30.0
DRAIN_GRACE_S = 0.2
"""A generation is released this long after its last answer: an earlier attempt of a frame may still be on its way."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Switched:
    """A switch is complete. request: its number, None when nobody asked and the plan before came back."""

    to_plan: Plan
    generation: int
    request: int | None
    record: cmd.SwitchRecord


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """A requested plan will not serve; the old one goes on. node: whose fault it was, if one node's."""

    plan: Plan
    reason: str
    node: NodeId | None


@dataclass(frozen=True, slots=True, kw_only=True)
class FellBack:
    """No plan could be loaded, not even the one before: frames fall back to the origin alone."""

    plan: Plan


Outcome = Switched | Refused | FellBack


@dataclass(frozen=True, slots=True)
class _Request:
    plan: Plan
    reason: str
    decided_s: float


@dataclass(frozen=True, slots=True)
class _Swap:
    """Route change sent to the ledger, until the ledger reports it done."""

    generation: sw.Generation
    request: int
    from_plan: Plan


class Switcher:
    """Owner of one session's switching state.

    route_of: the route for a plan, as estimated now. loads_of: what it brings to nodes. outcome: called
    with every request that ended.
    """

    def __init__(
        self,
        local: Plan,
        out: list[cmd.PilotOutput],
        releases: Releases,
        *,
        route_of: Callable[[int, Plan], Route],
        loads_of: Callable[[Plan], Mapping[NodeId, StageLoad]],
        outcome: Callable[[Outcome, float], None],
        strategy: sw.NamedStrategy,
    ) -> None:
        self._local = local
        self._out = out
        self._releases = releases
        self._route_of = route_of
        self._loads_of = loads_of
        self._outcome = outcome
        self._strategy = strategy
        self._next_strategy: sw.NamedStrategy | None = None
        self._postponed: tuple[Plan, str] | None = None
        self._state: sw.State = sw.Idle(newest=LOCAL_GENERATION)  # the local plan needs no switching
        self._requests: dict[int, _Request] = {}
        self._load_s: dict[int, float] = {}
        self._swaps: list[_Swap] = []
        self._paused_s: float | None = None
        self._deadlines: dict[int, float] = {}
        self._release_s: dict[int, float] = {}
        self.routed = Route(generation=LOCAL_GENERATION, plan=local)

    @property
    def is_preparing(self) -> bool:
        """Whether a plan that was asked for is on its way into service."""
        return sw.is_switching(self._state) or self._postponed is not None

    @property
    def strategy(self) -> sw.NamedStrategy:
        return self._next_strategy or self._strategy

    @property
    def standby(self) -> Plan | None:
        """The plan of the standby pipeline, if the strategy keeps one and it is ready."""
        return self._state.standby.plan if isinstance(self._state, sw.Paired) and self._state.standby else None

    @property
    def loaded(self) -> tuple[sw.Generation, ...]:
        """Every generation that nodes have loaded or are loading for this stream, beside the local one."""
        return sw.generations(self._state)

    @property
    def due_s(self) -> float:
        """Time at which the next grace time or deadline ends; inf when there is none."""
        if not self._deadlines and not self._release_s:  # as nearly always
            return math.inf
        return min(*self._deadlines.values(), *self._release_s.values(), math.inf)

    def request(self, plan: Plan, reason: str, now_s: float) -> None:
        """Switch to `plan` when all of its nodes are ready; a plan still being prepared is given up for it."""
        if self._next_strategy is not None:
            self._postponed = (plan, reason)
            return
        number = self._state.newest + 1
        self._requests[number] = _Request(plan, reason, now_s)
        self._out.append(cmd.SwitchBegun(number, plan, reason))
        self._feed(sw.SwitchRequested(sw.Generation(number, plan)), now_s)

    def stand_by(self, plan: Plan, now_s: float) -> None:
        """Prepare a standby of `plan`, a guess at the next one; ignored by a strategy that keeps no standby."""
        if self.strategy.keeps_standby and self._next_strategy is None and self._state.newest > LOCAL_GENERATION:
            self._feed(sw.StandbyChosen(sw.Generation(self._state.newest + 1, plan)), now_s)

    def use(self, strategy: sw.NamedStrategy, now_s: float) -> None:
        """Switch by `strategy` from now on."""
        if strategy is not self.strategy:
            self._next_strategy = strategy
            self._change_strategy(now_s)

    def node_lost(self, node: NodeId, now_s: float) -> None:
        self._feed(sw.NodeLost(node), now_s)

    def node_prepared(self, number: int, node: NodeId, load_s: float, now_s: float) -> None:
        if number in self._load_s:
            self._load_s[number] = max(self._load_s[number], load_s)
        self._feed(sw.NodePrepared(number, node), now_s)

    def node_failed(self, number: int, node: NodeId, reason: str, now_s: float) -> None:
        self._feed(sw.NodeFailed(number, node, reason), now_s)

    def drained(self, generation: int, now_s: float) -> None:
        """The last frame of `generation` has its answer; it is released after a grace time, or at once in a pause."""
        if isinstance(self._state, sw.Pausing) and generation == self._state.now.number:
            self._feed(sw.Drained(generation), now_s)
        elif generation != self.routed.generation:
            self._release_s[generation] = now_s + DRAIN_GRACE_S

    def swapped(self, event: ev.Routed, now_s: float) -> None:
        """The ledger reports that it follows the route of `SetRoute`."""
        at = next((at for at, swap in enumerate(self._swaps) if swap.generation.number == event.generation), None)
        if at is not None:
            self._complete(self._swaps.pop(at), event.switch_s, now_s)

    def tick(self, now_s: float) -> None:
        """Act on what is due: grace times that are over, and deadlines."""
        for generation in [number for number, at_s in self._release_s.items() if now_s >= at_s]:
            del self._release_s[generation]
            self._deadlines.pop(generation, None)
            self._feed(sw.Drained(generation), now_s)
        for generation in [number for number, at_s in self._deadlines.items() if now_s >= at_s]:
            del self._deadlines[generation]
            self._feed(sw.Deadline(generation), now_s)
        self._change_strategy(now_s)

    def stop(self, now_s: float) -> None:
        """Release everything."""
        self._feed(sw.StopRequested(), now_s)

    def validate(self) -> None:
        """Raises `AssertionError` when an invariant does not hold; for tests."""
        sw.validate(self._state)
        routed = sw.routed(self._state)
        if routed is not None and not isinstance(self._state, sw.Pausing):
            assert routed.number == self.routed.generation, "the table routes another generation than the ledger"

    # -- between strategies --------------------------------------------------------------------------------------------

    def _change_strategy(self, now_s: float) -> None:
        """Take the next strategy as soon as all generations but the routed one are drained."""
        if self._next_strategy is None or sw.is_switching(self._state):
            return
        self._state, commands = sw.leave(self._state)
        self._strategy = sw.STRATEGIES["live"]  # its table lets drain what is left
        self._obey(commands, now_s)
        if not isinstance(self._state, sw.Idle | sw.Serving):
            return
        self._state = sw.enter(self._state, self._next_strategy)
        self._strategy, self._next_strategy = self._next_strategy, None
        postponed, self._postponed = self._postponed, None
        if postponed is not None:
            self.request(*postponed, now_s)

    # -- the table and its commands ------------------------------------------------------------------------------------

    def _feed(self, event: sw.Event, now_s: float) -> None:
        self._state, commands = self._strategy.table(self._state, event)
        self._obey(commands, now_s)

    def _obey(self, commands: list[sw.Command], now_s: float) -> None:
        for command in commands:
            match command:
                case sw.Prepare(generation):
                    self._deadlines[generation.number] = now_s + PREPARE_DEADLINE_S
                    self._load_s[generation.number] = 0.0
                    self._out.append(cmd.Prepare(generation, self._strategy.mode, self._loads_of(generation.plan)))
                case sw.Route(generation, request):
                    self._route(generation, generation.number if request is None else request, now_s)
                case sw.Release(generation):
                    self._forget(generation.number)
                    self._releases.say(generation, now_s)
                case sw.Refuse(generation, reason, node):
                    self._requests.pop(generation.number, None)
                    words = f"plan {generation.plan} is refused: {reason}"
                    self._out.append(cmd.Say(cmd.Level.WARNING, words))
                    self._outcome(Refused(plan=generation.plan, reason=reason, node=node), now_s)
                case sw.Drain(generation):
                    self._drain(generation.number, now_s)
                case sw.Pause(generation):
                    self._paused_s = now_s
                    self._deadlines[generation.number] = now_s + DRAIN_DEADLINE_S
                    self._out.append(ev.PauseFrames(generation.number))
                case sw.Resume():
                    self._paused_s = None
                    self._out.append(ev.ResumeFrames())
                case sw.FallBack():
                    self._fall_back(now_s)
                case _:
                    assert_never(command)

    def _route(self, generation: sw.Generation, request: int, now_s: float) -> None:
        old = self.routed
        self._deadlines.pop(generation.number, None)
        self._release_s.pop(generation.number, None)
        self.routed = self._route_of(generation.number, generation.plan)
        self._swaps.append(_Swap(generation, request, old.plan))
        self._out.append(ev.SetRoute(self.routed, now_s))
        if old.generation > LOCAL_GENERATION and old.generation != generation.number:
            self._drain(old.generation, now_s)

    def _complete(self, swap: _Swap, switch_s: float, now_s: float) -> None:
        """The swap is done: say what the switch took."""
        request = self._requests.pop(swap.request, None)
        for number in [number for number in self._requests if number < swap.request]:
            del self._requests[number]  # given up for this one
        pause_s = 0.0 if self._paused_s is None else max(0.0, now_s - switch_s - self._paused_s)
        self._paused_s = None
        decided_s = request.decided_s if request is not None else now_s
        record = cmd.SwitchRecord(
            at_s=decided_s,
            from_plan=swap.from_plan,
            to_plan=swap.generation.plan,
            reason=request.reason if request is not None else "the plan before is back",
            strategy=self._strategy.name,
            prepare_s=now_s - decided_s,
            switch_s=switch_s,
            pause_s=pause_s,
            load_s=self._load_s.pop(swap.generation.number, 0.0),
            is_restored=request is None,
        )
        asked = None if request is None else swap.request
        done = Switched(to_plan=record.to_plan, generation=swap.generation.number, request=asked, record=record)
        self._outcome(done, now_s)

    def _drain(self, number: int, now_s: float) -> None:
        self._deadlines[number] = now_s + DRAIN_DEADLINE_S
        self._out.append(ev.DrainWanted(number))

    def _fall_back(self, now_s: float) -> None:
        self._paused_s = None
        self.routed = self._route_of(LOCAL_GENERATION, self._local)
        self._out.append(ev.SetRoute(self.routed, now_s))
        words = f"no plan could be loaded; frames run on {self._local.origin} alone"
        self._out.append(cmd.Say(cmd.Level.WARNING, words))
        self._outcome(FellBack(plan=self._local), now_s)

    def _forget(self, number: int) -> None:
        self._deadlines.pop(number, None)
        self._release_s.pop(number, None)
        self._load_s.pop(number, None)
