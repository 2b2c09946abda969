"""Switching strategies by the papers' names: table, preparation mode, and the terms of the paper's equations."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from seamline.core.switching.live import live
from seamline.core.switching.pause_resume import pause_resume
from seamline.core.switching.standby import standby
from seamline.core.switching.vocabulary import Strategy
from seamline.core.vocabulary.errors import UsageError


class PreparationMode(StrEnum):
    """Mode in which a node prepares a segment.

    SHARED: weights mapped from the store, sessions shared between generations. PRIVATE_SESSION: weights mapped from the
    store, a session per generation. PRIVATE_WEIGHTS: as an ordinary program does (the baseline), the model's file is
    read, cut, and loaded with weights per generation. CONTAINER: the same in a container or process per generation.
    """

    SHARED = "shared"
    PRIVATE_SESSION = "fresh"
    PRIVATE_WEIGHTS = "own"
    CONTAINER = "container"


@dataclass(frozen=True, slots=True, kw_only=True)
class NamedStrategy:
    """Strategy to choose by name. equation: of its downtime in NEUKONFIG (2021), in the paper's terms."""

    name: str
    table: Strategy
    mode: PreparationMode
    equation: str

    @property
    def keeps_standby(self) -> bool:
        return self.table is standby


STRATEGIES: Mapping[str, NamedStrategy] = {
    one.name: one
    for one in (
        NamedStrategy(name="live", table=live, mode=PreparationMode.SHARED, equation="t_switch"),
        NamedStrategy(
            name="pause-resume", table=pause_resume, mode=PreparationMode.PRIVATE_WEIGHTS, equation="t_update"
        ),
        NamedStrategy(
            name="pause-resume-best", table=pause_resume, mode=PreparationMode.PRIVATE_SESSION, equation="t_update"
        ),
        NamedStrategy(name="standby", table=standby, mode=PreparationMode.PRIVATE_WEIGHTS, equation="t_switch"),
        NamedStrategy(name="standby-container", table=standby, mode=PreparationMode.CONTAINER, equation="t_switch"),
        NamedStrategy(name="spawn", table=live, mode=PreparationMode.PRIVATE_WEIGHTS, equation="t_exec + t_switch"),
        NamedStrategy(
            name="spawn-container", table=live, mode=PreparationMode.CONTAINER, equation="t_initialisation + t_switch"
        ),
    )
}


def strategy_named(name: str) -> NamedStrategy:
    """Raises `UsageError` naming the strategies that there are."""
    try:
        return STRATEGIES[name]
    except KeyError:
        raise UsageError(f"`{name}` is not a strategy", hint=f"one of {', '.join(STRATEGIES)}") from None
