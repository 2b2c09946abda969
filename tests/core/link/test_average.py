"""What a link carries on average, and whether it oscillates: from single messages."""

import pytest

from seamline.core.link.average import ACTING_S, MEMORY_S, Average, LinearEstimate, observe_average

BYTES = 50_000


def after(rates_mbps: list[float], every_s: float, lag: int = 3) -> Average:
    """One message of `BYTES` each `every_s`, at these rates; the estimate is `lag` messages behind."""
    average = None
    for at, mbps in enumerate(rates_mbps):
        sent_s = at * every_s
        before = LinearEstimate(sent_s - every_s, 0.0, 1e-6 / rates_mbps[at - lag]) if at >= lag else None
        average = observe_average(average, BYTES, 8 * BYTES / (mbps * 1e6), sent_s, before)
    assert average is not None
    return average


def test_the_average_is_that_of_seconds_per_bit_and_knows_how_sure_it_is():
    steady, mixed = after([8.0] * 100, 0.5), after([20.0, 5.0] * 50, 0.5)
    assert steady.goodput_bps == pytest.approx(8e6)
    assert steady.std_ratio == pytest.approx(0.0, abs=1e-6)
    assert mixed.goodput_bps == pytest.approx(8e6, rel=0.02)  # 2 / (1/20 + 1/5)
    assert mixed.std_ratio == pytest.approx(0.6 / (MEMORY_S / 0.5) ** 0.5, rel=0.1)


def test_a_burst_of_probes_does_not_outweigh_the_frames_before_it():
    average = after([20.0] * 40, 0.5)
    for probe in range(6):
        average = observe_average(average, BYTES, 8 * BYTES / 5e6, 20.0 + 0.02 * probe)
    assert average.goodput_bps > 17e6  # 13.9 if every message counted the same


def test_a_big_message_counts_more_than_a_small_one():
    average = observe_average(after([10.0] * 10, 1.0), 1_000, 0.004, 10.0)  # a stall in a small one: 2 Mbit/s
    assert average.goodput_bps > 9.5e6


@pytest.mark.parametrize("hold_s", [0.5, 1.0, 1.5])
def test_a_link_that_changes_before_the_estimate_has_followed_oscillates(hold_s: float):
    steady = [20.0 if int(0.5 * at / hold_s) % 2 else 5.0 for at in range(120)]
    average = after(steady, 0.5)
    assert average.oscillating_until_s > 60.0


def test_a_link_that_changes_as_often_but_is_followed_does_not():
    steady = [20.0 if int(at / 6) % 2 else 5.0 for at in range(120)]
    average = after(steady, 0.5, lag=1)
    assert average.n_direction_changes > 3.0
    assert average.oscillating_until_s < 0.0


@pytest.mark.parametrize(("hold_s", "oscillates"), [(0.5, True), (0.8, True), (5.0, False)])
def test_an_estimate_that_follows_at_once_is_of_no_use_where_plans_follow_too_late(hold_s: float, oscillates: bool):
    steady = [20.0 if int(0.1 * at / hold_s) % 2 else 5.0 for at in range(600)]
    average = after(steady, 0.1, lag=3)
    assert average.estimates[0].at_s == pytest.approx(59.9 - ACTING_S, abs=0.11)
    assert (average.oscillating_until_s > 60.0) == oscillates


@pytest.mark.parametrize(
    "rates", [[20.0] * 60 + [5.0] * 60, [20.0 + 4.0 * (at % 2) for at in range(120)], [20.0] * 119 + [1.0]]
)
def test_one_step_noise_and_one_stray_message_are_no_oscillation(rates: list[float]):
    assert after(rates, 0.5).oscillating_until_s < 60.0


def test_it_ends_when_the_link_keeps_its_rate_for_longer_than_it_used_to():
    oscillating = after([20.0, 20.0, 5.0, 5.0] * 30, 0.5)
    since_s = oscillating.oscillating_until_s - 60.0
    assert 1.5 < since_s < 5.0
    steady = oscillating
    for at in range(10):
        steady = observe_average(steady, BYTES, 8 * BYTES / 5e6, 60.0 + 0.5 * at)
    assert steady.oscillating_until_s < 65.0


def test_messages_too_quick_to_count_are_averaged_but_no_oscillation():
    average = None
    for at in range(100):
        average = observe_average(average, 4096, 0.002 if at % 2 else 0.005, 0.5 * at)
    assert average is not None
    assert average.n_direction_changes == 0.0
    assert average.goodput_bps == pytest.approx(8 * 4096 / 0.0035, rel=0.05)


def test_short_messages_that_were_held_up_now_and_then_are_no_oscillation():
    average = None
    for at in range(100):
        average = observe_average(
            average, 9_000, 0.015 if at % 4 == 3 else 0.002, 0.5 * at, LinearEstimate(0.5 * at - 0.3, 0.3, 0.0)
        )
        assert average.oscillating_until_s < 0.0
    assert average is not None
    assert average.n_direction_changes == 0.0
    assert average.estimate_error == 0.0  # of so few bits, any constant would be an error beyond all measure


def test_messages_that_a_busy_processor_holds_up_by_half_their_time_are_no_oscillation():
    average = None
    for at in range(120):
        service_s = 0.012 + 0.011 * (at % 2)
        average = observe_average(average, 60_000, service_s, 0.5 * at, LinearEstimate(0.5 * at - 0.3, 0.012, 0.0))
    assert average is not None
    assert average.n_direction_changes == 0.0
