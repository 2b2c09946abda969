"""The guess of the plan to keep ready: best for the other link speeds that were seen, for as long as they were."""

from __future__ import annotations

from dataclasses import replace

import pytest

from seamline.core.cost.problem import Problem
from seamline.core.planning.planner import plan as best_plan
from seamline.core.session.standby import MAX_LEVELS, StandbyGuess
from seamline.core.vocabulary.plans import Plan

BEFORE, NOW = Plan.parse("edge[0:4]"), Plan.parse("edge[0:0]jpeg > cloud[0:4]")
SPLIT = Plan.parse("edge[0:1]u8 > cloud[1:4]")


def at_speed(problem: Problem, ratio: float) -> Problem:
    """`problem` with links of `ratio` times the speed."""
    links = {ends: replace(link, goodput_bps=ratio * link.goodput_bps) for ends, link in problem.links.items()}
    return replace(problem, links=links)


@pytest.fixture
def guess() -> StandbyGuess:
    made = StandbyGuess()
    made.serving(BEFORE)
    made.serving(NOW)
    return made


def test_before_anything_else_was_seen_the_plan_before_is_the_guess(guess, three_tiers):
    guess.observe(three_tiers.links, 0.0)
    assert guess.best(three_tiers) == BEFORE
    guess.serving(NOW)  # again, which is no news
    assert guess.before == BEFORE


def test_the_plan_that_was_best_at_another_speed_for_longest_is_the_guess(guess, three_tiers):
    slow, slower, fast = at_speed(three_tiers, 0.1), at_speed(three_tiers, 0.0), at_speed(three_tiers, 10.0)
    assert best_plan(slow).plan != best_plan(slower).plan
    for at_s, problem in ((0.0, slower), (1.0, slower), (1.1, slow), (5.0, slow), (5.1, fast)):
        guess.observe(problem.links, at_s)
    guess.serving(SPLIT)
    assert guess.best(fast) == best_plan(slow).plan


def test_of_many_speeds_those_seen_longest_are_remembered(guess, three_tiers):
    for step in range(MAX_LEVELS + 4):
        guess.observe(at_speed(three_tiers, 2.0**step).links, float(step))
    assert len(guess._seen) == MAX_LEVELS
