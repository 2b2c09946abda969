"""Pipeline depth: the frames in flight fill the pipeline, and none waits in it for long."""

import math

import pytest

from seamline.core.adaptation.pipeline_depth import paced_depth, pipeline_depth, wants_pace
from seamline.core.vocabulary.objectives import Goal, Objective, Weights


def under_way(n_filling: float, *, period_s: float = 0.0, goal: Goal = Objective.LATENCY) -> int:
    return pipeline_depth(0.1 * n_filling, 0.1, period_s=period_s, wants_pace=wants_pace(goal))


def age_of_the_newest_answer(n: int, n_filling: float) -> float:
    """In units of the bottleneck, where frames wait for room: as it was when it came, and half way to the next."""
    latency = max(float(n), n_filling)
    return latency + latency / n / 2


@pytest.mark.parametrize("n_filling", [1.0, 1.3, 1.6, 1.7, 2.0, 2.5, 2.75, 2.85, 3.6, 4.95, 6.4])
def test_a_source_that_never_waits_gets_the_number_whose_newest_answer_is_youngest(n_filling: float):
    n = under_way(n_filling)
    assert age_of_the_newest_answer(n, n_filling) == min(age_of_the_newest_answer(m, n_filling) for m in range(1, 9))


def test_a_source_slower_than_the_bottleneck_has_its_frames_overlap():
    assert [under_way(1.6, period_s=period_s) for period_s in (0.0, 0.09, 0.1, 0.5)] == [1, 1, 2, 2]


@pytest.mark.parametrize("goal", [Objective.THROUGHPUT, Weights(latency_s=1.0, bottleneck_s=1.0)])
def test_a_goal_that_counts_the_pace_fills_the_pipeline_to_the_brim(goal: Goal):
    assert [under_way(x, goal=goal) for x in (1.0, 1.1, 2.9)] == [2, 2, 3]


def test_there_is_always_one_and_never_more_than_the_most():
    assert under_way(0.2, period_s=1.0) == 1
    assert under_way(50.0) == 8
    assert pipeline_depth(0.1, 0.0, period_s=1.0, wants_pace=False) == 8
    assert pipeline_depth(math.inf, 0.1, period_s=0.0, wants_pace=False) == 8


def test_frames_a_bottleneck_apart_may_be_as_many_as_fill_the_pipeline():
    assert [paced_depth(0.1 * x, 0.1) for x in (0.5, 1.0, 1.1, 1.2, 1.67, 2.0, 2.6, 50.0)] == [1, 1, 1, 2, 2, 2, 3, 8]
    assert paced_depth(0.1, 0.0) == 8


@pytest.mark.parametrize("n_filling", [1.2, 1.67, 2.3, 3.6])
def test_paced_frames_come_at_the_pace_of_the_bottleneck_and_never_wait(n_filling: float):
    ends, free_s, n_waited = [], 0.0, 0
    for number in range(50):  # the bottleneck takes 1 s, at the beginning of a frame's way
        earliest_s = ends[number - n] if number >= (n := paced_depth(n_filling, 1.0)) else 0.0
        begin_s = max(float(number), earliest_s)
        n_waited += begin_s < free_s - 1e-9
        free_s = begin_s + 1.0
        ends.append(begin_s + n_filling)
    assert n_waited == 0
    assert (ends[-1] - ends[9]) / 40 == pytest.approx(1.0, rel=0.15)  # within what `LEAST_GAIN` leaves
