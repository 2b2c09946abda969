"""The integral of a staircase, against adding it up in small steps."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from seamline.config import Trace
from seamline.sim.rates import RateCurve

STAIRS = Trace(times_s=(0.0, 1.0, 3.0, 4.0), rates_bps=(8e6, 2e6, 0.0, 4e6), length_s=5.0)


@pytest.mark.parametrize(
    ("start_s", "n_bits", "finish_s"),
    [
        (0.0, 4e6, 0.5),
        (0.5, 5e6, 1.5),  # 4 Mbit until 1 s, the other at 2 Mbit/s
        (2.5, 2e6, 4.25),  # through the outage
        (3.5, 4e6, 5.0),
        (4.5, 6e6, 5.5),  # into the second round
        (10.0, 16e6 * 3, 25.0),  # whole rounds carry 16 Mbit each
        (7.0, 0.0, 7.0),
    ],
)
def test_bits_take_what_the_rates_of_their_time_allow(start_s: float, n_bits: float, finish_s: float):
    assert RateCurve.of(STAIRS).finish_s(start_s, n_bits) == pytest.approx(finish_s)


def test_a_trace_of_one_rate_holds_for_ever():
    steady = RateCurve.of(Trace(times_s=(0.0,), rates_bps=(1e6,), length_s=math.inf))
    assert steady.finish_s(1e4, 2e6) == pytest.approx(1e4 + 2.0)


steps = st.lists(st.tuples(st.floats(0.05, 3.0), st.sampled_from([0.0, 1e6, 3e6, 2e7])), min_size=1, max_size=6)


@given(steps.filter(lambda stairs: any(rate for _, rate in stairs)), st.floats(0.0, 20.0), st.floats(1e3, 5e7))
def test_what_was_carried_until_the_finish_is_what_was_sent(stairs, start_s: float, n_bits: float):
    times, at_s = [], 0.0
    for hold_s, _ in stairs:
        times.append(at_s)
        at_s += hold_s
    trace = Trace(times_s=tuple(times), rates_bps=tuple(rate for _, rate in stairs), length_s=at_s)
    curve = RateCurve.of(trace)
    finish_s = curve.finish_s(start_s, n_bits)
    assert _carried(trace, start_s, finish_s) == pytest.approx(n_bits, rel=1e-6, abs=1.0)
    assert curve.finish_all_s(np.array([start_s]), n_bits)[0] == pytest.approx(finish_s, rel=1e-9, abs=1e-7)


def _carried(trace: Trace, start_s: float, stop_s: float) -> float:
    """Bits between two times, one step of the staircase after the other."""
    total, round_s = 0.0, start_s // trace.length_s * trace.length_s
    while round_s < stop_s:
        edges = [*trace.times_s, trace.length_s]
        for rate_bps, low_s, high_s in zip(trace.rates_bps, edges, edges[1:], strict=False):
            total += rate_bps * max(0.0, min(stop_s, round_s + high_s) - max(start_s, round_s + low_s))
        round_s += trace.length_s
    return total


def test_outages_are_found_in_every_round_and_joined():
    curve = RateCurve.of(Trace(times_s=(0.0, 1.0, 2.0), rates_bps=(1e6, 0.0, 0.0), length_s=3.0))
    assert list(curve.outages(7.0)) == [(1.0, 3.0), (4.0, 6.0)]
