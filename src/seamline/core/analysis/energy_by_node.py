"""Energy of a frame by node, as the planner models it. The formula is `core.cost.formulas.energy_j`'s."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from seamline.core.cost.formulas import breakdown, energy_of
from seamline.core.cost.problem import EnergyScope, Problem
from seamline.core.vocabulary.nodes import NodeId
from seamline.core.vocabulary.plans import Plan


def joules_by_node(plan: Plan, problem: Problem) -> Mapping[NodeId, float | None]:
    """Joules of one frame that each node of `plan` draws above idle, the origin with its idling until the answer.

    What each counts in the problem's `EnergyScope` is left aside: their sum is `energy_j` where all count. None where
    the node or the origin has no power figures.
    """
    costs = breakdown(plan, problem)
    drawn: dict[NodeId, float | None] = {}
    for node in plan.nodes:
        others = dict.fromkeys(plan.nodes, 0.0)
        only = EnergyScope(weights=tuple({**others, node: 1.0}.items()))
        drawn[node] = energy_of(costs, replace(problem, energy_scope=only))
    return drawn
