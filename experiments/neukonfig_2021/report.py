"""One self-contained HTML page: every figure and table with the published values beside the measured ones."""

from __future__ import annotations

import html
import statistics
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from experiments.neukonfig_2021 import published
from experiments.neukonfig_2021.figures import MeasuredCell, column, memory_ratio, quantiles

STYLE = (
    "body{font:15px/1.45 system-ui,sans-serif;max-width:72rem;margin:2rem auto;padding:0 1rem;color:#222}"
    "table{border-collapse:collapse;margin:1rem 0}td,th{border:1px solid #ccc;padding:.25rem .5rem;text-align:right}"
    "td:first-child,th:first-child{text-align:left}th{background:#f3f3f3}svg{max-width:100%;height:auto}"
    ".note{color:#555}"
)
COLOURS = {"edge_s": "#3b75af", "transfer_s": "#e49444", "cloud_s": "#6a9f58"}


def report(data: Mapping[str, Any]) -> str:
    """The page for what `__main__` measured."""
    cells: Sequence[MeasuredCell] = data["cells"]
    parts = [
        "<!doctype html><html lang=en><meta charset=utf-8><title>NEUKONFIG (2021), measured anew</title>",
        f"<style>{STYLE}</style><h1>NEUKONFIG (2021), measured anew</h1>",
        _conditions(data),
        "<h2>Downtime by strategy (Fig. 11-13, eq. 2-5)</h2>",
        *(_downtimes(cells, model) for model in _models(cells)),
        _definitions(),
        "<h2>Order of the strategies</h2>",
        *(_order(cells, model) for model in _models(cells)),
        "<h2>Memory (Table I)</h2>",
        *(_memory(cells, model) for model in _models(cells)),
        "<h2>Frames dropped during a switch (Fig. 14, 15)</h2>",
        _drops(cells),
        "<h2>CPU and memory of the edge (Fig. 11-13, both directions)</h2>",
        _grid(cells, data["failed"]),
        "<h2>Latency and boundary bytes of every cut (Fig. 2, 3; Q1)</h2>",
        _best_cuts(data["sweeps"]),
        *(_stacked(one) for one in data["sweeps"] if one["cpu_ratio"] == 1.0 and one["codec"] == "raw"),
        _failures(data["failed"]),
        "</html>",
    ]
    return "\n".join(parts)


def _full(cells: Iterable[MeasuredCell], model: str) -> list[MeasuredCell]:
    """The cells of a model at full CPU and memory and the highest camera rate measured."""
    chosen = [
        cell for cell in cells
        if cell["cell"]["model"] == model and cell["cell"]["cpu_ratio"] == cell["cell"]["memory_ratio"] == 1.0
    ]  # fmt: skip
    fastest = max((cell["cell"]["fps"] for cell in chosen), default=0.0)
    return [cell for cell in chosen if cell["cell"]["fps"] == fastest]


def _models(cells: Iterable[MeasuredCell]) -> list[str]:
    return sorted({cell["cell"]["model"] for cell in cells})


def _conditions(data: Mapping[str, Any]) -> str:
    machine = data["machine"]
    kinds = sorted({cell["container"] for cell in data["cells"] if cell["container"]})
    limits = sorted({cell["limits"] for cell in data["cells"]})
    words = (
        f"{machine['date']}, {machine['cpu']}, {machine['n_cores']} cores, {machine['memory_bytes'] / 1e9:.0f} GB, "
        f"load {machine['load_1min']:.1f} at the end. Edge and cloud are processes of one machine with one thread "
        "each; the link between them is emulated (userspace relay: 20 or 5 Mbit/s, 20 ms round trip). Containers: "
        f"{', '.join(kinds) or 'none measured'}. Limits: {'; '.join(limits)}. Boundary tensors travel in 8 bits. "
        + ("Quick run: few switches per cell. " if data["is_quick"] else "")
        + "The paper: edge with 4 cores and 8 GB, cloud with 8 cores and 16 GB, Keras, ZeroMQ, Docker."
    )
    return f"<p class=note>{html.escape(words)}</p>"


def _downtimes(cells: Sequence[MeasuredCell], model: str) -> str:
    rows = []
    for cell in _full(cells, model):
        name = cell["cell"]["strategy"]
        down = quantiles(column(cell, "downtime_s"))
        paper = published.DOWNTIME_S.get(name)
        rows.append(
            [
                name, "-" if paper is None else _ms(paper), _ms(down["median"]), _ms(down["p95"]), _ms(down["max"]),
                *(_ms(statistics.median(column(cell, key))) for key in (
                    "t_update_s", "t_initialisation_s", "t_exec_s", "t_switch_s", "prepare_s", "edge_gap_s")),
                _ms(max(column(cell, "answer_gap_s"))), _ms(statistics.median(column(cell, "degraded_s"))),
                "/".join(f"{1e3 * statistics.median(column(cell, f'latency_{when}_s')):.0f}"
                         for when in ("before", "during", "after")),
                str(int(sum(column(cell, "n_dropped")))), str(int(sum(column(cell, "n_late")))),
                f"{cell['frames']['lost']}/{cell['frames']['duplicated']}/{cell['frames']['out_of_order']}",
                str(int(statistics.median(column(cell, "sent_bytes")))), str(len(cell["switches"])),
            ]
        )  # fmt: skip
    fps = _full(cells, model)[0]["cell"]["fps"]
    head = (
        "strategy", "paper ms", "downtime ms", "p95", "max", "t_update", "t_init", "t_exec", "t_switch",
        "request to serving", "edge accepts nothing", "longest extra gap of answers", "degraded",
        "latency before/during/after", "dropped", "late", "lost/doubled/disordered", "bytes sent", "n",
    )  # fmt: skip
    return f"<h3>{model}, {fps:g} frames/s</h3>" + _table(head, rows)


def _definitions() -> str:
    return (
        "<p class=note>Downtime follows the paper's equation of each strategy: t_update for pause-resume, t_switch for "
        "standby, t_exec (or t_initialisation) + t_switch for spawn, although the old pipeline serves meanwhile. For "
        "<b>live</b> it is t_switch, as the new pipeline is ready before the old one stops; counted like spawn it is "
        "the column <i>request to serving</i>. <i>Edge accepts nothing</i> is comparable for all. The naive "
        "pause-resume reads, extracts and loads the model as an ordinary program does; pause-resume-best maps its "
        "weights from the shared store and is the strongest form we could write. Degraded: from the change of the link "
        "to the new plan serving, with the switch requested at once.</p>"
    )


def _order(cells: Sequence[MeasuredCell], model: str) -> str:
    medians = {cell["cell"]["strategy"]: statistics.median(column(cell, "downtime_s")) for cell in _full(cells, model)}
    ours = sorted(medians, key=lambda name: -medians[name])
    lines = [
        f"measured, {model}: {' &gt; '.join(ours)}",
        f"paper: {' &gt; '.join(published.ORDER)}",
    ]
    if {"pause-resume", "spawn-container"} <= medians.keys() and medians["spawn-container"] > medians["pause-resume"]:
        lines.append(
            "here spawn-container takes longer than pause-resume, probably because a container starts a Python and an "
            f"ONNX Runtime before it loads anything, while pause-resume waits for loading {model} alone; parts were "
            "not measured one by one"
        )
    if {"pause-resume", "live"} <= medians.keys():
        lines.append(
            f"naive pause-resume over live: {medians['pause-resume'] / medians['live']:,.0f} times the downtime"
        )
    return "<ul>" + "".join(f"<li>{line}</li>" for line in lines) + "</ul>"


def _memory(cells: Sequence[MeasuredCell], model: str) -> str:
    rows = []
    for cell in _full(cells, model):
        name, memory = cell["cell"]["strategy"], cell["memory"]
        rows.append(
            [
                name,
                published.ADDITIONAL_MB.get(name, "-"),
                *(f"{memory[when][kind] / 1e6:.0f}" for kind in ("pss_bytes", "anonymous_bytes")
                  for when in ("before", "peak", "after")),
                f"{memory_ratio(cell, 'peak'):.3f}",
                f"{memory_ratio(cell, 'after'):.3f}",
            ]
        )  # fmt: skip
    head = ("strategy", "paper: additional MB", "PSS before MB", "peak", "after", "anonymous before", "peak", "after",
            "peak ratio", "steady ratio")  # fmt: skip
    note = (
        f"<p class=note>{model}. The paper's initial pipeline took {published.INITIAL_MB} MB. PSS of edge, cloud and "
        "their containers together; both keep model files of their own, so they share no weights. Each node also holds "
        "the whole model ready to run alone, as Seamline always does.</p>"
    )
    return note + _table(head, rows)


def _drops(cells: Sequence[MeasuredCell]) -> str:
    rows = []
    for cell in sorted(cells, key=lambda one: (one["cell"]["model"], one["cell"]["strategy"], one["cell"]["fps"])):
        what = cell["cell"]
        if what["cpu_ratio"] == what["memory_ratio"] == 1.0:
            offered = sum(max(1.0, what["fps"] * spent_s) for spent_s in column(cell, "degraded_s"))
            dropped = sum(column(cell, "n_dropped"))
            rows.append([what["strategy"], what["model"], f"{what['fps']:g}", f"{int(dropped)}",
                         f"{min(1.0, dropped / offered):.1%}", str(len(cell["switches"]))])  # fmt: skip
    head = ("strategy", "model", "frames/s", "dropped", "share of frames offered during the switch", "n")
    return _table(head, rows) + "<p class=note>The paper draws these shares and does not print them.</p>"


def _grid(cells: Sequence[MeasuredCell], failed: Sequence[Mapping[str, Any]]) -> str:
    rows = []
    for cell in sorted(cells, key=lambda one: (one["cell"]["strategy"], one["cell"]["cpu_ratio"])):
        what = cell["cell"]
        if what["model"] != "mobilenetv2" or what["fps"] > 5.0:
            continue
        downtimes = column(cell, "downtime_s")
        to_slow, to_fast = (_ms(statistics.median(half)) for half in (downtimes[0::2], downtimes[1::2] or downtimes))
        share = (f"{what['cpu_ratio']:.0%}", f"{what['memory_ratio']:.0%}")
        rows.append([what["strategy"], *share,
                     to_slow, to_fast, f"{len(downtimes)}"])  # fmt: skip
    if not rows:
        return "<p class=note>Not part of a quick run.</p>"
    for one in failed:
        what = one["cell"]
        rows.append(
            [what["strategy"], f"{what['cpu_ratio']:.0%}", f"{what['memory_ratio']:.0%}", "did not run", "-", "0"]
        )
    head = ("strategy", "CPU", "memory", "downtime ms, 20 to 5 Mbit/s", "5 to 20 Mbit/s", "n")
    return _table(head, rows)


def _best_cuts(sweeps: Sequence[Mapping[str, Any]]) -> str:
    rows = [
        [one["model"], one["codec"], f"{one['mbps']:g}", f"{one['cpu_ratio']:.0%}", f"{one['best_cut']}",
         one["best_after"], _ms(one["best_latency_s"])]
        for one in sweeps
    ]  # fmt: skip
    papers = "; ".join(f"{model}: layer {fast} at 20 Mbit/s, {slow} at 5" for model, (fast, slow) in
                       published.BEST_LAYER.items())  # fmt: skip
    note = (
        f"<p class=note>Predicted by equation 1 from profiles of this machine (modelled, not run cut by cut). Paper: "
        f"{papers}; moved by the network, not by CPU or memory stress. Cut numbers are those of `seamline inspect` "
        "here; a cut at 0 sends the frame itself, at the last runs all on the edge.</p>"
    )
    return note + _table(("model", "codec", "Mbit/s", "CPU", "best cut", "after", "latency ms"), rows)


def _stacked(one: Mapping[str, Any]) -> str:
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
                f"<title>cut {cut['cut']} after {html.escape(cut['after'])}: {key} {_ms(cut[key])} ms</title></rect>"
            )
        level = height - pad - (height - 2 * pad) * cut["sent_bytes"] / most_bytes
        line.append(f"{x + step * 0.4:.1f},{level:.1f}")
        if number % max(1, len(cuts) // 20) == 0:
            shapes.append(f"<text x={x:.1f} y={height - pad + 14} font-size=10>{cut['cut']}</text>")
    legend = "edge (blue), transfer (orange), cloud (green); line: bytes that cross"
    title = f"{one['model']}, {one['mbps']:g} Mbit/s, float32: tallest {_ms(most_s)} ms, most {most_bytes / 1e6:.2f} MB"
    return (
        f"<h3>{title}</h3><svg viewBox='0 0 {width} {height}' role=img>{''.join(shapes)}"
        f"<polyline points='{' '.join(line)}' fill=none stroke='#333'/></svg><p class=note>{legend}</p>"
    )


def _failures(failed: Sequence[Mapping[str, Any]]) -> str:
    if not failed:
        return ""
    rows = [[str(one["cell"]["strategy"]), str(one["cell"]["model"]), str(one["error"])] for one in failed]
    return "<h2>Cells that could not be measured</h2>" + _table(("strategy", "model", "last words"), rows)


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    top = "".join(f"<th>{html.escape(cell)}</th>" for cell in head)
    body = "".join("<tr>" + "".join(f"<td>{html.escape(str(cell))}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<table><tr>{top}</tr>{body}</table>"


def _ms(seconds: float) -> str:
    """Milliseconds with three significant digits."""
    return f"{1e3 * seconds:.3g}" if seconds < 1.0 else f"{1e3 * seconds:.0f}"
