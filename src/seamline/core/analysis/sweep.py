"""Sweep over every single cut between two nodes: the curve that shows where a model is best cut, and why there.

The planner finds the best cut by itself; this is for looking at all of them, the ones it never considers included.
"""

from __future__ import annotations

from dataclasses import dataclass

from seamline.core.cost.feasibility import why_infeasible
from seamline.core.cost.formulas import breakdown
from seamline.core.cost.payload import offered_codecs, sent_bytes
from seamline.core.cost.problem import Problem
from seamline.core.vocabulary.nodes import NodeId
from seamline.core.vocabulary.plans import Codec, Plan, Segment, Stage
from seamline.core.vocabulary.profiles import Cut


@dataclass(frozen=True, slots=True, kw_only=True)
class SweptCut:
    """One cut as the only one of a plan. At 0 the frame or input itself is sent; at the last cut nothing is.

    sent_bytes: of the boundary, 0 for the local plan. origin_s, target_s: on the two nodes, with codecs and waiting.
    transfer_s: both ways. refusal: why the plan may not be used.
    """

    cut: int
    after: str
    plan: Plan
    boundary_bytes: int
    sent_bytes: int
    origin_s: float
    transfer_s: float
    target_s: float
    refusal: str | None

    @property
    def latency_s(self) -> float:
        return self.origin_s + self.transfer_s + self.target_s


def sweep(problem: Problem, target: NodeId, codec: Codec) -> tuple[SweptCut, ...]:
    """Every cut between the origin and `target`, in order. A cut that does not offer `codec` is crossed raw.

    Source of the curve: NEUKONFIG fig. 2 and 3. Raises `PlanError` when a node has no profile.
    """
    return tuple(_swept(cut, target, codec, problem) for cut in problem.cuts)


def best_of(swept: tuple[SweptCut, ...]) -> SweptCut:
    """The allowed one with the least latency; of equals the first."""
    allowed = [each for each in swept if each.refusal is None] or list(swept)
    return min(allowed, key=lambda each: each.latency_s)


def _swept(cut: Cut, target: NodeId, codec: Codec, problem: Problem) -> SweptCut:
    used = codec if codec in offered_codecs(cut, problem.frame) else Codec.RAW
    plan = _plan(cut, target, used, problem)
    costs = breakdown(plan, problem)
    behind = costs.stages[1:]
    return SweptCut(
        cut=cut.index,
        after=cut.after,
        plan=plan,
        boundary_bytes=cut.payload_bytes,
        sent_bytes=0 if plan.is_local else sent_bytes(cut, used, problem),
        origin_s=costs.stages[0].queue_s + costs.stages[0].busy_s,
        transfer_s=sum(link.transfer_s for link in costs.all_links),
        target_s=sum(stage.queue_s + stage.busy_s for stage in behind),
        refusal=why_infeasible(plan, problem),
    )


def _plan(cut: Cut, target: NodeId, codec: Codec, problem: Problem) -> Plan:
    if cut.index == problem.last_cut:
        return Plan.local(problem.origin, len(problem.cuts))
    here = Stage(problem.origin, Segment(0, cut.index), codec)
    return Plan((here, Stage(target, Segment(cut.index, problem.last_cut))))
