"""Vocabulary of the switching tables: generations, states, events, commands.

Every strategy is a function `(state, event) -> (state, commands)` over these, see the files beside this one. The shell
(`core.session.switcher`) feeds the events and carries the commands out.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from seamline.core.vocabulary.nodes import NodeId
from seamline.core.vocabulary.plans import Plan


@dataclass(frozen=True, slots=True)
class Generation:
    """A plan in use, numbered from 0 upwards in order of request."""

    number: int
    plan: Plan


# -- states --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Idle:
    """No generation is routed: frames run on the origin alone. newest: highest number ever requested."""

    newest: int = -1


@dataclass(frozen=True, slots=True)
class Serving:
    """One generation is routed, no other exists."""

    now: Generation
    newest: int


@dataclass(frozen=True, slots=True)
class Preparing:
    """`new` is being prepared; `missing` nodes have not answered. now: what serves meanwhile, None at the start."""

    now: Generation | None
    new: Generation
    missing: frozenset[NodeId]
    draining: tuple[Generation, ...] = ()

    @property
    def newest(self) -> int:
        return self.new.number


@dataclass(frozen=True, slots=True)
class Draining:
    """`now` is routed; the `draining` ones still answer frames."""

    now: Generation
    draining: tuple[Generation, ...]
    newest: int


@dataclass(frozen=True, slots=True)
class Pausing:
    """No frame is accepted; those in flight finish under `now`, then `new` is loaded in its place."""

    now: Generation
    new: Generation

    @property
    def newest(self) -> int:
        return self.new.number


@dataclass(frozen=True, slots=True)
class Loading:
    """`new` is being loaded, no other generation is loaded. old: the plan to go back to, None at the start.

    With `old`, no frame is accepted meanwhile; without, frames run on the origin alone.
    """

    new: Generation
    missing: frozenset[NodeId]
    old: Plan | None

    @property
    def newest(self) -> int:
        return self.new.number


@dataclass(frozen=True, slots=True)
class Restoring:
    """The new plan failed after the old one was dropped: the old one is being loaded again, as `again`."""

    again: Generation
    missing: frozenset[NodeId]

    @property
    def newest(self) -> int:
        return self.again.number


@dataclass(frozen=True, slots=True)
class Paired:
    """A serving pipeline and a standby. now: serves, None until the first one does.

    standby: complete, ready and not routed. preparing: not ready; `missing` nodes have not answered; `is_wanted`: it is
    routed as soon as it is ready, otherwise it becomes the standby. draining: neither; still answering frames.
    request: number of the request that a wanted `preparing` answers. is_broken: a node of `now` died.
    """

    now: Generation | None
    newest: int
    standby: Generation | None = None
    preparing: Generation | None = None
    missing: frozenset[NodeId] = frozenset()
    is_wanted: bool = False
    request: int = -1
    is_broken: bool = False
    draining: tuple[Generation, ...] = ()


State = Idle | Serving | Preparing | Draining | Pausing | Loading | Restoring | Paired


# -- events --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class SwitchRequested:
    new: Generation


@dataclass(frozen=True, slots=True)
class StandbyChosen:
    """A guess at the next plan, for strategies that keep a second pipeline ready; others ignore it."""

    standby: Generation


@dataclass(frozen=True, slots=True)
class NodePrepared:
    generation: int
    node: NodeId


@dataclass(frozen=True, slots=True)
class NodeFailed:
    """A node could not prepare its stages."""

    generation: int
    node: NodeId
    reason: str


@dataclass(frozen=True, slots=True)
class NodeLost:
    """A node died or fell silent."""

    node: NodeId


@dataclass(frozen=True, slots=True)
class Drained:
    """The last frame of a generation was answered; no more come, for it is not routed or nothing is accepted."""

    generation: int


@dataclass(frozen=True, slots=True)
class Deadline:
    """Preparing or draining this generation has taken too long."""

    generation: int


@dataclass(frozen=True, slots=True)
class StopRequested:
    """The stream ends."""


Event = SwitchRequested | StandbyChosen | NodePrepared | NodeFailed | NodeLost | Drained | Deadline | StopRequested


# -- commands ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Prepare:
    """Ask every node of the plan to get ready."""

    generation: Generation


@dataclass(frozen=True, slots=True)
class Route:
    """From the next frame on, this generation; accept frames if they were not accepted.

    request: the number of the request that it answers, where that is not the generation's own.
    """

    generation: Generation
    request: int | None = None


@dataclass(frozen=True, slots=True)
class Release:
    """Every node of the plan may forget this generation."""

    generation: Generation


@dataclass(frozen=True, slots=True)
class Refuse:
    """This generation will not serve. node: whose fault it is, where one node's."""

    generation: Generation
    reason: str
    node: NodeId | None = None


@dataclass(frozen=True, slots=True)
class Drain:
    """Let this generation, which is not routed any more, answer its last frame; then `Drained` is said."""

    generation: Generation


@dataclass(frozen=True, slots=True)
class Pause:
    """Accept no more frames; say `Drained` when this generation has answered those it has."""

    generation: Generation


@dataclass(frozen=True, slots=True)
class Resume:
    """Accept frames again, under this generation as before the pause."""

    generation: Generation


@dataclass(frozen=True, slots=True)
class FallBack:
    """Nothing is left that could serve: accept frames again, on the origin alone."""


Command = Prepare | Route | Release | Refuse | Drain | Pause | Resume | FallBack
Step = tuple[State, list[Command]]
Strategy = Callable[[State, Event], Step]


def generations(state: State) -> tuple[Generation, ...]:
    """Every generation that nodes have loaded or are loading for this stream, oldest first."""
    match state:
        case Idle():
            return ()
        case Serving(now) | Pausing(now):
            return (now,)
        case Loading(new):
            return (new,)
        case Restoring(again):
            return (again,)
        case Draining(now, draining):
            return tuple(sorted((*draining, now), key=lambda one: one.number))
        case Preparing(now, new, _, draining):
            return (*draining, new) if now is None else (*draining, now, new)
        case Paired():
            loaded = (*state.draining, state.now, state.standby, state.preparing)
            return tuple(sorted((one for one in loaded if one is not None), key=lambda one: one.number))


def routed(state: State) -> Generation | None:
    """The generation that the next frame takes (in `Pausing`: that those in flight took); None: the origin alone."""
    return state.now if isinstance(state, Serving | Preparing | Draining | Pausing | Paired) else None


def is_switching(state: State) -> bool:
    """Whether a requested plan is on its way into service."""
    match state:
        case Preparing() | Pausing() | Loading() | Restoring():
            return True
        case Paired():
            return state.is_wanted
        case _:
            return False


def validate(state: State) -> None:
    """Raises `AssertionError` when an invariant does not hold; for tests and debugging."""
    numbers = [generation.number for generation in generations(state)]
    assert numbers == sorted(set(numbers)), f"generations out of order: {numbers}"
    assert all(number <= state.newest for number in numbers)
    match state:
        case Preparing(_, new, missing) | Loading(new, missing) | Restoring(new, missing):
            assert missing, "nothing is missing, yet not routed"
            assert missing <= set(new.plan.nodes)
        case Draining():
            assert state.draining, "nothing drains"
        case Pausing(now, new):
            assert now.number < new.number
        case Paired():
            assert bool(state.missing) == (state.preparing is not None), "preparing and missing belong together"
            assert state.preparing is not None or not state.is_wanted, "nothing is being prepared, yet wanted"
            assert state.is_wanted == (state.request >= 0), "a wanted pipeline answers a request, no other does"


def silent(missing: frozenset[NodeId]) -> tuple[str, NodeId | None]:
    """The reason for a `Refuse` after a deadline, and the node at fault if it is one."""
    names = ", ".join(f"`{node}`" for node in sorted(missing))
    return f"{names} did not get ready in time", next(iter(missing)) if len(missing) == 1 else None
