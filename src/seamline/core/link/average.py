"""Time-weighted average of a link's seconds per bit, and detection of links that oscillate faster than plans follow.

Theory of operation. An estimate (`goodput.py`) lags behind its link by some messages. On a link that oscillates faster
than this lag the estimate is wrong all the time, and plans that follow it lose more than they gain. The average over
the same messages is right. Latency is linear in seconds per bit, so the plan that is best for the average is the best
static plan over the time remembered.

In the average no message is an outlier, and no time is split between goodput and overhead. A burst of messages weighs
as much as the time it took, so that the probes after a jump do not outweigh the frames before it.

A link oscillates when two conditions are met. Its seconds per bit have changed direction several times within memory,
each time by a factor and by a time that noise does not explain. And the average would have forecast its messages better
than the estimate that plans could act on by then: a link that fades changes direction too, but an estimate follows it.
Oscillation ends when the link keeps its rate for several of its former periods. `core.adaptation.oscillation` does the
same with estimates, for links of which only estimates are reported.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

MEMORY_S = 30.0
"""Time constant of the average: a message this old weighs 1/e."""

LONGEST_S = 2.0
"""A message stands for the time since the one before it, up to this long."""

FIRST_S = 0.1
"""The first one has none before it."""

OSCILLATION_MEMORY_S = 15.0
CHANGE_FACTOR = 1.5
"""A smaller factor is no change of direction."""

LEAST_CHANGE_S = 15e-3
"""Nor is a change of a message's time by less: a busy processor delays messages by as much, now and then."""

LEAST_SERVICE_S = 7.5e-3
"""Messages that take less on average are left out: any thread may be late by as much as makes a change of direction."""

N_OSCILLATING = 3.0
"""So many changes of direction within memory: one about every `OSCILLATION_MEMORY_S / N_OSCILLATING`, 5 s."""

ACTING_S = 0.2
"""From an estimate to frames that follow it: a decision, and a plan to prepare. The estimate of then is acted on."""

STOPPED_FACTOR = 3.0
LEAST_STOPPED_S = 2.0


class LinearEstimate(NamedTuple):
    """Estimate of `at_s` as a line: a message takes `overhead_s + seconds_per_bit x bits`."""

    at_s: float
    overhead_s: float
    seconds_per_bit: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Average:
    """Decayed sums over messages, each weighted by the seconds it stands for.

    at_s: when the newest was sent. weight_s: of all. service_s, bits: what they took and what they carried.
    squares: of (seconds per bit). n: of messages. n_direction_changes: decayed count, the last at
    direction_changed_at_s. extreme: logarithm of seconds per bit at the last turning point, from which the next change
    is measured; direction: towards it, 0 at first.
    own_error, estimate_error: forecast errors of this average and of the estimate acted on, seconds per bit.
    estimates: of the link, oldest first; the first is the one acted on.
    """

    at_s: float
    weight_s: float = 0.0
    service_s: float = 0.0
    bits: float = 0.0
    squares: float = 0.0
    n: float = 0.0
    n_direction_changes: float = 0.0
    direction_changed_at_s: float = -math.inf
    extreme: float | None = None
    direction: int = 0
    own_error: float = 0.0
    estimate_error: float = 0.0
    estimates: tuple[LinearEstimate, ...] = ()

    @property
    def goodput_bps(self) -> float:
        """Bits carried over seconds taken."""
        return self.bits / self.service_s

    @property
    def std_ratio(self) -> float:
        """One standard deviation of the average, relative: the scatter of messages over the root of their number."""
        seconds_per_bit = self.service_s / self.bits
        scatter = max(0.0, self.squares / self.weight_s / seconds_per_bit**2 - 1.0)
        return math.sqrt(scatter / max(1.0, self.n))

    @property
    def oscillating_until_s(self) -> float:
        """Until when the link counts as oscillating, should it not change direction again; -inf when it does not."""
        if self.n_direction_changes < N_OSCILLATING or self.estimate_error <= self.own_error:
            return -math.inf
        return self.direction_changed_at_s + max(
            LEAST_STOPPED_S, STOPPED_FACTOR * OSCILLATION_MEMORY_S / self.n_direction_changes
        )


def observe_average(
    average: Average | None, payload_bytes: int, service_s: float, sent_s: float, newest: LinearEstimate | None = None
) -> Average:
    """`average` after one more message of `payload_bytes` > 0 that occupied the link for `service_s` > 0.

    newest: the estimate before it; None when there was none.
    """
    before = Average(at_s=sent_s - FIRST_S) if average is None else average
    bits, passed_s = 8.0 * payload_bytes, max(0.0, sent_s - before.at_s)
    kept, weight_s = math.exp(-passed_s / MEMORY_S), min(passed_s, LONGEST_S)
    kept_changes = math.exp(-passed_s / OSCILLATION_MEMORY_S)
    n_direction_changes = before.n_direction_changes * kept_changes
    extreme, direction = before.extreme, before.direction
    direction_changed_at_s = before.direction_changed_at_s
    is_counted = average is None or bits >= LEAST_SERVICE_S * average.goodput_bps
    if is_counted:
        level = math.log(service_s / bits)
        change = 0.0 if extreme is None else level - extreme
        is_far = extreme is not None and abs(service_s - bits * math.exp(extreme)) > LEAST_CHANGE_S
        if is_far and abs(change) > math.log(CHANGE_FACTOR):
            towards = 1 if change > 0.0 else -1
            if towards == -direction:
                n_direction_changes, direction_changed_at_s = n_direction_changes + 1.0, sent_s
            extreme, direction = level, towards
        elif extreme is None or change * direction > 0.0:
            extreme = level  # further the same way: a change is measured from the farthest point
    own_error, estimate_error = before.own_error * kept_changes, before.estimate_error * kept_changes
    estimates = before.estimates if newest is None else _acted_on(before.estimates, newest, sent_s)
    if is_counted and average is not None and estimates:
        own_error += weight_s * abs(service_s / bits - 1.0 / average.goodput_bps)
        acted_on = estimates[0]
        estimate_error += weight_s * abs(service_s / bits - acted_on.overhead_s / bits - acted_on.seconds_per_bit)
    return Average(
        at_s=max(sent_s, before.at_s),
        weight_s=kept * before.weight_s + weight_s,
        service_s=kept * before.service_s + weight_s * service_s,
        bits=kept * before.bits + weight_s * bits,
        squares=kept * before.squares + weight_s * (service_s / bits) ** 2,
        n=kept * before.n + 1.0,
        n_direction_changes=n_direction_changes,
        direction_changed_at_s=direction_changed_at_s,
        extreme=extreme,
        direction=direction,
        own_error=own_error,
        estimate_error=estimate_error,
        estimates=estimates,
    )


def _acted_on(estimates: tuple[LinearEstimate, ...], newest: LinearEstimate, at_s: float) -> tuple[LinearEstimate, ...]:
    """`estimates` with `newest`, without those that were replaced more than `ACTING_S` ago."""
    estimates = (*estimates, newest)
    while len(estimates) > 1 and estimates[1].at_s <= at_s - ACTING_S:
        estimates = estimates[1:]
    return estimates
