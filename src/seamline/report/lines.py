"""Lines: values through a run with its switches and plans, and cumulative distributions."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from seamline.report.style import MARK, colours_of, drawn, new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Points = Sequence[tuple[float, float]]
"""(seconds since the run began, value)."""

LETTER_NEEDS_RATIO = 0.018
"""A plan in use for a shorter share of the run has no room for its letter."""

LETTER_RATIO = 0.011
"""A letter of a scene's name takes so much of the axis."""

DOTS_UP_TO = 400
"""Points of a line: more would run into each other."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """Lines over time. steps: a value holds until the next one. is_log: over decades, without what is
    0."""

    label: str
    lines: Mapping[str, Points]
    steps: bool = False
    is_log: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeline:
    """A run through time. plans: (from when, letter). marks: (when, words). scenes: (from when, name)."""

    length_s: float
    panels: Sequence[Panel]
    plans: Sequence[tuple[float, str]] = ()
    marks: Sequence[tuple[float, str]] = ()
    scenes: Sequence[tuple[float, str]] = ()


@drawn
def timeline_figure(of: Timeline) -> Figure:
    """Panels below each other over one axis of time, and a strip with the plans in use."""
    strip = [0.22] if of.plans else []
    figure = new_figure(0.7 + 1.75 * len(of.panels) + 0.4 * len(strip))
    ratios = [1.0] * len(of.panels) + strip
    axes = figure.subplots(len(ratios), 1, sharex=True, squeeze=False, height_ratios=ratios)[:, 0]
    for place, panel in zip(axes, of.panels, strict=False):
        _draw_panel(place, panel)
        for at_s, _ in of.marks:
            place.axvline(at_s, color=MARK, linewidth=0.7, linestyle=(0, (2, 2)))
    _write_marks(axes[0], of)
    if of.plans:
        _draw_plans(axes[-1], of)
    axes[-1].set_xlim(0.0, of.length_s)
    axes[-1].set_xlabel("seconds since the run began")
    return figure


@drawn
def cdf_figure(series: Mapping[str, Sequence[float]], unit: str, *, is_log: bool = False) -> Figure:
    """Share of values up to each one; `series` are sorted."""
    figure = new_figure(2.6, 4.6)
    axes = figure.subplots()
    for (name, values), colour in zip(series.items(), colours_of(series).values(), strict=True):
        shares = [place / max(1, len(values) - 1) for place in range(len(values))]
        axes.plot(values, shares, color=colour, label=name)
    if is_log:
        _decades(axes, "x")
    axes.set_ylim(0.0, 1.0)
    axes.set_ylabel("share of frames")
    axes.set_xlabel(unit)
    if len(series) > 1:
        figure.legend(loc="outside right upper")
    return figure


def _draw_panel(axes: Axes, panel: Panel) -> None:
    for (name, points), colour in zip(panel.lines.items(), colours_of(panel.lines).values(), strict=True):
        style = "steps-post" if panel.steps else "default"
        has_dots = not panel.steps and len(points) < DOTS_UP_TO
        dots: dict[str, Any] = {"marker": ".", "markersize": 2.5, "linewidth": 0.8} if has_dots else {}
        at_s, values = zip(*points, strict=True)
        shown = [value if value > 0.0 or not panel.is_log else float("nan") for value in values]
        axes.plot(at_s, shown, color=colour, label=name, drawstyle=style, **dots)
    axes.set_ylabel(panel.label)
    if panel.is_log:
        _decades(axes, "y")
    else:
        axes.set_ylim(bottom=0.0)
    if len(panel.lines) > 1:
        axes.legend(ncols=1, loc="upper left", bbox_to_anchor=(1.0, 1.0))


def _decades(axes: Axes, which: str) -> None:
    """A logarithmic axis with plain numbers, as many as there is room for."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    axis = axes.xaxis if which == "x" else axes.yaxis
    (axes.set_xscale if which == "x" else axes.set_yscale)("log")
    axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_formatter(NullFormatter())


def _write_marks(axes: Axes, of: Timeline) -> None:
    """Names of scenes and numbers of switches on top of the first panel, those that fit."""
    above = axes.get_xaxis_transform()
    free_s: list[float] = []  # where each row of names has room again
    for at_s, name in of.scenes:
        for place in axes.figure.axes:
            place.axvline(at_s, color="#c8c8c8", linewidth=1.4, zorder=0.5)
        row = next((row for row, from_s in enumerate(free_s) if from_s <= at_s), len(free_s))
        free_s[row : row + 1] = [at_s + len(name) * LETTER_RATIO * of.length_s]
        axes.text(at_s, 1.10 + 0.09 * row, f" {name}", transform=above, fontsize=7, color="#555555")
    last_s = -of.length_s
    for at_s, words in of.marks:
        if at_s - last_s > 0.02 * of.length_s:
            axes.text(at_s, 1.02, words, transform=above, fontsize=7, ha="center", color=MARK)
            last_s = at_s


def _draw_plans(axes: Axes, of: Timeline) -> None:
    colours = colours_of(letter for _, letter in of.plans)
    for (at_s, letter), (end_s, _) in itertools.pairwise((*of.plans, (of.length_s, ""))):
        axes.barh(0, end_s - at_s, left=at_s, color=colours[letter], height=1.0, edgecolor="white", linewidth=0.8)
        if end_s - at_s > LETTER_NEEDS_RATIO * of.length_s:
            axes.text((at_s + end_s) / 2, 0, letter, ha="center", va="center", fontsize=8, color="white", weight="bold")
    axes.set_ylim(-0.5, 0.5)
    axes.set_yticks([0], ["plan"])
    axes.grid(visible=False)
