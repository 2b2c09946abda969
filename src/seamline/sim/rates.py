"""When do bits that begin to cross a link at some time have crossed it? Exact for rates that change in steps.

A trace is a staircase; its integral is piecewise linear, so the answer is an interpolation and not a simulation. The
same for one transfer in plain Python, which is quickest for one, and for an array of them.
"""

from __future__ import annotations

import bisect
import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from seamline.config.trace import Trace

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class RateCurve:
    """A trace and its integral. bits: carried from the beginning until each of times_s, and until length_s."""

    times_s: tuple[float, ...]
    rates_bps: tuple[float, ...]
    bits: tuple[float, ...]
    length_s: float

    @staticmethod
    def of(trace: Trace) -> RateCurve:
        """The curve of `trace`, which carries something at some time."""
        edges = (*trace.times_s, trace.length_s)
        steps = [
            rate * (stop - start) if rate else 0.0
            for rate, (start, stop) in zip(trace.rates_bps, itertools.pairwise(edges), strict=True)
        ]
        return RateCurve(
            times_s=trace.times_s,
            rates_bps=trace.rates_bps,
            bits=tuple(itertools.accumulate(steps, initial=0.0)),
            length_s=trace.length_s,
        )

    def finish_s(self, start_s: float, n_bits: float) -> float:
        """When `n_bits` that begin at `start_s` have crossed."""
        if n_bits <= 0.0:
            return start_s
        if len(self.times_s) == 1:  # as steady as most links of a scene
            return max(start_s, (n_bits + self.rates_bps[0] * start_s) / self.rates_bps[0])
        if math.isinf(self.length_s):
            offset_s, round_s, left = start_s, 0.0, n_bits
        else:
            n_rounds = start_s // self.length_s
            round_s = n_rounds * self.length_s
            offset_s, left = start_s - round_s, n_bits
        at = bisect.bisect_right(self.times_s, offset_s) - 1
        left += self.bits[at] + self.rates_bps[at] * (offset_s - self.times_s[at])
        if left > self.bits[-1]:
            rounds = math.ceil(left / self.bits[-1]) - 1
            round_s += rounds * self.length_s
            left -= rounds * self.bits[-1]
        at = bisect.bisect_left(self.bits, left) - 1
        return max(start_s, round_s + self.times_s[at] + (left - self.bits[at]) / self.rates_bps[at])

    def finish_all_s(self, start_s: Floats, n_bits: float) -> Floats:
        """`finish_s` for float64[n] of starts."""
        if n_bits <= 0.0:
            return start_s
        if math.isinf(self.length_s):
            return np.array([self.finish_s(float(one), n_bits) for one in start_s])
        times_s, bits = np.array((*self.times_s, self.length_s)), np.array(self.bits)
        rates_bps = np.array(self.rates_bps)
        n_rounds = np.floor(start_s / self.length_s)
        left = np.interp(start_s - n_rounds * self.length_s, times_s, bits) + n_bits
        more = np.maximum(np.ceil(left / bits[-1]) - 1.0, 0.0)
        left -= more * bits[-1]
        at = np.clip(np.searchsorted(bits, left, side="left") - 1, 0, len(rates_bps) - 1)
        within_s = times_s[at] + (left - bits[at]) / rates_bps[at]
        finished: Floats = np.maximum(start_s, (n_rounds + more) * self.length_s + within_s)
        return finished

    def outages(self, until_s: float) -> Iterator[tuple[float, float]]:
        """(start_s, stop_s) of the times without any rate that begin before `until_s`; neighbours joined."""
        began_s: float | None = None
        round_s = 0.0
        while round_s < until_s:
            for time_s, rate_bps in zip(self.times_s, self.rates_bps, strict=True):
                at_s = round_s + time_s
                if rate_bps == 0.0 and began_s is None:
                    began_s = at_s
                elif rate_bps > 0.0 and began_s is not None:
                    yield began_s, at_s
                    began_s = None
            round_s += self.length_s
        if began_s is not None and began_s < until_s:
            yield began_s, until_s
