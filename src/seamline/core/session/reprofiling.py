"""Re-profiling of nodes that frames have left because they were slow; when is decided in `core.speed.reprofiling`."""

from __future__ import annotations

import math

from seamline.core.cost.formulas import compute_s
from seamline.core.session import commands as cmd
from seamline.core.session.stream_view import StreamView
from seamline.core.speed import reprofiling as rp
from seamline.core.vocabulary.nodes import NodeId
from seamline.core.vocabulary.plans import Segment


class Reprofiling:
    """What is known of asking each node. A node that cannot answer is asked again at its usual time."""

    def __init__(self, view: StreamView, out: list[cmd.PilotOutput]) -> None:
        self._view = view
        self._out = out
        self._known: dict[NodeId, rp.ReprofilingState] = {}
        self._expected_s: dict[NodeId, float] = {}  # of nodes that have been asked and have not answered

    def computed(self, node: NodeId, segment: Segment, now_s: float) -> None:
        """A frame's `segment` ran on `node`."""
        self._known[node] = rp.computed(self._known.get(node), segment, now_s)

    def ask(self) -> None:
        """Ask every node whose time it is; nodes that frames go to, or will in a moment, are measured by these."""
        view, problem = self._view.view, self._view.problem
        if problem is None or not view.compute_ratio:
            return
        plans = [plan for plan in (view.current, view.pending) if plan is not None]
        in_use = {stage.node for plan in plans for stage in plan.stages if not stage.segment.is_empty}
        for node in sorted(problem.profiles.keys() - in_use - self._expected_s.keys()):
            known = self._known.get(node)
            if known is None or not rp.is_due(known, view.compute_ratio.get(node, 1.0), view.now_s):
                continue
            expected_s = self._expected_s[node] = compute_s(node, known.segment, problem)
            self._known[node] = rp.asked(known, expected_s, view.now_s)
            self._out.append(cmd.TimeSegment(node, known.segment))

    def answered(self, node: NodeId, segment: Segment, took_s: float | None, now_s: float) -> None:
        """The answer counts as a frame's time would."""
        expected_s = self._expected_s.pop(node, None)
        if expected_s is None or took_s is None or not (math.isfinite(took_s) and took_s > 0.0 and expected_s > 0.0):
            return
        self._known[node] = rp.answered(self._known[node], took_s / expected_s, now_s)
        self._view.segment_computed(node, segment, took_s, now_s)

    def lost(self, node: NodeId) -> None:
        """It will not answer any more."""
        self._expected_s.pop(node, None)
