"""Everything in one go: simulate, emulate, judge against the published figures, write JSON and HTML."""

from __future__ import annotations

import json
import platform
import sys
from pathlib import Path
from typing import Any

from experiments.adaptive_2026 import emulated, simulated
from experiments.adaptive_2026.devices import ENGINE_TIMES, MODELS, POWER, STAND_IN, TIERS, profiles
from experiments.adaptive_2026.published import ENERGY_REDUCTION, LATENCY_REDUCTION
from experiments.adaptive_2026.report import html
from experiments.adaptive_2026.scenario import DURATION_S, PHASES
from seamline import __version__

QUICK_RUNS, FULL_RUNS = 3, 10
QUICK_EMULATED_RUNS, FULL_EMULATED_RUNS = 3, 5


def main(quick: bool, out: Path, *, is_emulating: bool = True, duration_s: float = DURATION_S) -> dict[str, Any]:
    """Run it, write `out`/adaptive-2026/{report.html,results.json}, and return what is in the JSON."""
    n_runs = QUICK_RUNS if quick else FULL_RUNS
    names = (*MODELS, ENGINE_TIMES)
    outcomes = simulated.play(MODELS, n_runs, _told, duration_s)
    outcomes += simulated.play((ENGINE_TIMES,), n_runs, _told, duration_s, (simulated.PLAIN,))
    results: dict[str, Any] = {
        "paper": "arXiv 2605.09623",
        "seamline": __version__,
        "machine": f"{platform.system()} {platform.machine()}",
        "published": {"energy_reduction": list(ENERGY_REDUCTION), "latency_reduction": list(LATENCY_REDUCTION)},
        "devices": {node: _device(node) for node in TIERS},
        "scenario": [{"what": each.what, "share": each.share, "wifi_mbps": each.wifi_mbps,
                      "uplink_mbps": each.uplink_mbps, "fog_load": each.fog_load, "cloud_load": each.cloud_load}
                     for each in PHASES],
        "duration_s": duration_s,
        "fps": simulated.FPS,
        "models": {name: simulated.figures(outcomes, name) for name in names},
        "emulated": None,
    }  # fmt: skip
    for name, model in results["models"].items():
        model["reaches_published"] = reaches(model)
        model["remarks"] = remarks(name, model)
    if is_emulating:
        results["emulated"] = emulated.play(QUICK_EMULATED_RUNS if quick else FULL_EMULATED_RUNS, _told)
    folder = out / "adaptive-2026"
    folder.mkdir(parents=True, exist_ok=True)
    results["report"] = str(folder / "report.html")
    (folder / "report.html").write_text(html(results, outcomes), encoding="utf-8")
    (folder / "results.json").write_text(json.dumps(results, indent=1), encoding="utf-8")
    return results


def reaches(model: dict[str, Any]) -> dict[str, bool]:
    """Whether a model's median reductions against the start's cut are at least the lowest published one."""
    return {
        "energy": model["energy_reduction_vs_start"] >= ENERGY_REDUCTION[0],
        "latency": model["latency_reduction_vs_start"] >= LATENCY_REDUCTION[0],
    }


def remarks(name: str, model: dict[str, Any]) -> list[str]:
    """What a reader has to know beside the figures, from the figures themselves."""
    found = []
    plans = model["policies_for_energy"]
    if plans["adaptive"]["switches"] == 0:
        found.append(
            f"Energy: nothing to adapt. {plans['local']['energy_j_per_frame']:.2f} J on the Pi alone is the least at "
            f"every moment of the day, so the start's plan, {plans['static_at_start']['first_plan']}, is held by all; "
            "sending any layer to another machine costs more there than it saves here."
        )
    elif not reaches(model)["energy"]:
        found.append(
            f"Energy: {model['energy_reduction_vs_start']:.1%} less than the start's cut is below the published "
            f"{ENERGY_REDUCTION[0]:.1%}: the start's plan stays near the least for most of the day."
        )
    if model["latency_reduction_vs_start"] > LATENCY_REDUCTION[1]:
        found.append(
            "Latency: more than published, because the start's cut sends "
            f"{model['policies_for_latency']['static_at_start']['first_plan']} over a link that later falls to a "
            "twenty-fifth of its rate; how far the paper's links fell is not said."
        )
    if model["latency_reduction_vs_offload"] < 0.0:
        found.append(
            "Sending the camera's JPEG is quicker than any cut. It is not allowed here (frames stay on the Pi); "
            "where it is, adaptive offloads too."
        )
    for what in ("latency", "energy"):
        coded = model.get("with_codecs", {}).get(f"{what}_reduction_vs_start", 0.0)
        if coded < 0.0:
            found.append(
                f"Adaptive does not pay for {what} with codecs: {-coded:.1%} more than the start's cut, whose small "
                "tensors hardly feel the links; what it changes gains less than its estimates are off."
            )
    if name == ENGINE_TIMES:
        found.append("Not published times: MobileNetV2 stretched like VGG16, see devices.py.")
    return found


def _device(node: Any) -> dict[str, Any]:
    power = POWER[node]
    return {
        "stands_for": STAND_IN[node],
        "whole_s": {name: profiles(name)[node].whole_s.median for name in (*MODELS, ENGINE_TIMES)},
        "idle_w": power.idle_w,
        "busy_w": power.busy_w,
        "power_source": power.source,
    }


def _told(what: str) -> None:
    print(what, file=sys.stderr, flush=True)
