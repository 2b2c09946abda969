"""Nodes that were left because they were slow: asked again, seldom, and followed up when they have recovered."""

from __future__ import annotations

import pytest

from seamline.core.speed.reprofiling import (
    MOST_INTERVAL_S,
    N_CONFIRMING,
    N_RUNS,
    SHARE_RATIO,
    ReprofilingState,
    answered,
    asked,
    computed,
    is_due,
)
from seamline.core.vocabulary.plans import Segment

PART = Segment(3, 9)


def _moments(known: ReprofilingState, until_s: float, *, expected_s: float = 0.01, ratio: float = 1.0) -> list[float]:
    """When a node that answers at once is asked."""
    moments, now_s = [], 0.0
    while now_s < until_s:
        if is_due(known, 5.0, now_s):
            moments.append(now_s)
            known = answered(asked(known, expected_s, now_s), ratio, now_s)
        now_s += 0.25
    return moments


def test_a_node_that_stays_slow_is_asked_ever_more_seldom_but_always_again():
    moments = _moments(computed(None, PART, 0.0), 120.0)
    assert moments[:4] == [2.0, 6.0, 14.0, 30.0]
    assert moments[-1] - moments[-2] == MOST_INTERVAL_S


def test_asking_a_heavy_node_takes_a_tenth_of_its_time_at_most():
    moments = _moments(computed(None, PART, 0.0), 1000.0, expected_s=5.0)
    assert moments[1] - moments[0] == N_RUNS * 5.0 / SHARE_RATIO


def test_a_node_at_its_profiled_speed_and_one_that_never_computed_are_not_asked():
    assert not is_due(computed(None, PART, 0.0), 1.05, 1e6)
    assert not is_due(None, 5.0, 1e6)


def test_an_answer_that_does_not_fit_is_followed_up_at_once_until_that_is_noise():
    known = computed(None, PART, 0.0)
    for number in range(N_CONFIRMING):
        known = answered(asked(known, 0.01, 10.0 + number), 0.2, 10.0 + number)
        assert is_due(known, 5.0, 10.0 + number)
    known = answered(asked(known, 0.01, 20.0), 0.2, 20.0)
    assert not is_due(known, 5.0, 20.0)
    assert known.interval_s == 4.0, "doubled by the first question only"


def test_a_node_that_was_asked_lately_and_is_left_again_is_asked_later():
    known = computed(None, PART, 0.0)
    for now_s in (2.0, 6.0):
        known = answered(asked(known, 0.01, now_s), 1.0, now_s)
    soon, late = computed(known, PART, 8.0), computed(known, PART, 6.1 + MOST_INTERVAL_S)
    assert soon.due_s - 8.0 == pytest.approx(8.0)
    assert late.due_s - (6.1 + MOST_INTERVAL_S) == pytest.approx(2.0)
