"""Summary of a plan: what it costs, where the time goes, and what else could be done."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Annotated

from seamline.cli.shared.planning_options import as_usage
from seamline.core.analysis.break_even import BreakEven, break_even
from seamline.core.analysis.comparison import NamedAlternative, named_alternatives, why
from seamline.core.analysis.energy_by_node import joules_by_node
from seamline.core.analysis.pareto import front
from seamline.core.cost.formulas import Breakdown, breakdown
from seamline.core.planning.planner import Problem, evaluate
from seamline.core.planning.planner import plan as best_plan
from seamline.core.recording.provenance import Provenance
from seamline.core.vocabulary.documented import INLINED, copied
from seamline.core.vocabulary.errors import PlanError
from seamline.core.vocabulary.nodes import NodeId
from seamline.core.vocabulary.plans import Codec, Plan
from seamline.core.vocabulary.quantities import milliseconds
from seamline.meters.provenance import provenance


@dataclass(frozen=True, slots=True, kw_only=True)
class Costs:
    """What a plan costs by each objective."""

    latency_s: Annotated[float, "seconds from frame to answer; null over a link that is down"]
    throughput_fps: Annotated[float, "frames per second of a full pipeline"]
    energy_j: Annotated[float | None, "joules per frame (modelled), null without power figures"]


@dataclass(frozen=True, slots=True, kw_only=True)
class StageSummary:
    """One stage of a plan."""

    node: Annotated[NodeId, "who runs it"]
    start: Annotated[int, "cut it begins at"]
    stop: Annotated[int, "cut it ends at"]
    codec: Annotated[Codec | None, "how its result leaves, null on the last one"]


@dataclass(frozen=True, slots=True, kw_only=True)
class StructuredPlan:
    """A plan printable and taken apart."""

    text: Annotated[str, "as it prints and parses back"]
    stages: Annotated[tuple[StageSummary, ...], "its stages in order"]


@dataclass(frozen=True, slots=True, kw_only=True)
class BestPlan:
    """The best plan, where another one is looked at."""

    text: Annotated[str, "as it prints"]
    costs: Costs = field(metadata=INLINED)


@dataclass(frozen=True, slots=True, kw_only=True)
class StagePart:
    """Where the time of a frame goes on one node."""

    node: Annotated[NodeId, "who runs it"]
    start: Annotated[int, "cut it begins at"]
    stop: Annotated[int, "cut it ends at"]
    queue_s: Annotated[float, "seconds of waiting before it"]
    decode_s: Annotated[float, "seconds to decode what came"]
    compute_s: Annotated[float, "seconds to compute, preprocessing included"]
    encode_s: Annotated[float, "seconds to encode what leaves"]


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkPart:
    """Where the time of a frame goes on one link."""

    source: Annotated[NodeId, "where it starts"]
    target: Annotated[NodeId, "where it ends"]
    codec: Annotated[Codec | None, "how the boundary travels, null for the answer"]
    payload_bytes: Annotated[float, "bytes that travel"]
    serialise_s: Annotated[float, "seconds that the link is occupied"]
    transfer_s: Annotated[float, "the same and half a round trip"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """Every term of one plan by itself."""

    stages: tuple[StagePart, ...]
    links: tuple[LinkPart, ...]
    answer: Annotated[LinkPart | None, "the way back to the origin, null for a local plan"]


@dataclass(frozen=True, slots=True, kw_only=True)
class AlternativeSummary:
    """The best plan of one kind, or without one node."""

    name: Annotated[str, "`local`, `offload`, `split`, or `without NODE`"]
    plan: Annotated[str | None, "the plan, null when there is none"]
    refusal: Annotated[str | None, "why there is none, or why it may not be used"]
    cost: Annotated[float, "what the objective makes of it"]
    costs: Costs = field(metadata=INLINED)


@dataclass(frozen=True, slots=True, kw_only=True)
class FrontPlan:
    """One plan of the Pareto front."""

    plan: Annotated[str, "one of them"]
    costs: Costs = field(metadata=INLINED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Branches:
    """What cutting parallel branches apart would bring."""

    latency_s: Annotated[
        float, "of the best set of layers on the origin, by minimum cut (modelled, codec time left out)"
    ]
    prefix_latency_s: Annotated[float, "of the best cut through one order of the layers, judged alike"]
    n_layers: Annotated[int, "layers of that set"]
    is_prefix: Annotated[bool, "whether a plan can say the same"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Pays:
    """From which link speed on leaving the origin is quicker, whatever the links are now."""

    node: Annotated[NodeId, "the other node; both directions of the link count as equally fast"]
    split: Annotated[str | None, "the plan that splits and pays at the lowest speed, null when none pays at any"]
    split_bps: Annotated[float | None, "from this speed on, bits per second, it beats everything on the origin"]
    whole_bps: Annotated[float | None, "the same of the frame sent whole; null when that never pays or is forbidden"]
    beaten_bps: Annotated[float | None, "from this speed on the frame sent whole beats every split; null at none"]


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanSummary:
    """What `seamline plan --json` prints."""

    model: Annotated[str, "name of the model, as its profiles have it"]
    origin: Annotated[NodeId, "where frames enter"]
    objective: Annotated[str, "what counts"]
    energy_scope: Annotated[str, "whose joules count"]
    plan: Annotated[StructuredPlan, "the best plan, or the one given with --plan"]
    refusal: Annotated[str | None, "why a plan given with --plan may not be used, null when it may"]
    best: Annotated[BestPlan | None, "the best plan when another was given with --plan, else null"]
    cost: Annotated[float, "what the objective makes of it: seconds, seconds per frame, joules, or the weighted sum"]
    costs: Costs = field(metadata=INLINED)
    energy_source: Annotated[str | None, "`modelled`: no meter ran; null without power figures"]
    energy_nodes_j: Mapping[
        NodeId,
        Annotated[
            float | None, "what each node of the plan draws for a frame, counted or not; null without power figures"
        ],
    ]
    parts: Annotated[Parts, "where the time of one frame goes"]
    alternatives: Annotated[tuple[AlternativeSummary, ...], "the best plan of each kind and without each node"]
    front: Annotated[
        tuple[FrontPlan, ...] | None, "with --front: the plans that no other beats in every respect; else null"
    ]
    branches: Annotated[
        Branches | None,
        "with MODEL and two nodes: parallel branches cut apart, which streams cannot run yet; else null",
    ]
    pays: Annotated[tuple[Pays, ...], "for the latency of one frame, with each other node"]
    why: Annotated[str, "in words and numbers"]
    made_by: Provenance | None = None


def plan_summary(problem: Problem, given: Plan | None = None, *, with_front: bool = False) -> PlanSummary:
    """The best plan, or `given`, which may use any codec as in `seamline run`, beside its alternatives.

    Raises `Infeasible` when there is no plan at all, `UsageError` when `given` is none for this problem.
    """
    judged = None
    if given is not None:
        try:
            judged = evaluate(given, replace(problem, constraints=replace(problem.constraints, codecs=tuple(Codec))))
        except PlanError as error:
            raise as_usage(error) from error
    planned = best_plan(problem)
    on_front = front(problem) if with_front else ()
    best = evaluate(planned.plan, problem)
    chosen = judged or best
    assert chosen.plan is not None
    others = named_alternatives(problem, planned)
    return PlanSummary(
        model=problem.profiles[problem.origin].model.name,
        origin=problem.origin,
        objective=str(problem.objective),
        energy_scope=str(problem.energy_scope),
        plan=_structured(chosen.plan),
        refusal=chosen.refusal,
        best=None if given is None else BestPlan(text=str(planned.plan), costs=copied(Costs, best)),
        cost=chosen.cost,
        costs=copied(Costs, chosen),
        energy_source=None if chosen.energy_j is None else "modelled",
        energy_nodes_j=joules_by_node(chosen.plan, problem),
        parts=_parts(breakdown(chosen.plan, problem)),
        alternatives=tuple(_alternative(alternative) for alternative in others),
        front=tuple(FrontPlan(plan=str(each.plan), costs=copied(Costs, each)) for each in on_front)
        if with_front
        else None,
        branches=None,
        pays=tuple(_pays(break_even(problem, node)) for node in problem.profiles if node != problem.origin),
        why=why(planned.plan if given is not None else chosen.plan, problem, others),
        made_by=provenance(),
    )


def with_branches(summary: PlanSummary, branches: Branches | None) -> PlanSummary:
    """`summary` with `branches`, and a word on them where a plan cannot say the same."""
    if branches is None or branches.is_prefix:
        return replace(summary, branches=branches)
    apart, prefix = milliseconds(branches.latency_s), milliseconds(branches.prefix_latency_s)
    words = f"parallel branches cut apart would take {apart} instead of {prefix} (modelled), which streams cannot"
    return replace(summary, branches=branches, why=f"{summary.why}; {words} run yet")


def _pays(found: BreakEven) -> Pays:
    return Pays(
        node=found.node,
        split=None if found.split is None else str(found.split),
        split_bps=found.split_bps,
        whole_bps=found.whole_bps,
        beaten_bps=found.beaten_bps,
    )


def _structured(plan: Plan) -> StructuredPlan:
    stages = tuple(
        StageSummary(node=each.node, start=each.segment.start, stop=each.segment.stop, codec=each.codec)
        for each in plan.stages
    )
    return StructuredPlan(text=str(plan), stages=stages)


def _parts(costs: Breakdown) -> Parts:
    stages = tuple(
        copied(StagePart, stage, start=stage.segment.start, stop=stage.segment.stop) for stage in costs.stages
    )
    answer = None if costs.answer is None else copied(LinkPart, costs.answer)
    return Parts(stages=stages, links=tuple(copied(LinkPart, link) for link in costs.links), answer=answer)


def _alternative(alternative: NamedAlternative) -> AlternativeSummary:
    found = alternative.found
    return AlternativeSummary(
        name=alternative.name,
        plan=None if found.plan is None else str(found.plan),
        refusal=found.refusal,
        cost=found.cost,
        costs=copied(Costs, found),
    )
