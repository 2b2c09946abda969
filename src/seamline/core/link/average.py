"""What a link carries on average, and whether it turns to and fro faster than a belief follows.

A belief (`goodput.py`) follows a link and so comes late by some messages. Where the link is back by then, the belief is
wrong all the time (or learns that anything is possible), and following it costs more than it brings. The average of the
same messages is right, and it is what the latency of a plan that holds adds up to, since latency is linear in seconds
per bit: the plan that is best for the average is the best of all fixed plans over what is remembered.

So here no message is an outlier, and none is shared out between goodput and overhead. A burst of messages counts as
much as the time it took, so that the probes which follow a jump do not outweigh the frames before it. A link that
turns: so many reversals, by so much, within memory, and the average would have foretold its messages better than the
belief did that plans could follow by then (a link that fades turns too, and a belief follows it); and it has stopped
when it holds for several times as long as it used to. `oscillation.py` does the same to beliefs, for links of which
only beliefs are reported.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

MEMORY_S = 30.0
"""What happened this long ago counts by 1/e."""

LONGEST_S = 2.0
"""A message stands for the time since the one before it, up to this long."""

FIRST_S = 0.1
"""The first one has none before it."""

TURN_MEMORY_S = 15.0
TURN_FACTOR = 1.5
"""A change by less is no turn."""

LEAST_TURN_S = 15e-3
"""Nor is one by so little time of a message: a busy processor holds messages up by as much, to and fro."""

LEAST_SERVICE_S = 7.5e-3
"""A message that is quicker on average says little: any thread may be held up by as much as makes a turn."""

N_TURNS = 3.0
"""So many within memory: the link turns about every `TURN_MEMORY_S / N_TURNS`, 5 s."""

ACTING_S = 0.2
"""From an estimate to frames that follow it: a decision, and a plan to prepare. The estimate of then is acted on."""

STOPPED_FACTOR = 3.0
LEAST_STOPPED_S = 2.0


class LinearEstimate(NamedTuple):
    """Estimate of `at_s` as a line: a message takes overhead_s, and slowness seconds per bit."""

    at_s: float
    overhead_s: float
    slowness: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Average:
    """Decayed sums over messages, each weighted by the seconds it stands for.

    at_s: when the newest was sent. weight_s: of all. service_s, bits: what they took and what they carried.
    squares: of (seconds per bit). n: of messages. n_turns: decayed number of turns, the last at turned_at_s.
    extreme: logarithm of seconds per bit from which the next turn is measured; direction: towards it, 0 at first.
    own_error, estimate_error: forecast errors of this average and of the estimate acted on, seconds per bit.
    estimates: of the link, oldest first; the first is the one acted on.
    """

    at_s: float
    weight_s: float = 0.0
    service_s: float = 0.0
    bits: float = 0.0
    squares: float = 0.0
    n: float = 0.0
    n_turns: float = 0.0
    turned_at_s: float = -math.inf
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
    def turning_until_s(self) -> float:
        """Until when the link counts as one that turns, should it not turn again; -inf when it does not."""
        if self.n_turns < N_TURNS or self.estimate_error <= self.own_error:
            return -math.inf
        return self.turned_at_s + max(LEAST_STOPPED_S, STOPPED_FACTOR * TURN_MEMORY_S / self.n_turns)


def observe_average(
    average: Average | None, payload_bytes: int, service_s: float, sent_s: float, newest: LinearEstimate | None = None
) -> Average:
    """`average` after one more message of `payload_bytes` > 0 that occupied the link for `service_s` > 0.

    newest: the estimate before it; None when there was none.
    """
    before = Average(at_s=sent_s - FIRST_S) if average is None else average
    bits, passed_s = 8.0 * payload_bytes, max(0.0, sent_s - before.at_s)
    kept, weight_s = math.exp(-passed_s / MEMORY_S), min(passed_s, LONGEST_S)
    kept_turns = math.exp(-passed_s / TURN_MEMORY_S)
    n_turns, extreme, direction = before.n_turns * kept_turns, before.extreme, before.direction
    turned_at_s = before.turned_at_s
    is_telling = average is None or bits >= LEAST_SERVICE_S * average.goodput_bps
    if is_telling:
        level = math.log(service_s / bits)
        change = 0.0 if extreme is None else level - extreme
        is_far = extreme is not None and abs(service_s - bits * math.exp(extreme)) > LEAST_TURN_S
        if is_far and abs(change) > math.log(TURN_FACTOR):
            towards = 1 if change > 0.0 else -1
            if towards == -direction:
                n_turns, turned_at_s = n_turns + 1.0, sent_s
            extreme, direction = level, towards
        elif extreme is None or change * direction > 0.0:
            extreme = level  # further the same way: a turn is measured from the farthest point
    own_error, estimate_error = before.own_error * kept_turns, before.estimate_error * kept_turns
    estimates = before.estimates if newest is None else _acted_on(before.estimates, newest, sent_s)
    if is_telling and average is not None and estimates:
        own_error += weight_s * abs(service_s / bits - 1.0 / average.goodput_bps)
        acted_on = estimates[0]
        estimate_error += weight_s * abs(service_s / bits - acted_on.overhead_s / bits - acted_on.slowness)
    return Average(
        at_s=max(sent_s, before.at_s),
        weight_s=kept * before.weight_s + weight_s,
        service_s=kept * before.service_s + weight_s * service_s,
        bits=kept * before.bits + weight_s * bits,
        squares=kept * before.squares + weight_s * (service_s / bits) ** 2,
        n=kept * before.n + 1.0,
        n_turns=n_turns,
        turned_at_s=turned_at_s,
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
