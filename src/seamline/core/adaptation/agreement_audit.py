"""Audit of agreement: whether answers through a codec that rounds still mean what the unsplit model says.

A calibration is of other frames: light, cameras and seasons drift. Some frames of a stream are therefore run whole on
the origin too, and what their answers agree counts here, for the plan's coarsest boundary: with fewer bits elsewhere
it would be another. A codec whose agreement lies below the bound by more than chance explains is withdrawn.
"""

from __future__ import annotations

import math
from collections import deque

from seamline.core.vocabulary.plans import LOSSINESS, LOSSY, Codec, Plan

WINDOW = 100
"""Audited frames of one boundary that count: as many as a calibration has."""

MIN_AUDITED = 10
"""Fewer say nothing yet."""

Boundary = tuple[int, Codec]


def coarsest_boundary(plan: Plan) -> Boundary | None:
    """Cut and codec of `plan` that keeps the fewest bits; None when all keep every bit."""
    lossy = [(stage.segment.stop, stage.codec) for stage in plan.stages if stage.codec in LOSSY]
    return max(lossy, key=lambda each: LOSSINESS.index(each[1]), default=None)


class AgreementAudit:
    """Agreements of audited frames by boundary, against the least that is wanted."""

    def __init__(self, min_agreement: float) -> None:
        self._least = min_agreement
        self._recent: dict[Boundary, deque[float]] = {}
        self._sum = 0.0
        self.n_audited = 0

    @property
    def agreement_ratio(self) -> float | None:
        """Mean of all audited frames; None before the first."""
        return self._sum / self.n_audited if self.n_audited else None

    def observe(self, boundary: Boundary, agreement_ratio: float) -> str | None:
        """Count one audited frame; why the codec is to be withdrawn there, in words; None while it may stay."""
        self.n_audited += 1
        self._sum += agreement_ratio
        recent = self._recent.setdefault(boundary, deque(maxlen=WINDOW))
        recent.append(agreement_ratio)
        n = len(recent)
        mean = sum(recent) / n
        variance = sum((each - mean) ** 2 for each in recent) / n
        chance = max(math.sqrt(variance / n), 1.0 / (n + 1))
        if n < MIN_AUDITED or mean + chance >= self._least:
            return None
        del self._recent[boundary]
        return f"{mean:.1%} of {n} audited answers agree with the unsplit model, {self._least:.1%} are wanted"
