"""Style of figures: one column of a paper wide, colours told apart by brightness and by colour-blind readers."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable
from functools import wraps
from typing import TYPE_CHECKING, Any, ParamSpec

from seamline.core.vocabulary.errors import UsageError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

P = ParamSpec("P")

WIDTH_IN = 7.2
COLOURS = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#8c8c8c", "#b8a800")
"""Okabe and Ito's palette, which colour-blind readers tell apart; grey and dark yellow for black and yellow."""

NEUTRAL, MARK = "#9a9a9a", "#222222"
_RC: dict[Any, Any] = {
    "font.size": 8.0,
    "axes.titlesize": 9.0,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#e4e4e4",
    "grid.linewidth": 0.6,
    "legend.frameon": False,
    "legend.fontsize": 7.5,
    "lines.linewidth": 1.1,
    "pdf.fonttype": 42,
}


def drawn(draw: Callable[P, Figure]) -> Callable[P, Figure]:
    """`draw` in this style. The function raises `UsageError` where matplotlib is missing."""

    @wraps(draw)
    def in_style(*args: P.args, **kwargs: P.kwargs) -> Figure:
        try:
            from matplotlib import rc_context
        except ImportError as exc:
            raise UsageError("figures need matplotlib", hint="pip install 'seamline[report]', or --json") from exc
        with rc_context(_RC):
            return draw(*args, **kwargs)

    return in_style


def new_figure(height_in: float, width_in: float = WIDTH_IN) -> Figure:
    """An empty figure that makes room for its labels by itself."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width_in, height_in), layout="constrained")


def colours_of(names: Iterable[str]) -> dict[str, str]:
    """A colour for every name, the same for the same names in the same order."""
    return dict(zip(dict.fromkeys(names), itertools.cycle(COLOURS), strict=False))
