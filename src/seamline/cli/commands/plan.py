"""`seamline plan`: the best way to share a model out over given nodes and links, what it costs, and why."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from seamline.cli.shared.models import parse_frame, parse_options
from seamline.cli.shared.options import (
    ChannelsOption,
    EnergyScopeOption,
    FitOption,
    JsonFlag,
    LayoutOption,
    MeanOption,
    OptionalModelArgument,
    PreprocessOption,
    ShapeOption,
    SizeOption,
    StdOption,
    ThreadsOption,
    ValueOption,
)
from seamline.cli.shared.output import TERMINAL, data_console, print_json
from seamline.cli.shared.planning_options import (
    MOST_LOSSY_BY_DEFAULT,
    CodecsOption,
    ForbidOption,
    LinkOption,
    MemoryOption,
    ObjectiveOption,
    PinOption,
    PowersOption,
    PrivateOption,
    ProfileOption,
    SloOption,
    SlowdownsOption,
    TrustOption,
    WeighOption,
    checked_codecs,
    goal_of,
    pins_by_layer,
    plan_named,
    sizes_by_node,
)
from seamline.core.vocabulary.documented import key_docs, to_json
from seamline.core.vocabulary.errors import UsageError
from seamline.core.vocabulary.nodes import NodeId
from seamline.core.vocabulary.objectives import Goal, Objective
from seamline.core.vocabulary.plans import Plan

if TYPE_CHECKING:
    from seamline.cli.shared.plan_summary import Branches, PlanSummary
    from seamline.core.planning.planner import Problem
    from seamline.core.vocabulary.links import Link, LinkEstimate
    from seamline.model.locate import ModelOptions


def _keys() -> Mapping[str, str]:
    from seamline.cli.shared.plan_summary import PlanSummary

    return key_docs(PlanSummary)


JSON_KEYS = {"plan": _keys}


def register(app: typer.Typer) -> None:
    """Add `plan` to `app`."""
    app.command(name="plan")(plan)


def plan(
    model: OptionalModelArgument = None,
    profiles: ProfileOption = None,
    slowdowns: SlowdownsOption = None,
    powers: PowersOption = None,
    links: LinkOption = None,
    origin: Annotated[
        str | None, typer.Option("--origin", metavar="NODE", help="Where frames enter; the first node with a profile.")
    ] = None,
    objective: ObjectiveOption = "latency",
    energy_scope: EnergyScopeOption = "all",
    private: PrivateOption = 0,
    codecs: CodecsOption = MOST_LOSSY_BY_DEFAULT,
    trust: TrustOption = None,
    memory: MemoryOption = None,
    pin: PinOption = None,
    forbid: ForbidOption = None,
    slo: SloOption = None,
    weigh: WeighOption = None,
    with_front: Annotated[
        bool, typer.Option("--front", help="List the plans that no other beats in latency, throughput and energy.")
    ] = False,
    by_hand: Annotated[
        str | None, typer.Option("--plan", metavar="PLAN", help="Say what this plan costs, and whether it may be used.")
    ] = None,
    shape: ShapeOption = None,
    value: ValueOption = None,
    size: SizeOption = None,
    layout: LayoutOption = None,
    mean: MeanOption = None,
    std: StdOption = None,
    preprocess: PreprocessOption = None,
    fit: FitOption = None,
    channels: ChannelsOption = None,
    threads: ThreadsOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Find the best plan for given nodes and links, without running any, and say what it costs and why."""
    from seamline.cli.shared.plan_table import plan_report

    summary = _planned(
        PlanRequest(
            model=model,
            options=parse_options(
                shape,
                value,
                parse_frame(size, layout, mean, std, preprocess=preprocess, fit=fit, channels=channels),
            ),
            profiles=tuple(profiles or ()),
            slowdowns=tuple(slowdowns or ()),
            powers=tuple(powers or ()),
            n_threads=threads,
            links=tuple(links or ()),
            origin=origin,
            given=plan_named(by_hand) if by_hand is not None else None,
            goal=goal_of(objective, slo, weigh),
            energy_scope=energy_scope,
            codecs=checked_codecs(codecs),
            n_private_cuts=private,
            memory_bytes=sizes_by_node(memory or ()),
            pins=pins_by_layer(pin or ()),
            forbid=tuple(forbid or ()),
            trust=tuple(trust or ()),
            with_front=with_front,
        )
    )
    if as_json:
        print_json(to_json(summary))
    else:
        data_console().print(plan_report(summary))


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanRequest:
    """What is to be planned, over what.

    profiles, slowdowns, powers, links: as given, per node or link. origin: the first node with a profile when None.
    given: a plan to judge. codecs: a limit, see `core.vocabulary.calibration`. memory_bytes, pins, forbid, trust:
    see `core.vocabulary.constraints.limited`.
    """

    model: str | None
    options: ModelOptions
    profiles: tuple[str, ...]
    slowdowns: tuple[str, ...]
    powers: tuple[str, ...]
    n_threads: int | None
    links: tuple[str, ...]
    origin: str | None
    given: Plan | None
    goal: Goal
    energy_scope: str
    codecs: str
    n_private_cuts: int
    memory_bytes: Mapping[str, int]
    pins: Mapping[str, str]
    forbid: tuple[str, ...]
    trust: tuple[str, ...]
    with_front: bool


def _planned(request: PlanRequest) -> PlanSummary:
    """Raises `UsageError` for what does not fit together, `Infeasible` when there is no plan."""
    from seamline.cli.shared.plan_summary import plan_summary, with_branches

    problem = _problem(request)
    summary = plan_summary(problem, request.given, with_front=request.with_front)
    branches = _branches(request.model, request.options, problem) if request.model is not None else None
    return with_branches(summary, branches)


def _problem(request: PlanRequest) -> Problem:
    from seamline.core.planning.planner import EnergyScope, Problem
    from seamline.core.vocabulary.constraints import limited
    from seamline.runtime.lab.offline import limits_of, profiles_of

    known = profiles_of(
        request.model,
        request.profiles,
        request.slowdowns,
        powers=request.powers,
        options=request.options,
        threads=request.n_threads,
        progress=TERMINAL,
    )
    nodes, enters = list(known), _origin(request.origin, list(known))
    return Problem(
        origin=enters,
        cuts=known[enters].cuts,
        profiles=known,
        links=_links(request.links, nodes),
        objective=request.goal,
        energy_scope=EnergyScope.parse(request.energy_scope).among(nodes),
        constraints=limited(
            limits_of(known, request.codecs, n_private_cuts=request.n_private_cuts),
            known[enters].cuts,
            nodes,
            memory_bytes=request.memory_bytes,
            pins=request.pins,
            forbid=request.forbid,
            trust=request.trust,
        ),
    )


def _branches(model: str, options: ModelOptions, problem: Problem) -> Branches | None:
    """What cutting parallel branches apart would bring; None unless the problem is one of latency between two nodes."""
    from seamline.cli.shared.plan_summary import Branches
    from seamline.core.analysis.mincut import best_closed_set, best_prefix, costs_between
    from seamline.model.locate import load_model

    others = sorted(problem.profiles.keys() - {problem.origin})
    if len(others) != 1 or (problem.origin, others[0]) not in problem.links or problem.objective != Objective.LATENCY:
        return None
    stored = load_model(model, shapes=options.shapes, values=options.values, frame=options.frame, progress=TERMINAL)[1]
    graph = stored.graph
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
