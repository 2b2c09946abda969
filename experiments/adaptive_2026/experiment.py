"""Everything in one go: simulate, emulate, judge against the published figures, write JSON and HTML."""

from __future__ import annotations

import json
import platform
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from experiments.adaptive_2026 import emulated
from experiments.adaptive_2026.cases import N_NEEDED, Case, agenda
from experiments.adaptive_2026.devices import ENGINE_TIMES, MODELS, POWER, STAND_IN, TIERS, profiles
from experiments.adaptive_2026.figures import figures
from experiments.adaptive_2026.judging import reaches, remarks, why
from experiments.adaptive_2026.moments import energy_moments
from experiments.adaptive_2026.pool import play_all
from experiments.adaptive_2026.published import ENERGY_REDUCTION, LATENCY_REDUCTION
from experiments.adaptive_2026.report import report
from experiments.adaptive_2026.scenario import DURATION_S, PHASES
from experiments.adaptive_2026.simulated import FPS, Outcome
from seamline import __version__
from seamline.core.vocabulary.errors import SeamlineError
from seamline.report.writing import write_report

QUICK_RUNS, FULL_RUNS = 3, 10
QUICK_CASES_S = 90.0
"""After so long a quick run begins no further case than those it cannot do without; a second run plays the rest."""

QUICK_S = 190.0
"""After so long a quick run begins no further round on the testbed, of which each takes some 34 s, than the first."""

FULL_S = 3600.0


def main(quick: bool, out: Path, *, is_emulating: bool = True, duration_s: float = DURATION_S) -> dict[str, Any]:
    """Run it, write `out`/adaptive-2026/{report.html,results.json}, and return what is in the JSON.

    Raises `SeamlineError` when `out` cannot be written to or a case cannot be played.
    """
    began_s = time.monotonic()
    folder = out / "adaptive-2026"
    _make(folder)
    cases = agenda(QUICK_RUNS if quick else FULL_RUNS, duration_s)
    budget_s = QUICK_CASES_S if quick else FULL_S
    outcomes, left_out = play_all(cases, folder, _told, budget_s=budget_s, n_needed=N_NEEDED)
    results = _results(outcomes, left_out, duration_s)
    if is_emulating:
        length, until_s = (emulated.QUICK, QUICK_S) if quick else (emulated.FULL, 2 * FULL_S)
        results["emulated"] = emulated.play(length, _told, until_s=began_s + until_s)
    results["took_s"] = time.monotonic() - began_s
    results["report"] = str(folder / "report.html")
    (folder / "results.json").write_text(json.dumps(results, indent=1), encoding="utf-8")
    write_report(report(results, outcomes), folder / "report.html")
    return results


def _results(outcomes: Sequence[Outcome], left_out: Sequence[Case], duration_s: float) -> dict[str, Any]:
    """All but the emulated part. A network is in it when both objectives were played in the scenario itself."""
    played = {(each.case.model, each.case.objective) for each in outcomes if each.case.variant == "main"}
    names = [name for name in (*MODELS, ENGINE_TIMES) if {(name, "latency"), (name, "energy")} <= played]
    models = {name: figures(outcomes, name) for name in names}
    for name, model in models.items():
        model["moments"] = energy_moments(name, duration_s)
        model["reaches_published"] = reaches(model)
        model["why"] = why(model, model["moments"])
        model["remarks"] = remarks(name, model)
    return {
        "paper": "arXiv 2605.09623",
        "seamline": __version__,
        "machine": f"{platform.system()} {platform.machine()}",
        "published": {"energy_reduction": list(ENERGY_REDUCTION), "latency_reduction": list(LATENCY_REDUCTION)},
        "devices": {node: _device(node) for node in TIERS},
        "scenario": [{"what": each.what, "share": each.share, "wifi_mbps": each.wifi_mbps,
                      "uplink_mbps": each.uplink_mbps, "edge_load": each.edge_load, "fog_load": each.fog_load,
                      "cloud_load": each.cloud_load}
                     for each in PHASES],
        "duration_s": duration_s,
        "fps": FPS,
        "models": models,
        "left_out": [case.name for case in left_out],
        "emulated": None,
    }  # fmt: skip


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / ".probe"
        probe.touch()
        probe.unlink()
    except OSError as exc:
        raise SeamlineError(f"{folder} cannot be written to: {exc.strerror}", hint="give another --out") from exc


def _device(node: Any) -> dict[str, Any]:
    power = POWER[node]
    return {
        "stands_for": STAND_IN[node],
        "whole_s": {name: profiles(name)[node].whole_s.median for name in (*MODELS, ENGINE_TIMES)},
        "idle_w": power.idle_w,
        "busy_w": power.busy_w,
        "tx_j_per_byte": power.tx_j_per_byte,
        "rx_j_per_byte": power.rx_j_per_byte,
        "power_source": power.source,
    }


def _told(what: str) -> None:
    print(what, file=sys.stderr, flush=True)
