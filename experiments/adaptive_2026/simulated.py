"""The scenario in virtual time: the product's estimators, planner and policy over the three profiles."""

from __future__ import annotations

import itertools
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from experiments.adaptive_2026.devices import CLOUD, EDGE, FOG, profiles
from experiments.adaptive_2026.published import UPLINK_DELAY_S
from experiments.adaptive_2026.scenario import DURATION_S, WIFI_DELAY_S, day
from seamline.core.values import Codec, Constraints, Objective
from seamline.sim import Comparison, Run, Scene, SceneLink, compare

POLICIES = ("adaptive", "static_at_start", "static_best", "local", "offload")
BASELINES = {"static_at_start": "start", "static_best": "best", "local": "local", "offload": "offload"}
N_PRIVATE_CUTS = 1
"""Camera frames do not leave the Pi, tensors may: that is why a network is cut at all. `offload` ignores it."""

FPS = {"vgg16": 0.1, "alexnet": 0.8, "mobilenetv2": 0.8, "mobilenetv2-engine-times": 0.8}
"""So slow that every policy answers nearly every frame: dropping frames in bad phases would make one look better."""

PLAIN, ALL = (Codec.RAW,), tuple(Codec)
"""The codecs of the main comparison, tensors as the network has them (the paper's abstract knows no others), and
Seamline's own choice. `offload` sends the frame as JPEG only with the latter."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """One model, one objective, one drawn day, every policy."""

    model: str
    objective: Objective
    seed: int
    is_plain: bool
    comparison: Comparison

    def latency_s(self, policy: str) -> float:
        return float(self.run(policy).latency_s.mean())

    def energy_j(self, policy: str) -> float:
        joules = self.run(policy).energy_j_per_frame
        assert joules is not None, "every machine has power figures"
        return joules

    def run(self, policy: str) -> Run:
        return self.comparison.runs[policy]

    def reduction(self, baseline: str, *, of: str) -> float:
        """How much lower adaptive is than `baseline`: 0.2 for 20 %. of: ``latency`` or ``energy``."""
        measure = self.latency_s if of == "latency" else self.energy_j
        return 1.0 - measure("adaptive") / measure(baseline)


def scene(
    model: str, objective: Objective, seed: int, duration_s: float = DURATION_S, codecs: tuple[Codec, ...] = PLAIN
) -> Scene:
    """The scenario as the simulator takes it."""
    today = day(seed, duration_s)
    return Scene(
        origin=EDGE,
        profiles=profiles(model),
        links=(
            SceneLink(between=(EDGE, FOG), trace=today.wifi, delay_s=WIFI_DELAY_S),
            SceneLink(between=(FOG, CLOUD), trace=today.uplink, delay_s=UPLINK_DELAY_S),
        ),
        fps=FPS[model],
        duration_s=duration_s,
        objective=objective,
        constraints=Constraints(n_private_cuts=N_PRIVATE_CUTS, codecs=codecs),
        slowdowns={FOG: today.fog_loads, CLOUD: today.cloud_loads},
        seed=seed,
    )


def play(
    models: Sequence[str],
    n_runs: int,
    told: Callable[[str], None],
    duration_s: float = DURATION_S,
    codec_sets: Sequence[tuple[Codec, ...]] = (PLAIN, ALL),
) -> list[Outcome]:
    """Every model and objective, `n_runs` days each, with every set of codecs. told: hears what is played."""
    cases = itertools.product(models, codec_sets, (Objective.LATENCY, Objective.ENERGY), range(n_runs))
    outcomes = []
    for model, codecs, objective, seed in cases:
        told(f"{model}, {objective}, {'plain tensors' if codecs == PLAIN else 'codecs'}, day {seed + 1} (simulated)")
        comparison = compare(scene(model, objective, seed, duration_s, codecs), POLICIES)
        outcomes.append(
            Outcome(model=model, objective=objective, seed=seed, is_plain=codecs == PLAIN, comparison=comparison)
        )
    return outcomes


def figures(outcomes: Sequence[Outcome], model: str) -> dict[str, Any]:
    """One model's entry of the JSON: plain tensors at its top, `with_codecs` below where played."""
    mine = [each for each in outcomes if each.model == model]
    entry = _figures([each for each in mine if each.is_plain])
    coded = [each for each in mine if not each.is_plain]
    if coded:
        entry["with_codecs"] = _figures(coded)
    return entry


def _figures(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """Median reductions, each with its spread over the days, and every policy."""
    entry: dict[str, Any] = {"kind": "simulated", "n_runs": len({each.seed for each in outcomes})}
    for objective, other in ((Objective.LATENCY, "energy"), (Objective.ENERGY, "latency")):
        mine = [each for each in outcomes if each.objective is objective]
        for baseline, name in BASELINES.items():
            key = f"{objective}_reduction_vs_{name}"
            entry[key], entry[f"{key}_spread"] = spread([each.reduction(baseline, of=objective) for each in mine])
        key = f"{other}_reduction_vs_start_when_{objective}_is_the_objective"
        entry[key], entry[f"{key}_spread"] = spread([each.reduction("static_at_start", of=other) for each in mine])
        entry[f"policies_for_{objective}"] = {policy: _policy(mine, policy) for policy in POLICIES}
    return entry


def spread(values: Sequence[float]) -> tuple[float, list[float]]:
    """Median, and [lowest, highest]."""
    return statistics.median(values), [min(values), max(values)]


def _policy(outcomes: Sequence[Outcome], policy: str) -> dict[str, Any]:
    latency_s, latency_spread_s = spread([each.latency_s(policy) for each in outcomes])
    energy_j, energy_spread_j = spread([each.energy_j(policy) for each in outcomes])
    runs = [each.run(policy) for each in outcomes]
    return {
        "latency_s": latency_s,
        "latency_spread_s": latency_spread_s,
        "energy_j_per_frame": energy_j,
        "energy_spread_j": energy_spread_j,
        "energy_source": "modelled",
        "switches": statistics.median([len(run.switches) for run in runs]),
        "frames_answered": sum(len(run.latency_s) for run in runs),
        "first_plan": str(runs[0].plans[0][1]),
        "plans": sorted({str(plan) for _, plan in runs[0].plans}),
    }
