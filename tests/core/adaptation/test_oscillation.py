"""Links that turn: told from steps and drifts, and averaged as latency averages."""

import pytest

from seamline.core.adaptation.oscillation import MEMORY_S, Swing, observe_swing


def after(rates_mbps: list[float], every_s: float) -> tuple[Swing, float]:
    swing, at_s = None, 0.0
    for rate in rates_mbps:
        swing = observe_swing(swing, rate * 1e6, at_s)
        at_s += every_s
    assert swing is not None
    return swing, at_s


def test_a_link_that_turns_every_two_seconds_swings_and_one_every_ten_does_not():
    assert after([20.0, 5.0] * 20, 2.0)[0].is_swinging(80.0)
    assert not after([20.0, 5.0] * 20, 10.0)[0].is_swinging(400.0)


def test_a_step_a_fall_in_several_steps_and_noise_are_no_swing():
    for rates in ([20.0] * 20 + [5.0] * 20, [20.0, 12.0, 7.0, 4.0, 2.0], [9.0, 11.0] * 50):
        swing, at_s = after(rates, 0.5)
        assert swing.n_reversals == 0.0
        assert not swing.is_swinging(at_s)


def test_a_reversal_is_measured_from_the_farthest_point():
    swing, _ = after([20.0, 10.0, 8.0, 7.0, 11.0], 0.1)
    assert swing.n_reversals == pytest.approx(1.0)


def test_the_average_is_that_of_seconds_per_bit():
    swing, _ = after([20.0, 5.0] * 100, 1.0)
    assert swing.average_bps == pytest.approx(8e6, rel=0.04)  # the newest second counts a little more


def test_swinging_is_forgotten_and_an_outage_changes_nothing():
    swing, at_s = after([20.0, 5.0] * 20, 1.0)
    assert not swing.is_swinging(at_s + 2 * MEMORY_S)
    assert observe_swing(swing, 0.0, at_s) == swing
    assert observe_swing(None, 0.0, 0.0) is None
