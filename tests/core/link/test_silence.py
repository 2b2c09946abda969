"""Silence of a link: an answer is owed for longer than the link's own delays explain."""

from __future__ import annotations

import math

import pytest

from seamline.core.link.silence import LEAST_LIMIT_S, MOST_LIMIT_S, Silence


def pinged(times_s: list[float]) -> Silence:
    state = Silence()
    for took_s in times_s:
        state = state.asked(0.0).answered(took_s)
    return state


def test_nothing_is_silent_that_owes_no_answer():
    assert Silence().begins_s == math.inf
    assert pinged([0.02]).begins_s == math.inf
    assert Silence().asked(5.0).answered(None).begins_s == math.inf


def test_the_oldest_ping_without_an_answer_since_counts():
    state = pinged([0.02] * 20).asked(5.0).asked(5.25)
    assert state.begins_s == pytest.approx(5.0 + 0.02 + LEAST_LIMIT_S, abs=1e-3)


def test_the_limit_follows_a_link_of_varying_delay_within_bounds_and_one_stall_moves_it_for_some_seconds():
    varying = pinged([0.05, 0.25] * 20).asked(0.0).begins_s
    assert LEAST_LIMIT_S + 0.15 < varying < MOST_LIMIT_S
    assert pinged([2.0] * 20).asked(0.0).begins_s == MOST_LIMIT_S
    stalled = pinged([0.02] * 20 + [1.0] + [0.02] * 16)  # four seconds later
    assert stalled.asked(0.0).begins_s < LEAST_LIMIT_S + 0.1
