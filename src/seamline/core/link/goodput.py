"""What one direction of a link carries, learnt from transfers that can be held up but are never hurried.

Theory of operation. What a link takes without delays is the lower edge of its transfers, `lower_envelope.py`. A sample
that cannot be of this line is put aside as a suspect; the next ones decide. Fast ones prove a faster link as soon as
there are two, less what a token bucket may have let through at once. Slow ones must agree on a rate. Those that are
late by one retransmission timeout prove little, for a lost packet does that to a message of any size, and so does a
delay that is usual here: then two of different sizes must agree, or as many in a row as make chance unlikely, given
how many such delays this link has shown that were over by the next message. Each of these may show another rate: a
link may go on falling. If the very next samples fit the link from before a fall, it is taken back: a fast transfer
cannot be chance. A link that sinks slowly makes no suspect: it is believed once the newest few are slower than nearly
all before them.

Here is one quantity of one direction; round trips, silence and outages are `estimator.py`, when to probe `probing.py`.
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
"""What a token bucket lets through at once after a pause. Fast samples after a pause know no better than this."""

STALL_S = 3e-3
"""A message may be held up by so much anywhere (a busy processor, jitter), so that a short one proves no slow link."""

RETRANSMISSION_S = 0.2
"""Linux's smallest retransmission timeout; a lost packet makes its message late by this and some round trips."""

HARDLY_KNOWN = 0.5**2
"""A belief with more variance suspects nothing: the next sample weighs more than all it rests on."""

_MOST_HELD_UP_S = 12e-3
"""Of what is usual: more would hide a step from 20 to 5 Mbit/s in messages of 60 kB."""

_LEAST_STEP = math.log(1.1)
_SUSPICIOUS_SIGMAS = 2.0
_PROVEN_SIGMAS = 5.0
_AGREEING_SIGMAS = 3.0
_AGREEING_STEP = math.log(1.25)
_MOST_SUSPECTS = 16
_RETRANSMISSION_SLACK_S = 0.03
_CHANCE = 1e-5
_SUNK_CHANCE, _MOST_SUNK_CHANCE = 2e-3, 0.15
_SUNK_FACTOR = 1.1
_SUNK_LEAST_S = 10e-3
_N_SUNK = range(2, 9)
_STALL_MEMORY = 0.99
_AS_LATE_FACTOR = 2.0
_OTHER_SIZE_FACTOR = 1.5
_ALIKE_STEP = math.log(1.12)
_STRADDLED_RATIO = 0.5
_RETURN_S = 5.0
_RETURN_STEP = math.log(1.25)


def first_goodput(crossing: Crossing) -> Goodput:
    """What one sample alone tells."""
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
    if variance <= HARDLY_KNOWN:
        if _fast_sigmas(goodput, crossing, variance) >= _SUSPICIOUS_SIGMAS:
            return _suspect_fast(_dismissed(goodput) if goodput.is_suspect_slow else goodput, crossing)
        if _slow_sigmas(goodput, crossing, variance) >= _SUSPICIOUS_SIGMAS:
            return _suspect_slow(goodput, crossing, rtt_s)
        if goodput.suspects and goodput.is_suspect_slow and not _contradicts(goodput, crossing):
            return goodput  # too short a message to decide
    goodput = _dismissed(goodput)
    known = fitted_with(goodput, crossing, _STALL_MEMORY)
    return known if (sunk := _sunk(known)) is None else _start_anew(known, sunk, former=replace(known, former=None))


def doubted(goodput: Goodput, ratio: float, more_variance: float) -> Goodput:
    """`goodput` times `ratio` and less sure, until a sample tells."""
    seconds_per_bit, variance = goodput.seconds_per_bit / ratio, goodput.variance + more_variance
    n_bits = max((c.n_bits for c in goodput.window), default=1.0)
    took_s = goodput.fixed_overhead_s + seconds_per_bit * n_bits
    supposed = Crossing(
        n_bits=n_bits,
        whole_s=took_s,
        least_s=took_s,
        burst_bits=0.0,
        at_s=goodput.at_s,
        more_noise_ratio=math.sqrt(variance),
        is_supposed=True,
    )
    return replace(
        goodput,
        seconds_per_bit=seconds_per_bit,
        variance=variance,
        window=(supposed,),
        suspects=(),
        n_samples=0,
        former=None,
    )


def _fast_sigmas(goodput: Goodput, crossing: Crossing, variance: float) -> float:
    """How far the least rate that `crossing` proves lies above the belief; 0.0 within a tenth."""
    proven_s = max(crossing.whole_s - goodput.fixed_overhead_s, 0.0) + RTT_NOISE_S
    step = math.log(goodput.seconds_per_bit * max(crossing.n_bits - crossing.burst_bits, 1.0) / proven_s)
    return 0.0 if step < _LEAST_STEP else step / math.sqrt(variance + goodput.scatter**2)


def _slow_sigmas(goodput: Goodput, crossing: Crossing, variance: float) -> float:
    """How far the rate of `crossing` lies below the belief, past what usually holds messages up; 0.0 within a tenth."""
    carried_s = goodput.seconds_per_bit * crossing.n_bits
    step = math.log(max(crossing.least_s - goodput.fixed_overhead_s, RTT_NOISE_S) / carried_s)
    if step < _LEAST_STEP:
        return 0.0
    own = math.log1p((STALL_S + _usual_delay_s(goodput)) / carried_s)
    return step / math.sqrt(variance + goodput.scatter**2 + own**2)


def _usual_delay_s(goodput: Goodput) -> float:
    """What messages are late by at the median."""
    late_s = sorted(c.whole_s - goodput.fixed_overhead_s - goodput.seconds_per_bit * c.n_bits for c in goodput.newest)
    return min(max(late_s[len(late_s) // 2], 0.0), _MOST_HELD_UP_S) if late_s else 0.0


def _suspect_fast(goodput: Goodput, newest: Crossing) -> Goodput:
    former = goodput.former
    if former is not None and newest.at_s - goodput.changed_at_s < _RETURN_S and _fits_former(former, newest):
        n_late = float(goodput.n_samples)
        back = replace(former, suspects=(), n_judged=former.n_judged + n_late, n_stalled=former.n_stalled + n_late)
        window = kept((*back.window, newest), back)
        return fitted(
            replace(back, window=window, n_samples=back.n_samples + 1, at_s=newest.at_s, changed_at_s=newest.at_s)
        )
    run = (*(() if goodput.is_suspect_slow else goodput.suspects), newest)
    if len(run) < 2:
        return replace(goodput, suspects=run, is_suspect_slow=False)
    proven = [c for c in run if _agree(goodput, c, newest) or c.whole_s * newest.n_bits < newest.whole_s * c.n_bits]
    return _start_anew(goodput, proven, former=None)


def _fits_former(former: Goodput, newest: Crossing) -> bool:
    carried_s = former.seconds_per_bit * newest.n_bits
    return abs(math.log(max(newest.whole_s - former.fixed_overhead_s, RTT_NOISE_S) / carried_s)) < _RETURN_STEP


def _suspect_slow(goodput: Goodput, newest: Crossing, rtt_s: float) -> Goodput:
    """A jump down needs two that agree on a rate; only if each may be a lost packet, as many as make that unlikely."""
    run = (*(goodput.suspects if goodput.is_suspect_slow else ()), newest)[-_MOST_SUSPECTS:]
    agreeing = [c for c in run if _agree(goodput, c, newest)]
    solid = [c for c in agreeing if not _may_be_chance(goodput, c, rtt_s)]
    sigmas = sum(_slow_sigmas(goodput, c, goodput.variance) for c in agreeing)
    n_needed = 2
    if len(solid) < 2:
        alike = [c for c in agreeing if _apart(goodput, c, newest) < _ALIKE_STEP]
        sizes = [c.n_bits for c in alike]
        if max(sizes) < _OTHER_SIZE_FACTOR * min(sizes):  # a delay is the same for all sizes, a rate is not
            n_needed = _n_unlikely(goodput)
        agreeing = alike if n_needed == 2 else list(run)  # so many in a row are no chance, whatever rates they show
        sigmas = sum(_slow_sigmas(goodput, c, goodput.variance) for c in agreeing)
    if len(agreeing) < n_needed or sigmas < _PROVEN_SIGMAS:
        return replace(goodput, suspects=run, is_suspect_slow=True)
    of_now = [c for c in agreeing if _agree(goodput, c, newest)]
    newest_few = of_now if len(of_now) > 1 else agreeing
    slow = [replace(c, whole_s=c.least_s) for c in newest_few[-2 if n_needed == 2 else -3 :]]
    slow[0] = replace(slow[0], more_noise_ratio=_STRADDLED_RATIO)  # may have been half across when the link fell
    return _start_anew(goodput, slow, former=replace(goodput, suspects=(), former=None))


def _agree(goodput: Goodput, one: Crossing, other: Crossing) -> bool:
    """Whether both can be of one rate; a sample that straddled the jump agrees with none."""
    times_s = [max(c.least_s - goodput.fixed_overhead_s, RTT_NOISE_S) for c in (one, other)]
    noise = sum((RTT_NOISE_S / time_s) ** 2 for time_s in times_s) + 2 * goodput.scatter**2
    return _apart(goodput, one, other) <= max(_AGREEING_SIGMAS * math.sqrt(noise), _AGREEING_STEP)


def _apart(goodput: Goodput, one: Crossing, other: Crossing) -> float:
    """How far their rates lie apart, as a logarithm."""
    return abs(math.log(_slowness(goodput, one) / _slowness(goodput, other)))


def _slowness(goodput: Goodput, crossing: Crossing) -> float:
    """Seconds per bit that it hints at by itself."""
    return max(crossing.least_s - goodput.fixed_overhead_s, RTT_NOISE_S) / crossing.n_bits


def _may_be_chance(goodput: Goodput, crossing: Crossing, rtt_s: float) -> bool:
    """Whether it is as late as a retransmission makes it, or no later than others lately that were late by chance."""
    if _may_be_a_loss(goodput, crossing, rtt_s):
        return True
    others_s = [_late_s(goodput, c) for c in goodput.newest if not _may_be_a_loss(goodput, c, rtt_s)]
    return _late_s(goodput, crossing) <= _AS_LATE_FACTOR * max(others_s, default=0.0)


def _may_be_a_loss(goodput: Goodput, crossing: Crossing, rtt_s: float) -> bool:
    """The timeout begins with the packet lost, not with the last one."""
    earlier_s = goodput.seconds_per_bit * crossing.n_bits
    least_s = max(0.9 * RETRANSMISSION_S - earlier_s, RETRANSMISSION_S / 2)
    return least_s <= _late_s(goodput, crossing) <= RETRANSMISSION_S + rtt_s + _RETRANSMISSION_SLACK_S


def _late_s(goodput: Goodput, crossing: Crossing) -> float:
    return crossing.least_s - goodput.fixed_overhead_s - goodput.seconds_per_bit * crossing.n_bits


def _n_unlikely(goodput: Goodput) -> int:
    """So many delays in a row are no chance: 3 on a link that has long been smooth, 6 on a new one, 11 at 1 % loss."""
    stalled_ratio = (goodput.n_stalled + 2.0) / (goodput.n_judged + 10.0)
    return min(max(3, math.ceil(math.log(_CHANCE) / math.log(stalled_ratio))), _MOST_SUSPECTS - 2)


def _contradicts(goodput: Goodput, crossing: Crossing) -> bool:
    """Whether it was rather of the link that is believed than of a slower one, the fastest that a suspect hints at."""
    hinted_s = crossing.n_bits * min(_slowness(goodput, c) for c in goodput.suspects)
    expected_s, took_s = goodput.seconds_per_bit * crossing.n_bits, crossing.least_s - goodput.fixed_overhead_s
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
        window=kept((*goodput.window, *goodput.suspects), goodput),
        n_judged=goodput.n_judged + n_late,
        n_stalled=goodput.n_stalled + n_late,
    )


def _sunk(goodput: Goodput) -> Sequence[Crossing] | None:
    """The newest samples, if all are slower than the line, and than so many before them that it is no chance.

    Of n + k samples in any order, the last k are slower than all but m of the others with a probability of at most
    C(k + m, k) / C(n + k, k).
    """
    newest = next((c for c in reversed(goodput.window) if c.n_bits * goodput.seconds_per_bit >= _SUNK_LEAST_S), None)
    if newest is None or _slowness(goodput, newest) < goodput.seconds_per_bit * _SUNK_FACTOR:
        return None  # as nearly always: the newest alone shows that not all the newest are slower
    telling = [c for c in goodput.window if c.n_bits * goodput.seconds_per_bit >= _SUNK_LEAST_S]
    seconds_per_bit = [_slowness(goodput, c) for c in telling]
    for k in _N_SUNK:
        before, edge = seconds_per_bit[:-k][-N_NEWEST:], min(seconds_per_bit[-k:], default=0.0)
        if not before or edge < goodput.seconds_per_bit * _SUNK_FACTOR:
            return None
        chance = _SUNK_CHANCE
        if goodput.n_judged >= N_NEWEST:  # known for long, so what few are left say that it has changed a moment ago
            chance = min(_MOST_SUNK_CHANCE, chance * (N_NEWEST / len(before)) ** 3)
        n_as_slow = sum(one >= edge for one in before)
        if math.comb(k + n_as_slow, k) < chance * math.comb(len(before) + k, k):
            return [replace(c, whole_s=c.least_s) for c in telling[-k:]]
    return None


def _start_anew(goodput: Goodput, run: Sequence[Crossing], former: Goodput | None) -> Goodput:
    """The link has changed: only `run` tells about it. How long messages take beyond their bytes has not changed."""
    return fitted(
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
