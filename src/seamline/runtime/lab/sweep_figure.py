"""Figures of a sweep: latency of every cut, stacked, and what crosses there, as PNG and as one HTML page.

Drawn with matplotlib, the extra `plots`. The page holds the figure as SVG and the numbers as a table; it loads nothing.
"""

from __future__ import annotations

import html
import io
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from seamline.core.vocabulary.errors import UsageError
from seamline.runtime.lab.sweep_summary import LinkSummary, MeasuredTimes, SweepSummary

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLOURS = {"origin_s": "#3b6ea5", "transfer_s": "#e0a030", "target_s": "#5a9e6f"}
"""Told apart by brightness too, for print and for colour-blind readers."""

_STYLE = "body{font:15px/1.5 sans-serif;max-width:70em;margin:2em auto;padding:0 1em}svg{max-width:100%;height:auto}"
_STYLE += (
    "table{border-collapse:collapse;margin:1em 0}td,th{padding:.15em .8em;text-align:right}tr.best{font-weight:bold}"
)


def write_png(swept: SweepSummary, path: Path) -> None:
    """Write the figure of a sweep. Raises `UsageError` without matplotlib."""
    draw(swept).savefig(path, dpi=150, format="png")


def write_html(swept: SweepSummary, path: Path) -> None:
    """Write the page: the figure as SVG, and per link the table. Raises `UsageError` without matplotlib."""
    drawn = io.StringIO()
    draw(swept).savefig(drawn, format="svg")
    svg = drawn.getvalue()
    title = html.escape(f"{swept.model}: every cut between {swept.origin} and {swept.target}")
    tables = "".join(_table(link, swept) for link in swept.links)
    page = f"<!doctype html><meta charset=utf-8><title>{title}</title><style>{_STYLE}</style><h1>{title}</h1>"
    path.write_text(f"{page}{svg[svg.index('<svg') :]}{tables}\n", encoding="utf-8")


def draw(swept: SweepSummary) -> Figure:
    """One panel per link with the stacked latency of every cut, the best marked, and one with the bytes that cross."""
    try:
        from matplotlib.figure import Figure
    except ImportError as exc:
        raise UsageError("figures need matplotlib", hint="pip install 'seamline[plots]', or --json") from exc
    n_panels = len(swept.links) + 1
    width = max(7.0, 0.22 * len(swept.links[0].cuts))
    figure = Figure(figsize=(min(width, 24.0), 3.0 * n_panels), layout="constrained")
    panels = figure.subplots(n_panels, 1, sharex=True, squeeze=False)[:, 0]
    for axes, link in zip(panels, swept.links, strict=False):
        _draw_latency(axes, link, swept)
    _draw_bytes(panels[-1], swept)
    return figure


def _draw_latency(axes: Axes, link: LinkSummary, swept: SweepSummary) -> None:
    cuts = link.cuts
    places = [each.cut for each in cuts]
    floor = [0.0] * len(cuts)
    names = {"origin_s": swept.origin, "transfer_s": "transfer", "target_s": swept.target}
    for key, name in names.items():
        heights = [1e3 * getattr(each, key) for each in cuts]
        axes.bar(places, heights, bottom=floor, color=COLOURS[key], label=name, width=0.85)
        floor = [below + height for below, height in zip(floor, heights, strict=True)]
    best = link.best_cut
    axes.plot([best], [floor[best]], marker="v", color="black", linestyle="none", label=f"best: cut {best}")
    _draw_measured(axes, [(each.cut, each.measured_s) for each in cuts if each.measured_s is not None])
    axes.set_ylabel("latency (ms)")
    axes.set_title(f"{swept.model}, {link.text}", loc="left", fontsize=10)
    axes.legend(fontsize=8, ncols=5)


def _draw_measured(axes: Axes, measured: Sequence[tuple[int, MeasuredTimes]]) -> None:
    """Medians as points, from the quickest frame to the slowest as a line."""
    if not measured:
        return
    places, figures = zip(*measured, strict=True)
    middle = [1e3 * each.median for each in figures]
    below = [1e3 * (each.median - each.min) for each in figures]
    above = [1e3 * (each.max - each.median) for each in figures]
    axes.errorbar(places, middle, yerr=(below, above), fmt="o", color="#b03030", markersize=4, label="measured")


def _draw_bytes(axes: Axes, swept: SweepSummary) -> None:
    cuts = swept.links[0].cuts
    places = [each.cut for each in cuts]
    axes.bar(places, [each.boundary_bytes / 1e6 for each in cuts], color="#9a9a9a", width=0.85, label="uncompressed")
    axes.plot(places, [each.sent_bytes / 1e6 for each in cuts], ".", color="black", label=f"sent ({swept.codec})")
    axes.set_ylabel("boundary (MB)")
    axes.set_xlabel("cut (0: the input is sent; last: everything on the origin)")
    axes.legend(fontsize=8)


def _table(link: LinkSummary, swept: SweepSummary) -> str:
    heads = (
        "cut",
        "after",
        f"{swept.origin} (ms)",
        "transfer (ms)",
        f"{swept.target} (ms)",
        "sum (ms)",
        "measured (ms)",
        "sent (kB)",
    )
    rows = []
    for each in link.cuts:
        times = [f"{1e3 * getattr(each, key):.1f}" for key in ("origin_s", "transfer_s", "target_s", "latency_s")]
        found = each.measured_s
        times.append("" if found is None else f"{1e3 * found.median:.1f} (n {found.n})")
        cells = [str(each.cut), html.escape(each.after), *times, f"{each.sent_bytes / 1e3:.1f}"]
        mark = " class=best" if each.cut == link.best_cut else ""
        rows.append(f"<tr{mark}>" + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>")
    head = "".join(f"<th>{html.escape(name)}</th>" for name in heads)
    return f"<h2>{html.escape(link.text)}</h2><table><tr>{head}</tr>{''.join(rows)}</table>"
