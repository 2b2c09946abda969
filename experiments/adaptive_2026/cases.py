"""What is played: every network, objective and drawn day, in the scenario as it stands and in variants of it.

A case is plain data, so that it can be played by any process and its outcome kept under its name. What matters most
comes first, one whole day after the other: a run that is out of time leaves out the end of the list, and says so.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from experiments.adaptive_2026.devices import ENGINE_TIMES, MODELS
from seamline.core.vocabulary.objectives import Objective


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """The scenario with one thing otherwise. words: what, for the report. objectives: what it is played for.

    change_ratio: see `scenario.phases`. scope: whose joules count, see `EnergyScope`. radio: the Pi's, of
    `config.power.RADIOS`.
    """

    name: str
    words: str
    objectives: tuple[Objective, ...] = (Objective.ENERGY,)
    is_plain: bool = True
    change_ratio: float = 1.0
    is_pi_loaded: bool = True
    scope: str = "all"
    radio: str = "pi-wifi"


BOTH = (Objective.LATENCY, Objective.ENERGY)
MAIN = Variant(name="main", words="the scenario", objectives=BOTH)
WITH_CODECS = Variant(name="codecs", words="with Seamline's codecs", objectives=BOTH, is_plain=False)
SENSITIVITY = (
    Variant(name="half", words="half of every change (square roots of the factors)", objectives=BOTH, change_ratio=0.5),
    Variant(name="unloaded-pi", words="no other program on the Pi", is_pi_loaded=False),
    Variant(name="origin", words="only the Pi's joules count", scope="origin"),
    Variant(name="phone-radio", words="the Pi's radio draws what a phone's of 2012 did", radio="wifi"),
)
VARIANTS = {variant.name: variant for variant in (MAIN, WITH_CODECS, *SENSITIVITY)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One network, objective and day in one variant."""

    model: str
    objective: str
    seed: int
    duration_s: float
    variant: str = MAIN.name

    @property
    def name(self) -> str:
        return f"{self.variant}-{self.model}-{self.objective}-{self.seed}"

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


N_NEEDED = len(MODELS) * len(BOTH)
"""The first day of every network: without it there is nothing to say."""


def agenda(n_runs: int, duration_s: float) -> Sequence[Case]:
    """All cases, what the paper's figures stand beside first."""
    plain = [MAIN, *SENSITIVITY[:1], *SENSITIVITY[2:3], WITH_CODECS, SENSITIVITY[1], SENSITIVITY[3]]
    cases = [
        Case(model=model, objective=str(objective), seed=seed, duration_s=duration_s, variant=variant.name)
        for variant in plain
        for seed, objective, model in itertools.product(range(n_runs), variant.objectives, MODELS)
    ]
    cases += [
        Case(model=ENGINE_TIMES, objective=str(objective), seed=seed, duration_s=duration_s)
        for seed, objective in itertools.product(range(n_runs), BOTH)
    ]
    return cases
