"""One run to make, described as data, so that it can be made here or by another process (`pool.py`).

Which runs a comparison takes, and what follows from them, is `compare.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

from seamline.core.adaptation.policy import Adaptive, Fixed, Local, Offload, PolicySettings, Static
from seamline.core.vocabulary.constraints import Constraints
from seamline.core.vocabulary.plans import Plan
from seamline.sim.deciders import Decider, LastValue, PolicyDecider, Scheduled
from seamline.sim.journey import Journeys
from seamline.sim.run import Run, first_plan, play
from seamline.sim.scene import Scene


@dataclass(frozen=True, slots=True)
class Play:
    """A run for the policy `name`. plans: what `static_best` (one) and `oracle` follow, as (at_s, plan).

    also: other policies that would hold the same plan, so that the run is theirs too.
    """

    name: str
    plans: tuple[tuple[float, Plan], ...] = ()
    also: tuple[str, ...] = ()


def made(scene: Scene, wanted: Play, journeys: Journeys, settings: PolicySettings) -> Run:
    """Make the run. journeys: of `scene`. settings: of the adaptive policy. `offload` is not bound by constraints."""
    if wanted.name == "offload":
        return play(replace(scene, constraints=Constraints()), PolicyDecider(Offload()))
    return play(scene, _decider(scene, wanted, settings), journeys)


def held_plan(scene: Scene, name: str, journeys: Journeys) -> Plan:
    """What ``static_at_start`` or ``local`` holds from the first frame on. journeys: of `scene`."""
    return first_plan(scene, _decider(scene, Play(name), PolicySettings()), journeys)


def _decider(scene: Scene, wanted: Play, settings: PolicySettings) -> Decider:
    match wanted.name:
        case "adaptive":
            return PolicyDecider(Adaptive(settings))
        case "static_at_start":
            return PolicyDecider(Static())
        case "local":
            return PolicyDecider(Local())
        case "last_value":
            return LastValue()
        case "static_best":
            return PolicyDecider(Fixed(wanted.plans[0][1]))
        case "oracle":
            return Scheduled(wanted.plans, scene.prepare_s)
        case name:
            raise ValueError(f"nobody plays {name}")


class Player(Protocol):
    """Makes runs. `begin` says which, `finish` hands them back in that order."""

    def begin(self, wanted: Play) -> None:
        """To be made from now on, maybe while something else happens."""
        ...

    def finish(self) -> Sequence[tuple[Play, Run]]:
        """All that were begun."""
        ...


@dataclass(slots=True)
class Alone:
    """Makes one run after the other when it is asked to finish. told: hears the name of each before it."""

    scene: Scene
    settings: PolicySettings = field(default_factory=PolicySettings)
    told: Callable[[str], None] = lambda name: None
    _begun: list[Play] = field(default_factory=list)

    def begin(self, wanted: Play) -> None:
        self._begun.append(wanted)

    def finish(self) -> Sequence[tuple[Play, Run]]:
        journeys = Journeys(self.scene)
        return [(wanted, self._made(wanted, journeys)) for wanted in self._begun]

    def _made(self, wanted: Play, journeys: Journeys) -> Run:
        self.told(wanted.name)
        return made(self.scene, wanted, journeys, self.settings)
