"""Asks nodes that frames have left because they were slow how fast they are now; when is decided in
`core.speed.reprofiling`.

Owned by a stream's controller and called on its thread only; an answer arrives there as `timed(node, segment, seconds)`
says it, like a frame's report. A node that cannot answer is asked again at its usual time.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial

from seamline.core.adaptation.view import View, problem_of
from seamline.core.cost.formulas import compute_s
from seamline.core.speed import reprofiling as rc
from seamline.core.vocabulary.nodes import NodeId
from seamline.core.vocabulary.plans import Segment
from seamline.runtime.node.node import Node
from seamline.runtime.shared.clock import now_s

log = logging.getLogger(__name__)

Timed = Callable[[NodeId, Segment, float], object]


class Rechecks:
    """What is known of asking each node. post: puts a call on the controller's thread. timed: takes an answer there."""

    def __init__(self, node: Node, model_id: str, *, post: Callable[[Callable[[], None]], None], timed: Timed) -> None:
        self._node = node
        self._model_id = model_id
        self._post = post
        self._timed = timed
        self._known: dict[NodeId, rc.Recheck] = {}
        self._waiting: dict[NodeId, float] = {}

    def computed(self, name: NodeId, segment: Segment) -> None:
        """A frame's `segment` ran on `name`."""
        self._known[name] = rc.computed(self._known.get(name), segment, now_s())

    def ask(self, view: View) -> None:
        """Ask every node whose time it is; those that frames go to, or will in a moment, tell by themselves."""
        problem = problem_of(view)
        if problem is None:
            return
        in_use = {
            stage.node for plan in (view.current, view.pending) if plan is not None
            for stage in plan.stages if not stage.segment.is_empty
        }  # fmt: skip
        for name in problem.profiles.keys() - in_use - self._waiting.keys():
            known = self._known.get(name)
            if known is None or not rc.is_due(known, view.compute_ratio.get(name, 1.0), view.now_s):
                continue
            expected_s = compute_s(name, known.segment, problem)
            self._known[name] = rc.asked(known, expected_s, view.now_s)
            self._waiting[name] = expected_s
            answer = self._node.client.time_segment(name, self._model_id, known.segment)
            answer.add_done_callback(partial(self._answered, name, known.segment))

    def _answered(self, name: NodeId, segment: Segment, done: Future[float]) -> None:
        """On any thread."""
        self._post(partial(self._take, name, segment, done))

    def _take(self, name: NodeId, segment: Segment, done: Future[float]) -> None:
        expected_s = self._waiting.pop(name)
        if done.cancelled() or (error := done.exception()) is not None:
            log.debug("`%s` was not measured anew: %s", name, "cancelled" if done.cancelled() else error)
            return
        took_s = done.result()
        if not (math.isfinite(took_s) and took_s > 0.0 and expected_s > 0.0):
            log.debug("`%s` says that a segment took %s s", name, took_s)
            return
        self._known[name] = rc.answered(self._known[name], took_s / expected_s, now_s())
        self._timed(name, segment, took_s)
