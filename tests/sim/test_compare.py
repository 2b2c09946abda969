"""Policies side by side: who knows more does better, and adaptive does nearly as well as who knows everything."""

import itertools
from dataclasses import replace

import numpy as np
import pytest

from seamline.config import Trace
from seamline.core.adaptation.policy import Fixed
from seamline.core.vocabulary.objectives import Objective, Within
from seamline.sim import POLICIES, alternating, compare, generate, play, summary
from seamline.sim.compare import missed_ratio
from seamline.sim.oracle import MISS_J, best_sequence, candidates, frame_costs
from seamline.sim.policy_adapters import CorePolicyAdapter
from seamline.sim.stage_work import StageWorkTable

STEADY = Trace(times_s=(0.0,), rates_bps=(20e6,), length_s=float("inf"))


def test_the_best_sequence_pays_for_switches_only_when_they_pay():
    costs = np.array([[1.0, 1.0, 5.0, 1.0, 1.0, 9.0], [2.2, 2.2, 2.2, 2.2, 2.2, 2.2]])
    assert best_sequence(costs, 0.1) == [0, 0, 1, 0, 0, 1]
    assert best_sequence(costs, 1.6) == [0, 0, 1, 1, 1, 1]
    assert best_sequence(costs, 100.0) == [1, 1, 1, 1, 1, 1]


def test_the_best_sequence_is_that_of_trying_all():
    rng = np.random.default_rng(0)
    for _ in range(20):
        costs, price = rng.random((3, 6)), rng.random() / 2
        found = _total(costs, best_sequence(costs, price), price)
        every = (_total(costs, rows, price) for rows in np.ndindex(*(3,) * 6))
        assert found == pytest.approx(min(every))


def _total(costs: np.ndarray, rows, price: float) -> float:
    changes = sum(a != b for a, b in itertools.pairwise(rows))
    return sum(costs[row, at] for at, row in enumerate(rows)) + price * changes


def test_a_frame_alone_costs_what_playing_it_alone_takes(make_scene):
    scene = make_scene(alternating(20e6, 3e6, 7.0), fps=0.5, noise_ratio=0.0, jitter_s=0.0)
    work_table = StageWorkTable(scene)
    for plan in candidates(scene):
        alone_s = frame_costs(scene, plan, work_table)
        played = play(scene, CorePolicyAdapter(Fixed(plan)), work_table)
        assert played.latency_s == pytest.approx(alone_s, abs=1e-6), plan


def test_within_a_deadline_a_frame_costs_its_joules_and_far_more_when_it_misses(make_scene):
    scene = make_scene(alternating(20e6, 3e6, 7.0), noise_ratio=0.0, jitter_s=0.0, objective=Within(slo_s=0.3))
    work_table = StageWorkTable(scene)
    for plan in candidates(scene):
        latency_s = frame_costs(replace(scene, objective=Objective.LATENCY), plan, work_table)
        spent_j = frame_costs(replace(scene, objective=Objective.ENERGY), plan, work_table)
        costs = frame_costs(scene, plan, work_table)
        assert costs == pytest.approx(spent_j + MISS_J * (latency_s > 0.3))
        assert spent_j.max() < 0.01 * MISS_J


def test_within_a_deadline_who_knows_the_future_misses_fewest_frames(make_scene):
    deadline = Within(slo_s=0.3)
    scene = make_scene(alternating(20e6, 3e6, 7.0), objective=deadline)
    comparison = compare(scene, ("static_best", "static_at_start", "local", "oracle"))
    missed = {name: missed_ratio(run, deadline) for name, run in comparison.runs.items()}
    assert missed["oracle"] <= missed["static_best"] <= min(missed["static_at_start"], missed["local"])
    assert missed["oracle"] < missed["local"] == 1.0


def test_all_policies_run_and_the_figures_are_complete(make_scene):
    comparison = compare(make_scene(generate("steps", 1, 60.0)))
    assert tuple(comparison.runs) == POLICIES
    for run in comparison.runs.values():
        figures = summary(run)
        assert figures["frames_answered"] + figures["frames_dropped"] == 120
        assert len(run.accepted_s) == len(run.latency_s)
        assert run.accepted_s[0] >= 0.0
        assert np.all(np.diff(run.accepted_s) > 0.0)
        assert 0.0 < figures["latency_s"]["p50"] <= figures["latency_s"]["p95"] <= figures["latency_s"]["p99"]
    assert comparison.runs["local"].switches == ()
    assert not comparison.is_offload_allowed
    assert comparison.cost("oracle") <= comparison.cost("static_best") <= comparison.cost("static_at_start") * 1.001


def test_on_a_link_that_does_not_change_nobody_switches_and_all_that_plan_agree(make_scene):
    comparison = compare(make_scene(STEADY), ("adaptive", "static_at_start", "static_best", "oracle"))
    assert {len(run.switches) for run in comparison.runs.values()} == {0}
    assert comparison.regret_ratio == pytest.approx(0.0, abs=1e-3)
    assert comparison.gain_ratio is None


def test_a_plan_that_several_policies_hold_is_played_once_and_is_the_run_of_each(make_scene):
    scene, told = make_scene(generate("steps", 1, 60.0)), []
    comparison = compare(scene, ("static_at_start", "static_best", "local"), told=told.append)
    assert told == ["static_best"] * 3
    for name in ("static_at_start", "local"):
        alone = compare(scene, (name,)).runs[name]
        assert np.array_equal(comparison.runs[name].latency_s, alone.latency_s)
        assert comparison.runs[name].switches == alone.switches


@pytest.mark.parametrize(("objective", "fps"), [(Objective.ENERGY, 2.0), (Objective.THROUGHPUT, 20.0)])
def test_other_objectives_are_compared_in_their_own_unit(make_scene, objective: Objective, fps: float):
    scene = make_scene(alternating(20e6, 2e6, 15.0), objective=objective, fps=fps)
    comparison = compare(scene, ("adaptive", "static_at_start", "static_best", "local", "oracle"))
    assert comparison.cost("adaptive") < comparison.cost("local")
    assert comparison.cost("adaptive") <= 1.02 * comparison.cost("static_best")
