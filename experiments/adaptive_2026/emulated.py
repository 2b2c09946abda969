"""A shorter scene in real processes: three nodes on this computer, slowed engines, shaped links, real frames.

Only MobileNetV2 fits: an engine can be slowed and not hurried, and this computer takes longer for VGG16 and AlexNet
than a PC's graphics card. Loads cannot be changed here, so the links alone do. Energy is modelled.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path
from typing import Any

from experiments.adaptive_2026.devices import CLOUD, EDGE, FOG, POWER, TIERS, slowdowns
from experiments.adaptive_2026.published import UPLINK_BPS, UPLINK_DELAY_S
from experiments.adaptive_2026.scenario import WIFI_DELAY_S
from seamline.cli.models import resolve_model
from seamline.config import ChangeSpec, LinkSpec, NodeSpec, Testbed
from seamline.runtime.scenario import Scene, Stage

MODEL = "mobilenetv2"
SECONDS, FPS = 10.0, 2.0
POLICIES = {"adaptive": "adaptive", "static_at_start": "static"}
WIFI_BPS = 40e6
CHANGES = ((0.25, 5e6), (0.5, 2e6), (0.8, WIFI_BPS))
"""(share of the run, rate of the WiFi from then on): others share it, the camera is carried away, and back."""


def testbed() -> Testbed:
    """The three machines and their links."""
    factors = slowdowns(MODEL)
    wifi = (EDGE, FOG)
    return Testbed(
        name="adaptive-2026",
        nodes=tuple(
            NodeSpec(name=node, tier=node, slowdown=factors[node], threads=1, power=POWER[node].name) for node in TIERS
        ),
        links=(
            LinkSpec(between=wifi, rate_bps=WIFI_BPS, delay_s=WIFI_DELAY_S),
            LinkSpec(between=(FOG, CLOUD), rate_bps=UPLINK_BPS, delay_s=UPLINK_DELAY_S),
        ),
        changes=tuple(ChangeSpec(between=wifi, at_ratio=ratio, rate_bps=rate_bps) for ratio, rate_bps in CHANGES),
    )


def play(n_runs: int, told: Callable[[str], None], *, until_s: float, seconds: float = SECONDS) -> dict[str, Any]:
    """Each policy `n_runs` times, in turn; the JSON's `emulated`. until_s: after this (`time.monotonic`) once."""
    source = Path(str(files("seamline.data") / "bigbuckbunny.mp4"))
    scene = Scene(testbed=testbed(), model=str(resolve_model(MODEL)), source=source, seconds=seconds, fps=FPS)
    runs: dict[str, list[dict[str, Any]]] = {name: [] for name in POLICIES}
    with Stage(scene) as stage:
        for number in range(n_runs):
            if number > 0 and time.monotonic() >= until_s:
                break
            for name, policy in POLICIES.items():
                told(f"{MODEL}, {name}, run {number + 1} of {n_runs} (emulated, {seconds:.0f} s)")
                for event in stage.play(policy, n_private_cuts=1):
                    if event.kind == "summary":
                        runs[name].append(dict(event.data))
    return _figures(runs, seconds)


def _figures(runs: dict[str, list[dict[str, Any]]], seconds: float) -> dict[str, Any]:
    policies = {
        name: {
            "latency_s": statistics.median(run["latency_s"]["mean"] for run in mine),
            "energy_j_per_frame": statistics.median(run["energy"]["j_per_frame"] for run in mine),
            "energy_source": mine[0]["energy"]["source"],
            "switches": statistics.median(len(run["switches"]) for run in mine),
            "reasons": [[f"{switch['at_s']:.1f} s: {switch['reason']}" for switch in run["switches"]] for run in mine],
            "frames_lost": sum(run["frames"]["lost"] for run in mine),
        }
        for name, mine in runs.items()
    }
    of_runs = {
        what: [
            1.0 - one[group][key] / other[group][key]
            for one, other in zip(runs["adaptive"], runs["static_at_start"], strict=True)
        ]
        for what, group, key in (("latency", "latency_s", "mean"), ("energy", "energy", "j_per_frame"))
    }
    return {
        "kind": "emulated",
        "model": MODEL,
        "objective": "latency",
        "n_runs": len(runs["adaptive"]),
        "seconds": seconds,
        "fps": FPS,
        "policies": policies,
        **{f"{what}_reduction_vs_start": statistics.median(values) for what, values in of_runs.items()},
        **{f"{what}_reduction_vs_start_spread": [min(values), max(values)] for what, values in of_runs.items()},
    }
