"""Cost-to-go bounds: no plan is cheaper, and without a limit the cheapest one is as cheap."""

import math
from dataclasses import replace

import pytest

from seamline.core.cost.rates import Rates
from seamline.core.planning import cost_to_go as bounds_file
from seamline.core.planning.additive import search_additive
from seamline.core.planning.cost_to_go import cost_to_go, least_cost
from seamline.core.planning.planner import PlanKind, all_plans, evaluate
from seamline.core.planning.problem_arrays import OFFLOAD, SPLIT, arrays_of
from seamline.core.planning.stacked_arrays import priced_costs, stacked_arrays
from seamline.core.vocabulary.objectives import Objective

KINDS = {PlanKind.OFFLOAD: OFFLOAD, PlanKind.SPLIT: SPLIT}
SAME_RATIO = 1e-9
"""Sums in another order differ by less."""


@pytest.mark.parametrize("seed", range(20))
def test_without_a_limit_bounds_are_what_the_cheapest_plans_cost(random_problem, seed: int):
    arrays = arrays_of(random_problem(seed))
    stacked = stacked_arrays(arrays)
    for rates in (Rates(), Rates(0.0, 1.0), Rates(1.0, 0.3)):
        costs = priced_costs(stacked, rates)
        found = search_additive(arrays, rates)
        for kind in KINDS.values():
            least = least_cost(stacked, costs, cost_to_go(stacked, costs), kind)
            cheapest = found[kind].cost if found[kind] is not None else math.inf
            if arrays.required:  # who must take part is not in the bounds
                assert least <= cheapest * (1.0 + SAME_RATIO)
            else:
                assert least == pytest.approx(cheapest, rel=SAME_RATIO)


@pytest.mark.parametrize("most_exact", [8, 1])
@pytest.mark.parametrize("seed", range(20))
def test_no_plan_within_a_limit_costs_less_than_its_bound(random_problem, seed: int, most_exact: int, monkeypatch):
    monkeypatch.setattr(bounds_file, "_MOST_EXACT", most_exact)
    problem = replace(random_problem(seed), objective=Objective.LATENCY)
    stacked = stacked_arrays(arrays_of(problem))
    costs = priced_costs(stacked, Rates())
    judged = [evaluate(each, problem) for each in all_plans(problem)]
    allowed = [each for each in judged if each.refusal is None and each.kind in KINDS]
    for one in allowed[:: max(1, len(allowed) // 8)]:
        limit_s = (1.0 + SAME_RATIO) / one.throughput_fps
        bounds = cost_to_go(stacked, costs, limit_s)
        for kind, row in KINDS.items():
            within = [each.latency_s for each in allowed if each.kind is kind and 1.0 / each.throughput_fps <= limit_s]
            least = least_cost(stacked, costs, bounds, row, limit_s)
            assert least <= min(within, default=math.inf) * (1.0 + SAME_RATIO)
