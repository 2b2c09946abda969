"""Drawn parts of the report: downtimes beside the published ones, and latency and bytes of every cut."""

from __future__ import annotations

import html
import math
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from experiments.markup import ms, note, table
from experiments.neukonfig_2021 import published
from experiments.neukonfig_2021.conditions import FAST_MBPS, SLOW_MBPS
from experiments.neukonfig_2021.figures import MeasuredCell, column

COLOURS = {"edge_s": "#3b75af", "transfer_s": "#e49444", "cloud_s": "#6a9f58"}
MEASURED, PAPER = "#3b75af", "#bbb"
LEAST_S = 1e-6


def bars(cells: Sequence[MeasuredCell]) -> str:
    """Median downtimes of one model on a logarithmic scale, the paper's in grey."""
    width, left, tall = 900, 160, 34
    most = math.log10(max(10.0, *(statistics.median(column(cell, "downtime_s")) for cell in cells)) / LEAST_S)
    shapes = []
    for number, cell in enumerate(cells):
        name, top = cell["cell"]["strategy"], number * tall
        shapes.append(f"<text x={left - 8} y={top + 20} text-anchor=end font-size=13>{html.escape(name)}</text>")
        values = ((statistics.median(column(cell, "downtime_s")), MEASURED), (published.DOWNTIME_S.get(name), PAPER))
        for row, (value_s, colour) in enumerate(values):
            if value_s is None:
                continue
            long = max(1.0, (width - left - 90) * math.log10(max(value_s, LEAST_S) / LEAST_S) / most)
            y = top + 4 + 12 * row
            shapes.append(f"<rect x={left} y={y} width={long:.0f} height=11 fill='{colour}'/>")
            shapes.append(f"<text x={left + long + 5:.0f} y={y + 10} font-size=11>{ms(value_s)} ms</text>")
    drawn = f"<svg viewBox='0 0 {width} {len(cells) * tall}' role=img>{''.join(shapes)}</svg>"
    return drawn + note(
        "Median downtime by the paper's equation, logarithmic from 1 us; blue: measured, grey: published."
    )


def best_cuts(sweeps: Sequence[Mapping[str, Any]]) -> str:
    """The best cut at both link speeds, for each codec, edge, processor share and memory share."""
    alike: dict[tuple[Any, ...], dict[float, Mapping[str, Any]]] = {}
    for one in sweeps:
        if "error" not in one:
            key = tuple(one[name] for name in ("model", "codec", "edge_ratio", "cpu_ratio", "memory_ratio", "how"))
            alike.setdefault(key, {})[one["mbps"]] = one
    rows = [
        [model, codec, f"{cpu_ratio:.0%}", f"{memory_ratio:.0%}", how, *_best(at[FAST_MBPS]), *_best(at[SLOW_MBPS])]
        for (model, codec, _, cpu_ratio, memory_ratio, how), at in alike.items()
    ]
    for one in sweeps:
        if "error" in one:
            shares = (f"{one['cpu_ratio']:.0%}", f"{one['memory_ratio']:.0%}")
            rows.append([one["model"], "-", *shares, f"not measured: {one['error']}", *("-" for _ in range(8))])
    papers = "; ".join(f"{model}: layer {fast} at 20 Mbit/s, {slow} at 5" for model, (fast, slow) in
                       published.BEST_LAYER.items())  # fmt: skip
    said = note(
        f"Predicted by equation 1 from profiles of this machine (modelled, not run cut by cut). Paper: {papers}; moved "
        "by the network, not by CPU or memory stress. Cut numbers are those of `seamline inspect` here; a cut at 0 "
        "sends the frame itself, at the last runs all on the edge. The edge has half the cloud's speed unless it says "
        "otherwise. Frames are sent as 150 kB of uint8, not as 602 kB of float32, which is less than most boundaries "
        "inside: the paper's layers compare with the best cut that uses both."
    )
    head = ("model", "codec", "CPU", "memory", "edge", "best cut at 20 Mbit/s", "ms", "best that uses both", "ms",
            "best cut at 5 Mbit/s", "ms", "best that uses both", "ms")  # fmt: skip
    return said + table(head, rows) + note(" ".join(_moves(sweeps)))


def _best(one: Mapping[str, Any]) -> tuple[str, ...]:
    """The best of all cuts, and the best of those where both nodes compute."""
    return (
        f"{one['best_cut']} (after {one['best_after']})",
        ms(one["best_latency_s"]),
        f"{one['best_split']} (after {one['best_split_after']})",
        ms(one["best_split_latency_s"]),
    )


def _moves(sweeps: Sequence[Mapping[str, Any]]) -> list[str]:
    """What moves the best cut here, in sentences."""
    found = [one for one in sweeps if "error" not in one]
    said = []
    for model in dict.fromkeys(one["model"] for one in found):
        for codec in ("raw", "u8"):
            best = {
                (one["mbps"], one["cpu_ratio"], one["memory_ratio"]): one["best_split"]
                for one in found if (one["model"], one["codec"]) == (model, codec) and "slower" not in one["how"]
            }  # fmt: skip
            usual = {mbps: cut for (mbps, cpu, memory), cut in best.items() if cpu == memory == 1.0}
            stressed: dict[str, bool] = {}
            for (mbps, cpu, memory), cut in best.items():
                if cpu < 1.0 or memory < 1.0:
                    what = "CPU" if cpu < 1.0 else "memory"
                    stressed[what] = stressed.get(what, False) or cut != usual[mbps]
            moved = "moves" if len(set(usual.values())) > 1 else "does not move"
            also = ", ".join(f"{what} stress {'moves it too' if yes else 'does not'}" for what, yes in stressed.items())
            also = also or "no stress was tried"
            said.append(f"{model}, {codec}: the best cut that uses both {moved} with the network; {also}.")
    return said


def stacked(one: Mapping[str, Any]) -> str:
    """Latency of every cut as stacked bars, the bytes that cross as a line."""
    cuts = one["cuts"]
    width, height, pad = 960, 260, 40
    most_s = max(cut["edge_s"] + cut["transfer_s"] + cut["cloud_s"] for cut in cuts)
    most_bytes = max(cut["sent_bytes"] for cut in cuts) or 1
    step = (width - 2 * pad) / len(cuts)
    shapes, line = [], []
    for number, cut in enumerate(cuts):
        x, y = pad + number * step, float(height - pad)
        for key, colour in COLOURS.items():
            tall = (height - 2 * pad) * cut[key] / most_s
            y -= tall
            shapes.append(
                f"<rect x={x:.1f} y={y:.1f} width={step * 0.8:.1f} height={tall:.1f} fill='{colour}'>"
                f"<title>cut {cut['cut']} after {html.escape(cut['after'])}: {key} {ms(cut[key])} ms</title></rect>"
            )
        level = height - pad - (height - 2 * pad) * cut["sent_bytes"] / most_bytes
        line.append(f"{x + step * 0.4:.1f},{level:.1f}")
        if number % max(1, len(cuts) // 20) == 0:
            shapes.append(f"<text x={x:.1f} y={height - pad + 14} font-size=10>{cut['cut']}</text>")
    legend = "edge (blue), transfer (orange), cloud (green); line: bytes that cross"
    title = f"{one['model']}, {one['mbps']:g} Mbit/s, float32: tallest {ms(most_s)} ms, most {most_bytes / 1e6:.2f} MB"
    return (
        f"<h3>{title}</h3><svg viewBox='0 0 {width} {height}' role=img>{''.join(shapes)}"
        f"<polyline points='{' '.join(line)}' fill=none stroke='#333'/></svg>{note(legend)}"
    )
