"""The lower edge of a cloud of transfers: what a link takes for a message that nothing holds up.

Theory of operation. A message takes `floor_s + slowness x bits` on a link by itself: a constant for packing and for
threads to wake up, and its bytes. Anything may hold it up beyond that (a busy processor, jitter, a lost packet) and
nothing makes it faster. So the link is the lower edge of the cloud of (bits, seconds), and is found as a line through
it: the slowness as a low quantile, mostly of long messages, the constant as the least that short ones take beyond it,
in turn until both agree, and no larger than messages of two longer sizes allow: few short ones may all have been held
up. A mean would take a busy processor for a slow link. What messages take beyond their bytes on average, held up or
not, is `overhead_s`, so that times predicted from both parts are right on average, also over a link that alternates or
loses packets.

Whether a sample belongs to the cloud at all is decided in `goodput.py`.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

RTT_NOISE_S = 1.5e-3
"""Scatter of round trips on a quiet machine; the floor of what a transfer's timing can be trusted to."""

DRIFT_PER_S = 0.02**2
"""Variance of the logarithm that a second without samples adds: 2 % after 1 s, 20 % after 100 s."""

MAX_FLOOR_S = 5e-3
_QUANTILE = 0.15
_SHORT_RATIO = 1 / 3
_SURE_FLOOR_RATIO = 0.8
_LONGER_FACTOR = 1.5
"""Sizes nearer than this do not tell a constant: what noise makes of it grows as they come together."""
_SURE_NOISE_RATIO = 0.2
"""Beyond this much of its own doubt (a burst, half across when the link fell) a message proves no constant."""
_LEAST_TIMED_S = 0.1e-3
N_NEWEST, _N_TELLING = 12, 6
FIRST_SCATTER, _LEAST_SCATTER = 0.1, 0.03


@dataclass(frozen=True, slots=True, kw_only=True)
class Crossing:
    """One message's way. n_bits: it carried. at_s: of its receipt. more_noise_ratio: beyond what timing it leaves open.

    whole_s: beyond a round trip, since the link can have become free at the earliest; least_s: since the message before
    was known to be through. They differ only for a message that waited behind another one. burst_bits: of n_bits, what
    may have crossed at once. is_supposed: no message at all, but what was believed before it was doubted.
    """

    n_bits: float
    whole_s: float
    least_s: float
    burst_bits: float
    at_s: float
    more_noise_ratio: float = 0.0
    is_supposed: bool = False


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
    scatter: float = FIRST_SCATTER
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
    def newest(self) -> list[Crossing]:
        """The messages that tell how late messages are here: the newest ones."""
        return [c for c in self.window[-N_NEWEST:] if not c.is_supposed]

    @property
    def overhead_s(self) -> float:
        """What recent messages took beyond a round trip and their bytes on average, the one worst left out."""
        slowness = self.slowness
        beyond_s = sorted([c.whole_s - slowness * c.n_bits for c in self.window[-N_NEWEST:]])
        counted_s = beyond_s[:-1] if len(beyond_s) > 3 else beyond_s
        return max(0.0, sum(counted_s) / len(counted_s)) if counted_s else self.floor_s

    def std_ratio(self, now_s: float) -> float:
        """One standard deviation, relative to the value, grown by the age of the newest sample."""
        return math.sqrt(self.variance + DRIFT_PER_S * max(0.0, now_s - self.at_s))


def fitted(goodput: Goodput, scatter: float | None = None) -> Goodput:
    """The line anew through the window; scatter: of single samples, learnt from the window unless given."""
    slowness, floor_s, variance, each = _line(goodput.window, goodput)
    return replace(
        goodput,
        slowness=slowness,
        floor_s=floor_s,
        variance=variance,
        scatter=_scatter(each, slowness) if scatter is None else scatter,
    )


def fitted_with(goodput: Goodput, crossing: Crossing, stall_memory: float) -> Goodput:
    """The line anew with one more sample, which was late by no chance; earlier counts of those fade by
    `stall_memory`."""
    window = kept((*goodput.window, crossing), goodput)
    slowness, floor_s, variance, each = _line(window, goodput, crossing.at_s)
    return Goodput(  # written out: with every message, and `replace` is slower
        slowness=slowness,
        floor_s=floor_s,
        variance=variance,
        scatter=_scatter(each, slowness),
        window=window,
        suspects=goodput.suspects,
        is_suspect_slow=goodput.is_suspect_slow,
        n_samples=goodput.n_samples + 1,
        at_s=crossing.at_s,
        changed_at_s=goodput.changed_at_s,
        n_judged=stall_memory * goodput.n_judged + 1.0,
        n_stalled=stall_memory * goodput.n_stalled,
        former=goodput.former,
    )


def _line(
    window: Sequence[Crossing], goodput: Goodput, at_s: float | None = None
) -> tuple[float, float, float, list[float]]:
    """Slowness, floor_s and variance of the line through `window`, and seconds per bit by each sample alone.

    goodput: known before. at_s: by when samples are old, that of `goodput` unless given.
    Written for speed, as a simulation draws some ten thousand lines a minute: samples are taken out of their crossings
    once, and put in order again only when the constant has moved.
    """
    floor_s, scatter = goodput.floor_s, goodput.scatter
    rows = _rows(window, goodput.at_s if at_s is None else at_s)
    sizes = sorted([row[1] for row in rows])
    short_bits = _SHORT_RATIO * sizes[len(sizes) // 2]
    short = [row for row in rows if row[1] < short_bits]
    most_floor_s = _most_floor_s(rows, sizes, short_bits)
    slowness = max(sum([row[0] - floor_s for row in rows]), RTT_NOISE_S) / sum(sizes)
    each, each_floor_s = _each(rows, floor_s), floor_s
    order = sorted(range(len(each)), key=each.__getitem__)
    for _ in range(3):
        before_slowness, before_floor_s = slowness, floor_s
        if floor_s != each_floor_s:
            each, each_floor_s = _each(rows, floor_s), floor_s
            order = sorted(range(len(each)), key=each.__getitem__)
        weights = _weights(rows, slowness, floor_s, scatter)
        slowness = each[_quantile_at(order, weights, _QUANTILE)]
        if short:  # else all are alike: the constant cannot be told from the rest, and stays
            beyond_s = min([row[0] - slowness * row[1] for row in short])
            floor_s = min(max(_SURE_FLOOR_RATIO * beyond_s, 0.0), MAX_FLOOR_S)
        floor_s = min(floor_s, most_floor_s)
        if slowness == before_slowness and floor_s == before_floor_s:  # and once more would change nothing
            break
    return slowness, floor_s, 1.0 / sum(weights), each


def _most_floor_s(rows: Sequence[_Row], sizes: Sequence[float], short_bits: float) -> float:
    """The constant by which long messages are as fast as those that are shorter than they and not yet short.

    By a larger one the shorter would be faster, so short messages that took more were held up, all of them. sizes: bits
    of all, in order.
    """
    divide_bits = sizes[-1] / _LONGER_FACTOR
    if sizes[bisect_left(sizes, short_bits)] > divide_bits:
        return MAX_FLOOR_S  # as nearly always: all that are not short are alike
    sure = [row for row in rows if row[1] >= short_bits and row[2] < _SURE_NOISE_RATIO]
    shorter = min([(row[0] / row[1], row) for row in sure if row[1] <= divide_bits], default=None)
    longer = min([(row[0] / row[1], row) for row in sure if row[1] > divide_bits], default=None)
    if shorter is None or longer is None:
        return MAX_FLOOR_S
    (one_s, one_bits, *_), (other_s, other_bits, *_) = shorter[1], longer[1]
    return max(0.0, (one_s * other_bits - other_s * one_bits) / (other_bits - one_bits))


def _scatter(each: list[float], slowness: float) -> float:
    """Usual relative deviation of single samples; of the nearer ones, for what was held up is no scatter."""
    log, n = math.log, len(each)
    apart = sorted([abs(log(one / slowness)) for one in each])
    usual = 2.0 * apart[(n - 1) // 3]
    return max(_LEAST_SCATTER, math.sqrt((2 * FIRST_SCATTER**2 + n * usual**2) / (2 + n)))


_Row = tuple[float, float, float, float]
"""Of one crossing: whole_s, n_bits, more_noise_ratio, and what its age adds to its variance."""


def _rows(window: Sequence[Crossing], at_s: float) -> list[_Row]:
    """What `_weights` reads at `at_s`, taken out of the crossings once."""
    drift_per_s = DRIFT_PER_S
    return [
        (c.whole_s, c.n_bits, c.more_noise_ratio, drift_per_s * age_s if (age_s := at_s - c.at_s) > 0.0 else 0.0)
        for c in window
    ]


def _each(rows: Iterable[_Row], floor_s: float) -> list[float]:
    """Seconds per bit by each alone."""
    least_s = RTT_NOISE_S
    return [(took_s if (took_s := whole_s - floor_s) > least_s else least_s) / n_bits for whole_s, n_bits, _, _ in rows]


def _weights(rows: Iterable[_Row], slowness: float, floor_s: float, scatter: float) -> list[float]:
    """One over the variance of the rate that each alone tells; its time is the shorter of what it and all say."""
    weights, least_s, noise_s, scatter_variance = [], _LEAST_TIMED_S, RTT_NOISE_S, scatter**2
    for whole_s, n_bits, more_noise_ratio, drift in rows:
        took_s, expected_s = whole_s - floor_s, slowness * n_bits
        if expected_s < took_s:
            took_s = expected_s
        if took_s < least_s:
            took_s = least_s
        weights.append(1.0 / ((noise_s / took_s + more_noise_ratio) ** 2 + scatter_variance + drift))
    return weights


def shifted(goodput: Goodput, by_s: float) -> Goodput:
    """`goodput`, should every message have taken `by_s` longer: the round trip was thought to be longer than it is."""
    window = tuple(replace(c, whole_s=c.whole_s + by_s, least_s=c.least_s + by_s) for c in goodput.window)
    return fitted(replace(goodput, window=window))


def kept(window: tuple[Crossing, ...], goodput: Goodput) -> tuple[Crossing, ...]:
    """The newest, and of those before them the ones that tell most."""
    while len(window) > N_NEWEST + _N_TELLING:
        rows = _rows(window[:-N_NEWEST], goodput.at_s)
        weights = _weights(rows, goodput.slowness, goodput.floor_s, goodput.scatter)
        least = weights.index(min(weights))
        window = (*window[:least], *window[least + 1 :])
    return window


def _quantile_at(order: Sequence[int], weights: Sequence[float], ratio: float) -> int:
    """The first of `order` (which sorts some values) up to which at least `ratio` of the weight has come."""
    sorted_weights = [weights[at] for at in order]
    left = ratio * sum(sorted_weights)
    for at, weight in zip(order, sorted_weights, strict=True):
        left -= weight
        if left <= 0.0:
            return at
    return order[-1]
