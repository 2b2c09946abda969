"""Beside the published figures: which are reached, why others are not, and what else a reader has to know."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from experiments.adaptive_2026.devices import ENGINE_TIMES
from experiments.adaptive_2026.published import ENERGY_REDUCTION, LATENCY_REDUCTION

PUBLISHED = {"energy": ENERGY_REDUCTION, "latency": LATENCY_REDUCTION}


def reaches(model: Mapping[str, Any]) -> dict[str, bool]:
    """Whether a model's median reductions against the start's cut are at least the lowest published one."""
    return {what: model[f"{what}_reduction_vs_start"] >= low for what, (low, _) in PUBLISHED.items()}


def why(model: Mapping[str, Any], moments: Sequence[Mapping[str, Any]]) -> dict[str, str | None]:
    """Per objective why the published figure is not reached, in numbers; None where it is.

    moments: what the best plans cost in each phase, see `moments.energy_moments`.
    """
    reached = reaches(model)
    return {
        "energy": None if reached["energy"] else _why_energy(model, moments),
        "latency": None if reached["latency"] else _why_latency(model),
    }


def remarks(name: str, model: Mapping[str, Any]) -> list[str]:
    """From the figures themselves."""
    found = []
    if model["latency_reduction_vs_start"] > LATENCY_REDUCTION[1]:
        found.append(
            "Latency: more than published, because the start's cut sends "
            f"{model['policies_for_latency']['static_at_start']['first_plan']} over a link that later falls to a "
            "twenty-fifth of its rate; how far the paper's links fell is not said."
        )
    if model["latency_reduction_vs_offload"] < 0.0:
        found.append(
            "Sending the camera's frame is quicker than any cut. It is not allowed here (frames stay on the Pi); "
            "where it is, adaptive offloads too."
        )
    for what in ("latency", "energy"):
        coded = model.get("with_codecs", {}).get(f"{what}_reduction_vs_start")
        if coded is not None and coded < 0.02:
            found.append(
                f"With codecs adaptive hardly pays for {what} or not at all: {coded:.1%} less than the start's cut, "
                "whose small tensors hardly feel the links."
            )
    if name == ENGINE_TIMES:
        found.append("Not published times: MobileNetV2 stretched like VGG16, see devices.py.")
    return found


def _why_energy(model: Mapping[str, Any], moments: Sequence[Mapping[str, Any]]) -> str:
    local_best = [each for each in moments if each["split"] is None or each["local"] <= each["split"]]
    others = [each for each in moments if each not in local_best]
    words = (
        f"{model['energy_reduction_vs_start']:.1%} less than the start's plan, published are {_published('energy')}. "
    )
    if local_best:
        local_j = min(each["local"] for each in local_best)
        splits = [each["split"] for each in local_best if each["split"] is not None]
        words += (
            f"All on the Pi ({local_j:.2f} J a frame) is the least in {sum(each['share'] for each in local_best):.0%} "
            f"of the day, where the best split takes {min(splits):.2f} to {max(splits):.2f} J: what a faster machine "
            "saves in time it draws in power. "
        )
    if others:
        cheaper = ", ".join(
            f"{each['what']} ({each['local']:.2f} J alone, {each['split']:.2f} J split)" for each in others
        )
        words += f"A split is cheaper only while: {cheaper}. " if local_best else ""
    return words + _possible(moments)


def _why_latency(model: Mapping[str, Any]) -> str:
    return (
        f"{model['latency_reduction_vs_start']:.1%} lower than the start's plan, published are "
        f"{_published('latency')}: the start's plan stays near the least for most of the day."
    )


def _possible(moments: Sequence[Mapping[str, Any]]) -> str:
    """What choosing the least in every phase would save: no policy can do more."""
    start_j = sum(each["share"] * each["start"] for each in moments)
    least_j = sum(each["share"] * min(each["local"], each["split"] or each["local"]) for each in moments)
    return (
        f"Choosing the least in every phase takes {least_j:.2f} J a frame where the start's plan takes {start_j:.2f}: "
        f"{1.0 - least_j / start_j:.1%} less is all that can be saved (first day, modelled)."
    )


def _published(what: str) -> str:
    low, high = PUBLISHED[what]
    return f"{low:.2%} to {high:.2%}"
