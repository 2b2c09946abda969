"""Break-before-make switching: the table of `pause-resume`. Stop, load the newly cut model, resume; the baseline.

Theory of operation. The origin accepts nothing from `Pause` on; when the frames in flight have their answers the old
sessions are dropped, the new ones are loaded, and `Route` lets frames in again. Memory never holds two pipelines. The
price besides the pause: a new plan that fails leaves nothing to serve, so the old one has to be loaded again, under a
number of its own; if that fails too, frames fall back to the origin alone (`FallBack`), whose plan is never released.

    state               event                       next state            commands
    ------------------  --------------------------  --------------------  ------------------------------------------
    Idle                SwitchRequested(new)        Loading(new, -)       Prepare(new)
    Serving(old)        SwitchRequested(new)        Pausing(old, new)     Pause(old)
    Pausing(old, new)   Drained / Deadline of old   Loading(new, old)     Release(old), Prepare(new)
    Pausing(old, new)   NodeLost of new             Serving(old)          Resume(old), Refuse(new)
    Pausing(old, new)   SwitchRequested(newer)      Pausing(old, newer)   -
    Loading(new, old)   NodePrepared, the last      Serving(new)          Route(new)
    Loading(new, old)   NodeFailed / NodeLost /     Restoring(again) or   Release(new), Prepare(again), Refuse(new)
                        Deadline of new             Idle                  Release(new), Refuse(new)
    Loading(new, old)   SwitchRequested(newer)      Loading(newer, old)   Release(new), Prepare(newer)
    Restoring(again)    NodePrepared, the last      Serving(again)        Route(again)
    Restoring(again)    NodeFailed / NodeLost /     Idle                  Release(again), FallBack
                        Deadline of again
    Restoring(again)    SwitchRequested(new)        Loading(new, again)   Release(again), Prepare(new)
    any                 StopRequested               Idle                  Release(all)
"""

from __future__ import annotations

from dataclasses import replace

from seamline.core.switching.vocabulary import (
    Command,
    Deadline,
    Drained,
    Event,
    FallBack,
    Generation,
    Idle,
    Loading,
    NodeFailed,
    NodeLost,
    NodePrepared,
    Pause,
    Pausing,
    Prepare,
    Refuse,
    Release,
    Restoring,
    Resume,
    Route,
    Serving,
    State,
    Step,
    StopRequested,
    SwitchRequested,
    generations,
    silent,
)
from seamline.core.vocabulary.errors import InvalidTransition
from seamline.core.vocabulary.nodes import NodeId
from seamline.core.vocabulary.plans import Plan


def pause_resume(state: State, event: Event) -> Step:
    """Stop, load, resume: one pipeline at a time. Raises `InvalidTransition`."""
    _reject_unknown(state, event)
    match state, event:
        case _, StopRequested():
            return Idle(state.newest), [Release(generation) for generation in generations(state)]
        case Idle(), SwitchRequested(new):
            return _load(new, None)
        case Serving(old), SwitchRequested(new):
            return Pausing(old, new), [Pause(old)]
        case Pausing(), _:
            return _while_pausing(state, event)
        case ((Loading() | Restoring()), _):
            return _while_loading(state, event)
    return state, []  # a late event of a generation that is gone, or a lost node that matters to nobody here


def _while_pausing(state: Pausing, event: Event) -> Step:
    match event:
        case SwitchRequested(newer):
            return Pausing(state.now, newer), []
        case Drained(number) | Deadline(number) if number == state.now.number:
            after, commands = _load(state.new, state.now.plan)
            return after, [Release(state.now), *commands]
        case NodeLost(node) if node in state.new.plan.nodes:
            refusal = Refuse(state.new, f"`{node}` was lost before it could prepare", node)
            return Serving(state.now, state.newest), [Resume(state.now), refusal]
    return state, []


def _while_loading(state: Loading | Restoring, event: Event) -> Step:
    loaded = state.new if isinstance(state, Loading) else state.again
    match event:
        case SwitchRequested(newer):
            after, commands = _load(newer, state.old if isinstance(state, Loading) else loaded.plan)
            return after, [Release(loaded), *commands]
        case NodePrepared(number, node) if number == loaded.number:
            left = replace(state, missing=state.missing - {node})
            return (left, []) if left.missing else (Serving(loaded, state.newest), [Route(loaded)])
        case NodeFailed(number, node, reason) if number == loaded.number:
            return _give_up(state, f"`{node}` could not prepare: {reason}", node)
        case NodeLost(node) if node in loaded.plan.nodes:
            return _give_up(state, f"`{node}` was lost while preparing", node)
        case Deadline(number) if number == loaded.number:
            return _give_up(state, *silent(state.missing))
    return state, []


def _load(new: Generation, old: Plan | None) -> Step:
    return Loading(new, frozenset(new.plan.nodes), old), [Prepare(new)]


def _give_up(state: Loading | Restoring, reason: str, node: NodeId | None) -> Step:
    if isinstance(state, Restoring):
        return Idle(state.newest), [Release(state.again), FallBack()]
    failed: list[Command] = [Release(state.new)]
    refusal = Refuse(state.new, reason, node)
    if state.old is None:
        return Idle(state.newest), [*failed, refusal]
    again = Generation(state.newest + 1, state.old)
    return Restoring(again, frozenset(again.plan.nodes)), [*failed, Prepare(again), refusal]


def _reject_unknown(state: State, event: Event) -> None:
    """Numbers rise, nobody knows of a generation before it was requested, and one that serves does not drain."""
    match event:
        case SwitchRequested(new):
            is_known = new.number > state.newest
        case Drained(number):
            is_known = number <= state.newest and not (isinstance(state, Serving) and number == state.now.number)
        case NodePrepared(number) | NodeFailed(number) | Deadline(number):
            is_known = number <= state.newest
        case _:
            is_known = True
    if not is_known:
        raise InvalidTransition(state, event)
