"""The best plan beside what else could be done: each kind of plan, and the best one without each node; and why.

Everything here asks `planner.plan` again with something taken away; nothing is searched by itself.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from seamline.core.cost.formulas import Breakdown, breakdown
from seamline.core.planning.planner import Alternative, Planned, Planner, Problem, evaluate
from seamline.core.vocabulary.errors import Infeasible
from seamline.core.vocabulary.nodes import NodeId
from seamline.core.vocabulary.plans import Plan
from seamline.core.vocabulary.quantities import amount, milliseconds

MOST_PARTS_SAID = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class NamedAlternative:
    """The best plan under one condition. name: ``local``, ``offload``, ``split`` or ``without fog``."""

    name: str
    found: Alternative


def named_alternatives(problem: Problem, planned: Planned) -> tuple[NamedAlternative, ...]:
    """The best plan of every kind, then the best one that skips each node but the origin."""
    kinds = [NamedAlternative(name=str(alternative.kind), found=alternative) for alternative in planned.alternatives]
    others = sorted(problem.profiles.keys() - {problem.origin}) if len(problem.profiles) > 2 else []
    planner = Planner()
    return (
        *kinds,
        *(NamedAlternative(name=f"without {node}", found=_without(node, problem, planner)) for node in others),
    )


def why(chosen: Plan, problem: Problem, others: tuple[NamedAlternative, ...]) -> str:
    """Words for why `chosen` is best: its largest parts, and how much worse each rival is or why it is not possible."""
    own = evaluate(chosen, problem)
    objective = problem.objective
    clauses = [
        f"`{chosen}` costs {amount(own.cost, objective)}, most of it {_largest_parts(breakdown(chosen, problem))}"
    ]
    for rival in others:
        if rival.found.plan == chosen:
            continue
        if rival.found.plan is None:
            clauses.append(f"{rival.name}: {rival.found.refusal}")
        else:
            factor = rival.found.cost / own.cost if own.cost > 0.0 else 1.0
            clauses.append(f"{rival.name} would cost {amount(rival.found.cost, objective)} ({factor:.2f}x)")
    return "; ".join(clauses)


def _without(node: NodeId, problem: Problem, planner: Planner) -> Alternative:
    profiles = {name: profile for name, profile in problem.profiles.items() if name != node}
    rest = replace(problem, profiles=profiles)
    try:
        found = planner.plan(rest)
    except Infeasible as exc:
        local = evaluate(Plan.local(problem.origin, len(problem.cuts)), problem)
        return Alternative(kind=local.kind, plan=None, objection=str(exc))
    return evaluate(found.plan, problem)


def _largest_parts(costs: Breakdown) -> str:
    parts = [(stage.compute_s, f"computing on {stage.node}") for stage in costs.stages]
    parts += [(stage.decode_s + stage.encode_s, f"codecs on {stage.node}") for stage in costs.stages]
    parts += [(link.transfer_s, f"{link.source}->{link.target}") for link in costs.all_links]
    largest = sorted(parts, reverse=True)[:MOST_PARTS_SAID]
    return " and ".join(f"{words} ({milliseconds(seconds)})" for seconds, words in largest if seconds > 0.0)
