"""Outcomes as figures: median reductions over the days, each with its spread, and every policy."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import Any

from experiments.adaptive_2026.cases import MAIN, SENSITIVITY, WITH_CODECS
from experiments.adaptive_2026.simulated import POLICIES, Outcome

BASELINES = {"static_at_start": "start", "static_best": "best", "local": "local", "offload": "offload"}


def figures(outcomes: Sequence[Outcome], model: str) -> dict[str, Any]:
    """One model's entry of the JSON: the scenario's at its top, `with_codecs` and `variants` below where played."""
    mine = [each for each in outcomes if each.case.model == model]
    entry = _figures(_of(mine, MAIN.name))
    if coded := _of(mine, WITH_CODECS.name):
        entry["with_codecs"] = _figures(coded)
    entry["variants"] = {
        variant.name: {"what": variant.words, **_figures(played)}
        for variant in SENSITIVITY
        if (played := _of(mine, variant.name))
    }
    return entry


def spread(values: Sequence[float]) -> tuple[float, list[float]]:
    """Median, and [lowest, highest]."""
    return statistics.median(values), [min(values), max(values)]


def _of(outcomes: Sequence[Outcome], variant: str) -> list[Outcome]:
    return [each for each in outcomes if each.case.variant == variant]


def _figures(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """Only what was played: a quick run may have been out of time."""
    entry: dict[str, Any] = {"kind": "simulated"}
    for objective, other in (("latency", "energy"), ("energy", "latency")):
        mine = [each for each in outcomes if each.case.objective == objective]
        if not mine:
            continue
        entry["n_runs"] = min(entry.get("n_runs", len(mine)), len(mine))
        for baseline, name in BASELINES.items():
            key = f"{objective}_reduction_vs_{name}"
            entry[key], entry[f"{key}_spread"] = spread([each.reduction(baseline, of=objective) for each in mine])
        key = f"{other}_reduction_vs_start_when_{objective}_is_the_objective"
        entry[key], entry[f"{key}_spread"] = spread([each.reduction("static_at_start", of=other) for each in mine])
        entry[f"policies_for_{objective}"] = {policy: _policy(mine, policy) for policy in POLICIES}
    return entry


def _policy(outcomes: Sequence[Outcome], policy: str) -> dict[str, Any]:
    runs = [each.runs[policy] for each in outcomes]
    latency_s, latency_spread_s = spread([run.latency_s for run in runs])
    energy_j, energy_spread_j = spread([run.energy_j for run in runs])
    return {
        "latency_s": latency_s,
        "latency_spread_s": latency_spread_s,
        "energy_j_per_frame": energy_j,
        "energy_spread_j": energy_spread_j,
        "energy_source": "modelled",
        "switches": statistics.median([run.n_switches for run in runs]),
        "frames_answered": sum(run.n_answered for run in runs),
        "first_plan": runs[0].first_plan,
        "plans": list(runs[0].plans),
    }
