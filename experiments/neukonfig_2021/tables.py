"""The report's tables: downtimes, wrong guesses, memory, drops, processor x memory, and what starting is made of."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from experiments.neukonfig_2021 import published
from experiments.neukonfig_2021.conditions import FAST_MBPS, GRID_RATIOS, SLOW_MBPS
from experiments.neukonfig_2021.figures import MeasuredCell, column, is_plain, memory_ratio, ms, quantiles
from seamline.report.document import Parts, heading, table, text

TERMS = ("t_update_s", "t_initialisation_s", "t_exec_s", "t_switch_s", "prepare_s", "edge_gap_s")


def full(cells: Sequence[MeasuredCell], model: str) -> list[MeasuredCell]:
    """The cells of a model without limits, at the highest camera rate measured."""
    chosen = [cell for cell in cells if cell["cell"]["model"] == model and is_plain(cell)]
    fastest = max((cell["cell"]["fps"] for cell in chosen), default=0.0)
    return [cell for cell in chosen if cell["cell"]["fps"] == fastest]


def downtimes(cells: Sequence[MeasuredCell]) -> Parts:
    """Of one model: the terms of the paper's equations and what the service saw, by strategy."""
    rows = []
    for cell in cells:
        name = cell["cell"]["strategy"]
        down = quantiles(column(cell, "downtime_s"))
        paper = published.DOWNTIME_S.get(name)
        rows.append(
            [
                name, "-" if paper is None else ms(paper), ms(down["median"]), ms(down["p95"]), ms(down["max"]),
                *(ms(statistics.median(column(cell, key))) for key in TERMS),
                ms(max(column(cell, "answer_gap_s"))), ms(statistics.median(column(cell, "degraded_s"))),
                "/".join(f"{1e3 * statistics.median(column(cell, f'latency_{when}_s')):.0f}"
                         for when in ("before", "during", "after")),
                str(int(sum(column(cell, "n_dropped")))), str(int(sum(column(cell, "n_late")))),
                f"{cell['frames']['lost']}/{cell['frames']['duplicated']}/{cell['frames']['out_of_order']}",
                str(int(statistics.median(column(cell, "sent_bytes")))), str(len(cell["switches"])),
                str(len(cell["refused"])),
            ]
        )  # fmt: skip
    head = (
        "strategy", "paper ms", "downtime ms", "p95", "max", "t_update", "t_init", "t_exec", "t_switch",
        "request to serving", "edge accepts nothing", "longest extra gap of answers", "degraded",
        "latency before/during/after", "dropped", "late", "lost/doubled/disordered", "bytes sent", "n", "refused",
    )  # fmt: skip
    return table(head, rows)


def wrong_guesses(cells: Sequence[MeasuredCell]) -> Parts:
    """Standby with three plans in turn, where every second switch finds the wrong plan standing by."""
    rows = []
    for cell in cells:
        if cell["cell"]["n_plans"] < 3:
            continue
        for is_wrong in (False, True):
            seen = [one for one in cell["switches"] if one["is_wrong_guess"] == is_wrong]
            if seen:
                down = quantiles([one["downtime_s"] for one in seen])
                rows.append([
                    cell["cell"]["strategy"], cell["cell"]["model"], "wrong" if is_wrong else "right",
                    *(ms(down[key]) for key in ("median", "p95", "max")),
                    ms(max(one["answer_gap_s"] for one in seen)), str(sum(one["n_dropped"] for one in seen)),
                    str(len(seen)),
                ])  # fmt: skip
    if not rows:
        return text("Not part of a quick run.")
    head = ("strategy", "model", "guess", "downtime ms", "p95", "max", "longest extra gap", "dropped", "n")
    return table(head, rows) + text(
        "Three plans in turn: from the first to each of the others and back. The plan that served last stands by, so "
        "the way back finds the right one and the way out a wrong one, which is let go; the wanted plan is made on "
        "demand as by spawn (or spawn-container), while the old one serves. The paper does not say what "
        "its Scenario A does then."
    )


def memory(cells: Sequence[MeasuredCell]) -> Parts:
    """Table I for one model."""
    rows = []
    for cell in cells:
        name, readings = cell["cell"]["strategy"], cell["memory"]
        before = readings["before"]["pss_bytes"]
        rows.append(
            [
                name,
                published.ADDITIONAL_MB.get(name, "-"),
                f"{(readings['peak']['pss_bytes'] - before) / 1e6:.0f}",
                f"{(readings['after']['pss_bytes'] - before) / 1e6:.0f}",
                *(_sides(readings[when], kind) for kind in ("pss_bytes", "anonymous_bytes")
                  for when in ("before", "peak", "after")),
                f"{memory_ratio(cell, 'peak'):.3f}",
                f"{memory_ratio(cell, 'after'):.3f}",
            ]
        )  # fmt: skip
    head = ("strategy", "paper: additional MB", "additional at peak", "additional after", "PSS before MB", "peak",
            "after", "anonymous before", "peak", "after", "peak ratio", "steady ratio")  # fmt: skip
    return table(head, rows) + text("PSS and anonymous memory in MB: edge + cloud, each with its containers.")


def _sides(reading: Mapping[str, int], kind: str) -> str:
    edge_bytes = reading[f"edge_{kind}"]
    return f"{edge_bytes / 1e6:.0f} + {(reading[kind] - edge_bytes) / 1e6:.0f}"


def drops(cells: Sequence[MeasuredCell]) -> Parts:
    """Fig. 14 (to 20 Mbit/s) and 15 (to 5 Mbit/s): share of the frames offered during a switch that were dropped."""
    rows = []
    for cell in sorted(cells, key=lambda one: (one["cell"]["model"], one["cell"]["strategy"], one["cell"]["fps"])):
        if is_plain(cell):
            what = cell["cell"]
            rows.append([what["strategy"], what["model"], f"{what['fps']:g}",
                         *_share(cell, FAST_MBPS), *_share(cell, SLOW_MBPS)])  # fmt: skip
    head = ("strategy", "model", "frames/s", "to 20 Mbit/s: dropped", "share", "n", "to 5: dropped", "share", "n")
    return table(head, rows) + text(
        "Share of the frames offered between the change of the link and the new plan serving. The paper draws these "
        "shares and does not print them; it finds more dropped at higher rates."
    )


def _share(cell: MeasuredCell, to_mbps: float) -> tuple[str, str, str]:
    seen = [one for one in cell["switches"] if one["to_mbps"] == to_mbps]
    offered = sum(max(1.0, cell["cell"]["fps"] * one["degraded_s"]) for one in seen)
    dropped = sum(one["n_dropped"] for one in seen)
    return str(dropped), f"{min(1.0, dropped / offered):.1%}" if seen else "-", str(len(seen))


def grid(cells: Sequence[MeasuredCell], failed: Sequence[Mapping[str, Any]]) -> Parts:
    """Fig. 11-13: one table for each strategy, memory downwards, processor to the right."""
    points = [cell for cell in (*cells, *failed) if _is_point(cell["cell"]) and "switches" in cell]
    if not points:
        return text("Not part of a quick run.")
    parts: Parts = ()
    for name in dict.fromkeys(one["cell"]["strategy"] for one in points):
        at = {
            (one["cell"]["cpu_ratio"], one["cell"]["memory_ratio"]): one
            for one in points if one["cell"]["strategy"] == name
        }  # fmt: skip
        rows = [
            [f"memory {memory_ratio:.0%}", *(_both(at.get((cpu_ratio, memory_ratio))) for cpu_ratio in GRID_RATIOS)]
            for memory_ratio in GRID_RATIOS
        ]
        parts += heading(name, 3) + table(("", *(f"CPU {ratio:.0%}" for ratio in GRID_RATIOS)), rows) + _dependence(at)
    return parts + text(
        "MobileNetV2, 5 frames/s. Median downtime in ms, 20 to 5 Mbit/s / 5 to 20 Mbit/s; the most; switches. "
        "The paper finds that neither CPU nor memory changes the downtime."
    )


def _is_point(what: Mapping[str, Any]) -> bool:
    return bool(what["is_grid"] or (what["cpu_ratio"] < 1.0 and what["memory_ratio"] == 1.0))


def _both(cell: Mapping[str, Any] | None) -> str:
    if cell is None:
        return "not measured"
    if not cell["switches"]:
        return "refused"
    halves = []
    for to_mbps in (SLOW_MBPS, FAST_MBPS):
        values = [one["downtime_s"] for one in cell["switches"] if one["to_mbps"] == to_mbps]
        halves.append(ms(statistics.median(values)) if values else "-")
    most_s = max(one["downtime_s"] for one in cell["switches"])
    return f"{' / '.join(halves)} (max {ms(most_s)}, n {len(cell['switches'])})"


def _dependence(at: Mapping[tuple[float, float], Mapping[str, Any]]) -> Parts:
    """How much less processor, and less memory, prolong the downtime."""
    least = min(GRID_RATIOS)
    medians = {key: statistics.median(column(one, "downtime_s")) for key, one in at.items() if one["switches"]}
    said = []
    for what, key in (("CPU", (least, 1.0)), ("memory", (1.0, least))):
        if key in medians and (1.0, 1.0) in medians:
            said.append(
                f"at {least:.0%} {what} the median is {medians[key] / medians[1.0, 1.0]:.1f} times that at 100 %"
            )
    return text("; ".join(said) + ".") if said else ()


def little_memory(cells: Sequence[MeasuredCell], failed: Sequence[Mapping[str, Any]]) -> Parts:
    """What still runs with little memory, where nothing ran in the paper."""
    rows = []
    for cell in (*cells, *failed):
        what = cell["cell"]
        if what["memory_ratio"] < 1.0 and not what["is_grid"]:
            seen = cell.get("switches", ())
            came = "runs" if "error" not in cell else str(cell["error"])
            came = f"runs; {len(cell['refused'])} refused" if cell.get("refused") and seen else came
            rows.append([
                what["model"], f"{what['memory_ratio']:.0%}", what["strategy"],
                "runs" if what["memory_ratio"] > 0.1 else "did not run", came,
                ms(statistics.median(column(cell, "downtime_s"))) if seen else "-", str(len(seen)),
            ])  # fmt: skip
    if not rows:
        return text("Not part of a quick run.")
    head = ("model", "memory", "strategy", "paper", "here", "downtime ms", "n")
    return table(head, sorted(rows)) + text(
        "A share of 8 GB for the edge and its containers, by control group. Pages of files that another process had "
        "read before do not count against it. The paper's pipeline took 763 MB at rest; here see Table I."
    )


def starting(steps: Sequence[Mapping[str, Any]]) -> Parts:
    """What a new pipeline's time is made of."""
    if not steps:
        return text("There was no time for it in this quick run.")
    rows = [
        [one["model"], one["container"], ms(one["python_s"]), ms(one["libraries_s"] - one["python_s"]),
         ms(one["container_s"] - one["python_s"]) if "container_s" in one else "-", ms(one["load_s"]),
         ms(one["whole_s"]), str(one["n"])]
        for one in steps
    ]  # fmt: skip
    head = ("model", "container", "Python ms", "+ importing ONNX Runtime and Seamline", "+ making the container",
            "loading the model in a process that runs", "container until ready, measured whole", "n")  # fmt: skip
    return table(head, rows) + text(
        "Medians, one step at a time. In a switch, edge and cloud do them at once, on the same cores as the frames. "
        "spawn and pause-resume pay for loading only, spawn-container for all of them."
    )
