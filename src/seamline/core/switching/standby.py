"""The table of `standby`: a second complete pipeline stands ready, and switching to it is one swap.

Theory of operation. The shell guesses the next plan (`SpareChosen`: the best one for the other link speeds seen) and
the guess is prepared beside the pipeline that serves. A request for just that plan is a `Route` at once, and the
pipeline that served becomes the spare. A request for any other plan finds the wrong spare, which is no spare: it is
retired and the plan is prepared on demand, as `spawn` does. At most two complete pipelines exist besides those that
still answer their last frames.

    situation                    event                          what follows                  commands
    ---------------------------  -----------------------------  ----------------------------  -------------------------
    spare has the plan           SwitchRequested                spare serves, now is spare    Route(spare)
    guess of it is being made    SwitchRequested                it becomes wanted             -
    otherwise                    SwitchRequested(new)           new is made, wanted           Release(made),
                                                                                              Retire(spare),
                                                                                              Prepare(new)
    no switch under way          SpareChosen(other)             other is made                 the same
    made, the last node ready    NodePrepared                   wanted: serves, now is spare  Route(made)
                                                                guess: becomes the spare      -
    made                         NodeFailed / NodeLost /        nothing is being made         Release(made),
                                 Deadline                                                     Refuse(made) when wanted
    spare uses the node          NodeLost                       no spare                      Retire(spare)
    now uses the node            NodeLost                       it will not become the spare  -, later Retire(now)
    draining                     Drained / Deadline             gone                          Release
    any                          StopRequested                  Idle                          Release(all)

A spare that takes its turn again keeps its number; `Route.request` names the request that it answers.
"""

from __future__ import annotations

from dataclasses import replace

from seamline.core.switching.vocabulary import (
    Command,
    Deadline,
    Drained,
    Event,
    Generation,
    Idle,
    NodeFailed,
    NodeLost,
    NodePrepared,
    Paired,
    Prepare,
    Refuse,
    Release,
    Retire,
    Route,
    SpareChosen,
    State,
    Step,
    StopRequested,
    SwitchRequested,
    generations,
    silent,
)
from seamline.core.vocabulary.errors import InvalidTransition
from seamline.core.vocabulary.nodes import NodeId


def standby(state: State, event: Event) -> Step:
    """Switch to a pipeline that was ready before it was asked for. Raises `InvalidTransition`."""
    pair = state if isinstance(state, Paired) else Paired(None, state.newest)
    _reject_unknown(state, event)
    match event:
        case StopRequested():
            return Idle(state.newest), [Release(generation) for generation in generations(state)]
        case SwitchRequested(new):
            return _requested(replace(pair, newest=new.number), new)
        case SpareChosen(spare):
            return _guessed(replace(pair, newest=spare.number), spare)
    if not isinstance(state, Paired):
        return state, []
    match event:
        case NodePrepared(number, node) if _is_made(state, number):
            return _prepared(replace(state, missing=state.missing - {node}))
        case NodeFailed(number, node, reason) if _is_made(state, number):
            return _give_up(state, f"`{node}` could not prepare: {reason}", node)
        case Deadline(number) if _is_made(state, number):
            return _give_up(state, *silent(state.missing))
        case NodeLost(node):
            return _lost(state, node)
        case Drained(number) | Deadline(number):
            gone = [generation for generation in state.draining if generation.number == number]
            left = tuple(generation for generation in state.draining if generation.number != number)
            return replace(state, draining=left), [Release(generation) for generation in gone]
    return state, []  # late words about a generation that is gone


def _requested(pair: Paired, new: Generation) -> Step:
    if pair.spare is not None and pair.spare.plan == new.plan:
        pair, commands = _unmake(pair)
        assert pair.spare is not None, "unmaking leaves the spare alone"
        after, swap = _swap(pair, pair.spare, new.number)
        return after, [*commands, *swap]
    if pair.making is not None and pair.making.plan == new.plan:
        return replace(pair, is_wanted=True, request=new.number), []
    pair, commands = _make(pair, new)
    return replace(pair, is_wanted=True, request=new.number), commands


def _guessed(pair: Paired, guess: Generation) -> Step:
    known = (pair.now, pair.spare, pair.making)
    if pair.now is None or pair.is_wanted or any(one is not None and one.plan == guess.plan for one in known):
        return pair, []
    return _make(pair, guess)


def _make(pair: Paired, new: Generation) -> tuple[Paired, list[Command]]:
    """Prepare `new` in place of what was being made and of the spare."""
    pair, commands = _unmake(pair)
    if pair.spare is not None:
        commands.append(Retire(pair.spare))
        pair = replace(pair, draining=(*pair.draining, pair.spare), spare=None)
    return replace(pair, making=new, missing=frozenset(new.plan.nodes)), [*commands, Prepare(new)]


def _unmake(pair: Paired) -> tuple[Paired, list[Command]]:
    made = pair.making
    after = replace(pair, making=None, missing=frozenset(), is_wanted=False, request=-1)
    return after, [] if made is None else [Release(made)]


def _prepared(pair: Paired) -> Step:
    made = pair.making
    if pair.missing or made is None:
        return pair, []
    done = replace(pair, making=None, is_wanted=False, request=-1)
    if not pair.is_wanted:
        return replace(done, spare=made), []
    return _swap(done, made, None if pair.request == made.number else pair.request)


def _swap(pair: Paired, new: Generation, request: int | None) -> Step:
    """`new` serves; what served stands by, unless a node of it has died and forgotten its part."""
    after = replace(pair, now=new, spare=pair.now, is_broken=False)
    if pair.now is None or not pair.is_broken:
        return after, [Route(new, request)]
    return replace(after, spare=None, draining=(*pair.draining, pair.now)), [Route(new, request), Retire(pair.now)]


def _give_up(pair: Paired, reason: str, node: NodeId | None) -> Step:
    made = pair.making
    assert made is not None, "only what is being made can fail"
    after, commands = _unmake(pair)
    if pair.is_wanted:
        commands.append(Refuse(Generation(pair.request, made.plan), reason, node))
    return after, commands


def _lost(pair: Paired, node: NodeId) -> Step:
    commands: list[Command] = []
    if pair.making is not None and node in pair.making.plan.nodes:
        after, commands = _give_up(pair, f"`{node}` was lost while preparing", node)
        assert isinstance(after, Paired), "giving up what was made leaves a pair"
        pair = after
    if pair.spare is not None and node in pair.spare.plan.nodes:
        commands.append(Retire(pair.spare))
        pair = replace(pair, draining=(*pair.draining, pair.spare), spare=None)
    if pair.now is not None and node in pair.now.plan.nodes:
        pair = replace(pair, is_broken=True)
    return pair, commands


def _is_made(pair: Paired, number: int) -> bool:
    return pair.making is not None and pair.making.number == number


def _reject_unknown(state: State, event: Event) -> None:
    """Numbers rise, and nobody knows of a generation before it was requested; what is being made has no frames."""
    match event:
        case SwitchRequested(new) | SpareChosen(new):
            is_known = new.number > state.newest
        case Drained(number):
            is_known = number <= state.newest and not (isinstance(state, Paired) and _is_made(state, number))
        case NodePrepared(number) | NodeFailed(number) | Deadline(number):
            is_known = number <= state.newest
        case _:
            is_known = True
    if not is_known:
        raise InvalidTransition(state, event)
