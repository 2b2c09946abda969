"""Gap of a switch: how much longer than usual no answer came."""

from __future__ import annotations

import statistics
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from itertools import pairwise

from seamline.core.session.commands import SwitchRecord

BEFORE_S = 2.0
"""Stretch before a switch whose intervals between answers are the usual ones."""

SETTLE_S = 1.0
"""Stretch after a swap in which a gap between answers is still counted as the switch's."""


def is_settled(switch: SwitchRecord, now_s: float) -> bool:
    """Whether the gap of `switch` is over."""
    return now_s > switch.at_s + switch.prepare_s + SETTLE_S


def gap_s(answered: Sequence[float], switch: SwitchRecord) -> float | None:
    """Longest time between two answers from the decision until a second after the swap, less the usual interval.

    None when no two answers fall there. The usual interval is the median of the two seconds before the decision.
    """
    swapped_s = switch.at_s + switch.prepare_s
    around = _intervals(answered, switch.at_s, swapped_s + SETTLE_S)
    before = _intervals(answered, switch.at_s - BEFORE_S, switch.at_s)
    if not around:
        return None
    return max(0.0, max(around) - (statistics.median(before) if before else 0.0))


def _intervals(answered: Sequence[float], from_s: float, to_s: float) -> list[float]:
    """Times between successive answers, of those intervals that overlap the given time."""
    first = max(0, bisect_left(answered, from_s) - 1)
    last = min(len(answered), bisect_right(answered, to_s) + 1)
    inside = answered[first:last]
    return [there - here for here, there in pairwise(inside)]
