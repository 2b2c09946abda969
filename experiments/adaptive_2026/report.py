"""The HTML report: one self-contained page, nothing fetched. What it is drawn with: `drawing.py`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

from experiments.adaptive_2026.drawing import COLOURS, latency_plot
from experiments.adaptive_2026.published import ENERGY_REDUCTION, LATENCY_REDUCTION
from experiments.adaptive_2026.report_emulated import emulated
from experiments.adaptive_2026.scenario import PHASES, day
from experiments.adaptive_2026.simulated import POLICIES, Outcome
from experiments.markup import table

STYLE = """
body{font:15px/1.5 system-ui,sans-serif;max-width:960px;margin:2em auto;padding:0 1em;color:#222}
table{border-collapse:collapse;margin:1em 0}td,th{padding:.25em .7em;border-bottom:1px solid #ddd;text-align:right}
td:first-child,th:first-child{text-align:left}.kind{color:#777}svg{width:100%;height:auto}li{margin:.3em 0}
"""


def html(results: Mapping[str, Any], outcomes: Sequence[Outcome]) -> str:
    """The whole page."""
    parts = [
        f"<!doctype html><html lang=en><meta charset=utf-8><title>adaptive-2026</title><style>{STYLE}</style>",
        "<h1>Adaptive partitioning over edge, fog and cloud</h1>",
        "<p>Energy and latency against static cuts, after arXiv 2605.09623, of which only the abstract is to be had: "
        f"its scenario is not known, ours is stated. Published: energy {_range(ENERGY_REDUCTION)} and latency "
        f"{_range(LATENCY_REDUCTION)} lower than a static partition. Reductions are medians over "
        f"{min(model['n_runs'] for model in results['models'].values())} drawn days, [lowest, highest] beside. All "
        "energy is modelled: of every machine above idle, the Pi's radio, and the Pi's idling until the answer.</p>",
        _left_out(results),
        "<h2>Plain tensors <span class=kind>(simulated)</span></h2>",
        _reductions(results["models"].items()),
        _remarks(results["models"]),
        "<h2>The same with Seamline's codecs <span class=kind>(simulated)</span></h2>",
        _reductions(
            (name, model["with_codecs"]) for name, model in results["models"].items() if "with_codecs" in model
        ),
        "<h2>With one thing otherwise <span class=kind>(simulated, plain tensors, reductions against the start's cut, "
        "in brackets against the best fixed one)</span></h2>",
        _variants(results["models"]),
        "<h2>What a frame takes in each phase <span class=kind>(modelled, J, first day: all on the Pi / best "
        "split)</span></h2>",
        _moments(results["models"]),
        "<h2>The scenario</h2>",
        _scenario(results),
        "<h2>The machines</h2>",
        _devices(results["devices"]),
    ]
    if results["emulated"] is not None:
        parts += ["<h2>In real processes <span class=kind>(emulated)</span></h2>", emulated(results["emulated"])]
    parts.append(
        "<h2>Latency through the day <span class=kind>(simulated, first day, latency as objective)</span></h2>"
    )
    for each in outcomes:
        if each.case.variant == "main" and each.runs["adaptive"].latencies_s:
            parts += [f"<h3>{escape(each.case.model)}</h3>", simulated_plot(each, results["duration_s"])]
    parts.append("<h2>Every policy <span class=kind>(simulated, plain tensors)</span></h2>")
    parts += [_policies(name, model) for name, model in results["models"].items()]
    return "\n".join(parts) + "</html>\n"


def simulated_plot(outcome: Outcome, duration_s: float) -> str:
    """Latency of each answered frame in order, as if they had come evenly; phases as grey bounds."""
    series = {}
    for policy in COLOURS:
        values = outcome.runs[policy].latencies_s
        series[policy] = [(duration_s * at / max(1, len(values) - 1), value) for at, value in enumerate(values)]
    starts_s = day(outcome.case.seed, duration_s).starts_s
    return latency_plot(
        series, duration_s, marks=[(at_s, phase.what) for at_s, phase in zip(starts_s, PHASES, strict=True)]
    )


def _reductions(models: Iterable[tuple[str, Mapping[str, Any]]]) -> str:
    keys = [f"{what}_reduction_vs_{than}" for what in ("latency", "energy") for than in ("start", "best", "local")]
    head = ["", *(key.replace("_reduction_vs_", " vs ") for key in keys)]
    return table(head, ([name, *(_reduction(model, key) for key in keys)] for name, model in models))


def _reduction(model: Mapping[str, Any], key: str) -> str:
    low, high = model[f"{key}_spread"]
    return f"{model[key]:.1%} [{low:.0%}, {high:.0%}]"


def _remarks(models: Mapping[str, Any]) -> str:
    items = [
        f"<li><b>{escape(name)}</b>: {escape(each)}</li>"
        for name, model in models.items()
        for each in (*(f"{what}: {words}" for what, words in model["why"].items() if words), *model["remarks"])
    ]
    return f"<ul>{''.join(items)}</ul>"


def _left_out(results: Mapping[str, Any]) -> str:
    names = results["left_out"]
    if not names:
        return ""
    return (
        f"<p><b>{len(names)} cases were left out for lack of time</b> ({escape(', '.join(names))}); the same command "
        "plays them when it is started again.</p>"
    )


def _variants(models: Mapping[str, Any]) -> str:
    """A row for each thing that is otherwise, a column for each network and objective that it was played for."""
    words = {name: each["what"] for model in models.values() for name, each in model["variants"].items()}
    rows = []
    for variant, what in {"": "the scenario as it stands", **words}.items():
        cells = []
        for model in models.values():
            figures = model["variants"].get(variant, {}) if variant else model
            cells += [_both(figures, objective) for objective in ("latency", "energy")]
        rows.append((what, *cells))
    head = ("", *(f"{name}, {objective}" for name in models for objective in ("latency", "energy")))
    return table(head, rows)


def _both(figures: Mapping[str, Any], objective: str) -> str:
    vs_start, vs_best = (figures.get(f"{objective}_reduction_vs_{than}") for than in ("start", "best"))
    return "" if vs_start is None else f"{vs_start:.1%} ({vs_best:.1%})"


def _moments(models: Mapping[str, Any]) -> str:
    rows: list[tuple[str, ...]] = []
    for phases in zip(*(model["moments"] for model in models.values()), strict=True):
        cells = (f"{each['local']:.2f} / {_joules(each['split'])}" for each in phases)
        rows.append((phases[0]["what"], *cells))
    return table(("phase", *models), rows)


def _joules(energy_j: float | None) -> str:
    return "-" if energy_j is None else f"{energy_j:.2f}"


def _scenario(results: Mapping[str, Any]) -> str:
    rows = [
        (each["what"], f"{each['share']:.0%}", f"{each['wifi_mbps']:g}", f"{each['uplink_mbps']:g}",
         f"{each['edge_load']:g}x", f"{each['fog_load']:g}x", f"{each['cloud_load']:g}x")
        for each in results["scenario"]
    ]  # fmt: skip
    words = (
        f"<p>{results['duration_s']:.0f} s. Lengths vary by up to 20 %, rates by 15 % from day to day and 8 % every "
        "four seconds. Frames stay on the Pi, tensors may leave. So few frames come that every policy answers them.</p>"
    )
    head = ("phase", "share", "WiFi Mbit/s", "uplink Mbit/s", "Pi takes", "laptop takes", "desktop takes")
    return words + table(head, rows)


def _devices(devices: Mapping[str, Any]) -> str:
    rows = []
    for node, device in devices.items():
        times = ", ".join(f"{name} {1e3 * seconds:.1f}" for name, seconds in device["whole_s"].items())
        power = f"{device['idle_w']:g} to {device['busy_w']:g} W"
        rows.append((node, device["stands_for"], times, power, device["power_source"]))
    return table(("", "stands for", "whole network, ms", "idle to busy", "power from"), rows)


def _policies(name: str, model: Mapping[str, Any]) -> str:
    rows = []
    for objective in ("latency", "energy"):
        for policy in POLICIES:
            each = model[f"policies_for_{objective}"][policy]
            rows.append((f"{objective}: {policy}", f"{1e3 * each['latency_s']:.0f} ms",
                         f"{each['energy_j_per_frame']:.2f} J", f"{each['switches']:g}",
                         str(each["frames_answered"]), each["first_plan"]))  # fmt: skip
    head = ("objective: policy", "latency", "energy (modelled)", "switches", "frames", "first plan")
    return f"<h3>{escape(name)}</h3>" + table(head, rows)


def _range(pair: tuple[float, float]) -> str:
    return f"{pair[0]:.2%} to {pair[1]:.2%}"
