"""Uncertainty of the predicted gain of a switch, from that of the estimates.

Which gain is enough is `policy.py`'s business.
"""

from __future__ import annotations

import math

from seamline.core.cost.formulas import Breakdown, active_power_w, waiting_power_w
from seamline.core.cost.problem import Problem
from seamline.core.cost.rates import rates_of
from seamline.core.vocabulary.links import Link
from seamline.core.vocabulary.nodes import NodeId
from seamline.core.vocabulary.objectives import Objective


def gain_std(before: Breakdown, after: Breakdown, problem: Problem, compute_std_ratio: float) -> float:
    """One standard deviation of the predicted gain from one plan to another, in units of the objective's cost.

    What both plans share cancels: only the difference of seconds on each link and node is uncertain.
    compute_std_ratio: how sure compute times are; links say it themselves.
    """
    on_links, on_nodes = _seconds_by_link(before), _seconds_by_node(before)
    for link, seconds in _seconds_by_link(after).items():
        on_links[link] = on_links.get(link, 0.0) - seconds
    for node, seconds in _seconds_by_node(after).items():
        on_nodes[node] = on_nodes.get(node, 0.0) - seconds
    rates, waiting_w = rates_of(problem.objective), waiting_power_w(problem)
    waiting = rates.waiting(waiting_w)
    variance = 0.0
    for node, seconds in on_nodes.items():
        busy = rates.busy(waiting_w, active_power_w(node, problem))
        variance += (busy * seconds * compute_std_ratio) ** 2
    for link, seconds in on_links.items():
        known = problem.links.get(link)
        variance += (waiting * seconds * known.goodput_std_ratio) ** 2 if known is not None else 0.0
    if problem.objective is Objective.THROUGHPUT:
        return min(math.sqrt(variance), _bottleneck_std_s(before, problem) + _bottleneck_std_s(after, problem))
    return math.sqrt(variance)


def _bottleneck_std_s(costs: Breakdown, problem: Problem) -> float:
    """Only the slowest part of a pipeline matters; a node's is taken as sure."""
    for cost in costs.all_links:
        known = problem.links.get((cost.source, cost.target))
        if cost.serialise_s >= costs.bottleneck_s and known is not None:
            return cost.serialise_s * known.goodput_std_ratio
    return 0.0


def _seconds_by_link(costs: Breakdown) -> dict[Link, float]:
    seconds: dict[Link, float] = {}
    for cost in costs.all_links:
        seconds[cost.source, cost.target] = seconds.get((cost.source, cost.target), 0.0) + cost.serialise_s
    return seconds


def _seconds_by_node(costs: Breakdown) -> dict[NodeId, float]:
    return {stage.node: stage.compute_s for stage in costs.stages}
