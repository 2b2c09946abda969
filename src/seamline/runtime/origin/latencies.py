"""Latencies of a stream's answers in bounded memory: a stream may run for months.

Count and mean are exact. Quantiles are those of `N_KEPT` latencies at most, drawn uniformly from all (reservoir
sampling, Vitter's algorithm R): exact as long as there are no more, and a percentile is within 0.4 points beyond.
"""

from __future__ import annotations

import random
import statistics
from array import array
from dataclasses import dataclass
from typing import Annotated

from seamline.core.vocabulary.quantities import percentiles

N_KEPT = 1 << 16


@dataclass(frozen=True, slots=True, kw_only=True)
class LatencyFigures:
    """Seconds from acceptance to answer; None where there was no answer."""

    mean: Annotated[float | None, "mean seconds from acceptance to answer"]
    p50: Annotated[float | None, "median"]
    p95: Annotated[float | None, "95th percentile"]
    n: Annotated[int, "answers behind these figures"]


class Latencies:
    """Collects latencies; not thread-safe."""

    def __init__(self) -> None:
        self._kept = array("d")
        self._sum_s = 0.0
        self._random = random.Random(0)
        self.n = 0

    def add(self, latency_s: float) -> None:
        self.n += 1
        self._sum_s += latency_s
        if len(self._kept) < N_KEPT:
            self._kept.append(latency_s)
        elif (at := self._random.randrange(self.n)) < N_KEPT:
            self._kept[at] = latency_s

    def figures(self) -> LatencyFigures:
        if not self.n:
            return LatencyFigures(mean=None, p50=None, p95=None, n=0)
        return LatencyFigures(
            mean=self._sum_s / self.n,
            p50=statistics.median(self._kept),
            p95=self.percentiles()[95],
            n=self.n,
        )

    def percentiles(self) -> tuple[float, ...]:
        """The 0th to the 100th; nothing of nothing."""
        return percentiles(self._kept)
