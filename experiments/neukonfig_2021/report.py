"""One self-contained HTML page: every figure and table with the published values beside the measured ones.

The order of the page and what is said about the differences; the tables are `tables.py`, the drawings `curves.py`.
"""

from __future__ import annotations

import html
import statistics
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from experiments.markup import bullets, note, table
from experiments.neukonfig_2021 import published, tables
from experiments.neukonfig_2021.curves import bars, best_cuts, stacked
from experiments.neukonfig_2021.figures import MeasuredCell, column

STYLE = (
    "body{font:15px/1.45 system-ui,sans-serif;max-width:72rem;margin:2rem auto;padding:0 1rem;color:#222}"
    "table{border-collapse:collapse;margin:1rem 0}td,th{border:1px solid #ccc;padding:.25rem .5rem;text-align:right}"
    "td:first-child,th:first-child{text-align:left}th{background:#f3f3f3}svg{max-width:100%;height:auto}"
    ".note{color:#555}"
)

BUSY = (
    "The machine was busy with other work when the run began: times are longer than they would be, and a processor "
    "limit costs less than it would, since other work takes what it forbids. "
)


def report(data: Mapping[str, Any]) -> str:
    """The page for what `__main__` measured."""
    cells: Sequence[MeasuredCell] = data["cells"]
    models = {model: tables.full(cells, model) for model in _models(cells)}
    models = {model: chosen for model, chosen in models.items() if chosen}
    parts = [
        "<!doctype html><html lang=en><meta charset=utf-8><title>NEUKONFIG (2021), measured anew</title>",
        f"<style>{STYLE}</style><h1>NEUKONFIG (2021), measured anew</h1>",
        _conditions(data),
        "<h2>Downtime by strategy (Fig. 11-13, eq. 2-5)</h2>",
        *(_heading(chosen) + bars(chosen) + tables.downtimes(chosen) for chosen in models.values()),
        _definitions(),
        "<h2>Order of the strategies, and why it differs</h2>",
        *(_order(model, chosen, data["starting"]) for model, chosen in models.items()),
        "<h2>What starting a pipeline is made of</h2>",
        tables.starting(data["starting"]),
        "<h2>Standby with the right and with the wrong guess</h2>",
        tables.wrong_guesses(cells),
        "<h2>Memory (Table I)</h2>",
        *(f"<h3>{model}</h3>" + tables.memory(chosen) for model, chosen in models.items()),
        _about_memory(),
        "<h2>Frames dropped during a switch (Fig. 14, 15)</h2>",
        tables.drops(cells),
        "<h2>CPU and memory of the edge (Fig. 11-13, both directions)</h2>",
        tables.grid(cells, data["failed"]),
        "<h2>Little memory</h2>",
        tables.little_memory(cells, data["failed"]),
        "<h2>Latency and boundary bytes of every cut (Fig. 2, 3; Q1)</h2>",
        best_cuts(data["sweeps"]),
        *(stacked(one) for one in data["sweeps"] if "error" not in one and _is_drawn(one)),
        _missing(data),
        "</html>",
    ]
    return "\n".join(parts)


def _is_drawn(one: Mapping[str, Any]) -> bool:
    return bool(one["how"] == "no limit" and one["codec"] == "raw")


def _models(cells: Iterable[MeasuredCell]) -> list[str]:
    return sorted({cell["cell"]["model"] for cell in cells})


def _heading(cells: Sequence[MeasuredCell]) -> str:
    what = cells[0]["cell"]
    return f"<h3>{what['model']}, {what['fps']:g} frames/s</h3>"


def _conditions(data: Mapping[str, Any]) -> str:
    machine = data["machine"]
    kinds = sorted({cell["container"] for cell in data["cells"] if cell["container"]})
    limits = sorted({cell["limits"].split(" ")[0] for cell in data["cells"] if cell["limits"] != "no limit"})
    how = "slowdown (not root)" if "slowdown" in limits else "control groups, as root"
    return note(
        f"{machine['date']}, {machine['cpu']}, {machine['n_cores']} cores, {machine['memory_bytes'] / 1e9:.0f} GB, "
        f"load {machine['load_1min']:.1f} at the start; {data['took_s'] / 60:.0f} minutes, without what an earlier run "
        "had measured. Edge and cloud are processes of one machine with one computing thread each; the edge's process "
        "also holds the camera. The link between them is emulated (userspace relay: 20 or 5 Mbit/s, 20 ms round trip). "
        f"Containers: {', '.join(kinds) or 'none measured'}. Limits on the edge: {how if limits else 'none'}. Boundary "
        "tensors travel in 8 bits. Edge and cloud take 5 s of silence for a loss, not the usual 0.4 s, because loading "
        "a model in the ordinary way keeps both cores busy for seconds. "
        + (BUSY if machine["load_1min"] > machine["n_cores"] else "")
        + ("Quick run: few switches per cell. " if data["is_quick"] else "")
        + "The paper: edge with 4 cores and 8 GB, cloud with 8 cores and 16 GB, Keras, ZeroMQ, Docker."
    )


def _definitions() -> str:
    return (
        "<p class=note>Downtime follows the paper's equation of each strategy: t_update for pause-resume, t_switch for "
        "standby, t_exec (or t_initialisation) + t_switch for spawn, although the old pipeline serves meanwhile. For "
        "<b>live</b> it is t_switch, as the new pipeline is ready before the old one stops; counted like spawn it is "
        "the column <i>request to serving</i>. <i>Edge accepts nothing</i> is comparable for all. The naive "
        "pause-resume reads, extracts and loads the model as an ordinary program does; pause-resume-best maps its "
        "weights from the shared store and is the strongest form we could write. Degraded: from the change of the link "
        "to the new plan serving, with the switch requested at once. Times in ms.</p>"
    )


def _order(model: str, cells: Sequence[MeasuredCell], steps: Sequence[Mapping[str, Any]]) -> str:
    medians = {cell["cell"]["strategy"]: statistics.median(column(cell, "downtime_s")) for cell in cells}
    ours = sorted(medians, key=lambda name: -medians[name])
    lines = [
        f"measured, {model}: {' > '.join(ours)}",
        f"paper: {' > '.join(published.ORDER)}",
        *_why_containers_are_slower(model, medians, steps),
        *_why_spawning_is_longer(medians),
        *_why_pausing_is_shorter(medians),
    ]
    if {"standby", "standby-container"} <= medians.keys():
        lines.append("the two standby cases differ by nothing but a pointer swap of microseconds: their order is noise")
    if {"pause-resume", "live"} <= medians.keys():
        times = medians["pause-resume"] / medians["live"]
        lines.append(f"naive pause-resume over live: {times:,.0f} times the downtime")
    return bullets(lines)


def _why_containers_are_slower(
    model: str, medians: Mapping[str, float], steps: Sequence[Mapping[str, Any]]
) -> list[str]:
    if not {"pause-resume", "spawn-container"} <= medians.keys():
        return []
    if medians["spawn-container"] <= medians["pause-resume"]:
        return []
    said = "here spawn-container takes longer than pause-resume"
    for one in steps:
        if one["model"] == model:
            before_s = one.get("container_s", one["python_s"]) + one["libraries_s"] - one["python_s"]
            said += (
                f": starting a container with a Python and importing ONNX Runtime take {before_s:.2f} s by themselves, "
                f"loading the model, which is all that pause-resume waits for, {one['load_s']:.2f} s. In the paper "
                "loading with Keras is what takes long"
            )
    return [said]


def _why_spawning_is_longer(medians: Mapping[str, float]) -> list[str]:
    if not {"pause-resume", "spawn"} <= medians.keys() or medians["spawn"] <= medians["pause-resume"]:
        return []
    return [
        "here spawn takes longer than pause-resume: both load the same, but spawn goes on serving frames meanwhile, on "
        "the same cores, and pause-resume serves none"
    ]


def _why_pausing_is_shorter(medians: Mapping[str, float]) -> list[str]:
    if medians.get("pause-resume", published.DOWNTIME_S["pause-resume"]) >= published.DOWNTIME_S["pause-resume"]:
        return []
    return [
        "pause-resume is shorter than published: ONNX Runtime loads a part of a model faster than Keras rebuilds it"
    ]


def _about_memory() -> str:
    return note(
        f"The paper's initial pipeline took {published.INITIAL_MB} MB, whatever the model. PSS of edge, cloud and "
        "their containers together; both keep model files of their own, so they share no weights. Each node also holds "
        "the whole model ready to run alone, as Seamline always does. The paper counts what is set aside for a "
        "container, so that a second pipeline in the same one costs nothing there; here it costs the "
        "weights that it loads."
    )


def _missing(data: Mapping[str, Any]) -> str:
    parts = []
    if data["failed"]:
        rows = [
            [one["cell"]["strategy"], one["cell"]["model"], f"{one['cell']['cpu_ratio']:.0%}",
             f"{one['cell']['memory_ratio']:.0%}", str(one["error"])]
            for one in data["failed"]
        ]  # fmt: skip
        head = ("strategy", "model", "CPU", "memory", "why")
        parts.append("<h2>Cells that could not be measured</h2>" + table(head, rows))
    refused = [(one["cell"], each) for one in data["cells"] for each in one["refused"]]
    if refused:
        rows = [[what["strategy"], what["model"], each["plan"], each["reason"]] for what, each in refused]
        head = ("strategy", "model", "plan", "why")
        parts.append("<h2>Switches that were refused</h2>" + table(head, rows))
    if data["left_out"]:
        said = "There was no time for these cells; the same command measures them and keeps the others: "
        parts.append(f"<h2>Not measured yet</h2><p>{html.escape(said + '; '.join(data['left_out']))}</p>")
    return "".join(parts)
