"""Climates: generated weather is like the recorded weather that it was fitted to."""

import hashlib
import itertools
import math
import statistics

import pytest

from seamline.config import Trace, read_trace, recorded_names, trace_path
from seamline.sim import csv_lines, generate
from seamline.sim.generate import CLIMATES, DEAD_BPS

SEEDS = range(30)
RECORDED = {"3g": "norway-3g", "fixed": "fcc", "video": "oboe", "congested": "puffer"}


def typical(traces: list[Trace]) -> tuple[float, float, float]:
    """(natural logarithm of the median, restlessness, share of time that is dead), means over traces."""
    return tuple(map(statistics.mean, zip(*(_of(trace) for trace in traces), strict=True)))


def _of(trace: Trace) -> tuple[float, float, float]:
    rates = [trace.rate_bps_at(at_s / 2) for at_s in range(int(2 * min(trace.length_s, 150.0)))]
    logs = [math.log(rate) for rate in rates if rate > 0.1e6]
    return statistics.median(logs), statistics.pstdev(logs), 1.0 - len(logs) / len(rates)


@pytest.mark.parametrize(("kind", "recorded"), RECORDED.items())
def test_generated_weather_is_as_fast_as_restless_and_as_often_dead_as_recorded_weather(kind: str, recorded: str):
    names = [name for name in recorded_names() if name.startswith(recorded)]
    median, std, dead = typical([read_trace(trace_path(f"real:{name}")) for name in names])
    made_median, made_std, made_dead = typical([generate(kind, seed, 150.0) for seed in SEEDS])
    assert made_median == pytest.approx(median, abs=math.log(2.0))  # three recorded places, which differ by more
    assert made_std == pytest.approx(std, abs=0.3)
    assert made_dead == pytest.approx(dead, abs=0.1)


@pytest.mark.parametrize("kind", CLIMATES)
def test_a_climate_is_nearly_dead_at_worst_and_its_places_differ(kind: str):
    traces = [generate(kind, seed, 150.0) for seed in SEEDS]
    assert min(min(trace.rates_bps) for trace in traces) >= DEAD_BPS
    assert max(max(trace.rates_bps) for trace in traces) < 2e9
    medians = [statistics.median(trace.rates_bps) for trace in traces]
    assert max(medians) > 1.5 * min(medians)


def test_outages_last_for_seconds_and_come_back():
    steps = [(hold_s, rate) for seed in SEEDS for hold_s, rate in _held(generate("congested", seed, 150.0))]
    outages_s = [hold_s for hold_s, rate in steps if rate == DEAD_BPS]
    assert 1.5 < statistics.mean(outages_s) < 4.0
    assert min(outages_s) >= 0.999


def test_bursts_change_within_a_second():
    holds_s = [hold_s for hold_s, rate in _held(generate("bursty", 1, 150.0)) if rate > DEAD_BPS]
    assert statistics.mean(holds_s) < 0.25


def _held(trace: Trace) -> list[tuple[float, float]]:
    """(seconds, bits per second) of all levels but the last, which the end of the trace cuts."""
    return [
        (until_s - at_s, rate)
        for (at_s, until_s), rate in zip(itertools.pairwise(trace.times_s), trace.rates_bps, strict=False)
    ]


DIGESTS = {
    "markov": "353d8b73d0ad88a8",
    "steps": "b60337a1571a7096",
    "fades": "96ef6e31dbc9933d",
    "outages": "2ea70a9465b51464",
    "noise": "5d574ad529d3f051",
}


@pytest.mark.parametrize(("kind", "digest"), DIGESTS.items())
def test_names_of_earlier_kinds_mean_the_traces_they_always_meant(kind: str, digest: str):
    text = "\n".join(csv_lines(generate(kind, 1, 300.0)))
    assert hashlib.sha256(text.encode()).hexdigest()[:16] == digest
