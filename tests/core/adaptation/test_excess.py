"""Excess of frames that left the origin: average, memory and prior."""

import pytest

from seamline.core.adaptation.excess import MEMORY_S, MOST_S, N_PRIOR, Excess, observe_excess


def test_before_any_frame_none_is_expected():
    assert Excess().mean_s(100.0) == 0.0


def test_it_is_the_average_beside_some_frames_without_any():
    known = Excess()
    for number in range(8):
        known = observe_excess(known, 0.4, 0.01 * number)
    assert known.mean_s(0.1) == pytest.approx(8 * 0.4 / (8 + N_PRIOR), rel=0.01)


def test_frames_sooner_than_expected_make_up_for_late_ones_and_never_count_as_a_gain():
    known = observe_excess(observe_excess(Excess(), 0.3, 1.0), -0.3, 1.0)
    assert known.mean_s(1.0) == pytest.approx(0.0)
    assert observe_excess(known, -5.0, 1.0).mean_s(1.0) == 0.0


def test_it_fades_so_that_a_bad_link_is_tried_again():
    known = observe_excess(Excess(), 2.0, 0.0)
    later = [known.mean_s(at_s) for at_s in (0.0, MEMORY_S, 5.0 * MEMORY_S, 50.0 * MEMORY_S)]
    assert later == sorted(later, reverse=True)
    assert later[-1] < 1e-6


def test_one_frame_that_took_for_ever_does_not_count_for_ever():
    assert observe_excess(Excess(), 1e9, 0.0).mean_s(0.0) <= MOST_S / (1.0 + N_PRIOR)
