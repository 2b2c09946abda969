"""What plans are judged by has a name that reads back, and a cost that needs no search."""

import math
from types import SimpleNamespace

import pytest

from seamline.core.vocabulary.errors import UsageError
from seamline.core.vocabulary.objectives import Objective, Weights, Within, counts_energy, goal_named


@pytest.mark.parametrize(
    "text", ["latency", "throughput", "energy", "slo=0.1", "latency=1", "latency=1,throughput=0.5,energy=0.2"]
)
def test_a_goal_prints_as_it_is_named(text: str):
    assert str(goal_named(text)) == text


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("speed", "`speed` is not an objective"),
        ("slo=soon", "`slo=soon` is no part"),
        ("slo=0", "a deadline of 0 s cannot be met"),
        ("slo=nan", "cannot be met"),
        ("joy=1", "`joy=1` is no part of a weighted sum"),
        ("latency=1,latency=2", "`latency=2` is no part of a weighted sum"),
        ("latency=0", "weighs nothing"),
        ("energy=-1", "negative or endless"),
        ("energy=inf", "negative or endless"),
    ],
)
def test_what_is_no_goal_is_refused_with_a_hint(text: str, said: str):
    with pytest.raises(UsageError, match=said) as refused:
        goal_named(text)
    assert refused.value.hint


def test_a_plan_that_is_late_or_without_power_figures_costs_more_than_any_that_is_not():
    late, unknown, frugal = (
        SimpleNamespace(latency_s=seconds, throughput_fps=5.0, energy_j=joules)
        for seconds, joules in ((0.11, 0.1), (0.05, None), (0.1, 0.5))
    )
    goal = Within(slo_s=0.1)
    assert [goal.cost(each) for each in (late, unknown, frugal)] == [math.inf, math.inf, 0.5]
    weights = Weights(latency_s=2.0, bottleneck_s=1.0)
    assert weights.cost(unknown) == pytest.approx(0.3)
    assert Weights(energy_j=1.0).cost(unknown) == math.inf


def test_only_goals_that_count_joules_need_power_figures():
    assert [goal for goal in Objective if counts_energy(goal)] == [Objective.ENERGY]
    assert counts_energy(Within(slo_s=1.0))
    assert counts_energy(Weights(latency_s=1.0, energy_j=0.1))
    assert not counts_energy(Weights(latency_s=1.0))
