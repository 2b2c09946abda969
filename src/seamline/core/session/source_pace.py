"""Pace of a source: the time between two frames that it offers, averaged."""

from __future__ import annotations

import math

GAIN = 0.2
LONGEST_GAP_S = 5.0
"""A source that was silent for longer has paused, which says nothing of its pace."""


class SourcePace:
    """Exponentially weighted mean of a live source's period. period_s: 0.0 before its second frame, or when it waits
    for room."""

    def __init__(self) -> None:
        self.period_s = 0.0
        self._offered_s = -math.inf

    def offered(self, now_s: float) -> None:
        """The source has a frame, at its own time."""
        gap_s, self._offered_s = now_s - self._offered_s, now_s
        if 0.0 <= gap_s < LONGEST_GAP_S:
            self.period_s += GAIN * (gap_s - self.period_s) if self.period_s else gap_s
