"""Base SI units as people read and write them: ms, MB, Mbit/s. The only place where they appear."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence

from seamline.core.vocabulary.errors import UsageError
from seamline.core.vocabulary.objectives import Goal, Objective, Weights, Within

ABSENT = "-"
"""Stands for a quantity that is not known."""

_QUANTITY = re.compile(r"(?P<number>\d+(?:\.\d+)?(?:e[+-]?\d+)?)\s*(?P<unit>[a-z/]*)")
MOST = 1e18
"""Of seconds, bytes and bits per second: what is beyond is a slip, and no number to reckon with."""

_RATE_UNITS = {"bps": 1.0, "kbps": 1e3, "mbps": 1e6, "gbps": 1e9}
_TIME_UNITS = {"us": 1e-6, "ms": 1e-3, "s": 1.0}
_BYTE_UNITS = {"b": 1.0, "kb": 1e3, "mb": 1e6, "gb": 1e9, "kib": 2.0**10, "mib": 2.0**20, "gib": 2.0**30}


def seconds_text(duration_s: float | None) -> str:
    """``0.0412`` as ``41.2 ms``; seconds from 10 s on."""
    if duration_s is None or math.isnan(duration_s):
        return ABSENT
    if math.isinf(duration_s):
        return "never"
    if abs(duration_s) >= 10.0:
        return f"{duration_s:.1f} s"
    return milliseconds(duration_s, 0 if abs(duration_s * 1e3) >= 100.0 else 1)


def milliseconds(duration_s: float, n_decimals: int = 1) -> str:
    """``0.0412`` as ``41.2 ms``, also where it is large: one unit for figures that stand side by side."""
    return f"{duration_s * 1e3:.{n_decimals}f} ms"


def duration_change(before_s: float, now_s: float) -> str:
    """``0.012`` and ``0.04`` as ``from 12 to 40 ms``."""
    return f"from {before_s * 1e3:.0f} to {milliseconds(now_s, 0)}"


def bytes_text(n_bytes: float | None) -> str:
    """``602112`` as ``602.1 kB``, in powers of ten as links are rated."""
    return ABSENT if n_bytes is None else _scaled(n_bytes, ("B", "kB", "MB", "GB"))


def gigabytes(n_bytes: float) -> str:
    """``12.34e9`` as ``12.3 GB``, also where it is small."""
    return f"{n_bytes / 1e9:.1f} GB"


def gigabytes_of(n_bytes: float, n_all_bytes: float) -> str:
    """``2.5e9`` and ``8e9`` as ``2.5 of 8.0 GB``."""
    return f"{n_bytes / 1e9:.1f} of {gigabytes(n_all_bytes)}"


def rate_text(rate_bps: float | None) -> str:
    """``19.6e6`` as ``19.6 Mbit/s``; a link that is down is called so."""
    if rate_bps is None:
        return ABSENT
    return "down" if rate_bps <= 0.0 else _scaled(rate_bps, ("bit/s", "kbit/s", "Mbit/s", "Gbit/s"))


def megabits_per_second(rate_bps: float) -> str:
    """``19.6e6`` as ``19.6 Mbit/s``, also where it is small."""
    return f"{rate_bps / 1e6:.1f} Mbit/s"


def rate_change(before_bps: float, now_bps: float) -> str:
    """``19.6e6`` and ``5.1e6`` as ``from 19.6 to 5.1 Mbit/s``."""
    return f"from {before_bps / 1e6:.1f} to {megabits_per_second(now_bps)}"


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
    time = milliseconds(cost, 0 if abs(cost) >= 0.01 else 1)
    return f"{time} per frame" if objective is Objective.THROUGHPUT else time


def parse_rate(text: str) -> float:
    """``20mbps`` as bits per second. Raises `UsageError`."""
    return _quantity(text, _RATE_UNITS, "rate", "20mbps")


def parse_duration(text: str) -> float:
    """``20ms`` as seconds. Raises `UsageError`."""
    return _quantity(text, _TIME_UNITS, "time", "20ms")


def parse_size(text: str) -> int:
    """``512MB`` or ``512MiB`` as bytes. Raises `UsageError`."""
    return int(_quantity(text, _BYTE_UNITS, "size", "512MB"))


def _quantity(text: str, units: Mapping[str, float], what: str, example: str) -> float:
    match = _QUANTITY.fullmatch(text.strip().lower())
    if match is None or match["unit"] not in units:
        raise UsageError(f"`{text[:80]}` is not a {what}", hint=f"write e.g. {example}; units: {', '.join(units)}")
    value = float(match["number"]) * units[match["unit"]]
    if not value <= MOST:
        raise UsageError(f"`{text[:40]}` is no {what} that can be", hint=f"write e.g. {example}")
    return value


def percentiles(values: Sequence[float]) -> tuple[float, ...]:
    """The 0th, 1st, ... 100th percentile, nearest rank; nothing of nothing."""
    ordered = sorted(values)
    return tuple(float(ordered[round(each / 100 * (len(ordered) - 1))]) for each in range(101)) if ordered else ()
