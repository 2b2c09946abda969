"""What changes around the stream, and when: an office day in ten minutes, the same for every network and policy.

A camera (the Pi) on WiFi, a laptop beside it, a desktop behind an uplink. Each phase is something that happens every
day; none is longer than three minutes, so no policy can wait it out. Every run draws its own lengths and rates around
these (seeded), so that no result hangs on one moment.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Sequence
from dataclasses import dataclass

from experiments.adaptive_2026.published import SLOWEST_WIFI_BPS, UPLINK_BPS
from seamline.config import Trace

DURATION_S = 600.0
LENGTH_SPREAD_RATIO = 0.2
RATE_SPREAD_RATIO = 0.15
FLUTTER_S, FLUTTER_RATIO = 4.0, 0.08
WIFI_DELAY_S = 0.002


@dataclass(frozen=True, slots=True, kw_only=True)
class Phase:
    """share: of the duration. Rates in Mbit/s of payload; loads: how many times longer computing takes there."""

    what: str
    share: float
    wifi_mbps: float = 40.0
    uplink_mbps: float = UPLINK_BPS / 1e6
    edge_load: float = 1.0
    fog_load: float = 1.0
    cloud_load: float = 1.0


QUIET = Phase(what="quiet", share=0.0)

PHASES = (
    Phase(what="quiet morning", share=0.12),
    Phase(what="others share the WiFi", share=0.14, wifi_mbps=8.0),
    Phase(what="quiet", share=0.06),
    Phase(what="a meeting runs on the laptop", share=0.12, fog_load=4.0),
    Phase(what="the camera stands behind a wall", share=0.12, wifi_mbps=SLOWEST_WIFI_BPS / 1e6),
    Phase(what="quiet", share=0.06),
    Phase(what="the Pi runs another program", share=0.12, edge_load=2.5),
    Phase(what="a backup fills the uplink", share=0.12, uplink_mbps=2.0),
    Phase(what="the desktop trains a network", share=0.10, cloud_load=10.0),
    Phase(what="quiet evening", share=0.04),
)
"""Beginning quiet matters: `static_at_start` is then the plan of a good moment, as at every start-up in the morning."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Day:
    """One drawn run of the scenario. loads: per tier (at_s, factor). starts_s: of each phase."""

    wifi: Trace
    uplink: Trace
    edge_loads: tuple[tuple[float, float], ...]
    fog_loads: tuple[tuple[float, float], ...]
    cloud_loads: tuple[tuple[float, float], ...]
    starts_s: tuple[float, ...]


def phases(change_ratio: float = 1.0, *, is_pi_loaded: bool = True) -> tuple[Phase, ...]:
    """The phases with only a part of each change, in its logarithm: with 0.5, a fourth of a rate becomes half of it."""

    def part(usual: float, changed: float) -> float:
        return usual * (changed / usual) ** change_ratio

    return tuple(
        Phase(
            what=each.what,
            share=each.share,
            wifi_mbps=part(QUIET.wifi_mbps, each.wifi_mbps),
            uplink_mbps=part(QUIET.uplink_mbps, each.uplink_mbps),
            edge_load=part(1.0, each.edge_load) if is_pi_loaded else 1.0,
            fog_load=part(1.0, each.fog_load),
            cloud_load=part(1.0, each.cloud_load),
        )
        for each in PHASES
    )


def day(seed: int, duration_s: float = DURATION_S, happening: Sequence[Phase] = PHASES) -> Day:
    """The run of `happening` that `seed` draws."""
    rng = random.Random(f"adaptive-2026:{seed}")
    lengths = [phase.share * rng.uniform(1.0 - LENGTH_SPREAD_RATIO, 1.0 + LENGTH_SPREAD_RATIO) for phase in happening]
    scale_s = duration_s / sum(lengths)
    starts_s = tuple(itertools.accumulate((scale_s * length for length in lengths[:-1]), initial=0.0))
    return Day(
        wifi=_trace([phase.wifi_mbps for phase in happening], starts_s, duration_s, rng),
        uplink=_trace([phase.uplink_mbps for phase in happening], starts_s, duration_s, rng),
        edge_loads=tuple(zip(starts_s, (phase.edge_load for phase in happening), strict=True)),
        fog_loads=tuple(zip(starts_s, (phase.fog_load for phase in happening), strict=True)),
        cloud_loads=tuple(zip(starts_s, (phase.cloud_load for phase in happening), strict=True)),
        starts_s=starts_s,
    )


def _trace(rates_mbps: Sequence[float], starts_s: Sequence[float], duration_s: float, rng: random.Random) -> Trace:
    """Each phase's own rate, fluttering a little all the time as WiFi does."""
    times_s: list[float] = []
    rates_bps: list[float] = []
    for rate_mbps, start_s, stop_s in zip(rates_mbps, starts_s, [*starts_s[1:], duration_s], strict=True):
        centre_bps = 1e6 * rate_mbps * rng.lognormvariate(0.0, RATE_SPREAD_RATIO)
        at_s = start_s
        while at_s < stop_s:
            times_s.append(at_s)
            rates_bps.append(centre_bps * rng.lognormvariate(0.0, FLUTTER_RATIO))
            at_s += FLUTTER_S
    return Trace(times_s=tuple(times_s), rates_bps=tuple(rates_bps), length_s=duration_s)
