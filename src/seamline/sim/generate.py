"""Link traces made up by rule, for simulations and testbeds: seeded, so that a name is a trace.

markov: rates jump between a few levels, each held for an exponential time. steps: new levels, any, every so often.
fades: a slow walk in decibels, as by distance and shadowing, with quick fading on it. outages: steps with times of
silence. alternating and noise: what tempts a controller to flap. Rates are of one direction, in bits per second.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator

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


KINDS: dict[str, Callable[[random.Random], Iterator[Step]]] = {
    "markov": _markov,
    "steps": _steps,
    "fades": _fades,
    "outages": _outages,
    "noise": _noise,
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
