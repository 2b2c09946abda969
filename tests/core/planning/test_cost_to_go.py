"""Lower bounds of the search for mixed goals: no plan is cheaper, and without a limit the cheapest one is as cheap."""

import math
from dataclasses import replace

import pytest

from seamline.core.cost.rates import Rates
from seamline.core.planning import cost_to_go as rest
from seamline.core.planning.additive import search_additive
from seamline.core.planning.cost_to_go import least_of, rest_of
from seamline.core.planning.lattice import charged, lattice_of
from seamline.core.planning.planner import PlanKind, all_plans, evaluate
from seamline.core.planning.problem_arrays import OFFLOAD, SPLIT, tables_of
from seamline.core.vocabulary.objectives import Objective

KINDS = {PlanKind.OFFLOAD: OFFLOAD, PlanKind.SPLIT: SPLIT}
SAME_RATIO = 1e-9
"""Sums in another order differ by less."""


@pytest.mark.parametrize("seed", range(20))
def test_without_a_limit_bounds_are_what_the_cheapest_plans_cost(random_problem, seed: int):
    tables = tables_of(random_problem(seed))
    lattice = lattice_of(tables)
    for rates in (Rates(), Rates(0.0, 1.0), Rates(1.0, 0.3)):
        costs = charged(lattice, rates)
        found = search_additive(tables, rates)
        for kind in KINDS.values():
            least = least_of(lattice, costs, rest_of(lattice, costs), kind)
            cheapest = found[kind].cost if found[kind] is not None else math.inf
            if tables.required:  # who must take part is not in the bounds
                assert least <= cheapest * (1.0 + SAME_RATIO)
            else:
                assert least == pytest.approx(cheapest, rel=SAME_RATIO)


@pytest.mark.parametrize("most_exact", [8, 1])
@pytest.mark.parametrize("seed", range(20))
def test_no_plan_within_a_limit_costs_less_than_its_bound(random_problem, seed: int, most_exact: int, monkeypatch):
    monkeypatch.setattr(rest, "_MOST_EXACT", most_exact)
    problem = replace(random_problem(seed), objective=Objective.LATENCY)
    lattice = lattice_of(tables_of(problem))
    costs = charged(lattice, Rates())
    judged = [evaluate(each, problem) for each in all_plans(problem)]
    allowed = [each for each in judged if each.refusal is None and each.kind in KINDS]
    for one in allowed[:: max(1, len(allowed) // 8)]:
        limit_s = (1.0 + SAME_RATIO) / one.throughput_fps
        bounds = rest_of(lattice, costs, limit_s)
        for kind, row in KINDS.items():
            within = [each.latency_s for each in allowed if each.kind is kind and 1.0 / each.throughput_fps <= limit_s]
            least = least_of(lattice, costs, bounds, row, limit_s)
            assert least <= min(within, default=math.inf) * (1.0 + SAME_RATIO)
