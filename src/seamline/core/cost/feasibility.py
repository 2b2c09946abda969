"""Feasibility of one given plan: constraints, memory, links that are down; and in words why it may not be used.

`constraint_masks.py` has the same for all plans at once, for the searches of the planner; `infeasibility.py` says why
there is no plan.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from seamline.core.cost.formulas import answer_link, forward_link
from seamline.core.cost.payload import offered_codecs
from seamline.core.cost.problem import Problem
from seamline.core.vocabulary.errors import PlanError
from seamline.core.vocabulary.nodes import NodeId
from seamline.core.vocabulary.plans import Plan, Segment, Stage
from seamline.core.vocabulary.profiles import Cut

MEMORY_HEADROOM_RATIO = 0.1
"""Of a segment's weights and tensors: what engines keep beside them. Modelled."""


def why_infeasible(plan: Plan, problem: Problem) -> str | None:
    """Reason why `plan` cannot be used now, in words; None when it can."""
    if plan.origin != problem.origin or plan.stages[-1].segment.stop != problem.last_cut:
        return f"it is not a plan for this model on `{problem.origin}`"
    for stage in plan.stages:
        if stage.node not in problem.profiles:
            return f"`{stage.node}` is not there"
        if (reason := _stage_infeasibility(stage, problem)) is not None:
            return reason
    for place, node in problem.constraints.pins:
        if not any(stage.node == node and stage.segment.start < place <= stage.segment.stop for stage in plan.stages):
            return f"the layers before cut {place} are pinned to `{node}`"
    if plan.is_local:
        return None if problem.constraints.allow_local else "running everything on the origin is not allowed"
    if plan.is_offload and not problem.constraints.allow_offload:
        return "offloading everything is not allowed"
    for here, there in zip(plan.stages, plan.stages[1:], strict=False):
        if (reason := _boundary_infeasibility(here, there, problem)) is not None:
            return reason
    last = plan.stages[-1].node
    back = answer_link(last, problem)
    if back is None or back.goodput_bps <= 0.0:
        return f"the way back {last}->{problem.origin} is down"
    if not problem.constraints.may_use(last, problem.origin):
        return f"the way back {last}->{problem.origin} is forbidden"
    return None


def memory_bytes(segment: Segment, cuts: tuple[Cut, ...]) -> int:
    """Memory that a node needs to run `segment`: its weights, what goes into and out of its largest step, and headroom.

    Modelled. Tensors that live only between two cuts are not seen, which the headroom is for; a node's process itself
    is not in it. 0 when the segment is empty.
    """
    if segment.is_empty:
        return 0
    weights = cuts[segment.stop].weights_before_bytes - cuts[segment.start].weights_before_bytes
    largest = max(cut.payload_bytes for cut in cuts[segment.start : segment.stop + 1])
    return math.ceil((1.0 + MEMORY_HEADROOM_RATIO) * (weights + 2 * largest))


def _stage_infeasibility(stage: Stage, problem: Problem) -> str | None:
    if stage.segment.is_empty:
        return None
    if stage.node in problem.constraints.forbidden_nodes:
        return f"`{stage.node}` is forbidden"
    limit = problem.memory_limit_bytes(stage.node)
    need = memory_bytes(stage.segment, problem.cuts) if limit is not None else 0
    if limit is not None and need > limit:
        verb = "reports" if problem.free_memory_bytes.get(stage.node) == limit else "may use"
        return f"{stage.segment} needs {need / 1e6:.1f} MB on `{stage.node}`, which {verb} {limit / 1e6:.1f}"
    return None


def _boundary_infeasibility(here: Stage, there: Stage, problem: Problem) -> str | None:
    cut = problem.cuts[here.segment.stop]
    limits = problem.constraints
    for node, start in ((here.node, here.segment.start), (there.node, there.segment.start)):
        tails = problem.profiles[node].tails
        if tails is not None and (node == here.node or start not in tails):
            return f"`{node}` computes to the end from {_listed(tails)} alone"
    if not limits.may_leave(cut, there.node):
        return f"cut {cut.index} may not leave `{problem.origin}` (private cuts: {limits.n_private_cuts})"
    if here.codec not in limits.codecs:
        return f"codec {here.codec} is not allowed"
    for node in (here.node, there.node):
        if (node, here.codec) in limits.forbidden_codecs:
            return f"codec {here.codec} is forbidden on `{node}`"
    if not limits.may_lose(cut.index, here.codec):
        return f"no calibration allows codec {here.codec} at cut {cut.index}"
    if not limits.may_use(here.node, there.node):
        return f"{here.node}->{there.node} is forbidden"
    if here.codec not in offered_codecs(cut, problem.frame):
        why = f": {', '.join(sorted(cut.exact))} must keep every bit" if cut.exact else ""
        return f"codec {here.codec} does not exist at cut {cut.index}{why}"
    link = forward_link(here, there, problem)
    if link is None or link.goodput_bps <= 0.0:
        return f"{here.node}->{there.node} is down"
    return None


def _listed(tails: Sequence[int]) -> str:
    return " and ".join((", ".join(f"cut {cut}" for cut in tails[:-1]), f"cut {tails[-1]}")).removeprefix(" and ")


def check_fits(plan: Plan, nodes: Sequence[NodeId], *, last_cut: int, model: str) -> None:
    """Raises `PlanError` when `plan` is none for the model named `model` over `nodes`, the origin first."""
    origin = nodes[0]
    if plan.origin != origin:
        raise PlanError(
            f"`{plan}` starts on `{plan.origin}`, but frames enter at `{origin}`", hint=f"begin with {origin}"
        )
    if missing := set(plan.nodes) - set(nodes):
        raise PlanError(
            f"`{plan}` uses `{min(missing)}`, which may not take part", hint=f"the nodes are {', '.join(nodes)}"
        )
    if plan.stages[-1].segment.stop != last_cut:
        raise PlanError(
            f"`{plan}` does not end at cut {last_cut}, the last of `{model}`", hint="`seamline inspect` lists the cuts"
        )
