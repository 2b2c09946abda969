"""One self-contained HTML page: every figure and table with the published values beside the measured ones.

The order of the page and what is said about the differences; the tables are `tables.py`, the drawings `curves.py`.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from experiments.neukonfig_2021 import published, tables
from experiments.neukonfig_2021.curves import bars, best_cuts, stacked
from experiments.neukonfig_2021.figures import MeasuredCell, column
from seamline.report.document import Document, Parts, bullets, heading, table, text

BUSY = (
    "The machine was busy with other work when the run began: times are longer than they would be, and a processor "
    "limit costs less than it would, since other work takes what it forbids. "
)


def report(data: Mapping[str, Any]) -> Document:
    """The document about what `__main__` measured."""
    cells: Sequence[MeasuredCell] = data["cells"]
    models = {model: tables.full(cells, model) for model in _models(cells)}
    models = {model: chosen for model, chosen in models.items() if chosen}
    parts = _conditions(data) + heading("Downtime by strategy (Fig. 11-13, eq. 2-5)")
    for chosen in models.values():
        parts += _heading(chosen) + bars(chosen) + tables.downtimes(chosen)
    parts += _definitions() + heading("Order of the strategies, and why it differs")
    for model, chosen in models.items():
        parts += _order(model, chosen, data["starting"])
    parts += heading("What starting a pipeline is made of") + tables.starting(data["starting"])
    parts += heading("Standby with the right and with the wrong guess") + tables.wrong_guesses(cells)
    parts += heading("Memory (Table I)")
    for model, chosen in models.items():
        parts += heading(model, 3) + tables.memory(chosen)
    parts += _about_memory() + heading("Frames dropped during a switch (Fig. 14, 15)") + tables.drops(cells)
    parts += heading("CPU and memory of the edge (Fig. 11-13, both directions)") + tables.grid(cells, data["failed"])
    parts += heading("Little memory") + tables.little_memory(cells, data["failed"])
    parts += heading("Latency and boundary bytes of every cut (Fig. 2, 3; Q1)") + best_cuts(data["sweeps"])
    for one in data["sweeps"]:
        if "error" not in one and _is_drawn(one):
            parts += stacked(one)
    return Document("NEUKONFIG (2021), measured anew", parts + _missing(data))


def _is_drawn(one: Mapping[str, Any]) -> bool:
    return bool(one["how"] == "no limit" and one["codec"] == "raw")


def _models(cells: Iterable[MeasuredCell]) -> list[str]:
    return sorted({cell["cell"]["model"] for cell in cells})


def _heading(cells: Sequence[MeasuredCell]) -> Parts:
    what = cells[0]["cell"]
    return heading(f"{what['model']}, {what['fps']:g} frames/s", 3)


def _conditions(data: Mapping[str, Any]) -> Parts:
    machine = data["machine"]
    kinds = sorted({cell["container"] for cell in data["cells"] if cell["container"]})
    limits = sorted({cell["limits"].split(" ")[0] for cell in data["cells"] if cell["limits"] != "no limit"})
    how = "slowdown (not root)" if "slowdown" in limits else "control groups, as root"
    return text(
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


def _definitions() -> Parts:
    return text(
        "Downtime follows the paper's equation of each strategy: t_update for pause-resume, t_switch for "
        "standby, t_exec (or t_initialisation) + t_switch for spawn, although the old pipeline serves meanwhile. For "
        "live it is t_switch, as the new pipeline is ready before the old one stops; counted like spawn it is "
        "the column 'request to serving'. 'Edge accepts nothing' is comparable for all. The naive "
        "pause-resume reads, extracts and loads the model as an ordinary program does; pause-resume-best maps its "
        "weights from the shared store and is the strongest form we could write. Degraded: from the change of the link "
        "to the new plan serving, with the switch requested at once. Times in ms."
    )


def _order(model: str, cells: Sequence[MeasuredCell], steps: Sequence[Mapping[str, Any]]) -> Parts:
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


def _about_memory() -> Parts:
    return text(
        f"The paper's initial pipeline took {published.INITIAL_MB} MB, whatever the model. PSS of edge, cloud and "
        "their containers together; both keep model files of their own, so they share no weights. Each node also holds "
        "the whole model ready to run alone, as Seamline always does. The paper counts what is set aside for a "
        "container, so that a second pipeline in the same one costs nothing there; here it costs the "
        "weights that it loads."
    )


def _missing(data: Mapping[str, Any]) -> Parts:
    parts: Parts = ()
    if data["failed"]:
        rows = [
            [one["cell"]["strategy"], one["cell"]["model"], f"{one['cell']['cpu_ratio']:.0%}",
             f"{one['cell']['memory_ratio']:.0%}", str(one["error"])]
            for one in data["failed"]
        ]  # fmt: skip
        head = ("strategy", "model", "CPU", "memory", "why")
        parts += heading("Cells that could not be measured") + table(head, rows)
    refused = [(one["cell"], each) for one in data["cells"] for each in one["refused"]]
    if refused:
        rows = [[what["strategy"], what["model"], each["plan"], each["reason"]] for what, each in refused]
        parts += heading("Switches that were refused") + table(("strategy", "model", "plan", "why"), rows)
    if data["left_out"]:
        said = "There was no time for these cells; the same command measures them and keeps the others: "
        parts += heading("Not measured yet") + text(said + "; ".join(data["left_out"]))
    return parts
