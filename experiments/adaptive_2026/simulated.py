"""One case in virtual time: the product's estimators, planner and policy over the three profiles."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from experiments.adaptive_2026.cases import VARIANTS, Case
from experiments.adaptive_2026.devices import CLOUD, EDGE, FOG, profiles
from experiments.adaptive_2026.published import UPLINK_DELAY_S
from experiments.adaptive_2026.scenario import WIFI_DELAY_S, day, phases
from seamline.core.cost.problem import EnergyScope
from seamline.core.vocabulary.constraints import Constraints
from seamline.core.vocabulary.objectives import Objective
from seamline.core.vocabulary.plans import Codec
from seamline.sim import Run, Scene, SceneLink, compare

POLICIES = ("adaptive", "static_at_start", "static_best", "local", "offload")
N_PRIVATE_CUTS = 1
"""Camera frames do not leave the Pi, tensors may: that is why a network is cut at all. `offload` ignores it."""

FPS = {"vgg16": 0.1, "alexnet": 0.8, "mobilenetv2": 0.8, "mobilenetv2-engine-times": 0.8}
"""So slow that every policy answers nearly every frame: dropping frames in bad phases would make one look better."""

PLAIN, ALL = (Codec.RAW,), tuple(Codec)
"""The codecs of the main comparison, tensors as the network has them (the paper's abstract knows no others), and
Seamline's own choice. `offload` sends the frame as JPEG only with the latter."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Played:
    """One policy's run in figures. latencies_s: of every answered frame in order, for the plot, empty elsewhere."""

    latency_s: float
    energy_j: float
    n_offered: int
    n_answered: int
    n_switches: int
    first_plan: str
    plans: tuple[str, ...]
    latencies_s: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """A case with every policy's run."""

    case: Case
    runs: Mapping[str, Played]

    def reduction(self, baseline: str, *, of: str) -> float:
        """How much lower adaptive is than `baseline`: 0.2 for 20 %. of: ``latency`` or ``energy``."""
        mine, other = self.runs["adaptive"], self.runs[baseline]
        return 1.0 - (mine.latency_s / other.latency_s if of == "latency" else mine.energy_j / other.energy_j)

    def to_json(self) -> dict[str, Any]:
        return {"case": self.case.to_json(), "runs": {name: asdict(run) for name, run in self.runs.items()}}

    @staticmethod
    def from_json(data: Mapping[str, Any]) -> Outcome:
        """Raises `KeyError`, `TypeError` or `ValueError` for anything else than what `to_json` made."""
        runs = {
            name: Played(**{**run, "plans": tuple(run["plans"]), "latencies_s": tuple(run["latencies_s"])})
            for name, run in data["runs"].items()
        }
        return Outcome(case=Case(**data["case"]), runs=runs)


def play(case: Case) -> Outcome:
    """Every policy through the same day."""
    comparison = compare(scene(case), POLICIES)
    is_plotted = case.variant == "main" and case.seed == 0 and case.objective == Objective.LATENCY
    return Outcome(case=case, runs={name: _played(comparison.runs[name], is_plotted=is_plotted) for name in POLICIES})


def scene(case: Case) -> Scene:
    """The scenario as the simulator takes it."""
    variant = VARIANTS[case.variant]
    today = day(case.seed, case.duration_s, phases(variant.change_ratio, is_pi_loaded=variant.is_pi_loaded))
    return Scene(
        origin=EDGE,
        profiles=profiles(case.model, variant.radio),
        links=(
            SceneLink(between=(EDGE, FOG), trace=today.wifi, delay_s=WIFI_DELAY_S),
            SceneLink(between=(FOG, CLOUD), trace=today.uplink, delay_s=UPLINK_DELAY_S),
        ),
        fps=FPS[case.model],
        duration_s=case.duration_s,
        objective=Objective(case.objective),
        constraints=Constraints(n_private_cuts=N_PRIVATE_CUTS, codecs=PLAIN if variant.is_plain else ALL),
        energy_scope=EnergyScope.parse(variant.scope),
        slowdowns={EDGE: today.edge_loads, FOG: today.fog_loads, CLOUD: today.cloud_loads},
        seed=case.seed,
    )


def _played(run: Run, *, is_plotted: bool) -> Played:
    assert run.energy_j_per_frame is not None, "every machine has power figures"
    return Played(
        latency_s=float(run.latency_s.mean()),
        energy_j=run.energy_j_per_frame,
        n_offered=run.n_offered,
        n_answered=len(run.latency_s),
        n_switches=len(run.switches),
        first_plan=str(run.plans[0][1]),
        plans=tuple(sorted({str(plan) for _, plan in run.plans})),
        latencies_s=tuple(round(float(value), 5) for value in run.latency_s) if is_plotted else (),
    )
