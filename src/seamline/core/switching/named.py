"""The strategies by name: which table, how nodes prepare, and which terms of the paper's equations apply."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from seamline.core.switching.live import live
from seamline.core.switching.pause_resume import pause_resume
from seamline.core.switching.standby import standby
from seamline.core.switching.vocabulary import Strategy
from seamline.core.vocabulary.errors import UsageError


class Form(StrEnum):
    """How a node gets a segment ready.

    SHARED: weights mapped from the store, sessions shared between generations. FRESH: weights mapped from the store,
    a session of its own. OWN: as an ordinary program does, the model's file read, cut, and loaded with weights of its
    own. CONTAINER: the same in a container or process of its own.
    """

    SHARED = "shared"
    FRESH = "fresh"
    OWN = "own"
    CONTAINER = "container"


@dataclass(frozen=True, slots=True, kw_only=True)
class NamedStrategy:
    """A strategy to choose. equation: that of its downtime in NEUKONFIG (2021), in the paper's terms."""

    name: str
    table: Strategy
    form: Form
    equation: str

    @property
    def keeps_spare(self) -> bool:
        return self.table is standby


STRATEGIES: Mapping[str, NamedStrategy] = {
    one.name: one
    for one in (
        NamedStrategy(name="live", table=live, form=Form.SHARED, equation="t_switch"),
        NamedStrategy(name="pause-resume", table=pause_resume, form=Form.OWN, equation="t_update"),
        NamedStrategy(name="pause-resume-best", table=pause_resume, form=Form.FRESH, equation="t_update"),
        NamedStrategy(name="standby", table=standby, form=Form.OWN, equation="t_switch"),
        NamedStrategy(name="standby-container", table=standby, form=Form.CONTAINER, equation="t_switch"),
        NamedStrategy(name="spawn", table=live, form=Form.OWN, equation="t_exec + t_switch"),
        NamedStrategy(name="spawn-container", table=live, form=Form.CONTAINER, equation="t_initialisation + t_switch"),
    )
}


def strategy_named(name: str) -> NamedStrategy:
    """Raises `UsageError` naming the strategies that there are."""
    try:
        return STRATEGIES[name]
    except KeyError:
        raise UsageError(f"`{name}` is not a strategy", hint=f"one of {', '.join(STRATEGIES)}") from None
