"""Link traces made up by rule, for simulations and testbeds: seeded, so that a name is a trace.

markov: rates jump between a few levels, each held for an exponential time. steps: new levels, any, every so often.
fades: a slow walk in decibels, as by distance and shadowing, with quick fading on it. outages: steps with times of
silence. alternating and noise: what tempts a controller to flap. Rates are of one direction, in bits per second.

The others are climates: weather with the statistics of recorded sets of traces. `benchmarks/bench_generators.py` says
which were fitted, and how well. The recorded sets hold each rate for about a second or longer, so what happens within
one is not fitted to anything: `bursty` makes it up.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

from seamline.config.trace import Trace
from seamline.core.vocabulary.errors import UsageError

LEVELS_BPS = (2e6, 5e6, 10e6, 20e6, 40e6)
LOWEST_BPS, HIGHEST_BPS = 1.5e6, 50e6
MARKOV_HOLD_S = 20.0
STEP_HOLD_S = (10.0, 60.0)
FADE_STEP_S = 0.5
FADE_MEMORY_S = 30.0
FADE_STD_DB = 4.0
QUICK_FADE_STD_DB = 0.4
FADE_CENTRE_BPS = 12e6
OUTAGE_EVERY_S = 60.0
OUTAGE_S = (1.0, 8.0)
NOISE_STEP_S = 0.2
NOISE_RATIO = 0.2
NOISE_CENTRE_BPS = 10e6
SHORTEST_S = 0.1

DEAD_BPS = 0.02e6
"""In an outage, as recorded traces write it: a connection that neither carries nor breaks."""

Step = tuple[float, float]
"""(seconds, bits per second)"""


def generate(kind: str, seed: int, duration_s: float) -> Trace:
    """The trace of `kind` and `seed`, `duration_s` long. Raises `UsageError` for an unknown kind."""
    if kind not in KINDS:
        raise UsageError(f"`{kind}` is not a kind of trace", hint=f"one of {', '.join(KINDS)}")
    if not (duration_s > 0.0 and math.isfinite(duration_s)):
        raise UsageError(f"a trace of {duration_s:g} s is none")
    return _trace(KINDS[kind](random.Random(f"{kind}:{seed}")), duration_s)


def generated(text: str) -> Trace:
    """The trace that ``KIND:SEED:SECONDS`` names. Raises `UsageError` when it is not that."""
    kind, _, rest = text.partition(":")
    seed, _, seconds = rest.partition(":")
    try:
        return generate(kind, int(seed), float(seconds))
    except ValueError:
        raise UsageError(
            f"`{text}` is not a generated trace", hint="write KIND:SEED:SECONDS, e.g. markov:1:600"
        ) from None


def alternating(high_bps: float, low_bps: float, hold_s: float) -> Trace:
    """From `high_bps` to `low_bps` and back every `hold_s`, for ever."""
    return Trace(times_s=(0.0, hold_s), rates_bps=(high_bps, low_bps), length_s=2.0 * hold_s)


def csv_lines(trace: Trace) -> Iterator[str]:
    """`trace` in the file format ``time_s,mbps``."""
    yield "time_s,mbps"
    for time_s, rate_bps in zip(trace.times_s, trace.rates_bps, strict=True):
        yield f"{time_s:.3f},{rate_bps / 1e6:.4f}"


def _markov(rng: random.Random) -> Iterator[Step]:
    """Neighbouring levels follow one another, as signal strength moves; now and then any."""
    at = rng.randrange(len(LEVELS_BPS))
    while True:
        yield max(1.0, rng.expovariate(1.0 / MARKOV_HOLD_S)), LEVELS_BPS[at]
        if rng.random() < 0.25:
            at = rng.choice([other for other in range(len(LEVELS_BPS)) if other != at])
        else:
            neighbours = [other for other in (at - 1, at + 1) if 0 <= other < len(LEVELS_BPS)]
            at = rng.choice(neighbours)


def _steps(rng: random.Random) -> Iterator[Step]:
    while True:
        yield rng.uniform(*STEP_HOLD_S), _any_rate_bps(rng)


def _fades(rng: random.Random) -> Iterator[Step]:
    """An Ornstein-Uhlenbeck walk of the logarithm, with independent scatter per step."""
    memory = math.exp(-FADE_STEP_S / FADE_MEMORY_S)
    slow_db = rng.gauss(0.0, FADE_STD_DB)
    while True:
        level_db = slow_db + rng.gauss(0.0, QUICK_FADE_STD_DB)
        yield FADE_STEP_S, min(HIGHEST_BPS, max(LOWEST_BPS, FADE_CENTRE_BPS * 10 ** (level_db / 10)))
        slow_db = memory * slow_db + math.sqrt(1.0 - memory**2) * rng.gauss(0.0, FADE_STD_DB)


def _outages(rng: random.Random) -> Iterator[Step]:
    for hold_s, rate_bps in _steps(rng):
        up_s = rng.expovariate(1.0 / OUTAGE_EVERY_S)
        if up_s < hold_s:
            yield max(1.0, up_s), rate_bps
            yield rng.uniform(*OUTAGE_S), 0.0
        yield hold_s, rate_bps


def _noise(rng: random.Random) -> Iterator[Step]:
    while True:
        yield NOISE_STEP_S, NOISE_CENTRE_BPS * rng.uniform(1.0 - NOISE_RATIO, 1.0 + NOISE_RATIO)


@dataclass(frozen=True, slots=True, kw_only=True)
class Climate:
    """Weather of one kind of network; `*_std` are of natural logarithms. A level is that of the place, times a slow
    walk (an Ornstein-Uhlenbeck process), times scatter that is new with each level. A handover begins a new walk.

    median_bps: of a usual place, places_std: among places. hold_s: mean length of one level. slow_std, slow_s: of the
    walk and its memory; quick_std: of the scatter of levels. restless_std: how places differ in both. outage_every_s,
    outage_s: means; how often differs by place. handover_every_s, gap_s: likewise; without a gap nothing is lost.
    """

    median_bps: float
    places_std: float
    hold_s: float
    slow_std: float
    slow_s: float
    quick_std: float
    restless_std: float
    outage_every_s: float = math.inf
    outage_s: float = 0.0
    handover_every_s: float = math.inf
    gap_s: float = 0.0
    highest_bps: float = math.inf

    def steps(self, rng: random.Random) -> Iterator[Step]:
        """Levels of one place, for ever."""
        centre = math.log(self.median_bps) + rng.gauss(0.0, self.places_std)
        restlessness = math.exp(rng.gauss(0.0, self.restless_std))
        slow_std, quick_std = self.slow_std * restlessness, self.quick_std * restlessness
        outages_per_s = rng.expovariate(1.0) / self.outage_every_s
        slow = rng.gauss(0.0, slow_std)
        while True:
            hold_s = max(SHORTEST_S, self.hold_s * rng.uniform(0.7, 1.3))
            rate_bps = math.exp(centre + slow + rng.gauss(0.0, quick_std))
            yield hold_s, min(self.highest_bps, max(DEAD_BPS, rate_bps))
            memory = math.exp(-hold_s / self.slow_s)
            slow = memory * slow + math.sqrt(1.0 - memory**2) * rng.gauss(0.0, slow_std)
            if rng.random() < hold_s * outages_per_s:
                yield max(1.0, rng.expovariate(1.0 / self.outage_s)), DEAD_BPS
            if rng.random() < hold_s / self.handover_every_s:
                if self.gap_s > 0.0:
                    yield max(SHORTEST_S, rng.expovariate(1.0 / self.gap_s)), DEAD_BPS
                slow = rng.gauss(0.0, slow_std)


CLIMATES: dict[str, tuple[Climate, ...]] = {
    "3g": (Climate(median_bps=2.0e6, places_std=0.43, hold_s=0.9, slow_std=0.31, slow_s=9.0, quick_std=0.10,
                   restless_std=0.35),),
    "fixed": (Climate(median_bps=1.4e6, places_std=0.45, hold_s=1.05, slow_std=0.28, slow_s=10.0, quick_std=0.24,
                      restless_std=0.3, outage_every_s=600.0, outage_s=1.0),
              Climate(median_bps=1.0e6, places_std=0.3, hold_s=5.2, slow_std=0.14, slow_s=20.0, quick_std=0.13,
                      restless_std=0.3)),
    "video": (Climate(median_bps=2.0e6, places_std=0.68, hold_s=3.7, slow_std=0.14, slow_s=15.0, quick_std=0.02,
                      restless_std=0.9),),
    "congested": (Climate(median_bps=1.35e6, places_std=0.5, hold_s=2.0, slow_std=0.5, slow_s=20.0, quick_std=0.35,
                          restless_std=0.3, outage_every_s=13.0, outage_s=2.3, handover_every_s=5.0),),
    "4g": (Climate(median_bps=33e6, places_std=0.3, hold_s=1.05, slow_std=0.68, slow_s=25.0, quick_std=0.16,
                   restless_std=0.15, outage_every_s=120.0, outage_s=5.5, handover_every_s=4.5),),
    "5g": (Climate(median_bps=150e6, places_std=0.4, hold_s=1.05, slow_std=1.1, slow_s=25.0, quick_std=0.17,
                   restless_std=0.25, outage_every_s=55.0, outage_s=1.9, handover_every_s=5.0, highest_bps=1.5e9),),
    "bursty": (Climate(median_bps=5e6, places_std=0.6, hold_s=0.2, slow_std=0.5, slow_s=10.0, quick_std=0.6,
                       restless_std=0.2, outage_every_s=90.0, outage_s=2.0, handover_every_s=60.0, gap_s=0.5),),
}  # fmt: skip
"""By kind: 3G on the move, fixed lines, video sessions on steady and on congested paths, 4G and 5G on the move, and a
mobile uplink as packets see it. A place is of one of the climates of its kind."""


def _climate(kind: str, rng: random.Random) -> Iterator[Step]:
    """Levels of a place of `kind`, for ever."""
    return rng.choice(CLIMATES[kind]).steps(rng)


KINDS: dict[str, Callable[[random.Random], Iterator[Step]]] = {
    "markov": _markov,
    "steps": _steps,
    "fades": _fades,
    "outages": _outages,
    "noise": _noise,
    **{kind: partial(_climate, kind) for kind in CLIMATES},
}


def _any_rate_bps(rng: random.Random) -> float:
    return math.exp(rng.uniform(math.log(LOWEST_BPS), math.log(HIGHEST_BPS)))


def _trace(steps: Iterator[Step], duration_s: float) -> Trace:
    times_s: list[float] = []
    rates_bps: list[float] = []
    at_s = 0.0
    for hold_s, rate_bps in steps:
        times_s.append(round(at_s, 3))
        rates_bps.append(rate_bps)
        at_s += hold_s
        if at_s >= duration_s:
            break
    return Trace(times_s=tuple(times_s), rates_bps=tuple(rates_bps), length_s=duration_s)
