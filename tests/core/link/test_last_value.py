"""Links that drift: the last-value forecast is selected where its error is smaller, and nowhere else."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

from seamline.core.link.estimator import (
    LinkState,
    TransferSample,
    estimate,
    estimated_bps,
    measured_at_s,
    observe_down,
    observe_rtt,
    observe_silence,
    observe_transfer,
)
from seamline.core.link.last_value import GAIN, LEAST_MESSAGES, STALE_S
from seamline.core.vocabulary.nodes import NodeId

RTT_S = 0.02
EVERY_S = 0.5
FRAME_BYTES = 75_000
NEW = observe_rtt(LinkState(source=NodeId("edge"), target=NodeId("fog")), RTT_S, 0.0)


def sent(state: LinkState, n_bytes: int, at_s: float, rate_bps: float, late_s: float = 0.0) -> LinkState:
    """`state` after a message over a link by itself."""
    took_s = RTT_S + 8 * n_bytes / rate_bps + late_s
    return observe_transfer(state, TransferSample(n_bytes, at_s, at_s + took_s))


def walk(seed: int, n: int) -> list[float]:
    """Bits per second that fade as over a radio: 4 dB around 12 Mbit/s, remembered for 30 s, and 0.4 dB besides."""
    rng, memory, slow_db = random.Random(seed), math.exp(-EVERY_S / 30.0), 0.0
    rates = []
    for _ in range(n):
        slow_db = memory * slow_db + math.sqrt(1 - memory**2) * rng.gauss(0.0, 4.0)
        rates.append(12e6 * 10 ** ((slow_db + rng.gauss(0.0, 0.4)) / 10))
    return rates


def over(rates_bps: list[float]) -> Iterator[tuple[LinkState, float]]:
    """The state after each frame over a link of these rates, and the rate then."""
    state = NEW
    for number, rate_bps in enumerate(rates_bps):
        state = sent(state, FRAME_BYTES, 1.0 + EVERY_S * number, rate_bps)
        yield state, rate_bps


def drifting(seed: int = 0) -> LinkState:
    """A link whose last value is selected, at its newest frame."""
    return next(state for state, _ in list(over(walk(seed, 120)))[::-1] if state.selected_last_value is not None)


def test_links_that_fade_are_known_better_than_by_their_envelopes():
    errors, of_envelope = [], []
    for seed in range(5):
        rates_bps = walk(seed, 240)
        for (state, _), next_bps in zip(over(rates_bps), rates_bps[1:], strict=False):
            assert state.goodput is not None
            errors.append(abs(math.log(estimated_bps(state) / next_bps)))
            of_envelope.append(abs(math.log(state.goodput.value / next_bps)))
    assert sum(errors) < 0.8 * sum(of_envelope)
    assert sum(errors) / len(errors) < 0.22


def selected_ratio(n_bytes: int, late_s: Callable[[random.Random], float]) -> float:
    """Share of 2000 messages, late by chance on a steady link of 20 Mbit/s, after which the last value is selected."""
    selected = []
    for seed in range(10):
        rng, state = random.Random(seed), NEW
        for number in range(200):
            state = sent(state, n_bytes, 1.0 + EVERY_S * number, 20e6, late_s(rng))
            selected.append(state.selected_last_value is not None)
    return sum(selected) / len(selected)


@pytest.mark.parametrize(("n_bytes", "held_up_s"), [(9_000, 0.001), (60_000, 0.003), (200_000, 0.003)])
def test_a_link_that_only_delays_messages_hardly_ever_selects_the_last_value(n_bytes: int, held_up_s: float):
    assert selected_ratio(n_bytes, lambda rng: rng.expovariate(1 / held_up_s)) <= 0.002


def test_a_link_that_loses_packets_hardly_ever_selects_the_last_value():
    assert selected_ratio(FRAME_BYTES, lambda rng: 0.2 if rng.random() < 0.2 else 0.0) <= 0.03


def test_the_selected_last_value_is_estimated_and_reported():
    state = drifting()
    selected, reported = state.selected_last_value, estimate(state, measured_at_s(state))
    assert selected is not None
    assert state.goodput is not None
    assert reported is not None
    assert selected.bits_per_s != state.goodput.value
    assert reported.goodput_bps == estimated_bps(state) == selected.bits_per_s
    assert reported.overhead_s == state.goodput.fixed_overhead_s  # the rest of what messages took is in the rate
    assert reported.measured_at_s == measured_at_s(state) >= selected.at_s


def test_a_message_a_little_slower_moves_it_by_most_of_the_way():
    state = drifting()
    assert state.goodput is not None
    rate_bps = estimated_bps(state)
    after = sent(state, FRAME_BYTES, measured_at_s(state) + EVERY_S, rate_bps / 1.2, state.goodput.fixed_overhead_s)
    assert after.last_value is not None
    assert math.log(rate_bps / after.last_value.bits_per_s) == pytest.approx(GAIN * math.log(1.2), rel=0.1)


def test_a_jump_that_the_envelope_has_reset_to_is_taken_at_once():
    state = drifting()
    slow_bps = estimated_bps(state) / 8
    for _ in range(2):
        state = sent(state, FRAME_BYTES, measured_at_s(state) + 2.0, slow_bps)
        state = sent(state, 4 * FRAME_BYTES, measured_at_s(state) + 4.0, slow_bps)
    assert estimated_bps(state) == pytest.approx(slow_bps, rel=0.1)


def test_after_some_seconds_of_messages_too_short_to_count_the_envelope_is_selected():
    state = drifting()
    at_s, rate_bps = measured_at_s(state), estimated_bps(state)
    for number in range(1, 8):
        state = sent(state, 1_000, at_s + number, rate_bps)
        is_fresh = measured_at_s(state) - at_s <= STALE_S
        assert (state.selected_last_value is not None) == is_fresh


def test_an_outage_ends_it():
    state = drifting()
    back = observe_rtt(observe_down(state), RTT_S, measured_at_s(state) + 1.0)
    assert back.selected_last_value is None
    assert back.last_value is None


def test_an_overdue_message_is_measured_by_the_estimate():
    state = drifting()
    envelope_too_fast = replace(
        state, goodput=replace(state.goodput, seconds_per_bit=state.goodput.seconds_per_bit / 100)
    )
    assert envelope_too_fast.selected_last_value is not None
    carried_s = 8 * FRAME_BYTES / estimated_bps(state)
    began_s = measured_at_s(state) + EVERY_S
    for one in (state, envelope_too_fast):
        assert observe_silence(one, FRAME_BYTES, began_s, began_s + RTT_S + carried_s + 0.2) is one


def test_it_takes_some_messages_to_distinguish_drift_from_chance():
    selected = [state.selected_last_value is not None for state, _ in over(walk(0, 120))]
    assert selected.index(True) >= LEAST_MESSAGES
