"""Make-before-break switching: the table of `live`, and of `spawn`, which differs only in how a node prepares.

Theory of operation. A *generation* is a numbered plan. The new generation is prepared on all of its nodes while the old
one serves. When every node has reported so, one `Route` moves the origin's next frame over. The old generation drains:
it answers the frames it has and is released. Exactly one generation is routed from the first `Route` on, and every
`Prepare` has its one `Release`.

    state                 event                        next state             commands
    --------------------  ---------------------------  ---------------------  --------------------------------
    Idle                  SwitchRequested(new)         Preparing(None, new)   Prepare(new)
    Serving(old)          SwitchRequested(new)         Preparing(old, new)    Prepare(new)
    Preparing(old, new)   NodePrepared, some missing   Preparing, one fewer   -
    Preparing(old, new)   NodePrepared, the last       Draining(new, old)     Route(new)
    Preparing(None, new)  NodePrepared, the last       Serving(new)           Route(new)
    Preparing(old, new)   NodeFailed / NodeLost /      Serving(old) or        Release(new), Refuse(new, reason)
                          Deadline of new              Idle
    Preparing(old, new)   SwitchRequested(newer)       Preparing(old, newer)  Release(new), Prepare(newer)
    Draining(now, old)    SwitchRequested(new)         Preparing(now, new),   Prepare(new)
                                                       old still draining
    Draining(now, old)    Drained / Deadline of old    Serving(now)           Release(old)
    any                   StopRequested                Idle                   Release(all)

Old generations may still drain in Preparing as in Draining, any number of them; both `Drained` and `Deadline` end one.
Readiness comes node by node, so that the table itself guards "every node before Route"; a node whose stage is empty
answers too. A node that dies under the *routed* generation changes nothing here: the stream retries its frames, and the
policy asks for another plan at once. Late events of a generation that is gone are ignored; events of one that was never
requested are an `InvalidTransition`.

The shell runs the commands, and sends `Deadline(g)` when a Prepare or a drain takes too long, `Drained(g)` when the
last frame of a generation that is no longer routed has its answer and the grace time is over.
"""

from __future__ import annotations

from dataclasses import replace

from seamline.core.switching.vocabulary import (
    Deadline,
    Drained,
    Draining,
    Event,
    Generation,
    Idle,
    NodeFailed,
    NodeLost,
    NodePrepared,
    Prepare,
    Preparing,
    Refuse,
    Release,
    Route,
    Serving,
    StandbyChosen,
    State,
    Step,
    StopRequested,
    SwitchRequested,
    generations,
    routed,
    silent,
)
from seamline.core.vocabulary.errors import InvalidTransition
from seamline.core.vocabulary.nodes import NodeId


def live(state: State, event: Event) -> Step:
    """Live switching: the new pipeline is ready before the old one stops. Raises `InvalidTransition`."""
    _reject_unknown(state, event)
    match state, event:
        case _, StandbyChosen():
            return state, []  # no standby here
        case _, StopRequested():
            return Idle(state.newest), [Release(generation) for generation in generations(state)]
        case ((Idle() | Serving() | Draining()), SwitchRequested(new)):
            return _prepare(state, new), [Prepare(new)]
        case Preparing(_, unready), SwitchRequested(new):
            return _prepare(state, new), [Release(unready), Prepare(new)]
        case Preparing(_, new, missing), NodePrepared(number, node) if number == new.number:
            return _prepared(replace(state, missing=missing - {node}))
        case Preparing(_, new), NodeFailed(number, node, reason) if number == new.number:
            return _give_up(state, f"`{node}` could not prepare: {reason}", node)
        case Preparing(_, new), NodeLost(node) if node in new.plan.nodes:
            return _give_up(state, f"`{node}` was lost while preparing", node)
        case Preparing(_, new), Deadline(number) if number == new.number:
            return _give_up(state, *silent(state.missing))
        case ((Preparing() | Draining()), (Drained(number) | Deadline(number))):
            return _drained(state, number)
    return state, []  # a late event of a generation that is gone, or a lost node that matters to nobody here


def _reject_unknown(state: State, event: Event) -> None:
    """Numbers rise, and nobody knows of a generation before it was requested; the routed one never drains."""
    match event:
        case SwitchRequested(new):
            is_known = new.number > state.newest
        case NodePrepared(number) | NodeFailed(number) | Deadline(number):
            is_known = number <= state.newest
        case Drained(number):
            now, is_preparing = routed(state), isinstance(state, Preparing) and number == state.newest
            is_known = number <= state.newest and not is_preparing and (now is None or number != now.number)
        case NodeLost() | StopRequested() | StandbyChosen():
            is_known = True
    if not is_known:
        raise InvalidTransition(state, event)


def _prepare(state: State, new: Generation) -> Preparing:
    return Preparing(routed(state), new, frozenset(new.plan.nodes), _draining(state))


def _prepared(state: Preparing) -> Step:
    if state.missing:
        return state, []
    old = () if state.now is None else (state.now,)
    return _steady(state.new, (*state.draining, *old), state.newest), [Route(state.new)]


def _give_up(state: Preparing, reason: str, node: NodeId | None) -> Step:
    after = _steady(state.now, state.draining, state.newest)
    return after, [Release(state.new), Refuse(state.new, reason, node)]


def _drained(state: Preparing | Draining, number: int) -> Step:
    gone = [generation for generation in state.draining if generation.number == number]
    left = tuple(generation for generation in state.draining if generation.number != number)
    if isinstance(state, Preparing):
        return replace(state, draining=left), [Release(generation) for generation in gone]
    return _steady(state.now, left, state.newest), [Release(generation) for generation in gone]


def _steady(now: Generation | None, draining: tuple[Generation, ...], newest: int) -> State:
    """The state in which nothing is being prepared."""
    if now is None:
        return Idle(newest)
    return Draining(now, draining, newest) if draining else Serving(now, newest)


def _draining(state: State) -> tuple[Generation, ...]:
    return state.draining if isinstance(state, Preparing | Draining) else ()
