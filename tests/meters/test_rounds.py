"""Rounds are comparable across drift, and noisy ones do not count."""

import pytest

from seamline.meters.rounds import Rounds


def test_the_first_round_counts_only_when_it_is_the_only_one() -> None:
    assert Rounds({"a": [9.0]}, [1.0]).quantiles_s(1.0)["a"].median == 9.0
    assert Rounds({"a": [9.0, 2.0]}, [1.0, 1.0, 1.0]).quantiles_s(1.0)["a"].median == 2.0


def test_a_machine_of_half_the_speed_measures_the_same() -> None:
    rounds = Rounds({"a": [4.0, 4.0, 4.0], "b": [6.0, 6.0, 6.0]}, [2.0, 2.0, 2.0, 2.0])
    assert {key: times.median for key, times in rounds.quantiles_s(1.0).items()} == {"a": 2.0, "b": 3.0}


def test_rounds_between_slow_anchors_do_not_count() -> None:
    rounds = Rounds({"a": [1.0, 1.0, 7.0, 7.0, 1.0]}, [1.0, 1.0, 1.0, 5.0, 1.0, 1.0])
    assert rounds.quantiles_s(1.0)["a"].p90 == pytest.approx(1.0)


def test_a_last_round_without_an_anchor_after_it_goes_by_the_one_before() -> None:
    assert Rounds({"a": [4.0, 4.0]}, [2.0, 2.0]).quantiles_s(1.0)["a"].median == 2.0
