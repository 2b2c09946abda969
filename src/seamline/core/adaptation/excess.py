"""Excess of frames that left the origin: what they took beyond the prediction of their plan, on average lately.

A forecast says what the next transfer takes if the link stays as it is. Links fall, bursts end and frames get stuck, so
on average a transfer takes longer, and how much is measured: every frame that left the origin is compared with what was
expected when it was accepted. The average is what any plan that leaves the origin costs beside its prediction, and the
plan that does not leave it does not. It fades with time, so that a link that was bad is tried again.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

MEMORY_S = 60.0
"""Time constant of the average."""

N_PRIOR = 16.0
"""Frames without excess that are supposed before the first."""

MOST_S = 5.0
"""Of one frame: one that is stuck early in a stream must not keep it at home for minutes."""


@dataclass(frozen=True, slots=True)
class Excess:
    """Decayed sum and count of excesses, as of `at_s`."""

    sum_s: float = 0.0
    n: float = 0.0
    at_s: float = 0.0

    def mean_s(self, now_s: float) -> float:
        """Expected excess of the next frame, at least 0."""
        kept = math.exp(-max(0.0, now_s - self.at_s) / MEMORY_S)
        return max(0.0, self.sum_s * kept / (self.n * kept + N_PRIOR))


def observe_excess(known: Excess, excess_s: float, at_s: float) -> Excess:
    """`known` with one more frame."""
    kept = math.exp(-max(0.0, at_s - known.at_s) / MEMORY_S)
    return Excess(known.sum_s * kept + min(excess_s, MOST_S), known.n * kept + 1.0, at_s)
