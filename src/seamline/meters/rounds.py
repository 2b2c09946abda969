"""Interleaved timing in rounds: several things run in turn, with one thing, the anchor, in between.

A machine that does other work, or throttles, is slower in one round than in the next. The anchors tell by how much, so
times of different rounds, and of different minutes, become comparable. Nothing here runs anything.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

import numpy as np
import numpy.typing as npt

from seamline.core.vocabulary.profiles import Quantiles

Key = TypeVar("Key", bound=Hashable)


@dataclass(slots=True)
class Rounds(Generic[Key]):
    """Times of each key, by round, and of the anchor before the first round and after each; the last may be missing.

    times_s: as many for every key as there were rounds. anchors_s: at least one.
    """

    times_s: dict[Key, list[float]]
    anchors_s: list[float] = field(default_factory=list)

    def quantiles_s(self, anchor_s: float) -> dict[Key, Quantiles]:
        """By key, as on a machine that is as slow as when the anchor takes `anchor_s`.

        The first round warms up, and counts when it is the only one. Of the others the quieter half does, judged by the
        slower of the anchors around: what other processes take from caches and memory does not hit everything alike, so
        dividing it out is only second best.
        """
        n_rounds = len(next(iter(self.times_s.values()), []))
        around = [self.anchors_s[at : at + 2] for at in range(n_rounds)]
        by_noise = sorted(range(1, n_rounds), key=lambda at: max(around[at])) or [0]
        quiet = by_noise[: (len(by_noise) + 1) // 2]
        drifts = np.array([np.mean(around[at]) / anchor_s if anchor_s > 0.0 else 1.0 for at in quiet])
        return {key: quantiles(np.array(times_s)[quiet] / drifts) for key, times_s in self.times_s.items()}


def quantiles(durations_s: Sequence[float] | npt.NDArray[np.float64]) -> Quantiles:
    """Median and 90th percentile of at least one duration."""
    median, p90 = np.quantile(durations_s, (0.5, 0.9))
    return Quantiles(median=float(median), p90=float(p90))
