"""When to measure anew how fast a node computes that frames have left because it was slow.

Theory of operation. A node's speed is learnt from the frames it computes (`estimate.observe_compute`). One that became
slow is left, and then no frame would ever tell that it has recovered. So it is asked to run the segment it ran last,
without a frame, and the answer counts as a frame's would. The first question comes after two seconds, and every next
one after twice the time, up to half a minute: what stays slow is hardly disturbed. An answer that does not fit the
belief is followed up at once, since it takes some in a row to believe a jump. Asking takes at most 10 % of the node's
time in the long run. A node that frames go to is never asked, nor one that is as fast as its profile says.

`core.session.reprofiling` asks, by whatever driver carries that out.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from seamline.core.vocabulary.plans import Segment

SLOW_RATIO = 1.15
"""A node this much slower than its profile is asked; less is within what frames scatter."""

FIRST_INTERVAL_S, MOST_INTERVAL_S = 2.0, 30.0
SHARE_RATIO = 0.1
N_RUNS = 2
"""Per question: one that warms up, one that counts."""

N_CONFIRMING = 4
"""Answers in a row that may be followed up at once; then what does not fit is taken for noise."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReprofilingState:
    """What is known of asking one node. segment: what it computed last. due_s: not asked before; interval_s: the next.

    asked_s: when it was asked last. n_confirming: answers in a row that did not fit.
    """

    segment: Segment
    due_s: float
    interval_s: float = FIRST_INTERVAL_S
    asked_s: float = -math.inf
    n_confirming: int = 0


def computed(known: ReprofilingState | None, segment: Segment, now_s: float) -> ReprofilingState:
    """A frame's `segment` ran there. Intervals are short again once frames alone have told enough for a while."""
    rested = known is None or now_s - known.asked_s > MOST_INTERVAL_S
    interval_s = FIRST_INTERVAL_S if known is None or rested else known.interval_s
    asked_s = -math.inf if known is None else known.asked_s
    return ReprofilingState(segment=segment, due_s=now_s + interval_s, interval_s=interval_s, asked_s=asked_s)


def is_due(known: ReprofilingState | None, compute_ratio: float, now_s: float) -> bool:
    """Whether to ask a node that no frame goes to and that is believed to take `compute_ratio` of its profiled time."""
    return known is not None and compute_ratio >= SLOW_RATIO and now_s >= known.due_s


def asked(known: ReprofilingState, expected_s: float, now_s: float) -> ReprofilingState:
    """It is asked now. expected_s: what the segment is believed to take there."""
    is_follow_up = known.n_confirming > 0
    interval_s = known.interval_s if is_follow_up else min(MOST_INTERVAL_S, 2.0 * known.interval_s)
    wait_s = max(interval_s, N_RUNS * expected_s / SHARE_RATIO)
    return replace(known, due_s=now_s + wait_s, interval_s=interval_s, asked_s=now_s)


def answered(known: ReprofilingState, ratio: float, now_s: float) -> ReprofilingState:
    """It took `ratio` of what was believed."""
    fits = 1.0 / SLOW_RATIO < ratio < SLOW_RATIO
    if fits or known.n_confirming >= N_CONFIRMING:
        return replace(known, n_confirming=0)
    return replace(known, n_confirming=known.n_confirming + 1, due_s=now_s)
