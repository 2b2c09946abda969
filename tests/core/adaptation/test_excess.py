"""Excess of transfers: mean, quantile, memory and prior."""

from __future__ import annotations

import pytest

from seamline.core.adaptation.excess import MEMORY_S, MOST_S, N_REMEMBERED, PRIOR_S, Excess, observe_excess


def observed(excesses_s: list[float], expected_s: float = 0.5, at_s: float = 1.0) -> Excess:
    known = Excess()
    for excess_s in excesses_s:
        known = observe_excess(known, excess_s, expected_s, at_s)
    return known


def test_before_any_transfer_none_is_expected():
    assert Excess().mean_ratio(100.0) == Excess().quantile_ratio(0.95, 100.0) == 0.0


def test_the_mean_is_that_of_all_seconds_beside_some_without_any():
    known = observed([0.4] * 8)
    assert known.mean_ratio(1.0) == pytest.approx(8 * 0.4 / (8 * 0.5 + PRIOR_S))


def test_transfers_sooner_than_expected_make_up_for_late_ones_and_never_count_as_a_gain():
    assert observed([0.3, -0.3]).mean_ratio(1.0) == pytest.approx(0.0)
    assert observed([0.3, -3.0]).mean_ratio(1.0) == 0.0
    assert observed([-0.1] * 20).quantile_ratio(0.95, 1.0) == 0.0


def test_a_quantile_is_what_so_many_transfers_do_not_exceed():
    known = observed([0.01 * number for number in range(40)])
    assert known.quantile_ratio(0.95, 1.0) == pytest.approx(0.37 / 0.5)
    assert known.quantile_ratio(0.5, 1.0) == pytest.approx(0.19 / 0.5)
    assert observed([5.0] + [0.0] * 60).quantile_ratio(0.95, 1.0) == 0.0


def test_it_fades_so_that_a_bad_link_is_tried_again():
    known = observed([2.0] * 3, at_s=0.0)
    later = [known.mean_ratio(at_s) for at_s in (0.0, MEMORY_S, 5.0 * MEMORY_S, 50.0 * MEMORY_S)]
    assert later == sorted(later, reverse=True)
    assert later[-1] < 1e-6
    assert known.quantile_ratio(0.95, 0.0) > known.quantile_ratio(0.95, 20.0 * MEMORY_S) == 0.0


def test_one_frame_that_took_for_ever_does_not_count_for_ever_and_few_are_remembered():
    assert observed([1e9]).mean_ratio(1.0) <= MOST_S / PRIOR_S
    assert len(observed([0.0] * 1000).transfers) == N_REMEMBERED
