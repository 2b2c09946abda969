"""`seamline plan`: the best way to share a model out over given nodes and links, what it costs, and why."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from seamline.cli.shared.flag_groups import with_groups
from seamline.cli.shared.model_flags import ModelFlags, OptionalModelArgument
from seamline.cli.shared.options import JsonFlag, ThreadsOption
from seamline.cli.shared.output import TERMINAL, print_result
from seamline.cli.shared.planning_options import (
    LinkOption,
    PlanningFlags,
    PowersOption,
    ProfileOption,
    SlowdownsOption,
    checked_codecs,
    plan_named,
)
from seamline.core.vocabulary.documented import key_docs
from seamline.core.vocabulary.errors import UsageError
from seamline.core.vocabulary.nodes import NodeId
from seamline.core.vocabulary.objectives import Objective

if TYPE_CHECKING:
    from seamline.cli.shared.plan_summary import Branches
    from seamline.core.planning.planner import Problem
    from seamline.core.vocabulary.links import Link, LinkEstimate
    from seamline.model.locate import ModelOptions


def _keys() -> Mapping[str, str]:
    from seamline.cli.shared.plan_summary import PlanSummary

    return key_docs(PlanSummary)


JSON_KEYS = {"plan": _keys}


def register(app: typer.Typer) -> None:
    app.command(name="plan")(plan)


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanFlags:
    """Over which profiles and links, and what else is said of the best plan."""

    profiles: ProfileOption = ()
    slowdowns: SlowdownsOption = ()
    powers: PowersOption = ()
    links: LinkOption = ()
    origin: Annotated[
        str | None, typer.Option("--origin", metavar="NODE", help="Where frames enter; the first node with a profile.")
    ] = None
    with_front: Annotated[
        bool, typer.Option("--front", help="List the plans that no other beats in latency, throughput and energy.")
    ] = False
    by_hand: Annotated[
        str | None, typer.Option("--plan", metavar="PLAN", help="Say what this plan costs, and whether it may be used.")
    ] = None
    threads: ThreadsOption = None


@with_groups
def plan(
    asked: PlanFlags,
    planning: PlanningFlags,
    about: ModelFlags,
    model: OptionalModelArgument = None,
    as_json: JsonFlag = False,
) -> None:
    """Find the best plan for given nodes and links, without running any, and say what it costs and why."""
    from seamline.cli.shared.plan_summary import plan_summary, with_branches
    from seamline.cli.shared.tables import plan_report

    given = plan_named(asked.by_hand) if asked.by_hand is not None else None
    problem = _problem(model, asked, planning, about.options())
    summary = plan_summary(problem, given, with_front=asked.with_front)
    summary = with_branches(summary, _branches(model, about, problem) if model is not None else None)
    print_result(summary, as_json=as_json, words=lambda: plan_report(summary))


def _problem(model: str | None, asked: PlanFlags, planning: PlanningFlags, said: ModelOptions) -> Problem:
    """Raises `UsageError` for what does not fit together."""
    from seamline.core.planning.planner import EnergyScope, Problem
    from seamline.core.vocabulary.constraints import limited
    from seamline.runtime.lab.offline import limits_of, profiles_of

    goal, limits = planning.goal(), planning.limits()
    checked_codecs(planning.codecs)
    known = profiles_of(
        model,
        asked.profiles,
        asked.slowdowns,
        powers=asked.powers,
        options=said,
        threads=asked.threads,
        progress=TERMINAL,
    )
    nodes, enters = list(known), _origin(asked.origin, list(known))
    allowed = limits_of(known, planning.codecs, min_agreement=planning.min_agreement, n_private_cuts=planning.private)
    return Problem(
        origin=enters,
        cuts=known[enters].cuts,
        profiles=known,
        links=_links(asked.links, nodes),
        objective=goal,
        energy_scope=EnergyScope.parse(planning.energy_scope).among(nodes),
        constraints=limited(allowed, known[enters].cuts, nodes, **limits),
    )


def _branches(model: str, about: ModelFlags, problem: Problem) -> Branches | None:
    """What cutting parallel branches apart would bring; None unless the problem is one of latency between two nodes."""
    from seamline.cli.shared.plan_summary import Branches
    from seamline.core.analysis.mincut import best_closed_set, best_prefix, costs_between

    others = sorted(problem.profiles.keys() - {problem.origin})
    if len(others) != 1 or (problem.origin, others[0]) not in problem.links or problem.objective != Objective.LATENCY:
        return None
    graph = about.load(model)[1].graph
    costs = costs_between(graph, problem, others[0])
    found, prefix = best_closed_set(graph, costs), best_prefix(graph, costs)
    is_prefix = found.latency_s >= prefix.latency_s * (1.0 - 1e-9)
    return Branches(
        latency_s=found.latency_s,
        prefix_latency_s=prefix.latency_s,
        n_layers=len(found.on_origin),
        is_prefix=is_prefix,
    )


def _origin(text: str | None, nodes: Sequence[NodeId]) -> NodeId:
    if text is None:
        return nodes[0]
    if text not in nodes:
        raise UsageError(f"`--origin {text}` has no profile", hint=f"one of {', '.join(nodes)}")
    return NodeId(text)


def _links(texts: Sequence[str], nodes: Sequence[NodeId]) -> Mapping[Link, LinkEstimate]:
    from seamline.runtime.lab.offline import parse_links

    links = parse_links(texts)
    for ends in links:
        for node in ends:
            if node not in nodes:
                raise UsageError(f"a link names `{node}`, which has no profile", hint=f"one of {', '.join(nodes)}")
    return links
