"""Points: plans by what they cost in two respects, with their Pareto front."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from seamline.report.style import COLOURS, MARK, drawn, new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure


NEAR_RATIO = 0.015
"""Points that are so near each other, as a share of the axes, have one label."""

ROOM = 24
"""Letters of a label."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """label: letter or name written beside it."""

    label: str
    x: float
    y: float


@drawn
def front_figure(points: Sequence[Point], x_label: str, y_label: str, *, is_more_y_better: bool = False) -> Figure:
    """Every point with its label; those that no other betters in both respects filled and joined by steps."""
    best = front_of([(each.x, -each.y if is_more_y_better else each.y) for each in points])
    figure = new_figure(3.0, 4.8)
    axes = figure.subplots()
    front = sorted((each.x, each.y) for each, is_best in zip(points, best, strict=True) if is_best)
    others = [(each.x, each.y) for each, is_best in zip(points, best, strict=True) if not is_best]
    if others:
        axes.plot(*zip(*others, strict=True), "o", markerfacecolor="none", color=MARK, markersize=4, linestyle="none")
    if front:
        axes.plot(*zip(*front, strict=True), "o-", color=COLOURS[0], markersize=5, drawstyle="steps-post")
    for place, words in _labels(points).items():
        axes.annotate(words, place, xytext=(4, 4), textcoords="offset points", fontsize=7.5)
    axes.set_xlabel(x_label)
    axes.set_ylabel(y_label)
    axes.margins(0.12)
    return figure


def front_of(costs: Sequence[tuple[float, float]]) -> list[bool]:
    """For each pair whether no other is as low in both and lower in one."""
    return [not any(other != one and other[0] <= one[0] and other[1] <= one[1] for other in costs) for one in costs]


def _labels(points: Sequence[Point]) -> dict[tuple[float, float], str]:
    """One label for points that lie on each other: their names as far as there is room."""
    widths = [max(values) - min(values) or 1.0 for values in zip(*((each.x, each.y) for each in points), strict=True)]
    found: dict[tuple[float, float], list[str]] = {}
    for each in points:
        near = next(
            (at for at in found if max(abs(at[0] - each.x) / widths[0], abs(at[1] - each.y) / widths[1]) < NEAR_RATIO),
            (each.x, each.y),
        )
        found.setdefault(near, []).append(each.label)
    return {at: ", ".join(names) if len(", ".join(names)) < ROOM else _first(names) for at, names in found.items()}


def _first(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{names[0]} and {len(names) - 1} more"
