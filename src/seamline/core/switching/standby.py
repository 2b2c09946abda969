"""Standby switching: the table of `standby`. A second complete pipeline is ready, and switching to it is one swap.

Theory of operation. The shell guesses the next plan (`StandbyChosen`: the best one for the other link speeds seen), and
the guess is prepared beside the pipeline that serves. A request for that plan is a `Route` at once, and the pipeline
that served becomes the standby. A request for any other plan drains the standby, and the plan is prepared on demand, as
`spawn` does. At most two complete pipelines exist besides those that drain.

    situation                      event                      what follows                    commands
    -----------------------------  -------------------------  ------------------------------  -------------------------
    standby has the plan           SwitchRequested            standby serves, now is standby  Route(standby)
    preparing has the plan         SwitchRequested            it becomes wanted               -
    otherwise                      SwitchRequested(new)       new is preparing, wanted        Release(preparing),
                                                                                              Drain(standby),
                                                                                              Prepare(new)
    no switch in progress          StandbyChosen(other)       other is preparing              the same
    preparing, last node is ready  NodePrepared               wanted: serves, now is standby  Route(preparing)
                                                              guess: becomes the standby      -
    preparing                      NodeFailed / NodeLost /    nothing is preparing            Release(preparing),
                                   Deadline                                                   Refuse(.) when wanted
    standby uses the node          NodeLost                   no standby                      Drain(standby)
    now uses the node              NodeLost                   it will not become the standby  -, later Drain(now)
    draining                       Drained / Deadline         gone                            Release
    any                            StopRequested              Idle                            Release(all)

A standby that serves again keeps its number; `Route.request` names the request that it answers.
"""

from __future__ import annotations

from dataclasses import replace

from seamline.core.switching.vocabulary import (
    Command,
    Deadline,
    Drain,
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
    Route,
    StandbyChosen,
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
        case StandbyChosen(guess):
            return _guessed(replace(pair, newest=guess.number), guess)
    if not isinstance(state, Paired):
        return state, []
    match event:
        case NodePrepared(number, node) if _is_preparing(state, number):
            return _prepared(replace(state, missing=state.missing - {node}))
        case NodeFailed(number, node, reason) if _is_preparing(state, number):
            return _give_up(state, f"`{node}` could not prepare: {reason}", node)
        case Deadline(number) if _is_preparing(state, number):
            return _give_up(state, *silent(state.missing))
        case NodeLost(node):
            return _lost(state, node)
        case Drained(number) | Deadline(number):
            gone = [generation for generation in state.draining if generation.number == number]
            left = tuple(generation for generation in state.draining if generation.number != number)
            return replace(state, draining=left), [Release(generation) for generation in gone]
    return state, []  # a late event of a generation that is gone


def _requested(pair: Paired, new: Generation) -> Step:
    if pair.standby is not None and pair.standby.plan == new.plan:
        pair, commands = _abandon(pair)
        assert pair.standby is not None, "abandoning what is prepared leaves the standby alone"
        after, swap = _swap(pair, pair.standby, new.number)
        return after, [*commands, *swap]
    if pair.preparing is not None and pair.preparing.plan == new.plan:
        return replace(pair, is_wanted=True, request=new.number), []
    pair, commands = _prepare(pair, new)
    return replace(pair, is_wanted=True, request=new.number), commands


def _guessed(pair: Paired, guess: Generation) -> Step:
    known = (pair.now, pair.standby, pair.preparing)
    if pair.now is None or pair.is_wanted or any(one is not None and one.plan == guess.plan for one in known):
        return pair, []
    return _prepare(pair, guess)


def _prepare(pair: Paired, new: Generation) -> tuple[Paired, list[Command]]:
    """Prepare `new` in place of the generation that was being prepared, and of the standby."""
    pair, commands = _abandon(pair)
    if pair.standby is not None:
        commands.append(Drain(pair.standby))
        pair = replace(pair, draining=(*pair.draining, pair.standby), standby=None)
    return replace(pair, preparing=new, missing=frozenset(new.plan.nodes)), [*commands, Prepare(new)]


def _abandon(pair: Paired) -> tuple[Paired, list[Command]]:
    preparing = pair.preparing
    after = replace(pair, preparing=None, missing=frozenset(), is_wanted=False, request=-1)
    return after, [] if preparing is None else [Release(preparing)]


def _prepared(pair: Paired) -> Step:
    preparing = pair.preparing
    if pair.missing or preparing is None:
        return pair, []
    done = replace(pair, preparing=None, is_wanted=False, request=-1)
    if not pair.is_wanted:
        return replace(done, standby=preparing), []
    return _swap(done, preparing, None if pair.request == preparing.number else pair.request)


def _swap(pair: Paired, new: Generation, request: int | None) -> Step:
    """`new` serves; the one before becomes the standby, unless a node of it has died and lost its segments."""
    after = replace(pair, now=new, standby=pair.now, is_broken=False)
    if pair.now is None or not pair.is_broken:
        return after, [Route(new, request)]
    return replace(after, standby=None, draining=(*pair.draining, pair.now)), [Route(new, request), Drain(pair.now)]


def _give_up(pair: Paired, reason: str, node: NodeId | None) -> Step:
    preparing = pair.preparing
    assert preparing is not None, "only what is being prepared can fail"
    after, commands = _abandon(pair)
    if pair.is_wanted:
        commands.append(Refuse(Generation(pair.request, preparing.plan), reason, node))
    return after, commands


def _lost(pair: Paired, node: NodeId) -> Step:
    commands: list[Command] = []
    if pair.preparing is not None and node in pair.preparing.plan.nodes:
        after, commands = _give_up(pair, f"`{node}` was lost while preparing", node)
        assert isinstance(after, Paired), "giving up a preparation leaves a pair"
        pair = after
    if pair.standby is not None and node in pair.standby.plan.nodes:
        commands.append(Drain(pair.standby))
        pair = replace(pair, draining=(*pair.draining, pair.standby), standby=None)
    if pair.now is not None and node in pair.now.plan.nodes:
        pair = replace(pair, is_broken=True)
    return pair, commands


def _is_preparing(pair: Paired, number: int) -> bool:
    return pair.preparing is not None and pair.preparing.number == number


def _reject_unknown(state: State, event: Event) -> None:
    """Numbers rise, and nobody knows of a generation before it was requested; what is being prepared has no frames."""
    match event:
        case SwitchRequested(new) | StandbyChosen(new):
            is_known = new.number > state.newest
        case Drained(number):
            is_known = number <= state.newest and not (isinstance(state, Paired) and _is_preparing(state, number))
        case NodePrepared(number) | NodeFailed(number) | Deadline(number):
            is_known = number <= state.newest
        case _:
            is_known = True
    if not is_known:
        raise InvalidTransition(state, event)
