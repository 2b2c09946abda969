"""Change of strategy between two switches: all generations but the routed one are drained, then the next begins."""

from __future__ import annotations

from seamline.core.switching.named import NamedStrategy
from seamline.core.switching.vocabulary import (
    Command,
    Drain,
    Draining,
    Idle,
    Paired,
    Release,
    Serving,
    State,
    Step,
    is_switching,
)


def leave(state: State) -> Step:
    """Keep the routed generation only. Those that still answer frames go to `Draining`, which `live`'s table ends.

    A state in the middle of a switch is left as it is: ask again when the switch is over.
    """
    if is_switching(state) or not isinstance(state, Paired):
        return state, []
    commands: list[Command] = []
    draining = state.draining
    if state.preparing is not None:
        commands.append(Release(state.preparing))
    if state.standby is not None:
        commands.append(Drain(state.standby))
        draining = (*draining, state.standby)
    if state.now is None:
        return Idle(state.newest), [*commands, *(Release(generation) for generation in draining)]
    if draining:
        ordered = tuple(sorted(draining, key=lambda generation: generation.number))
        return Draining(state.now, ordered, state.newest), commands
    return Serving(state.now, state.newest), commands


def enter(state: Idle | Serving, strategy: NamedStrategy) -> State:
    """The state in which `strategy` takes over."""
    if strategy.keeps_standby and isinstance(state, Serving):
        return Paired(state.now, state.newest)
    return state
