"""What a plan asks of the machines and links, frame by frame: the terms of `core.cost.formulas`, ready to be played.

Nothing of the cost formulas is repeated here: a plan's breakdown over the true profiles says how long each stage
computes on a quiet machine and how many bytes leave it; the simulation adds noise, slowdowns, queues and links.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from seamline.core.cost.formulas import breakdown, compute_s
from seamline.core.cost.problem import Problem
from seamline.core.vocabulary.links import LinkEstimate
from seamline.core.vocabulary.nodes import NodeId
from seamline.core.vocabulary.plans import Plan, Segment
from seamline.sim.scene import Scene

HEADER_BYTES = 320
"""What a frame's header adds to its tensors: stream, plan, and the reports of the stages before."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StageWork:
    """One stage as the simulation plays it. to: where its result goes, the origin's name after the last stage.

    codec_s: decoding and encoding. payload_bytes: the tensors that leave; sent_bytes: with their header. Both are 0
    when the frame is at home.
    """

    node: NodeId
    codec_s: float
    compute_s: float
    to: NodeId
    payload_bytes: int
    sent_bytes: int


@dataclass(slots=True)
class StageWorkTable:
    """Work of the stages of every plan met so far, over true profiles. problem: with nothing known of links."""

    scene: Scene
    problem: Problem = field(init=False)
    _known: dict[Plan, tuple[StageWork, ...]] = field(default_factory=dict)
    _newest: tuple[Plan | None, tuple[StageWork, ...]] = (None, ())

    def __post_init__(self) -> None:
        scene = self.scene
        self.problem = problem_of_scene(scene, {})

    def of(self, plan: Plan) -> tuple[StageWork, ...]:
        newest, stage_works = self._newest
        if newest is not plan:  # most frames follow the same plan as the one before, and its hash takes a while
            known = self._known.get(plan)
            stage_works = self._known[plan] = self._stage_works(plan) if known is None else known
            self._newest = (plan, stage_works)
        return stage_works

    def segment_s(self, node: NodeId, segment: Segment) -> float:
        """How long `segment` takes on a quiet `node`."""
        return compute_s(node, segment, self.problem)

    def _stage_works(self, plan: Plan) -> tuple[StageWork, ...]:
        costs = breakdown(plan, self.problem)
        stage_works = []
        for at, stage in enumerate(costs.stages):
            is_last = at + 1 == len(costs.stages)
            link = costs.answer if is_last else costs.links[at]
            stage_works.append(
                StageWork(
                    node=stage.node,
                    codec_s=stage.decode_s + stage.encode_s,
                    compute_s=stage.compute_s,
                    to=plan.origin if is_last else costs.stages[at + 1].node,
                    payload_bytes=0 if link is None else link.payload_bytes,
                    sent_bytes=0 if link is None else link.payload_bytes + HEADER_BYTES,
                )
            )
        return tuple(stage_works)


def problem_of_scene(scene: Scene, links: Mapping[tuple[NodeId, NodeId], LinkEstimate]) -> Problem:
    """The planning problem of `scene` with the given beliefs about its links."""
    return Problem(
        origin=scene.origin,
        cuts=scene.profiles[scene.origin].cuts,
        profiles=scene.profiles,
        links=links,
        objective=scene.objective,
        constraints=scene.constraints,
        energy_scope=scene.energy_scope,
    )
