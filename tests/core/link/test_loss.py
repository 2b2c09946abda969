"""What a lost packet costs the bytes that TCP carries."""

from __future__ import annotations

import pytest

from seamline.core.link.loss import held_up_s

N_DRAWS = 10_000


def shares(n_bytes: int, loss_ratio: float, delay_s: float) -> dict[float, float]:
    """How much of all draws gives which waiting time."""
    waits = [held_up_s(n_bytes, loss_ratio, delay_s, (at + 0.5) / N_DRAWS) for at in range(N_DRAWS)]
    return {wait: waits.count(wait) / N_DRAWS for wait in set(waits)}


def test_a_message_of_many_packets_is_held_up_by_a_round_trip_as_often_as_one_of_them_is_lost():
    found = shares(60_000, 0.01, 0.01)
    assert found[0.02] + found[0.2] == pytest.approx(1.0 - 0.99**42, abs=2.0 / N_DRAWS)


def test_the_timeout_waits_where_the_repair_is_lost_too_and_never_less_than_a_round_trip():
    assert shares(1000, 0.1, 0.01)[0.2] == pytest.approx(0.01, abs=2.0 / N_DRAWS)
    assert set(shares(1000, 0.1, 0.15)) == {0.0, 0.3}


def test_nothing_waits_without_loss():
    assert shares(60_000, 0.0, 0.01) == {0.0: 1.0}
