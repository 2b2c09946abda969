"""The HTML report: one self-contained page, drawings as inline SVG, no script and nothing fetched."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

from experiments.adaptive_2026.published import ENERGY_REDUCTION, LATENCY_REDUCTION
from experiments.adaptive_2026.scenario import day
from experiments.adaptive_2026.simulated import POLICIES, Outcome

WIDTH, HEIGHT, LEFT, TOP = 900, 220, 60, 16
COLOURS = {"adaptive": "#0a7", "static_at_start": "#c33", "static_best": "#e90", "local": "#777", "offload": "#36c"}
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
        parts += ["<h2>In real processes <span class=kind>(emulated)</span></h2>", _emulated(results["emulated"])]
    parts.append(
        "<h2>Latency through the day <span class=kind>(simulated, first day, latency as objective)</span></h2>"
    )
    for each in outcomes:
        if each.case.variant == "main" and each.runs["adaptive"].latencies_s:
            parts += [f"<h3>{escape(each.case.model)}</h3>", _latency_plot(each, results["duration_s"])]
    parts.append("<h2>Every policy <span class=kind>(simulated, plain tensors)</span></h2>")
    parts += [_policies(name, model) for name, model in results["models"].items()]
    return "\n".join(parts) + "</html>\n"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """An HTML table; every cell is escaped."""
    lines = ["<tr>" + "".join(f"<th>{escape(cell)}</th>" for cell in head) + "</tr>"]
    lines += ["<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows]
    return "<table>" + "\n".join(lines) + "</table>"


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


def _emulated(found: Mapping[str, Any]) -> str:
    words = (
        f"<p>{escape(found['model'])}, {found['seconds']:.0f} s, n = {found['n_runs']}, only the WiFi changes, codecs "
        f"allowed: latency {found['latency_reduction_vs_start']:.1%}, energy {found['energy_reduction_vs_start']:.1%} "
        "lower than the start's cut.</p>"
    )
    rows = [
        (name, f"{1e3 * each['latency_s']:.0f} ms", f"{each['energy_j_per_frame']:.2f} J", each["energy_source"],
         f"{each['switches']:g}", str(each["frames_lost"]))
        for name, each in found["policies"].items()
    ]  # fmt: skip
    return words + table(("policy", "latency", "energy a frame", "from", "switches", "lost"), rows)


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


def _latency_plot(outcome: Outcome, duration_s: float) -> str:
    """Latency of each answered frame in order, logarithmic, one line per policy; phases as grey bounds."""
    latencies = {policy: outcome.runs[policy].latencies_s for policy in COLOURS}
    values = [value for each in latencies.values() for value in each]
    low, high = math.log10(min(values)), math.log10(max(values))
    span = max(high - low, 0.1)

    def y(latency_s: float) -> float:
        return TOP + HEIGHT * (1.0 - (math.log10(latency_s) - low) / span)

    lines = [f'<svg viewBox="0 0 {LEFT + WIDTH + 10} {TOP + HEIGHT + 30}" role="img">']
    for start_s in day(outcome.case.seed, duration_s).starts_s:
        x = LEFT + WIDTH * start_s / duration_s
        lines.append(f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{TOP}" y2="{TOP + HEIGHT}" stroke="#ddd"/>')
    for exponent in range(math.floor(low), math.ceil(high) + 1):
        if low <= exponent <= high:
            lines.append(f'<text x="4" y="{y(10.0**exponent):.1f}" font-size="11">{10.0 ** (exponent + 3):g} ms</text>')
    for number, (policy, series) in enumerate(latencies.items()):
        points = " ".join(
            f"{LEFT + WIDTH * at / max(1, len(series) - 1):.1f},{y(value):.1f}" for at, value in enumerate(series)
        )
        lines.append(f'<polyline points="{points}" fill="none" stroke="{COLOURS[policy]}" stroke-width="1.3"/>')
        lines.append(
            f'<text x="{LEFT + 150 * number}" y="{TOP + HEIGHT + 22}" font-size="12" fill="{COLOURS[policy]}">'
            f"{policy}</text>"
        )
    return "\n".join(lines) + "</svg>"


def _range(pair: tuple[float, float]) -> str:
    return f"{pair[0]:.2%} to {pair[1]:.2%}"
