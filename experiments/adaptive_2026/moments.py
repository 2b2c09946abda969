"""What the best plan of each kind costs in each phase, by the planner: why adapting pays or does not."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import Any

from experiments.adaptive_2026.cases import VARIANTS, Case
from experiments.adaptive_2026.scenario import day, phases
from experiments.adaptive_2026.simulated import scene
from seamline.core.planning.planner import PlanKind, evaluate, plan
from seamline.core.vocabulary.objectives import Objective
from seamline.sim.network import Network
from seamline.sim.stage_work import problem_of_scene


def moments(case: Case) -> list[dict[str, Any]]:
    """Per phase of the case's day, in its middle: the least cost of a local plan and of a split, by its objective.

    start: what the plan costs there that is the best in the first phase.
    """
    variant = VARIANTS[case.variant]
    played, happening = scene(case), phases(variant.change_ratio, is_pi_loaded=variant.is_pi_loaded)
    starts_s = day(case.seed, case.duration_s, happening).starts_s
    network = Network.of(played)
    found, start_plan = list[dict[str, Any]](), None
    for phase, (start_s, stop_s) in zip(happening, itertools.pairwise((*starts_s, case.duration_s)), strict=True):
        at_s = (start_s + stop_s) / 2.0
        problem = replace(
            problem_of_scene(played, {pair: network.truth(pair, at_s) for pair in network.paths}),
            compute_ratio={node: played.slowdown(node, at_s) for node in played.profiles},
        )
        planned = plan(problem)
        start_plan = start_plan or planned.plan
        local, split = planned.best(PlanKind.LOCAL), planned.best(PlanKind.SPLIT)
        found.append(
            {
                "what": phase.what,
                "share": (stop_s - start_s) / case.duration_s,
                "local": local.cost,
                "start": evaluate(start_plan, problem).cost,
                "split": split.cost if split.plan is not None else None,
                "split_plan": None if split.plan is None else str(split.plan),
            }
        )
    return found


def energy_moments(model: str, duration_s: float) -> list[dict[str, Any]]:
    """Of the first day, in joules."""
    return moments(Case(model=model, objective=str(Objective.ENERGY), seed=0, duration_s=duration_s))
