"""Excess of transfers: what crossing the origin's links took beyond the forecast, relative to it, lately.

A forecast says what the next transfer takes if the link stays as it is. Links fall, bursts end and frames get stuck, so
transfers take longer, and by how much is measured: every frame that left the origin is compared with what was expected
when it was accepted. The longer a plan occupies the link, the more of what happens there befalls it, so that the excess
counts per second of forecast. Its mean is what a plan is expected to cost beside its forecast; a quantile of it is what
a deadline asks for. It fades with time, so that a link that was bad is tried again.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

MEMORY_S = 60.0
"""Time constant of what is remembered."""

N_REMEMBERED = 64

PRIOR_S = 1.0
"""Seconds of transfers without excess that are supposed before the first."""

MOST_S = 5.0
"""Of one frame: one that is stuck early in a stream must not keep it at home for minutes."""


class Transfer(NamedTuple):
    """A frame that left the origin: what its transfers were expected to take, and what it took beyond its forecast."""

    at_s: float
    expected_s: float
    excess_s: float


@dataclass(frozen=True, slots=True)
class Excess:
    """The newest transfers, oldest first."""

    transfers: tuple[Transfer, ...] = ()

    def mean_ratio(self, now_s: float) -> float:
        """Expected excess of the next transfer, over its forecast; at least 0."""
        excess_s, expected_s = 0.0, PRIOR_S
        for one in self.transfers:
            kept = math.exp(-max(0.0, now_s - one.at_s) / MEMORY_S)
            excess_s += kept * one.excess_s
            expected_s += kept * one.expected_s
        return max(0.0, excess_s / expected_s)

    def quantile_ratio(self, share: float, now_s: float) -> float:
        """The excess, over the forecast, that `share` of transfers do not exceed; at least 0."""
        left = PRIOR_S * (1.0 - share)
        weighed = []
        for one in self.transfers:
            kept = math.exp(-max(0.0, now_s - one.at_s) / MEMORY_S)
            weighed.append((one.excess_s / one.expected_s, kept))
            left += kept * (1.0 - share)
        for ratio, kept in sorted(weighed, reverse=True):
            left -= kept
            if left < 0.0:
                return max(0.0, ratio)
        return 0.0


def observe_excess(known: Excess, excess_s: float, expected_s: float, at_s: float) -> Excess:
    """`known` with one more frame. expected_s: of its transfers, > 0."""
    newest = Transfer(at_s, expected_s, min(excess_s, MOST_S))
    return Excess((*known.transfers[1 - N_REMEMBERED :], newest))
