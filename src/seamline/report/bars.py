"""Bars: parts stacked on each other, and values beside published ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from seamline.report.style import MARK, NEUTRAL, colours_of, drawn, new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WIDE = 0.9
"""Of a bar, in cuts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """A measured value at a place of the axis: the median of `n`, the least and the most."""

    at: float
    n: int
    median: float
    low: float
    high: float


@dataclass(frozen=True, slots=True, kw_only=True)
class CutPanel:
    """Every cut over one link. parts: by name, a value for each cut. best: the number of the best cut."""

    title: str
    parts: Mapping[str, Sequence[float]]
    best: int
    measured: Sequence[Measured] = ()


@drawn
def cuts_figure(panels: Sequence[CutPanel], boundaries: Mapping[str, Sequence[float]], unit: str = "ms") -> Figure:
    """One panel for each link with what every cut takes, stacked; below, what crosses there in MB."""
    from matplotlib.ticker import MaxNLocator

    n_cuts = len(next(iter(panels[0].parts.values())))
    figure = new_figure(2.3 * len(panels) + 1.6)
    axes = figure.subplots(len(panels) + 1, 1, sharex=True, squeeze=False, height_ratios=[*[1.4] * len(panels), 1])
    for place, panel in zip(axes[:-1, 0], panels, strict=True):
        _stack(place, range(n_cuts), panel.parts, width=WIDE)
        top = [sum(heights) for heights in zip(*panel.parts.values(), strict=True)]
        place.plot([panel.best], [top[panel.best]], "v", color=MARK, markersize=6, label=f"best: cut {panel.best}")
        if panel.measured:
            _measured(place, panel.measured)
        place.set_ylabel(f"latency ({unit})")
        place.set_title(panel.title)
        place.legend(ncols=5, loc="upper center")
        place.margins(y=0.22)
    below = axes[-1, 0]
    for (name, values), (style, colour) in zip(boundaries.items(), (("bar", NEUTRAL), ("dot", MARK)), strict=False):
        if style == "bar":
            below.bar(range(n_cuts), values, color=colour, width=WIDE, label=name)
        else:
            below.plot(range(n_cuts), values, ".", color=colour, markersize=3.5, label=name)
    below.set_ylabel("boundary (MB)")
    below.set_xlabel("cut (0: the input is sent; the last: everything on the origin)")
    below.legend(ncols=2)
    below.set_xlim(-0.7, n_cuts - 0.3)
    below.xaxis.set_major_locator(MaxNLocator(20, integer=True))
    return figure


@drawn
def stacked_figure(labels: Sequence[str], parts: Mapping[str, Sequence[float]], unit: str) -> Figure:
    """One horizontal bar for each label, the first on top, made of `parts`."""
    figure = new_figure(0.75 + 0.3 * len(labels))
    axes = figure.subplots()
    left = [0.0] * len(labels)
    for (name, values), colour in zip(parts.items(), colours_of(parts).values(), strict=True):
        axes.barh(range(len(labels)), values, left=left, color=colour, label=name, height=0.72)
        left = [before + value for before, value in zip(left, values, strict=True)]
    for place, total in enumerate(left):
        axes.text(total, place, f" {short(total)}", va="center", fontsize=7)
    _name_rows(axes, labels)
    axes.set_xlabel(unit)
    axes.margins(x=0.08)
    figure.legend(loc="outside upper right", ncols=min(6, len(parts)))
    return figure


@drawn
def beside_figure(labels: Sequence[str], series: Mapping[str, Sequence[float | None]], unit: str) -> Figure:
    """For each label a bar of every series, on a logarithmic scale; None where there is no value."""
    figure = new_figure(0.8 + 0.16 * len(labels) * (len(series) + 0.6))
    axes = figure.subplots()
    colours = {**colours_of(series), **dict.fromkeys(list(series)[1:2], NEUTRAL)}
    tall = 0.8 / len(series)
    for number, (name, values) in enumerate(series.items()):
        known = [(place + number * tall - 0.4 + tall / 2, value) for place, value in enumerate(values) if value]
        axes.barh([at for at, _ in known], [value for _, value in known], height=tall, color=colours[name], label=name)
        for at, value in known:
            axes.text(value, at, f" {short(value)}", va="center", fontsize=7)
    axes.set_xscale("log")
    _name_rows(axes, labels)
    axes.set_xlabel(unit)
    axes.margins(x=0.12)
    figure.legend(loc="outside upper right", ncols=len(series))
    return figure


def _name_rows(axes: Axes, labels: Sequence[str]) -> None:
    axes.set_yticks(range(len(labels)), labels)
    axes.invert_yaxis()
    axes.grid(visible=False, axis="y")


def _stack(axes: Axes, places: Sequence[int], parts: Mapping[str, Sequence[float]], width: float) -> None:
    floor = [0.0] * len(places)
    for (name, values), colour in zip(parts.items(), colours_of(parts).values(), strict=True):
        axes.bar(places, values, bottom=floor, color=colour, label=name, width=width)
        floor = [below + value for below, value in zip(floor, values, strict=True)]


def _measured(axes: Axes, found: Sequence[Measured]) -> None:
    """Medians as points, from the quickest to the slowest as a line."""
    spread = ([each.median - each.low for each in found], [each.high - each.median for each in found])
    places, medians = [each.at for each in found], [each.median for each in found]
    counts = " to ".join(str(n) for n in sorted({min(each.n for each in found), max(each.n for each in found)}))
    label = f"measured (n {counts})"
    axes.errorbar(places, medians, yerr=spread, fmt="o", color=MARK, markersize=3.5, linewidth=1, label=label)


def short(value: float) -> str:
    """Three significant digits, without an exponent where there are more before the point."""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
