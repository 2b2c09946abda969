"""From one strategy to another, between two switches: what the first holds too much is let go, the second begins."""

from __future__ import annotations

from seamline.core.switching.named import NamedStrategy
from seamline.core.switching.vocabulary import (
    Command,
    Draining,
    Idle,
    Paired,
    Release,
    Retire,
    Serving,
    State,
    Step,
    is_switching,
)


def leave(state: State) -> Step:
    """Keep the routed generation only. What still answers frames is in `Draining`, whose way out is `live`'s table.

    A state in the middle of a switch is left as it is: ask again when the switch is over.
    """
    if is_switching(state) or not isinstance(state, Paired):
        return state, []
    commands: list[Command] = []
    draining = state.draining
    if state.making is not None:
        commands.append(Release(state.making))
    if state.spare is not None:
        commands.append(Retire(state.spare))
        draining = (*draining, state.spare)
    if state.now is None:
        return Idle(state.newest), [*commands, *(Release(generation) for generation in draining)]
    if draining:
        ordered = tuple(sorted(draining, key=lambda generation: generation.number))
        return Draining(state.now, ordered, state.newest), commands
    return Serving(state.now, state.newest), commands


def enter(state: Idle | Serving, strategy: NamedStrategy) -> State:
    """The state in which `strategy` takes over."""
    if strategy.keeps_spare and isinstance(state, Serving):
        return Paired(state.now, state.newest)
    return state
