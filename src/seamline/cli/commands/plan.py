"""`seamline plan`: the best way to share a model out over given nodes and links, what it costs, and why."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any

import typer

from seamline.cli.shared.limits import (
    ForbidOption,
    MemoryOption,
    ObjectiveOption,
    PinOption,
    PrivateOption,
    SloOption,
    TrustOption,
    WeighOption,
    goal_of,
    pins_by_layer,
    sizes_by_node,
)
from seamline.cli.shared.lossiness import DEFAULT_CODECS, CodecsOption, codecs_named
from seamline.cli.shared.offline import (
    LinkOption,
    PowersOption,
    ProfileOption,
    SlowdownOption,
    parse_links,
    profiles_of,
)
from seamline.cli.shared.options import EnergyScopeOption, JsonFlag, OptionalModelArgument, ShapeOption, ThreadsOption
from seamline.core.vocabulary.constraints import Constraints
from seamline.core.vocabulary.errors import PlanError, UsageError
from seamline.core.vocabulary.nodes import NodeId
from seamline.core.vocabulary.objectives import Objective
from seamline.core.vocabulary.plans import Codec, Plan

if TYPE_CHECKING:
    from seamline.core.analysis.comparison import Rival
    from seamline.core.cost.formulas import Breakdown, LinkCost
    from seamline.core.planning.planner import Alternative, Problem

_COSTS = {
    "latency_s": "seconds from frame to answer; null over a link that is down",
    "throughput_fps": "frames per second of a full pipeline",
    "energy_j": "joules per frame (modelled), null without power figures",
}
_LINK_KEYS = {
    "source": "where it starts",
    "target": "where it ends",
    "codec": "how the boundary travels, null for the answer",
    "payload_bytes": "bytes that travel",
    "serialise_s": "seconds that the link is occupied",
    "transfer_s": "the same and half a round trip",
}

JSON_KEYS = {
    "plan": {
        "model": "name of the model, as its profiles have it",
        "origin": "where frames enter",
        "objective": "what counts",
        "energy_scope": "whose joules count",
        "plan": "the best plan, or the one given by hand",
        "plan.text": "as it prints and parses back",
        "plan.stages": "its stages in order",
        "plan.stages[].node": "who runs it",
        "plan.stages[].start": "cut it begins at",
        "plan.stages[].stop": "cut it ends at",
        "plan.stages[].codec": "how its result leaves, null on the last one",
        "refusal": "why a plan given by hand may not be used, null when it may",
        "best": "the best plan when one was given by hand, else null",
        "best.text": "as it prints",
        **{f"best.{key}": meaning for key, meaning in _COSTS.items()},
        "cost": "what the objective makes of it: seconds, seconds per frame, joules, or the weighted sum",
        **_COSTS,
        "energy_source": "`modelled`: no meter ran; null without power figures",
        "energy_nodes_j.*": "what each node of the plan draws for a frame, counted or not; null without power figures",
        "parts": "where the time of one frame goes",
        "parts.stages[].node": "who runs it",
        "parts.stages[].start": "cut it begins at",
        "parts.stages[].stop": "cut it ends at",
        "parts.stages[].queue_s": "seconds of waiting before it",
        "parts.stages[].decode_s": "seconds to decode what came",
        "parts.stages[].compute_s": "seconds to compute, preprocessing included",
        "parts.stages[].encode_s": "seconds to encode what leaves",
        **{f"parts.links[].{key}": meaning for key, meaning in _LINK_KEYS.items()},
        "parts.answer": "the way back to the origin, null for a local plan",
        **{f"parts.answer.{key}": meaning for key, meaning in _LINK_KEYS.items()},
        "alternatives": "the best plan of each kind and without each node",
        "alternatives[].name": "`local`, `offload`, `split`, or `without NODE`",
        "alternatives[].plan": "the plan, null when there is none",
        "alternatives[].refusal": "why there is none, or why it may not be used",
        "alternatives[].cost": "what the objective makes of it",
        **{f"alternatives[].{key}": meaning for key, meaning in _COSTS.items()},
        "front": "with --front: the plans that no other beats in every respect; else null",
        "front[].plan": "one of them",
        **{f"front[].{key}": meaning for key, meaning in _COSTS.items()},
        "branches": "with MODEL and two nodes: parallel branches cut apart, which streams cannot run yet; else null",
        "branches.latency_s": "of the best set of layers on the origin, by minimum cut (modelled, codec time left out)",
        "branches.prefix_latency_s": "of the best cut through one order of the layers, judged alike",
        "branches.n_layers": "layers of that set",
        "branches.is_prefix": "whether a plan can say the same",
        "why": "in words and numbers",
    }
}


def register(app: typer.Typer) -> None:
    """Add `plan` to `app`."""
    app.command(name="plan")(plan)


def plan(
    model: OptionalModelArgument = None,
    profiles: ProfileOption = None,
    slowdowns: SlowdownOption = None,
    powers: PowersOption = None,
    links: LinkOption = None,
    origin: Annotated[
        str | None, typer.Option("--origin", metavar="NODE", help="Where frames enter; the first node with a profile.")
    ] = None,
    objective: ObjectiveOption = "latency",
    energy_scope: EnergyScopeOption = "all",
    private: PrivateOption = 0,
    codecs: CodecsOption = DEFAULT_CODECS,
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
    threads: ThreadsOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Find the best plan for given nodes and links, without running any, and say what it costs and why."""
    from seamline.cli.shared.output import data_console, print_json
    from seamline.core.planning.planner import EnergyScope, Problem
    from seamline.core.vocabulary.constraints import limited

    known = profiles_of(
        model, profiles or (), slowdowns or (), powers=powers or (), shapes=shape or (), threads=threads
    )
    enters = _origin(origin, list(known))
    given = plan_named(by_hand) if by_hand is not None else None
    limits = Constraints(n_private_cuts=private, codecs=codecs_named(codecs))
    goal = goal_of(objective, slo, weigh)
    sizes, pins = sizes_by_node(memory or ()), pins_by_layer(pin or ())
    problem = Problem(
        origin=enters,
        cuts=known[enters].cuts,
        profiles=known,
        links=_links(links or (), list(known)),
        objective=goal,
        energy_scope=EnergyScope.parse(energy_scope).among(list(known)),
        constraints=limited(
            limits,
            known[enters].cuts,
            list(known),
            memory_bytes=sizes,
            pins=pins,
            forbid=forbid or (),
            trust=trust or (),
        ),
    )
    data = summary(problem, given, with_front=with_front)
    data["branches"] = _branches(model, shape or (), problem) if model is not None else None
    if data["branches"] is not None and not data["branches"]["is_prefix"]:
        apart, prefix = 1e3 * data["branches"]["latency_s"], 1e3 * data["branches"]["prefix_latency_s"]
        data["why"] += (
            f"; parallel branches cut apart would take {apart:.1f} ms instead of {prefix:.1f} ms (modelled), "
        )
        data["why"] += "which streams cannot run yet"
    if as_json:
        print_json(data)
    else:
        from seamline.cli.shared.plan_table import plan_report

        data_console().print(plan_report(data))


def summary(problem: Problem, given: Plan | None = None, *, with_front: bool = False) -> dict[str, Any]:
    """What `--json` prints; `given` may use any codec, as in `seamline run`.

    Raises `Infeasible` when there is no plan at all, `UsageError` when `given` is none for this problem.
    """
    from seamline.core.analysis.comparison import rivals, why
    from seamline.core.analysis.energy_by_node import joules_by_node
    from seamline.core.analysis.pareto import front
    from seamline.core.cost.formulas import breakdown
    from seamline.core.planning.planner import evaluate
    from seamline.core.planning.planner import plan as best_plan

    judged = None
    if given is not None:
        try:
            judged = evaluate(given, replace(problem, constraints=replace(problem.constraints, codecs=tuple(Codec))))
        except PlanError as error:
            raise _as_usage(error) from error
    planned = best_plan(problem)
    unbeaten = front(problem) if with_front else None
    chosen = judged or evaluate(planned.plan, problem)
    assert chosen.plan is not None
    others = rivals(problem, planned)
    return {
        "model": problem.profiles[problem.origin].model.name,
        "origin": problem.origin,
        "objective": str(problem.objective),
        "energy_scope": str(problem.energy_scope),
        "plan": structured(chosen.plan),
        "refusal": chosen.refusal,
        "best": None if given is None else {"text": str(planned.plan), **_costs(evaluate(planned.plan, problem))},
        "cost": chosen.cost,
        **_costs(chosen),
        "energy_source": None if chosen.energy_j is None else "modelled",
        "energy_nodes_j": joules_by_node(chosen.plan, problem),
        "parts": parts(breakdown(chosen.plan, problem)),
        "alternatives": [_alternative(rival) for rival in others],
        "front": None if unbeaten is None else [{"plan": str(each.plan), **_costs(each)} for each in unbeaten],
        "why": why(planned.plan if given is not None else chosen.plan, problem, others),
    }


def _branches(model: str, shapes: Sequence[str], problem: Problem) -> dict[str, Any] | None:
    """What cutting parallel branches apart would bring; None unless the problem is one of latency between two nodes."""
    from seamline.cli.shared.models import load_model
    from seamline.core.analysis.mincut import best_closed_set, best_prefix, costs_between

    others = sorted(problem.profiles.keys() - {problem.origin})
    if len(others) != 1 or (problem.origin, others[0]) not in problem.links or problem.objective != Objective.LATENCY:
        return None
    graph = load_model(model, shapes=shapes)[1].graph
    costs = costs_between(graph, problem, others[0])
    found, prefix = best_closed_set(graph, costs), best_prefix(graph, costs)
    is_prefix = found.latency_s >= prefix.latency_s * (1.0 - 1e-9)
    return {
        "latency_s": found.latency_s,
        "prefix_latency_s": prefix.latency_s,
        "n_layers": len(found.on_origin),
        "is_prefix": is_prefix,
    }


def structured(plan: Plan) -> dict[str, Any]:
    """`plan` printable and taken apart."""
    stages = [
        {"node": each.node, "start": each.segment.start, "stop": each.segment.stop, "codec": each.codec}
        for each in plan.stages
    ]
    return {"text": str(plan), "stages": stages}


def parts(costs: Breakdown) -> dict[str, Any]:
    """Every term of one plan by itself."""
    return {
        "stages": [
            {
                "node": stage.node,
                "start": stage.segment.start,
                "stop": stage.segment.stop,
                "queue_s": stage.queue_s,
                "decode_s": stage.decode_s,
                "compute_s": stage.compute_s,
                "encode_s": stage.encode_s,
            }
            for stage in costs.stages
        ],
        "links": [_link(link) for link in costs.links],
        "answer": None if costs.answer is None else _link(costs.answer),
    }


def _link(cost: LinkCost) -> dict[str, Any]:
    return {key: getattr(cost, key) for key in _LINK_KEYS}


def _costs(found: Alternative) -> dict[str, Any]:
    return {key: getattr(found, key) for key in _COSTS}


def _alternative(rival: Rival) -> dict[str, Any]:
    found = rival.found
    return {
        "name": rival.name,
        "plan": None if found.plan is None else str(found.plan),
        "refusal": found.refusal,
        "cost": found.cost,
        **_costs(found),
    }


def _origin(text: str | None, nodes: Sequence[NodeId]) -> NodeId:
    if text is None:
        return nodes[0]
    if text not in nodes:
        raise UsageError(f"`--origin {text}` has no profile", hint=f"one of {', '.join(nodes)}")
    return NodeId(text)


def _links(texts: Sequence[str], nodes: Sequence[NodeId]) -> dict[Any, Any]:
    links = parse_links(texts)
    for ends in links:
        for node in ends:
            if node not in nodes:
                raise UsageError(f"a link names `{node}`, which has no profile", hint=f"one of {', '.join(nodes)}")
    return links


def plan_named(text: str) -> Plan:
    """The plan that a user typed. Raises `UsageError` when it is none."""
    try:
        return Plan.parse(text)
    except PlanError as error:
        raise _as_usage(error) from error


def _as_usage(error: PlanError) -> UsageError:
    """A plan that a user typed and that cannot be one is wrong use, not a failure of the world."""
    return UsageError(str(error).removesuffix(f"; hint: {error.hint}"), hint=error.hint)
