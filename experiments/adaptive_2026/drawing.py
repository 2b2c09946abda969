"""Drawings of the report as text: inline SVG without script. What is shown: `report.py`."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from html import escape

WIDTH, HEIGHT, LEFT, TOP, BELOW = 900, 220, 60, 16, 34
BAR = 14
COLOURS = {"adaptive": "#0a7", "static_at_start": "#c33", "static_best": "#e90", "local": "#777", "offload": "#36c"}
PLAN_COLOURS = ("#bde5d4", "#f6d9a8", "#c9d8f2", "#ecc8cf", "#d9cfee", "#e4e4c2")

Points = Sequence[tuple[float, float]]


def latency_plot(
    series: Mapping[str, Points],
    length_s: float,
    *,
    marks: Sequence[tuple[float, str]],
    plans: Sequence[tuple[float, str]] = (),
) -> str:
    """Seconds over time, logarithmic, one line per policy of `COLOURS`.

    series: (at_s, latency_s) by policy. marks: (at_s, what happened), grey bounds; the words show under the pointer.
    plans: (at_s, plan) from then on, as a bar below, each plan in its colour and with its name under the pointer.
    """
    values = [value for points in series.values() for _, value in points]
    low, high = math.log10(min(values)), math.log10(max(values))
    span = max(high - low, 0.1)

    def x(at_s: float) -> float:
        return LEFT + WIDTH * at_s / length_s

    def y(latency_s: float) -> float:
        return TOP + HEIGHT * (1.0 - (math.log10(latency_s) - low) / span)

    below = BELOW + (BAR + 6 if plans else 0)
    lines = [f'<svg viewBox="0 0 {LEFT + WIDTH + 10} {TOP + HEIGHT + below}" role="img">']
    for at_s, what in marks:
        lines.append(
            f'<line x1="{x(at_s):.1f}" x2="{x(at_s):.1f}" y1="{TOP}" y2="{TOP + HEIGHT}" stroke="#ccc" '
            f'stroke-width="2"><title>{escape(f"{at_s:.1f} s: {what}")}</title></line>'
        )
    for exponent in range(math.floor(low), math.ceil(high) + 1):
        if low <= exponent <= high:
            lines.append(f'<text x="4" y="{y(10.0**exponent):.1f}" font-size="11">{10.0 ** (exponent + 3):g} ms</text>')
    for policy, points in series.items():
        drawn = " ".join(f"{x(at_s):.1f},{y(value):.1f}" for at_s, value in points)
        lines.append(f'<polyline points="{drawn}" fill="none" stroke="{COLOURS[policy]}" stroke-width="1.3"/>')
    lines += _bar(plans, length_s, x)
    for number, policy in enumerate(series):
        lines.append(
            f'<text x="{LEFT + 150 * number}" y="{TOP + HEIGHT + below - 8}" font-size="12" fill="{COLOURS[policy]}">'
            f"{policy}</text>"
        )
    return "\n".join(lines) + "</svg>"


def _bar(plans: Sequence[tuple[float, str]], length_s: float, x: Callable[[float], float]) -> Iterable[str]:
    colours = dict(zip(dict.fromkeys(plan for _, plan in plans), itertools.cycle(PLAN_COLOURS), strict=False))
    for (at_s, plan), (end_s, _) in itertools.pairwise((*plans, (length_s, ""))):
        yield (
            f'<rect x="{x(at_s):.1f}" y="{TOP + HEIGHT + 4}" width="{max(0.0, x(end_s) - x(at_s)):.1f}" height="{BAR}" '
            f'fill="{colours[plan]}" stroke="#fff"><title>{escape(f"from {at_s:.1f} s: {plan}")}</title></rect>'
        )
