"""Time line of a source: seconds since its first frame, from timestamps that may start anywhere, stand still or jump.

Pure: positions and arrivals enter as numbers. What a container claims as its frame rate is used only where there are no
timestamps at all, and only if it can be one: WebM and MPEG transport streams often give their time base instead.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

MOST_FPS = 240.0
"""A claim above is a time base, not a rate."""

ASSUMED_FPS = 30.0
"""Of a video without timestamps and without a claim that can be true."""

REGULAR_RATIO = 0.9
"""Share of intervals that must be the usual one before a gap is counted in missing frames."""

LEAST_USUAL = 5
"""Intervals like the first that make a time line even."""

GAP_S = 2.0
"""A gap in an irregular time line is worth a word from here on, if it is also far longer than usual."""

FAR = 10.0
"""Times the usual interval."""

SLACK_RATIO = 0.1
"""Of a period: timestamps are rounded to milliseconds, and a frame may come so much early."""


def plausible_fps(claimed_fps: float) -> float | None:
    """`claimed_fps` when it can be a frame rate, else None."""
    return claimed_fps if math.isfinite(claimed_fps) and 0.0 < claimed_fps <= MOST_FPS else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Hole:
    """A part of a time line without frames, before the frame at `at_s`.

    n_frames: how many are unreadable or missing; 0 where the time line is too uneven to tell. length_s: between the
    frames on both sides.
    """

    n_frames: int
    length_s: float
    at_s: float


class Timeline:
    """Seconds since the first frame of a file, never falling.

    A timestamp that does not advance counts as one usual interval; so does one that jumps back. An interval much longer
    than usual is a hole if the next one is usual again; if not, frames come more slowly from there on.
    """

    def __init__(self, claimed_fps: float | None) -> None:
        self._claimed_s = None if claimed_fps is None else 1.0 / claimed_fps
        self._position_s: float | None = None
        self._has_begun = False
        self._n_intervals = 0
        self._n_usual = 0
        self._usual_s: float | None = None
        self._last_s = 0.0
        self._suspect: Hole | None = None
        self.at_s = 0.0

    @property
    def interval_s(self) -> float:
        """The usual time between two frames: as seen, else as claimed, else assumed."""
        return self._usual_s or self._claimed_s or 1.0 / ASSUMED_FPS

    @property
    def end_s(self) -> float:
        """Where the last frame ends, if it lasts as long as the one before it."""
        return self.at_s + max(self._last_s, self.interval_s) if self._has_begun else 0.0

    def restart(self) -> None:
        """The next timestamp has nothing to do with the one before: the file is played again, or was reopened."""
        self._position_s = None

    def advance(self, position_s: float, n_failed: int = 0) -> Hole | None:
        """Move to the next frame, whose timestamp is `position_s` (nan when it has none); the hole that is found.

        n_failed: packets before it that could not be decoded.
        """
        before_s = self._position_s
        if math.isfinite(position_s):
            self._position_s = position_s
        if not self._has_begun:
            self._has_begun = True
            return Hole(n_frames=n_failed, length_s=0.0, at_s=0.0) if n_failed else None
        step_s = math.nan if before_s is None else position_s - before_s
        if not (math.isfinite(step_s) and step_s > 0.0):
            self.at_s += self.interval_s
            return Hole(n_frames=n_failed, length_s=0.0, at_s=self.at_s) if n_failed else None
        self.at_s += step_s
        return self._judged(step_s, n_failed)

    def _judged(self, step_s: float, n_failed: int) -> Hole | None:
        """Note an interval, and say what it shows: a hole before it, or that the one before was one."""
        usual_s, suspect, self._suspect, self._last_s = self._usual_s, self._suspect, None, step_s
        is_even = self._n_usual >= max(REGULAR_RATIO * (self._n_intervals - 1), LEAST_USUAL)
        self._n_intervals += 1
        if usual_s is None:
            self._usual_s = step_s
        elif abs(step_s - usual_s) <= 0.5 * usual_s:
            self._n_usual += 1
            self._usual_s = usual_s + (step_s - usual_s) / min(self._n_usual + 1, 50)
        elif step_s < usual_s and self._n_usual < 0.5 * self._n_intervals:
            self._usual_s, self._n_usual = step_s, 0  # the first interval was no usual one
        else:
            n_missing = round(step_s / usual_s) - 1 if is_even else 0
            hole = Hole(n_frames=max(n_failed, n_missing), length_s=step_s, at_s=self.at_s)
            if n_failed or step_s > max(GAP_S, FAR * usual_s):
                return hole
            self._suspect = hole if n_missing > 0 else None
            return None
        if n_failed:
            return Hole(n_frames=n_failed, length_s=step_s, at_s=self.at_s)
        return suspect


class Pick:
    """Which frames of a time line make `fps` a second: the first at or after each tick of a grid."""

    def __init__(self, fps: float | None) -> None:
        self._period_s = None if fps is None else 1.0 / fps
        self._next_s = 0.0

    def wants(self, at_s: float) -> bool:
        """Whether to use the frame at `at_s`; asked once for each, in order."""
        period_s = self._period_s
        if period_s is None:
            return True
        if at_s < self._next_s - SLACK_RATIO * period_s:
            return False
        self._next_s += period_s
        if self._next_s <= at_s - SLACK_RATIO * period_s:  # a gap is not made good by a burst
            self._next_s = at_s + period_s
        return True
