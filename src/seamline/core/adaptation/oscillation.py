"""How much a link swings to and fro, and what it carries on average: for links that change faster than plans follow.

Following a change costs the time to notice it. When the link is back before that has paid, the best plan is the one for
the average, and the average that counts is that of seconds per bit, since these add up to latency.

This is about beliefs, for links of other nodes, which report nothing else. `average.py` does it better with messages.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

MEMORY_S = 15.0
"""What happened this long ago counts by 1/e."""

REVERSAL_FACTOR = 1.5
"""A change by less is no swing."""

N_SWINGING = 3.0
"""So many reversals within memory: the link turns about every `MEMORY_S / N_SWINGING`, 5 s."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Swing:
    """The recent past of a link. seconds_per_bit: decayed average. n_reversals: decayed count of changes of direction.

    turning_bps: the last value a change is measured from. direction: of the last change, +1 or -1, 0 before the first.
    """

    at_s: float
    goodput_bps: float
    seconds_per_bit: float
    n_reversals: float = 0.0
    turning_bps: float
    direction: int = 0

    @property
    def average_bps(self) -> float:
        return 1.0 / self.seconds_per_bit

    def is_swinging(self, now_s: float) -> bool:
        return self.n_reversals * math.exp(-(now_s - self.at_s) / MEMORY_S) >= N_SWINGING


def observe_swing(swing: Swing | None, goodput_bps: float, at_s: float) -> Swing | None:
    """`swing` after the link was found to carry `goodput_bps`; a link that is down tells nothing about its average."""
    if goodput_bps <= 0.0:
        return swing
    if swing is None:
        return Swing(at_s=at_s, goodput_bps=goodput_bps, seconds_per_bit=1.0 / goodput_bps, turning_bps=goodput_bps)
    kept = math.exp(-max(0.0, at_s - swing.at_s) / MEMORY_S)
    n_reversals, turning_bps, direction = swing.n_reversals * kept, swing.turning_bps, swing.direction
    change = math.log(goodput_bps / turning_bps)
    if abs(change) > math.log(REVERSAL_FACTOR):
        towards = 1 if change > 0.0 else -1
        n_reversals += 1.0 if towards == -direction else 0.0
        turning_bps, direction = goodput_bps, towards
    elif change * direction > 0.0:
        turning_bps = goodput_bps  # further the same way: a reversal is measured from the farthest point
    return Swing(
        at_s=at_s,
        goodput_bps=goodput_bps,
        seconds_per_bit=kept * swing.seconds_per_bit + (1.0 - kept) / swing.goodput_bps,
        n_reversals=n_reversals,
        turning_bps=turning_bps,
        direction=direction,
    )
