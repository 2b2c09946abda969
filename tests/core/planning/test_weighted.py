"""Deadlines and weighted sums are planned exactly: `plan()` is as good as the best of all plans where they bind."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import replace

import pytest

from seamline.core.analysis.pareto import front
from seamline.core.planning import cost_to_go, label_setting, weighted
from seamline.core.planning.planner import Alternative, Problem, all_plans, evaluate, plan
from seamline.core.vocabulary.errors import Infeasible
from seamline.core.vocabulary.nodes import NodeId
from seamline.core.vocabulary.objectives import Goal, Objective, Weights, Within

EDGE = NodeId("edge")
SUMS = (
    Weights(latency_s=1.0, bottleneck_s=3.0),
    Weights(bottleneck_s=1.0, energy_j=0.1),
    Weights(latency_s=1.0, bottleneck_s=2.0, energy_j=0.1),
)
SAME_COST = pytest.approx  # both sums round differently; 1e-6 relative is pytest's default


def judged_plans(problem: Problem) -> list[Alternative]:
    """Every plan that is allowed, with its figures."""
    return [found for each in all_plans(problem) if (found := evaluate(each, problem)).refusal is None]


def assert_exact(problem: Problem, goals: Iterable[Goal], allowed: Sequence[Alternative] | None = None) -> None:
    """The plan for each goal is as good as the best of `allowed`, which are all allowed plans."""
    allowed = allowed or judged_plans(problem)
    for goal in goals:
        aimed = replace(problem, objective=goal)
        judged = evaluate(plan(aimed).plan, aimed)
        assert judged.refusal is None
        assert judged.cost == SAME_COST(min(goal.cost(each) for each in allowed)), goal


@pytest.mark.parametrize("seed", range(60))
def test_the_least_energy_within_a_deadline_and_the_least_weighted_sum_are_found(random_problem, seed: int):
    """Deadlines that bind, or nearly: at latencies there are, from the quickest plan to the most frugal one."""
    problem = random_problem(seed)
    allowed = judged_plans(problem)
    frugal = min(allowed, key=lambda each: (each.cost, each.latency_s))
    latencies = sorted({each.latency_s for each in allowed if each.latency_s <= frugal.latency_s})
    chosen_s = {latencies[len(latencies) * eighth // 8] for eighth in (0, 1, 3, 5, 7)}
    deadlines = [Within(slo_s=latency_s * (1.0 + 1e-6)) for latency_s in chosen_s]
    sums = (*SUMS, Weights(latency_s=1.0, energy_j=0.2), Weights(bottleneck_s=1.0))
    assert_exact(problem, (*deadlines, *sums), allowed)


@pytest.mark.parametrize("seed", range(12))
def test_a_search_that_cannot_look_at_all_pairs_goes_on_with_halves_until_it_has(
    random_problem, seed: int, monkeypatch
):
    """Problems that brute force can solve are too small for that, so few pairs are many here."""
    monkeypatch.setattr(weighted, "_MOST_PAIRS", 1)
    monkeypatch.setattr(label_setting, "_FEW_LABELS", 1)
    monkeypatch.setattr(label_setting, "_FEW_BOUNDARIES", 1)
    monkeypatch.setattr(label_setting, "_MOST_AT_ONCE", 2)
    problem = random_problem(seed)
    assert_exact(problem, (*SUMS, Within(slo_s=between(problem, 0.3)), Within(slo_s=between(problem, 0.7))))


@pytest.mark.parametrize("seed", range(12))
def test_bounds_that_forget_who_was_visited_lose_no_plan(random_problem, seed: int, monkeypatch):
    """As for many nodes, which brute force cannot solve."""
    monkeypatch.setattr(cost_to_go, "_MOST_EXACT", 1)
    problem = random_problem(seed)
    assert_exact(problem, (*SUMS, Within(slo_s=between(problem, 0.3)), Within(slo_s=between(problem, 0.7))))


@pytest.mark.parametrize("seed", [*range(6), 31])
def test_of_machines_of_one_kind_it_does_not_matter_which_comes_first(random_problem, seed: int):
    """All but the origin are alike; of every second problem, only the last has good links to the origin.

    At seed 31 that is missed where nodes are taken to be alike for their profiles alone.
    """
    problem = random_problem(seed)
    others = [node for node in problem.profiles if node != EDGE]
    profiles = {node: problem.profiles[node if node == EDGE else others[0]] for node in problem.profiles}
    link = next(link for link in problem.links.values() if link.goodput_bps > 0.0)
    links = {ends: replace(link, source=ends[0], target=ends[1]) for ends in problem.links}
    if seed % 2:
        good = {(EDGE, others[-1]), (others[-1], EDGE)}
        links = {ends: replace(link, goodput_bps=1e9 if ends in good else 1e7) for ends, link in links.items()}
    limits = replace(problem.constraints, memory_bytes=(), forbidden_codecs=(), trusted=tuple(others))
    alike = replace(problem, profiles=profiles, links=links, constraints=limits, queue_s={})
    assert_exact(alike, (*SUMS, Within(slo_s=between(alike, 0.3)), Within(slo_s=between(alike, 0.7))))


@pytest.mark.parametrize("seed", range(6))
def test_the_best_plan_of_a_larger_problem_is_on_its_front(random_problem, seed: int):
    """The front comes from another search, knows no goal, and holds the best plan of each."""
    problem = random_problem(seed, n_cuts=14)
    plans = [found for found in front(problem) if found.energy_j is not None]
    for goal in (*SUMS, Within(slo_s=between(problem, 0.3)), Within(slo_s=between(problem, 0.7))):
        found = plan(replace(problem, objective=goal))
        assert found.cost == SAME_COST(min(goal.cost(each) for each in plans))


def between(problem: Problem, share: float) -> float:
    """Seconds between the quickest plan's and the most frugal one's."""
    quick, frugal = plan(replace(problem, objective=Objective.LATENCY)), plan(problem)
    return quick.latency_s + share * (frugal.latency_s - quick.latency_s)


def test_deadlines_of_these_problems_do_bind(random_problem):
    """Otherwise the first test would prove nothing: a deadline between the two plans changes a third of the answers."""
    n_bound = 0
    for seed in range(60):
        problem = random_problem(seed)
        frugal, quick = plan(problem), plan(replace(problem, objective=Objective.LATENCY))
        n_bound += quick.latency_s < 0.99 * frugal.latency_s and math.isfinite(frugal.cost)
    assert n_bound > 20


def test_a_deadline_decides_between_the_quickest_plan_and_the_most_frugal_one(three_tiers: Problem):
    """A deadline that no plan misses leaves the most frugal plan, one that all but the quickest miss leaves that."""
    quick = plan(three_tiers)
    frugal = plan(replace(three_tiers, objective=Objective.ENERGY))
    assert plan(replace(three_tiers, objective=Within(slo_s=10.0))).plan == frugal.plan
    assert plan(replace(three_tiers, objective=Within(slo_s=quick.latency_s))).plan == quick.plan


def test_a_deadline_that_no_plan_meets_names_the_quickest(three_tiers: Problem):
    with pytest.raises(Infeasible, match=r"no plan answers within 1 ms, the quickest takes \d+: `edge"):
        plan(replace(three_tiers, objective=Within(slo_s=0.001)))


def test_a_deadline_without_power_figures_says_what_is_missing(three_tiers: Problem):
    edge = three_tiers.profiles[EDGE]
    profiles = {**three_tiers.profiles, EDGE: replace(edge, device=replace(edge.device, idle_w=None))}
    with pytest.raises(Infeasible, match="`edge` has no power figures"):
        plan(replace(three_tiers, profiles=profiles, objective=Within(slo_s=10.0)))
