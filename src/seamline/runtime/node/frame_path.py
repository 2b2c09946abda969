"""A frame's way through a node: run its stage, send what comes out to the next one, or the answer to the origin.

Every frame carries its plan, so nothing here knows streams. A stage that cannot be done is reported to the origin,
which completes the frame elsewhere. Messages come from `dispatch.py`, segments were prepared by `service.py`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import lru_cache, partial
from typing import TYPE_CHECKING

from seamline.core.vocabulary.errors import FabricError, PlanError, SeamlineError, WireError
from seamline.core.vocabulary.nodes import NodeId
from seamline.core.vocabulary.plans import Plan
from seamline.core.vocabulary.ports import Array, Lane, Tensors
from seamline.fabric import messages as msg
from seamline.fabric.wire import pack
from seamline.runtime.node.stages import Arrival, Finished, always
from seamline.runtime.shared.outbox import Outgoing

if TYPE_CHECKING:
    from seamline.runtime.node.node import Node

log = logging.getLogger(__name__)

SMALL_RESULT_BYTES = 16 * 1024
"""Answers up to this size travel as control messages: they need not queue behind tensors."""

parse_plan = lru_cache(maxsize=256)(Plan.parse)


class FramePath:
    """Runs and forwards the frames of one node. Its callbacks run on the compute and sending threads."""

    def __init__(self, node: Node) -> None:
        self._node = node

    def begin(
        self,
        header: msg.FrameData,
        plan: Plan,
        tensors: Tensors,
        *,
        urgent: bool = False,
        claim: Callable[[], bool] = always,
    ) -> None:
        """Run stage 0 of a frame that entered here, then send it on its way; unless `claim`, asked when it is its turn,
        says no."""
        self._run_stage(header, plan, Arrival(tensors=tensors), urgent=urgent, claim=claim)

    def arrived(self, source: NodeId, header: msg.FrameData, tensors: list[Array]) -> None:
        try:
            plan = parse_plan(header.plan)
            if not 0 < header.stage < len(plan.stages) or plan.stages[header.stage].node != self._node.name:
                raise PlanError(f"stage {header.stage} of `{plan}` is not for `{self._node.name}`")
        except PlanError as error:
            raise WireError(f"`{source}` sent a frame with a plan that does not fit: {error}") from error
        self._node.energy.received(sum(tensor.nbytes for tensor in tensors))
        self._run_stage(header, plan, Arrival(encoding=header.encoding, buffers=tensors))

    def _run_stage(
        self,
        header: msg.FrameData,
        plan: Plan,
        arrival: Arrival,
        *,
        urgent: bool = False,
        claim: Callable[[], bool] = always,
    ) -> None:
        stage = plan.stages[header.stage]
        try:
            segment = (
                None
                if stage.segment.is_empty
                else self._node.segments.find(header.stream, header.generation, header.stage)
            )
        except PlanError as error:
            self._failed(header, plan, error)
            return
        self._node.stages.put(
            stage,
            segment,
            arrival,
            urgent=urgent,
            claim=claim,
            done=partial(self._stage_done, header, plan),
            failed=partial(self._failed, header, plan),
        )

    def _stage_done(self, header: msg.FrameData, plan: Plan, finished: Finished) -> None:
        reports = (*header.reports, finished.report)
        if finished.encoded is None:
            self._answer(header, plan, finished, reports)
            return
        target = plan.stages[header.stage + 1].node
        buffers = finished.encoded.buffers
        seq = self._node.links.next_seq()
        onward = msg.FrameData(
            stream=header.stream,
            frame=header.frame,
            attempt=header.attempt,
            generation=header.generation,
            model_id=header.model_id,
            plan=header.plan,
            stage=header.stage + 1,
            seq=seq,
            encoding=finished.encoded.encoding,
            reports=reports,
        )
        message = pack(onward, buffers)
        self._node.energy.sent(len(message))
        self._node.outbox.put(
            target,
            Outgoing(
                message=message,
                before_send=partial(self._node.links.sending, target, seq, len(message)),
                failed=partial(self._failed, header, plan, lost=target),
            ),
        )

    def _answer(
        self, header: msg.FrameData, plan: Plan, finished: Finished, reports: tuple[msg.StageReport, ...]
    ) -> None:
        names = tuple(finished.outputs)
        result = msg.ResultData(
            stream=header.stream,
            frame=header.frame,
            attempt=header.attempt,
            generation=header.generation,
            outputs=names,
            reports=reports,
        )
        if plan.origin == self._node.name:
            self.answered(result, list(finished.outputs.values()))
            return
        message = pack(result, tuple(finished.outputs.values()))
        self._node.energy.sent(len(message))
        try:
            if len(message) <= SMALL_RESULT_BYTES:
                self._node.fabric.send(plan.origin, message, Lane.CONTROL)
            else:
                self._node.outbox.put(plan.origin, Outgoing(message=message))
        except FabricError as error:
            log.warning(
                "frame %d of %s: the answer cannot reach %s: %s", header.frame, header.stream, plan.origin, error
            )

    def answered(self, result: msg.ResultData, tensors: list[Array]) -> None:
        if len(result.outputs) != len(tensors):
            raise WireError(f"a result names {len(result.outputs)} outputs and carries {len(tensors)}")
        listener = self._node.listener(result.stream)
        if listener is not None:
            listener.on_result(result, dict(zip(result.outputs, tensors, strict=True)))

    def _failed(self, header: msg.FrameData, plan: Plan, error: SeamlineError, *, lost: NodeId | None = None) -> None:
        failure = msg.FrameFailed(
            stream=header.stream,
            frame=header.frame,
            attempt=header.attempt,
            generation=header.generation,
            node=self._node.name,
            error=str(error),
            lost=lost,
        )
        if plan.origin == self._node.name:
            self.refused(failure)
            return
        try:
            self._node.send(plan.origin, failure)
        except FabricError:
            log.debug("origin %s is gone; frame %d needs no answer", plan.origin, header.frame)

    def refused(self, failure: msg.FrameFailed) -> None:
        listener = self._node.listener(failure.stream)
        if listener is not None:
            listener.on_frame_failed(failure)
