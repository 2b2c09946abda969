"""Claims about moves by load: the first is free, each one after it waits longer, a crowd that settled is forgotten."""

from __future__ import annotations

from itertools import pairwise

import pytest

from seamline.core.adaptation.crowding import FIRST_S, FORGET_RATIO, GROWTH, MOST_S, Crowding, after_move


def test_the_first_move_is_free_and_the_next_ones_wait_longer_each_time():
    known, now_s, terms = Crowding(), 100.0, []
    assert known.is_over(now_s)
    for _ in range(6):
        known = after_move(known, "edge 1", now_s)
        terms.append(known.term_s)
        assert not known.is_over(now_s + 0.99 * known.term_s)
        now_s += known.term_s
        assert known.is_over(now_s)
    assert 0.5 * FIRST_S <= terms[0] <= 1.5 * FIRST_S
    assert all(later > earlier for earlier, later in pairwise(terms[:4]))
    assert max(terms) <= 1.5 * MOST_S


def test_two_streams_that_move_at_once_wait_for_different_times():
    here, there = after_move(Crowding(), "edge 1", 7.0), after_move(Crowding(), "edge-2 1", 7.0)
    assert abs(here.term_s - there.term_s) > 0.05 * FIRST_S


@pytest.mark.parametrize(("stayed", "is_forgotten"), [(0.9 * FORGET_RATIO, False), (FORGET_RATIO, True)])
def test_a_plan_that_stayed_long_begins_anew(stayed, is_forgotten):
    known = after_move(Crowding(0.0, 16.0), "edge 1", stayed * 16.0)
    assert (known.term_s <= 1.5 * FIRST_S) == is_forgotten
    assert is_forgotten or known.term_s >= 0.5 * GROWTH * 16.0
