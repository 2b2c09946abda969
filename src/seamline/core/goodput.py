"""What one direction of a link carries, learnt from transfers that can be held up but are never hurried.

Theory of operation. A message takes `floor_s + slowness x bits` on a link by itself: a constant for packing and for
threads to wake up, and its bytes. Anything may hold it up beyond that (a busy processor, jitter, a lost packet) and
nothing makes it faster. So the link is the lower edge of the cloud of (bits, seconds), and is found as a line through
it: the slowness as a low quantile, mostly of long messages, the constant as the least that short ones take beyond it,
in turn until both agree. A mean would take a busy processor for a slow link. What messages take beyond their bytes on
average, held up or not, is `overhead_s`, so that times predicted from both parts are right on average, also over a link
that alternates or loses packets.

A sample that cannot be of this line is put aside as a suspect; the next ones decide. Fast ones prove a faster link as
soon as there are two, less what a token bucket may have let through at once. Slow ones must agree on a rate. Those that
are late by one retransmission timeout prove little, for a lost packet does that to a message of any size, and so does a
delay that is usual here: then two of different sizes must agree, or as many as make chance unlikely, given how many
such delays this link has shown that were over by the next message. If the very next samples fit the link from before a
fall, it is taken back: a fast transfer cannot be chance.

Here is one quantity of one direction; round trips, silence and outages are `estimate.py`, when to probe `probing.py`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

RTT_NOISE_S = 1.5e-3
"""Scatter of round trips on a quiet machine; the floor of what a transfer's timing can be trusted to."""

BURST_BYTES = 8192
"""What a token bucket lets through at once after a pause. Fast samples after a pause know no better than this."""

STALL_S = 3e-3
"""A message may be held up by so much anywhere (a busy processor, jitter), so that a short one proves no slow link."""

RETRANSMISSION_S = 0.2
"""Linux's smallest retransmission timeout; a lost packet makes its message late by this and some round trips."""

DRIFT_PER_S = 0.02**2
"""Variance of the logarithm that a second without samples adds: 2 % after 1 s, 20 % after 100 s."""

HARDLY_KNOWN = 0.5**2
"""A belief with more variance suspects nothing: the next sample weighs more than all it rests on."""

MAX_FLOOR_S = 5e-3
_MOST_HELD_UP_S = 12e-3
"""Of what is usual: more would hide a step from 20 to 5 Mbit/s in messages of 60 kB."""

_QUANTILE = 0.15
_SHORT_RATIO = 1 / 3
_SURE_FLOOR_RATIO = 0.8
_N_NEWEST, _N_TELLING = 12, 6
_FIRST_SCATTER, _LEAST_SCATTER = 0.1, 0.03
_LEAST_STEP = math.log(1.1)
_SUSPICIOUS_SIGMAS = 2.0
_PROVEN_SIGMAS = 5.0
_AGREEING_SIGMAS = 3.0
_AGREEING_STEP = math.log(1.25)
_MOST_SUSPECTS = 16
_RETRANSMISSION_SLACK_S = 0.03
_CHANCE = 1e-5
_STALL_MEMORY = 0.99
_AS_LATE_FACTOR = 2.0
_OTHER_SIZE_FACTOR = 1.5
_ALIKE_STEP = math.log(1.12)
_STRADDLED_RATIO = 0.5
_RETURN_S = 5.0
_LEAST_TIMED_S = 0.1e-3
_RETURN_STEP = math.log(1.25)


@dataclass(frozen=True, slots=True, kw_only=True)
class Crossing:
    """One message's way. n_bits: it carried. at_s: of its receipt. more_noise_ratio: beyond what timing it leaves open.

    whole_s: beyond a round trip, since the link can have become free at the earliest; least_s: since the message before
    was known to be through. They differ only for a message that waited behind another one. burst_bits: of n_bits, what
    may have crossed at once.
    """

    n_bits: float
    whole_s: float
    least_s: float
    burst_bits: float
    at_s: float
    more_noise_ratio: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Goodput:
    """What is believed. slowness: seconds per bit, known to within sqrt(variance), relative. floor_s: see the module.

    window: the samples it rests on. suspects: newest samples that cannot be of this line, all fast or all slow.
    n_samples: since changed_at_s. at_s: of the newest sample believed. scatter: usual relative deviation of a sample.
    n_judged, n_stalled: fading counts of samples and of those that were late by chance. former: before the last fall.
    """

    slowness: float
    floor_s: float
    variance: float
    scatter: float = _FIRST_SCATTER
    window: tuple[Crossing, ...]
    suspects: tuple[Crossing, ...] = ()
    is_suspect_slow: bool = False
    n_samples: int
    at_s: float
    changed_at_s: float
    n_judged: float = 0.0
    n_stalled: float = 0.0
    former: Goodput | None = None

    @property
    def value(self) -> float:
        """Bits per second."""
        return 1.0 / self.slowness

    @property
    def hinted_bps(self) -> float:
        """The least that a suspect hints at, believed or not; `value` when there is none below it."""
        return min([self.value, *(c.n_bits / max(c.least_s - self.floor_s, RTT_NOISE_S) for c in self.suspects)])

    @property
    def overhead_s(self) -> float:
        """What recent messages took beyond a round trip and their bytes on average, the one worst left out."""
        beyond_s = sorted(c.whole_s - self.slowness * c.n_bits for c in self.window[-_N_NEWEST:])
        counted_s = beyond_s[:-1] if len(beyond_s) > 3 else beyond_s
        return max(0.0, sum(counted_s) / len(counted_s)) if counted_s else self.floor_s

    def std_ratio(self, now_s: float) -> float:
        """One standard deviation, relative to the value, grown by the age of the newest sample."""
        return math.sqrt(self.variance + DRIFT_PER_S * max(0.0, now_s - self.at_s))


def first_goodput(crossing: Crossing) -> Goodput:
    """What one sample alone tells."""
    carried_s = max(crossing.whole_s, RTT_NOISE_S)
    noise_ratio = RTT_NOISE_S / carried_s + crossing.burst_bits / crossing.n_bits
    return Goodput(
        slowness=carried_s / crossing.n_bits,
        floor_s=0.0,
        variance=noise_ratio**2 + _FIRST_SCATTER**2,
        window=(replace(crossing, more_noise_ratio=crossing.burst_bits / crossing.n_bits),),
        n_samples=1,
        at_s=crossing.at_s,
        changed_at_s=crossing.at_s,
    )


def observe(goodput: Goodput, crossing: Crossing, rtt_s: float) -> Goodput:
    """`goodput` after one more sample."""
    variance = goodput.variance + DRIFT_PER_S * max(0.0, crossing.at_s - goodput.at_s)
    took_s, expected_s = crossing.whole_s - goodput.floor_s, goodput.slowness * crossing.n_bits
    faster = math.log(expected_s / max(took_s, RTT_NOISE_S))
    if faster > 0.0:  # as far as it is faster, that may be a burst
        crossing = replace(crossing, more_noise_ratio=min(faster, crossing.burst_bits / crossing.n_bits))
    if variance <= HARDLY_KNOWN:
        if _fast_sigmas(goodput, crossing, variance) >= _SUSPICIOUS_SIGMAS:
            return _suspect_fast(_dismissed(goodput) if goodput.is_suspect_slow else goodput, crossing)
        if _slow_sigmas(goodput, crossing, variance) >= _SUSPICIOUS_SIGMAS:
            return _suspect_slow(goodput, crossing, rtt_s)
        if goodput.suspects and goodput.is_suspect_slow and not _contradicts(goodput, crossing):
            return goodput  # too short a message to decide
    goodput = _dismissed(goodput)
    return _fitted(
        replace(
            goodput,
            window=_kept((*goodput.window, crossing), goodput),
            n_samples=goodput.n_samples + 1,
            at_s=crossing.at_s,
            n_judged=_STALL_MEMORY * goodput.n_judged + 1.0,
            n_stalled=_STALL_MEMORY * goodput.n_stalled,
        )
    )


def doubted(goodput: Goodput, ratio: float, more_variance: float) -> Goodput:
    """`goodput` times `ratio` and less sure, until a sample tells."""
    slowness, variance = goodput.slowness / ratio, goodput.variance + more_variance
    n_bits = max((c.n_bits for c in goodput.window), default=1.0)
    took_s = goodput.floor_s + slowness * n_bits
    supposed = Crossing(
        n_bits=n_bits,
        whole_s=took_s,
        least_s=took_s,
        burst_bits=0.0,
        at_s=goodput.at_s,
        more_noise_ratio=math.sqrt(variance),
    )
    return replace(
        goodput, slowness=slowness, variance=variance, window=(supposed,), suspects=(), n_samples=0, former=None
    )


def _fast_sigmas(goodput: Goodput, crossing: Crossing, variance: float) -> float:
    """How far the least rate that `crossing` proves lies above the belief; 0.0 within a tenth."""
    proven_s = max(crossing.whole_s - goodput.floor_s, 0.0) + RTT_NOISE_S
    step = math.log(goodput.slowness * max(crossing.n_bits - crossing.burst_bits, 1.0) / proven_s)
    return 0.0 if step < _LEAST_STEP else step / math.sqrt(variance + goodput.scatter**2)


def _slow_sigmas(goodput: Goodput, crossing: Crossing, variance: float) -> float:
    """How far the rate of `crossing` lies below the belief, past what usually holds messages up; 0.0 within a tenth."""
    carried_s = goodput.slowness * crossing.n_bits
    step = math.log(max(crossing.least_s - goodput.floor_s, RTT_NOISE_S) / carried_s)
    own = math.log1p((STALL_S + _usual_delay_s(goodput)) / carried_s)
    return 0.0 if step < _LEAST_STEP else step / math.sqrt(variance + goodput.scatter**2 + own**2)


def _usual_delay_s(goodput: Goodput) -> float:
    """What messages are late by at the median."""
    late_s = sorted(c.whole_s - goodput.floor_s - goodput.slowness * c.n_bits for c in goodput.window[-_N_NEWEST:])
    return min(max(late_s[len(late_s) // 2], 0.0), _MOST_HELD_UP_S) if late_s else 0.0


def _suspect_fast(goodput: Goodput, newest: Crossing) -> Goodput:
    former = goodput.former
    if former is not None and newest.at_s - goodput.changed_at_s < _RETURN_S and _fits_former(former, newest):
        n_late = float(goodput.n_samples)
        back = replace(former, suspects=(), n_judged=former.n_judged + n_late, n_stalled=former.n_stalled + n_late)
        window = _kept((*back.window, newest), back)
        return _fitted(
            replace(back, window=window, n_samples=back.n_samples + 1, at_s=newest.at_s, changed_at_s=newest.at_s)
        )
    run = (*(() if goodput.is_suspect_slow else goodput.suspects), newest)
    if len(run) < 2:
        return replace(goodput, suspects=run, is_suspect_slow=False)
    proven = [c for c in run if _agree(goodput, c, newest) or c.whole_s * newest.n_bits < newest.whole_s * c.n_bits]
    return _start_anew(goodput, proven, former=None)


def _fits_former(former: Goodput, newest: Crossing) -> bool:
    carried_s = former.slowness * newest.n_bits
    return abs(math.log(max(newest.whole_s - former.floor_s, RTT_NOISE_S) / carried_s)) < _RETURN_STEP


def _suspect_slow(goodput: Goodput, newest: Crossing, rtt_s: float) -> Goodput:
    """A jump down needs two that agree on a rate; only if each may be a lost packet, as many as make that unlikely."""
    run = (*(goodput.suspects if goodput.is_suspect_slow else ()), newest)[-_MOST_SUSPECTS:]
    agreeing = [c for c in run if _agree(goodput, c, newest)]
    solid = [c for c in agreeing if not _may_be_chance(goodput, c, rtt_s)]
    sigmas = sum(_slow_sigmas(goodput, c, goodput.variance) for c in agreeing)
    n_needed = 2
    if len(solid) < 2:
        agreeing = [c for c in agreeing if _apart(goodput, c, newest) < _ALIKE_STEP]
        sizes = [c.n_bits for c in agreeing]
        if max(sizes) < _OTHER_SIZE_FACTOR * min(sizes):  # a delay is the same for all sizes, a rate is not
            n_needed = _n_unlikely(goodput)
    if len(agreeing) < n_needed or sigmas < _PROVEN_SIGMAS:
        return replace(goodput, suspects=run, is_suspect_slow=True)
    slow = [replace(c, whole_s=c.least_s) for c in agreeing[-2:]]
    return _start_anew(goodput, slow, former=replace(goodput, suspects=(), former=None))


def _agree(goodput: Goodput, one: Crossing, other: Crossing) -> bool:
    """Whether both can be of one rate; a sample that straddled the jump agrees with none."""
    times_s = [max(c.least_s - goodput.floor_s, RTT_NOISE_S) for c in (one, other)]
    noise = sum((RTT_NOISE_S / time_s) ** 2 for time_s in times_s) + 2 * goodput.scatter**2
    return _apart(goodput, one, other) <= max(_AGREEING_SIGMAS * math.sqrt(noise), _AGREEING_STEP)


def _apart(goodput: Goodput, one: Crossing, other: Crossing) -> float:
    """How far their rates lie apart, as a logarithm."""
    rates = [c.n_bits / max(c.least_s - goodput.floor_s, RTT_NOISE_S) for c in (one, other)]
    return abs(math.log(rates[0] / rates[1]))


def _may_be_chance(goodput: Goodput, crossing: Crossing, rtt_s: float) -> bool:
    """Whether it is as late as a retransmission makes it, or no later than others lately that were late by chance."""
    if _may_be_a_loss(goodput, crossing, rtt_s):
        return True
    others_s = [_late_s(goodput, c) for c in goodput.window[-_N_NEWEST:] if not _may_be_a_loss(goodput, c, rtt_s)]
    return _late_s(goodput, crossing) <= _AS_LATE_FACTOR * max(others_s, default=0.0)


def _may_be_a_loss(goodput: Goodput, crossing: Crossing, rtt_s: float) -> bool:
    """The timeout begins with the packet lost, not with the last one."""
    earlier_s = goodput.slowness * crossing.n_bits
    least_s = max(0.9 * RETRANSMISSION_S - earlier_s, RETRANSMISSION_S / 2)
    return least_s <= _late_s(goodput, crossing) <= RETRANSMISSION_S + rtt_s + _RETRANSMISSION_SLACK_S


def _late_s(goodput: Goodput, crossing: Crossing) -> float:
    return crossing.least_s - goodput.floor_s - goodput.slowness * crossing.n_bits


def _n_unlikely(goodput: Goodput) -> int:
    """So many delays in a row are no chance: 3 on a link that has long been smooth, 6 on a new one, 11 at 1 % loss."""
    stalled_ratio = (goodput.n_stalled + 2.0) / (goodput.n_judged + 10.0)
    return min(max(3, math.ceil(math.log(_CHANCE) / math.log(stalled_ratio))), _MOST_SUSPECTS - 2)


def _contradicts(goodput: Goodput, crossing: Crossing) -> bool:
    """Whether it was rather of the link that is believed than of the slower one that suspects hint at."""
    expected_s, hinted_s = goodput.slowness * crossing.n_bits, crossing.n_bits / goodput.hinted_bps
    took_s = crossing.least_s - goodput.floor_s
    return hinted_s - expected_s > 2.0 * RTT_NOISE_S and took_s < (expected_s + hinted_s) / 2.0


def _dismissed(goodput: Goodput) -> Goodput:
    """The suspects were chance. Slow ones belong to the link, which holds messages up now and then."""
    if not goodput.suspects:
        return goodput
    if not goodput.is_suspect_slow:
        return replace(goodput, suspects=())
    n_late = float(len(goodput.suspects))
    return replace(
        goodput,
        suspects=(),
        window=_kept((*goodput.window, *goodput.suspects), goodput),
        n_judged=goodput.n_judged + n_late,
        n_stalled=goodput.n_stalled + n_late,
    )


def _start_anew(goodput: Goodput, run: Sequence[Crossing], former: Goodput | None) -> Goodput:
    """The link has changed: only `run` tells about it. How long messages take beyond their bytes has not changed."""
    if former is not None:  # the first may have been half across when the link fell
        run = [replace(run[0], more_noise_ratio=_STRADDLED_RATIO), *run[1:]]
    return _fitted(
        replace(
            goodput,
            window=tuple(run),
            suspects=(),
            n_samples=len(run),
            at_s=run[-1].at_s,
            changed_at_s=run[-1].at_s,
            former=former,
        ),
        scatter=goodput.scatter,
    )


def _fitted(goodput: Goodput, scatter: float | None = None) -> Goodput:
    """The line anew through the window; scatter: of single samples, learnt from the window unless given."""
    window, floor_s = goodput.window, goodput.floor_s
    n_bits = [c.n_bits for c in window]
    short_bits = _SHORT_RATIO * sorted(n_bits)[len(n_bits) // 2]
    slowness = max(sum(c.whole_s - floor_s for c in window), RTT_NOISE_S) / sum(n_bits)
    for _ in range(3):
        weights = [_weight(c, slowness, floor_s, goodput) for c in window]
        each = [max(c.whole_s - floor_s, RTT_NOISE_S) / c.n_bits for c in window]
        slowness = _quantile(zip(each, weights, strict=True), _QUANTILE)
        beyond_s = [c.whole_s - slowness * c.n_bits for c in window if c.n_bits < short_bits]
        if beyond_s:  # else all are alike: the constant cannot be told from the rest, and stays
            floor_s = min(max(_SURE_FLOOR_RATIO * min(beyond_s), 0.0), MAX_FLOOR_S)
    if scatter is None:
        apart = sorted(abs(math.log(one / slowness)) for one in each)
        usual = 2.0 * apart[(len(apart) - 1) // 3]  # of the nearer ones: what was held up is no scatter
        n = len(apart)
        scatter = max(_LEAST_SCATTER, math.sqrt((2 * _FIRST_SCATTER**2 + n * usual**2) / (2 + n)))
    return replace(goodput, slowness=slowness, floor_s=floor_s, variance=1.0 / sum(weights), scatter=scatter)


def _weight(crossing: Crossing, slowness: float, floor_s: float, goodput: Goodput) -> float:
    """One over the variance of the rate that `crossing` alone tells; its time is the shorter of what it and all say."""
    took_s = max(min(crossing.whole_s - floor_s, slowness * crossing.n_bits), _LEAST_TIMED_S)
    noise_ratio = RTT_NOISE_S / took_s + crossing.more_noise_ratio
    age_s = max(0.0, goodput.at_s - crossing.at_s)
    return 1.0 / (noise_ratio**2 + goodput.scatter**2 + DRIFT_PER_S * age_s)


def shifted(goodput: Goodput, by_s: float) -> Goodput:
    """`goodput`, should every message have taken `by_s` longer: the round trip was thought to be longer than it is."""
    window = tuple(replace(c, whole_s=c.whole_s + by_s, least_s=c.least_s + by_s) for c in goodput.window)
    return _fitted(replace(goodput, window=window))


def _kept(window: tuple[Crossing, ...], goodput: Goodput) -> tuple[Crossing, ...]:
    """The newest, and of those before them the ones that tell most."""
    old, newest = window[:-_N_NEWEST], window[-_N_NEWEST:]
    if len(old) > _N_TELLING:
        least = min(range(len(old)), key=lambda at: _weight(old[at], goodput.slowness, goodput.floor_s, goodput))
        return _kept((*old[:least], *old[least + 1 :], *newest), goodput)
    return window


def _quantile(weighted: Iterable[tuple[float, float]], ratio: float) -> float:
    """The smallest value with at least `ratio` of the weight at or below it."""
    ordered = sorted(weighted)
    left = ratio * sum(weight for _, weight in ordered)
    for value, weight in ordered:
        left -= weight
        if left <= 0.0:
            return value
    return ordered[-1][0]
