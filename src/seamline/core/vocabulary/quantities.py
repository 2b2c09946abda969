"""Base SI units as people read them: ms, MB, Mbit/s. The only place where they appear."""

from __future__ import annotations

import math

from seamline.core.vocabulary.objectives import Goal, Objective, Weights, Within

ABSENT = "-"
"""Stands for a quantity that is not known."""


def seconds_text(duration_s: float | None) -> str:
    """``0.0412`` as ``41.2 ms``; seconds from 10 s on."""
    if duration_s is None or math.isnan(duration_s):
        return ABSENT
    if math.isinf(duration_s):
        return "never"
    if abs(duration_s) >= 10.0:
        return f"{duration_s:.1f} s"
    milliseconds = duration_s * 1e3
    return f"{milliseconds:.0f} ms" if abs(milliseconds) >= 100.0 else f"{milliseconds:.1f} ms"


def bytes_text(n_bytes: float | None) -> str:
    """``602112`` as ``602.1 kB``, in powers of ten as links are rated."""
    return ABSENT if n_bytes is None else _scaled(n_bytes, ("B", "kB", "MB", "GB"))


def rate_text(rate_bps: float | None) -> str:
    """``19.6e6`` as ``19.6 Mbit/s``; a link that is down is called so."""
    if rate_bps is None:
        return ABSENT
    return "down" if rate_bps <= 0.0 else _scaled(rate_bps, ("bit/s", "kbit/s", "Mbit/s", "Gbit/s"))


def energy_text(energy_j: float | None) -> str:
    """``0.212`` as ``212 mJ``."""
    if energy_j is None:
        return ABSENT
    return f"{energy_j:.2f} J" if abs(energy_j) >= 1.0 else f"{1e3 * energy_j:.3g} mJ"


def macs_text(n_macs: float) -> str:
    """``19.6e9`` multiply-accumulates as ``19.6 G``."""
    return _scaled(n_macs, ("", "k", "M", "G")).rstrip()


def ratio_text(ratio: float | None) -> str:
    """A deviation such as ``3.1e-07``; zero says that every bit is equal."""
    if ratio is None:
        return ABSENT
    return "0" if ratio == 0.0 else f"{ratio:.1e}"


def _scaled(value: float, units: tuple[str, ...]) -> str:
    """`value` in the largest of `units`, each 1000 times the one before, that leaves at least 1 before the point."""
    if not math.isfinite(value):
        return ABSENT
    for unit in units[:-1]:
        if abs(value) < 999.5:
            return f"{value:.0f} {unit}" if unit == units[0] else f"{value:.1f} {unit}"
        value /= 1e3
    return f"{value:.1f} {units[-1]}"


def amount(cost: float, objective: Goal) -> str:
    """A cost of the planner with its unit; a weighted sum has none."""
    if isinstance(objective, Weights):
        return f"{cost:.3g} in sum"
    if objective is Objective.ENERGY or isinstance(objective, Within):
        return f"{cost:.3g} J"
    milliseconds = f"{cost * 1e3:.0f} ms" if abs(cost) >= 0.01 else f"{cost * 1e3:.1f} ms"
    return f"{milliseconds} per frame" if objective is Objective.THROUGHPUT else milliseconds
