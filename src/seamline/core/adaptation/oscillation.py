"""Oscillation of a link from its reported estimates: changes of direction, and average seconds per bit.

A plan that follows a change loses the time to notice it. On a link that is back before that has paid, the best plan is
the one for the average, and the average that counts is that of seconds per bit, since these add up to latency.

Used for links of other nodes that report estimates only. `core.link.average` does it better, with messages.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

MEMORY_S = 15.0
"""Time constant: a change this old counts by 1/e."""

CHANGE_FACTOR = 1.5
"""A smaller factor is no change of direction."""

N_OSCILLATING = 3.0
"""So many changes of direction within memory: one about every `MEMORY_S / N_OSCILLATING`, 5 s."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Oscillation:
    """State of oscillation detection on one link. seconds_per_bit: decayed average. n_direction_changes: decayed count.

    extreme_bps: the last turning point, from which a change is measured. direction: of the last change, +1 or -1, 0
    before the first.
    """

    at_s: float
    goodput_bps: float
    seconds_per_bit: float
    n_direction_changes: float = 0.0
    extreme_bps: float
    direction: int = 0

    @property
    def average_bps(self) -> float:
        return 1.0 / self.seconds_per_bit

    def is_oscillating(self, now_s: float) -> bool:
        return self.n_direction_changes * math.exp(-(now_s - self.at_s) / MEMORY_S) >= N_OSCILLATING


def observe_oscillation(known: Oscillation | None, goodput_bps: float, at_s: float) -> Oscillation | None:
    """`known` after the link was estimated to carry `goodput_bps`; 0.0, a link that is down, changes nothing."""
    if goodput_bps <= 0.0:
        return known
    if known is None:
        return Oscillation(
            at_s=at_s, goodput_bps=goodput_bps, seconds_per_bit=1.0 / goodput_bps, extreme_bps=goodput_bps
        )
    kept = math.exp(-max(0.0, at_s - known.at_s) / MEMORY_S)
    n_direction_changes, extreme_bps, direction = known.n_direction_changes * kept, known.extreme_bps, known.direction
    change = math.log(goodput_bps / extreme_bps)
    if abs(change) > math.log(CHANGE_FACTOR):
        towards = 1 if change > 0.0 else -1
        n_direction_changes += 1.0 if towards == -direction else 0.0
        extreme_bps, direction = goodput_bps, towards
    elif change * direction > 0.0:
        extreme_bps = goodput_bps  # further the same way: a change is measured from the farthest point
    return Oscillation(
        at_s=at_s,
        goodput_bps=goodput_bps,
        seconds_per_bit=kept * known.seconds_per_bit + (1.0 - kept) / known.goodput_bps,
        n_direction_changes=n_direction_changes,
        extreme_bps=extreme_bps,
        direction=direction,
    )
