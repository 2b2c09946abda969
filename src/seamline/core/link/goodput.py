"""Goodput estimator of one direction of a link: lower envelope, change-point detection, downward drift test.

Theory of operation. Delays make messages late and nothing makes them early, so the link is the lower envelope of its
messages, `lower_envelope.py`. A sample beyond the envelope's scatter becomes an outlier candidate. The next samples
dismiss it, or confirm a change point that resets the estimate:

- upward: two fast candidates, less the bytes that a token bucket may have let through at once;
- downward: two slow candidates consistent with one rate;
- downward, where each may be late by chance (by a retransmission timeout, or by a delay that is usual on this link):
  two of different sizes consistent with one rate, or as many in a row as make chance unlikely, given how many such
  delays of this link were over by the next message. These need not show one rate: the link may go on falling.

If the next samples fit the link from before a downward change, the change is reverted: no message is fast by chance.

A slow drift makes no candidates. The downward drift test resets the estimate when the newest few samples are slower
than nearly all before them, by the probability of that order among samples of a constant link.

Round trips, silence and outages are `estimator.py`, when to probe is `probing.py`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from seamline.core.link.lower_envelope import (
    DRIFT_PER_S,
    FIRST_SCATTER,
    N_NEWEST,
    RTT_NOISE_S,
    Crossing,
    Goodput,
    fitted,
    fitted_with,
    kept,
)

BURST_BYTES = 8192
"""Bytes that a token bucket lets through at once after a pause. Fast samples after a pause are no more exact."""

STALL_S = 3e-3
"""Delay that a busy processor or jitter causes to any message, so that a late short one is no sign of a slow link."""

RETRANSMISSION_S = 0.2
"""Linux's smallest retransmission timeout; a lost packet makes its message late by this and some round trips."""

UNINFORMATIVE_VARIANCE = 0.5**2
"""With more variance no sample is a candidate: the next one weighs more than all before it."""

_MOST_HELD_UP_S = 12e-3
"""Of the usual delay: more would hide a step from 20 to 5 Mbit/s in messages of 60 kB."""

_LEAST_STEP = math.log(1.1)
_OUTLIER_SIGMAS = 2.0
_CONFIRMED_SIGMAS = 5.0
_CONSISTENT_SIGMAS = 3.0
_CONSISTENT_STEP = math.log(1.25)
_MOST_CANDIDATES = 16
_RETRANSMISSION_SLACK_S = 0.03
_CHANCE = 1e-5
_DRIFT_CHANCE, _MOST_DRIFT_CHANCE = 2e-3, 0.15
_DRIFT_FACTOR = 1.1
_DRIFT_LEAST_S = 10e-3
_N_DRIFT = range(2, 9)
_STALL_MEMORY = 0.99
_AS_LATE_FACTOR = 2.0
_OTHER_SIZE_FACTOR = 1.5
_SAME_RATE_STEP = math.log(1.12)
_STRADDLED_RATIO = 0.5
_RETURN_S = 5.0
_RETURN_STEP = math.log(1.25)


def first_goodput(crossing: Crossing) -> Goodput:
    """Estimate from one sample alone."""
    carried_s = max(crossing.whole_s, RTT_NOISE_S)
    noise_ratio = RTT_NOISE_S / carried_s + crossing.burst_bits / crossing.n_bits
    return Goodput(
        seconds_per_bit=carried_s / crossing.n_bits,
        fixed_overhead_s=0.0,
        variance=noise_ratio**2 + FIRST_SCATTER**2,
        window=(replace(crossing, more_noise_ratio=crossing.burst_bits / crossing.n_bits),),
        n_samples=1,
        at_s=crossing.at_s,
        changed_at_s=crossing.at_s,
    )


def observe(goodput: Goodput, crossing: Crossing, rtt_s: float) -> Goodput:
    """`goodput` after one more sample."""
    variance = goodput.variance + DRIFT_PER_S * max(0.0, crossing.at_s - goodput.at_s)
    took_s, expected_s = crossing.whole_s - goodput.fixed_overhead_s, goodput.seconds_per_bit * crossing.n_bits
    faster = math.log(expected_s / max(took_s, RTT_NOISE_S))
    if faster > 0.0:  # as far as it is faster, that may be a burst
        crossing = replace(crossing, more_noise_ratio=min(faster, crossing.burst_bits / crossing.n_bits))
    if variance <= UNINFORMATIVE_VARIANCE:
        if _fast_sigmas(goodput, crossing, variance) >= _OUTLIER_SIGMAS:
            return _test_upward_change(goodput, crossing)
        if _slow_sigmas(goodput, crossing, variance) >= _OUTLIER_SIGMAS:
            return _test_downward_change(goodput, crossing, rtt_s)
        if goodput.candidates and goodput.are_candidates_slow and not _contradicts(goodput, crossing):
            return goodput  # too short a message to decide
    goodput = _without_candidates(goodput)
    known = fitted_with(goodput, crossing, _STALL_MEMORY)
    drifted = _drifted_down(known)
    return known if drifted is None else _reset(known, drifted, former=replace(known, former=None))


def _fast_sigmas(goodput: Goodput, crossing: Crossing, variance: float) -> float:
    """Standard deviations by which the lower bound of the rate of `crossing` exceeds the estimate; 0.0 within 10 %."""
    least_s = max(crossing.whole_s - goodput.fixed_overhead_s, 0.0) + RTT_NOISE_S
    step = math.log(goodput.seconds_per_bit * max(crossing.n_bits - crossing.burst_bits, 1.0) / least_s)
    return 0.0 if step < _LEAST_STEP else step / math.sqrt(variance + goodput.scatter**2)


def _slow_sigmas(goodput: Goodput, crossing: Crossing, variance: float) -> float:
    """Standard deviations by which the rate of `crossing` is below the estimate, past usual delays; 0.0 within 10 %."""
    carried_s = goodput.seconds_per_bit * crossing.n_bits
    step = math.log(max(crossing.least_s - goodput.fixed_overhead_s, RTT_NOISE_S) / carried_s)
    if step < _LEAST_STEP:
        return 0.0
    own = math.log1p((STALL_S + _usual_delay_s(goodput)) / carried_s)
    return step / math.sqrt(variance + goodput.scatter**2 + own**2)


def _usual_delay_s(goodput: Goodput) -> float:
    """Median delay of the newest messages."""
    late_s = sorted(c.whole_s - goodput.fixed_overhead_s - goodput.seconds_per_bit * c.n_bits for c in goodput.newest)
    return min(max(late_s[len(late_s) // 2], 0.0), _MOST_HELD_UP_S) if late_s else 0.0


def _test_upward_change(goodput: Goodput, newest: Crossing) -> Goodput:
    """Upward change-point test on the candidates with `newest` among them; reverts a downward change just before."""
    if goodput.are_candidates_slow:
        goodput = _without_candidates(goodput)
    former = goodput.former
    if former is not None and newest.at_s - goodput.changed_at_s < _RETURN_S and _fits_former(former, newest):
        n_late = float(goodput.n_samples)
        back = replace(former, candidates=(), n_judged=former.n_judged + n_late, n_stalled=former.n_stalled + n_late)
        window = kept((*back.window, newest), back)
        return fitted(
            replace(back, window=window, n_samples=back.n_samples + 1, at_s=newest.at_s, changed_at_s=newest.at_s)
        )
    run = (*(() if goodput.are_candidates_slow else goodput.candidates), newest)
    if len(run) < 2:
        return replace(goodput, candidates=run, are_candidates_slow=False)
    faster = [
        c for c in run if _are_consistent(goodput, c, newest) or c.whole_s * newest.n_bits < newest.whole_s * c.n_bits
    ]
    return _reset(goodput, faster, former=None)


def _fits_former(former: Goodput, newest: Crossing) -> bool:
    """Whether `newest` fits the link from before the last downward change."""
    carried_s = former.seconds_per_bit * newest.n_bits
    return abs(math.log(max(newest.whole_s - former.fixed_overhead_s, RTT_NOISE_S) / carried_s)) < _RETURN_STEP


def _test_downward_change(goodput: Goodput, newest: Crossing, rtt_s: float) -> Goodput:
    """Downward change-point test on the candidates with `newest` among them, see the module."""
    run = (*(goodput.candidates if goodput.are_candidates_slow else ()), newest)[-_MOST_CANDIDATES:]
    consistent = [c for c in run if _are_consistent(goodput, c, newest)]
    beyond_chance = [c for c in consistent if not _may_be_chance(goodput, c, rtt_s)]
    sigmas = sum(_slow_sigmas(goodput, c, goodput.variance) for c in consistent)
    n_needed = 2
    if len(beyond_chance) < 2:
        same_rate = [c for c in consistent if _apart(goodput, c, newest) < _SAME_RATE_STEP]
        sizes = [c.n_bits for c in same_rate]
        if max(sizes) < _OTHER_SIZE_FACTOR * min(sizes):  # a delay is the same for all sizes, a rate is not
            n_needed = _n_unlikely(goodput)
        consistent = same_rate if n_needed == 2 else list(run)  # so many in a row are no chance, whatever their rates
        sigmas = sum(_slow_sigmas(goodput, c, goodput.variance) for c in consistent)
    if len(consistent) < n_needed or sigmas < _CONFIRMED_SIGMAS:
        return replace(goodput, candidates=run, are_candidates_slow=True)
    of_now = [c for c in consistent if _are_consistent(goodput, c, newest)]
    newest_few = of_now if len(of_now) > 1 else consistent
    slow = [replace(c, whole_s=c.least_s) for c in newest_few[-2 if n_needed == 2 else -3 :]]
    slow[0] = replace(slow[0], more_noise_ratio=_STRADDLED_RATIO)  # may have been half across at the change
    return _reset(goodput, slow, former=replace(goodput, candidates=(), former=None))


def _are_consistent(goodput: Goodput, one: Crossing, other: Crossing) -> bool:
    """Whether both can be of one rate; a sample that straddled the jump is consistent with none."""
    times_s = [max(c.least_s - goodput.fixed_overhead_s, RTT_NOISE_S) for c in (one, other)]
    noise = sum((RTT_NOISE_S / time_s) ** 2 for time_s in times_s) + 2 * goodput.scatter**2
    return _apart(goodput, one, other) <= max(_CONSISTENT_SIGMAS * math.sqrt(noise), _CONSISTENT_STEP)


def _apart(goodput: Goodput, one: Crossing, other: Crossing) -> float:
    """Distance of their rates, as a logarithm."""
    return abs(math.log(_seconds_per_bit(goodput, one) / _seconds_per_bit(goodput, other)))


def _seconds_per_bit(goodput: Goodput, crossing: Crossing) -> float:
    """Seconds per bit by one sample alone."""
    return max(crossing.least_s - goodput.fixed_overhead_s, RTT_NOISE_S) / crossing.n_bits


def _may_be_chance(goodput: Goodput, crossing: Crossing, rtt_s: float) -> bool:
    """Whether `crossing` is late by a retransmission, or no later than others lately that were late by chance."""
    if _may_be_a_loss(goodput, crossing, rtt_s):
        return True
    others_s = [_late_s(goodput, c) for c in goodput.newest if not _may_be_a_loss(goodput, c, rtt_s)]
    return _late_s(goodput, crossing) <= _AS_LATE_FACTOR * max(others_s, default=0.0)


def _may_be_a_loss(goodput: Goodput, crossing: Crossing, rtt_s: float) -> bool:
    """Whether `crossing` is late by one retransmission timeout, which begins with any packet of the message."""
    earlier_s = goodput.seconds_per_bit * crossing.n_bits
    least_s = max(0.9 * RETRANSMISSION_S - earlier_s, RETRANSMISSION_S / 2)
    return least_s <= _late_s(goodput, crossing) <= RETRANSMISSION_S + rtt_s + _RETRANSMISSION_SLACK_S


def _late_s(goodput: Goodput, crossing: Crossing) -> float:
    return crossing.least_s - goodput.fixed_overhead_s - goodput.seconds_per_bit * crossing.n_bits


def _n_unlikely(goodput: Goodput) -> int:
    """Delays in a row that are no chance: 3 on a link that has long been smooth, 6 on a new one, 11 at 1 % loss."""
    stalled_ratio = (goodput.n_stalled + 2.0) / (goodput.n_judged + 10.0)
    return min(max(3, math.ceil(math.log(_CHANCE) / math.log(stalled_ratio))), _MOST_CANDIDATES - 2)


def _contradicts(goodput: Goodput, crossing: Crossing) -> bool:
    """Whether `crossing` fits the estimate better than the fastest of the slow candidates."""
    hinted_s = crossing.n_bits * min(_seconds_per_bit(goodput, c) for c in goodput.candidates)
    expected_s, took_s = goodput.seconds_per_bit * crossing.n_bits, crossing.least_s - goodput.fixed_overhead_s
    return hinted_s - expected_s > 2.0 * RTT_NOISE_S and took_s < (expected_s + hinted_s) / 2.0


def _without_candidates(goodput: Goodput) -> Goodput:
    """Dismiss the candidates: they were chance. Slow ones join the window, as delays that occur on this link."""
    if not goodput.candidates:
        return goodput
    if not goodput.are_candidates_slow:
        return replace(goodput, candidates=())
    n_late = float(len(goodput.candidates))
    return replace(
        goodput,
        candidates=(),
        window=kept((*goodput.window, *goodput.candidates), goodput),
        n_judged=goodput.n_judged + n_late,
        n_stalled=goodput.n_stalled + n_late,
    )


def _drifted_down(goodput: Goodput) -> Sequence[Crossing] | None:
    """Downward drift test: the newest samples, if all are slower than the envelope and than nearly all before them.

    Of n + k samples in random order, the last k are slower than all but m of the others with a probability of at most
    C(k + m, k) / C(n + k, k).
    """
    newest = next((c for c in reversed(goodput.window) if c.n_bits * goodput.seconds_per_bit >= _DRIFT_LEAST_S), None)
    if newest is None or _seconds_per_bit(goodput, newest) < goodput.seconds_per_bit * _DRIFT_FACTOR:
        return None  # as nearly always: the newest alone shows that not all the newest are slower
    counted = [c for c in goodput.window if c.n_bits * goodput.seconds_per_bit >= _DRIFT_LEAST_S]
    seconds_per_bit = [_seconds_per_bit(goodput, c) for c in counted]
    for k in _N_DRIFT:
        before, fastest = seconds_per_bit[:-k][-N_NEWEST:], min(seconds_per_bit[-k:], default=0.0)
        if not before or fastest < goodput.seconds_per_bit * _DRIFT_FACTOR:
            return None
        chance = _DRIFT_CHANCE
        if goodput.n_judged >= N_NEWEST:  # known for long, so what few are left say that it has changed a moment ago
            chance = min(_MOST_DRIFT_CHANCE, chance * (N_NEWEST / len(before)) ** 3)
        n_as_slow = sum(one >= fastest for one in before)
        if math.comb(k + n_as_slow, k) < chance * math.comb(len(before) + k, k):
            return [replace(c, whole_s=c.least_s) for c in counted[-k:]]
    return None


def _reset(goodput: Goodput, run: Sequence[Crossing], former: Goodput | None) -> Goodput:
    """Change point: the estimate rests on `run` alone. The fixed overhead stays."""
    return fitted(
        replace(
            goodput,
            window=tuple(run),
            candidates=(),
            n_samples=len(run),
            at_s=run[-1].at_s,
            changed_at_s=run[-1].at_s,
            former=former,
        ),
        scatter=goodput.scatter,
    )
