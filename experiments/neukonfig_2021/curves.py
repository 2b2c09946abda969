"""Drawn parts of the report: downtimes beside the published ones, and latency and bytes of every cut."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from experiments.neukonfig_2021 import published
from experiments.neukonfig_2021.conditions import FAST_MBPS, SLOW_MBPS
from experiments.neukonfig_2021.figures import MeasuredCell, column, ms
from seamline.report.bars import CutPanel, beside_figure, cuts_figure
from seamline.report.document import Parts, numbers, plot, table, text


def bars(cells: Sequence[MeasuredCell]) -> Parts:
    """Median downtimes of one model on a logarithmic scale, beside the paper's."""
    names = [cell["cell"]["strategy"] for cell in cells]
    measured = [1e3 * statistics.median(column(cell, "downtime_s")) for cell in cells]
    paper = [None if (value := published.DOWNTIME_S.get(name)) is None else 1e3 * value for name in names]
    figure = beside_figure(names, {"measured": measured, "published": paper}, "downtime (ms)")
    rows = zip(names, measured, paper, strict=True)
    found = numbers(f"downtime-{cells[0]['cell']['model']}", ("strategy", "measured_ms", "published_ms"), rows)
    return plot(figure, "Median downtime by the paper's equation, on a logarithmic scale.", found)


def best_cuts(sweeps: Sequence[Mapping[str, Any]]) -> Parts:
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
    said = text(
        f"Predicted by equation 1 from profiles of this machine (modelled, not run cut by cut). Paper: {papers}; moved "
        "by the network, not by CPU or memory stress. Cut numbers are those of `seamline inspect` here; a cut at 0 "
        "sends the frame itself, at the last runs all on the edge. The edge has half the cloud's speed unless it says "
        "otherwise. Frames are sent as 150 kB of uint8, not as 602 kB of float32, which is less than most boundaries "
        "inside: the paper's layers compare with the best cut that uses both."
    )
    head = ("model", "codec", "CPU", "memory", "edge", "best cut at 20 Mbit/s", "ms", "best that uses both", "ms",
            "best cut at 5 Mbit/s", "ms", "best that uses both", "ms")  # fmt: skip
    return said + table(head, rows) + text(" ".join(_moves(sweeps)))


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


def stacked(one: Mapping[str, Any]) -> Parts:
    """Latency of every cut as stacked bars, and the bytes that cross."""
    cuts = one["cuts"]
    parts = {name: [1e3 * cut[f"{name}_s"] for cut in cuts] for name in ("edge", "transfer", "cloud")}
    best = min(range(len(cuts)), key=lambda at: sum(values[at] for values in parts.values()))
    title = f"{one['model']}, {one['mbps']:g} Mbit/s, float32"
    sent = {"sent": [cut["sent_bytes"] / 1e6 for cut in cuts]}
    figure = cuts_figure([CutPanel(title=title, parts=parts, best=best)], sent)
    head = ("cut", "after", "edge_s", "transfer_s", "cloud_s", "sent_bytes")
    found = numbers(f"cuts-{one['model']}-{one['mbps']:g}mbps", head, ([cut[key] for key in head] for cut in cuts))
    return plot(figure, f"{title}: latency of every cut, and the bytes that cross there.", found)
