"""Lower envelope of message timings, by quantile fit: seconds per bit and fixed overhead of a link without delays.

Theory of operation. A message alone on a link takes `fixed_overhead_s + seconds_per_bit x bits`: packing and waking
threads, then its bytes. Delays (a busy processor, jitter, a lost packet) add to that, and nothing subtracts. So the
link is the lower envelope of the points (bits, seconds), fitted as a line. `seconds_per_bit` is a low quantile, with
most weight on long messages. `fixed_overhead_s` is the least that short messages take beyond it. Both are fitted
alternately until they stay; two longer sizes bound the fixed overhead, because a few short messages may all have been
delayed. A mean would take a busy processor for a slow link.

`overhead_s` is what messages take beyond their bytes on average, delays included. Times predicted from it and
`seconds_per_bit` are right on average, also over a link that oscillates or loses packets.

Which samples belong to the link at all is decided in `goodput.py`.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

RTT_NOISE_S = 1.5e-3
"""Scatter of round trips on a quiet machine: no transfer's timing is more exact."""

DRIFT_PER_S = 0.02**2
"""Variance of the logarithm that a second without samples adds: 2 % after 1 s, 20 % after 100 s."""

MAX_FIXED_OVERHEAD_S = 5e-3
MAX_OVERHEAD_S = 60.0
"""A link on which every message is late by more carries nothing that anybody waits for."""

_QUANTILE = 0.15
_SHORT_RATIO = 1 / 3
_SURE_OVERHEAD_RATIO = 0.8
_LONGER_FACTOR = 1.5
"""Closer sizes do not determine the fixed overhead: the error of the fit grows as sizes come together."""
_SURE_NOISE_RATIO = 0.2
"""Messages of more noise (a burst, half across when the link fell) do not bound the fixed overhead."""
_LEAST_TIMED_S = 0.1e-3
N_NEWEST, _N_WEIGHTIEST = 12, 6
FIRST_SCATTER, _LEAST_SCATTER = 0.1, 0.03


@dataclass(frozen=True, slots=True, kw_only=True)
class Crossing:
    """Timing of one message across the link. n_bits: carried. at_s: of its receipt. more_noise_ratio: beyond timing.

    whole_s: beyond a round trip, since the earliest time at which the link can have been free. least_s: since the
    message before was known to be through. The two differ only for a message that waited behind another one.
    burst_bits: of n_bits, those that may have crossed at once.
    """

    n_bits: float
    whole_s: float
    least_s: float
    burst_bits: float
    at_s: float
    more_noise_ratio: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Goodput:
    """Estimator state of one direction: the lower envelope, and the samples it is fitted to.

    seconds_per_bit, fixed_overhead_s: of the envelope. variance: of seconds_per_bit, relative. window: samples of the
    fit. candidates: newest samples beyond the envelope's scatter, all fast or all slow. n_samples: since changed_at_s.
    at_s: of the newest sample in the window. scatter: usual relative deviation of a sample. n_judged, n_stalled: fading
    counts of samples and of those that were late by chance. former: the state before the last downward change point.
    """

    seconds_per_bit: float
    fixed_overhead_s: float
    variance: float
    scatter: float = FIRST_SCATTER
    window: tuple[Crossing, ...]
    candidates: tuple[Crossing, ...] = ()
    are_candidates_slow: bool = False
    n_samples: int
    at_s: float
    changed_at_s: float
    n_judged: float = 0.0
    n_stalled: float = 0.0
    former: Goodput | None = None

    @property
    def value(self) -> float:
        """Bits per second."""
        return 1.0 / self.seconds_per_bit

    @property
    def hinted_bps(self) -> float:
        """The lowest rate among `value` and the outlier candidates alone."""
        return min(
            [self.value, *(c.n_bits / max(c.least_s - self.fixed_overhead_s, RTT_NOISE_S) for c in self.candidates)]
        )

    @property
    def newest(self) -> tuple[Crossing, ...]:
        """The newest messages, from which usual delays are known."""
        return self.window[-N_NEWEST:]

    @property
    def overhead_s(self) -> float:
        """Interquartile mean of the newest messages' overheads: time beyond a round trip and their bytes.

        Those that a stall held up are not usual: what they cost is in the excess of frames (`core.adaptation.excess`).
        """
        seconds_per_bit = self.seconds_per_bit
        beyond_s = sorted([c.whole_s - seconds_per_bit * c.n_bits for c in self.newest])
        if not beyond_s:
            return self.fixed_overhead_s
        n_trimmed = len(beyond_s) // 4
        middle_s = beyond_s[n_trimmed : len(beyond_s) - n_trimmed]
        return min(max(0.0, sum(middle_s) / len(middle_s)), MAX_OVERHEAD_S)

    def std_ratio(self, now_s: float) -> float:
        """One standard deviation, relative to the value, grown by the age of the newest sample."""
        return math.sqrt(self.variance + DRIFT_PER_S * max(0.0, now_s - self.at_s))


def fitted(goodput: Goodput, scatter: float | None = None) -> Goodput:
    """Envelope fitted to the window; scatter: of single samples, learnt from the window unless given."""
    seconds_per_bit, fixed_overhead_s, variance, each = _quantile_fit(goodput.window, goodput)
    return replace(
        goodput,
        seconds_per_bit=seconds_per_bit,
        fixed_overhead_s=fixed_overhead_s,
        variance=variance,
        scatter=_scatter(each, seconds_per_bit) if scatter is None else scatter,
    )


def fitted_with(goodput: Goodput, crossing: Crossing, stall_memory: float) -> Goodput:
    """Envelope fitted with one more sample, which was not late by chance; earlier counts of those fade by
    `stall_memory`."""
    window = kept((*goodput.window, crossing), goodput)
    seconds_per_bit, fixed_overhead_s, variance, each = _quantile_fit(window, goodput, crossing.at_s)
    return Goodput(  # written out: with every message, and `replace` is slower
        seconds_per_bit=seconds_per_bit,
        fixed_overhead_s=fixed_overhead_s,
        variance=variance,
        scatter=_scatter(each, seconds_per_bit),
        window=window,
        candidates=goodput.candidates,
        are_candidates_slow=goodput.are_candidates_slow,
        n_samples=goodput.n_samples + 1,
        at_s=crossing.at_s,
        changed_at_s=goodput.changed_at_s,
        n_judged=stall_memory * goodput.n_judged + 1.0,
        n_stalled=stall_memory * goodput.n_stalled,
        former=goodput.former,
    )


def _quantile_fit(
    window: Sequence[Crossing], goodput: Goodput, at_s: float | None = None
) -> tuple[float, float, float, list[float]]:
    """Quantile fit to `window`: seconds_per_bit, fixed_overhead_s, variance, and seconds per bit of each sample alone.

    goodput: known before. at_s: by when samples are old, that of `goodput` unless given.
    Written for speed, as a simulation fits some ten thousand envelopes a minute: samples are taken out of their
    crossings once, and put in order again only when the fixed overhead has moved.
    """
    fixed_overhead_s, scatter = goodput.fixed_overhead_s, goodput.scatter
    rows = _rows(window, goodput.at_s if at_s is None else at_s)
    sizes = sorted([row[1] for row in rows])
    short_bits = _SHORT_RATIO * sizes[len(sizes) // 2]
    short = [row for row in rows if row[1] < short_bits]
    fixed_overhead_bound_s = _fixed_overhead_bound_s(rows, sizes, short_bits)
    seconds_per_bit = max(sum([row[0] - fixed_overhead_s for row in rows]), RTT_NOISE_S) / sum(sizes)
    each, each_fixed_overhead_s = _each(rows, fixed_overhead_s), fixed_overhead_s
    order = sorted(range(len(each)), key=each.__getitem__)
    for _ in range(3):
        before_seconds_per_bit, before_fixed_overhead_s = seconds_per_bit, fixed_overhead_s
        if fixed_overhead_s != each_fixed_overhead_s:
            each, each_fixed_overhead_s = _each(rows, fixed_overhead_s), fixed_overhead_s
            order = sorted(range(len(each)), key=each.__getitem__)
        weights = _weights(rows, seconds_per_bit, fixed_overhead_s, scatter)
        seconds_per_bit = each[_quantile_at(order, weights, _QUANTILE)]
        if short:  # else all are of one size: the fixed overhead is undetermined, and stays
            beyond_s = min([row[0] - seconds_per_bit * row[1] for row in short])
            fixed_overhead_s = min(max(_SURE_OVERHEAD_RATIO * beyond_s, 0.0), MAX_FIXED_OVERHEAD_S)
        fixed_overhead_s = min(fixed_overhead_s, fixed_overhead_bound_s)
        if (
            seconds_per_bit == before_seconds_per_bit and fixed_overhead_s == before_fixed_overhead_s
        ):  # and once more would change nothing
            break
    return seconds_per_bit, fixed_overhead_s, 1.0 / sum(weights), each


def _fixed_overhead_bound_s(rows: Sequence[_Row], sizes: Sequence[float], short_bits: float) -> float:
    """Upper bound of the fixed overhead: the one at which medium messages are as fast as long ones.

    With a larger one medium messages would be faster than long ones, so short messages that took more were all delayed.
    sizes: bits of all, in order.
    """
    divide_bits = sizes[-1] / _LONGER_FACTOR
    if sizes[bisect_left(sizes, short_bits)] > divide_bits:
        return MAX_FIXED_OVERHEAD_S  # as nearly always: all that are not short are of one size
    sure = [row for row in rows if row[1] >= short_bits and row[2] < _SURE_NOISE_RATIO]
    shorter = min([(row[0] / row[1], row) for row in sure if row[1] <= divide_bits], default=None)
    longer = min([(row[0] / row[1], row) for row in sure if row[1] > divide_bits], default=None)
    if shorter is None or longer is None:
        return MAX_FIXED_OVERHEAD_S
    (one_s, one_bits, *_), (other_s, other_bits, *_) = shorter[1], longer[1]
    return max(0.0, (one_s * other_bits - other_s * one_bits) / (other_bits - one_bits))


def _scatter(each: list[float], seconds_per_bit: float) -> float:
    """Usual relative deviation of single samples, from the closer ones: a delay is no scatter."""
    log, n = math.log, len(each)
    apart = sorted([abs(log(one / seconds_per_bit)) for one in each])
    usual = 2.0 * apart[(n - 1) // 3]
    return max(_LEAST_SCATTER, math.sqrt((2 * FIRST_SCATTER**2 + n * usual**2) / (2 + n)))


_Row = tuple[float, float, float, float]
"""One crossing as (whole_s, n_bits, more_noise_ratio, variance added by its age)."""


def _rows(window: Sequence[Crossing], at_s: float) -> list[_Row]:
    """Rows that `_weights` reads at `at_s`, taken out of the crossings once."""
    drift_per_s = DRIFT_PER_S
    return [
        (c.whole_s, c.n_bits, c.more_noise_ratio, drift_per_s * age_s if (age_s := at_s - c.at_s) > 0.0 else 0.0)
        for c in window
    ]


def _each(rows: Iterable[_Row], fixed_overhead_s: float) -> list[float]:
    """Seconds per bit of each sample alone."""
    least_s = RTT_NOISE_S
    return [
        (took_s if (took_s := whole_s - fixed_overhead_s) > least_s else least_s) / n_bits
        for whole_s, n_bits, _, _ in rows
    ]


def _weights(rows: Iterable[_Row], seconds_per_bit: float, fixed_overhead_s: float, scatter: float) -> list[float]:
    """Inverse variance of each sample's rate; its time is the measured or the fitted one, whichever is shorter."""
    weights, least_s, noise_s, scatter_variance = [], _LEAST_TIMED_S, RTT_NOISE_S, scatter**2
    for whole_s, n_bits, more_noise_ratio, drift in rows:
        took_s, expected_s = whole_s - fixed_overhead_s, seconds_per_bit * n_bits
        if expected_s < took_s:
            took_s = expected_s
        if took_s < least_s:
            took_s = least_s
        weights.append(1.0 / ((noise_s / took_s + more_noise_ratio) ** 2 + scatter_variance + drift))
    return weights


def shifted(goodput: Goodput, by_s: float) -> Goodput:
    """`goodput` with `by_s` added to every message's time: the round trip was overestimated by as much."""
    window = tuple(replace(c, whole_s=c.whole_s + by_s, least_s=c.least_s + by_s) for c in goodput.window)
    return fitted(replace(goodput, window=window))


def kept(window: tuple[Crossing, ...], goodput: Goodput) -> tuple[Crossing, ...]:
    """Window of bounded size: the newest samples, and of those before them the ones of largest weight."""
    while len(window) > N_NEWEST + _N_WEIGHTIEST:
        rows = _rows(window[:-N_NEWEST], goodput.at_s)
        weights = _weights(rows, goodput.seconds_per_bit, goodput.fixed_overhead_s, goodput.scatter)
        least = weights.index(min(weights))
        window = (*window[:least], *window[least + 1 :])
    return window


def _quantile_at(order: Sequence[int], weights: Sequence[float], ratio: float) -> int:
    """Weighted quantile: the first index in `order` (which sorts the values) that reaches `ratio` of the weight."""
    sorted_weights = [weights[at] for at in order]
    left = ratio * sum(sorted_weights)
    for at, weight in zip(order, sorted_weights, strict=True):
        left -= weight
        if left <= 0.0:
            return at
    return order[-1]
