"""Links that oscillate: distinguished from steps and drifts, and averaged as latency averages."""

import pytest

from seamline.core.adaptation.oscillation import MEMORY_S, Oscillation, observe_oscillation


def after(rates_mbps: list[float], every_s: float) -> tuple[Oscillation, float]:
    oscillation, at_s = None, 0.0
    for rate in rates_mbps:
        oscillation = observe_oscillation(oscillation, rate * 1e6, at_s)
        at_s += every_s
    assert oscillation is not None
    return oscillation, at_s


def test_a_link_that_changes_direction_every_two_seconds_oscillates_and_one_every_ten_does_not():
    assert after([20.0, 5.0] * 20, 2.0)[0].is_oscillating(80.0)
    assert not after([20.0, 5.0] * 20, 10.0)[0].is_oscillating(400.0)


def test_a_step_a_fall_in_several_steps_and_noise_are_no_oscillation():
    for rates in ([20.0] * 20 + [5.0] * 20, [20.0, 12.0, 7.0, 4.0, 2.0], [9.0, 11.0] * 50):
        oscillation, at_s = after(rates, 0.5)
        assert oscillation.n_direction_changes == 0.0
        assert not oscillation.is_oscillating(at_s)


def test_a_change_of_direction_is_measured_from_the_farthest_point():
    oscillation, _ = after([20.0, 10.0, 8.0, 7.0, 11.0], 0.1)
    assert oscillation.n_direction_changes == pytest.approx(1.0)


def test_the_average_is_that_of_seconds_per_bit():
    oscillation, _ = after([20.0, 5.0] * 100, 1.0)
    assert oscillation.average_bps == pytest.approx(8e6, rel=0.04)  # the newest second counts a little more


def test_oscillation_is_forgotten_and_an_outage_changes_nothing():
    oscillation, at_s = after([20.0, 5.0] * 20, 1.0)
    assert not oscillation.is_oscillating(at_s + 2 * MEMORY_S)
    assert observe_oscillation(oscillation, 0.0, at_s) == oscillation
    assert observe_oscillation(None, 0.0, 0.0) is None
