"""The path of a frame through a node: its stage is run, and what comes out goes to the next one or to the origin.

Every frame carries its plan, so nothing here knows streams. A stage that cannot be done is reported to the origin,
which completes the frame elsewhere. Messages come from `handlers.py`, segments were prepared by `service.py`.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter, OrderedDict
from collections.abc import Callable
from functools import lru_cache, partial
from typing import TYPE_CHECKING

from msgspec import structs

from seamline.core.vocabulary.errors import FabricError, FrameRefused, PlanError, SeamlineError, WireError
from seamline.core.vocabulary.nodes import NodeId
from seamline.core.vocabulary.plans import Plan
from seamline.core.vocabulary.ports import Array, Tensors
from seamline.fabric import messages as msg
from seamline.fabric.peer_log import PeerLog
from seamline.runtime.node.stages import Arrival, Finished, StageWorker, Turn, always
from seamline.runtime.node.uplink import Uplink
from seamline.runtime.segments.output_reading import OutputReaders
from seamline.runtime.segments.prepared import PreparedSegments
from seamline.runtime.shared.clock import now_s
from seamline.runtime.shared.energy import EnergyAccount
from seamline.runtime.shared.listeners import Listeners
from seamline.runtime.shared.load import NodeLoadMeter
from seamline.runtime.shared.news import News

if TYPE_CHECKING:
    from seamline.runtime.tracing.frame_tracer import FrameTracer

log = logging.getLogger(__name__)

MAX_PLAN_LETTERS = 4096
"""A plan visits each node once; parsing one of 60 000 letters takes 40 ms on the thread that all messages come by."""

MAX_WAITING_PER_SOURCE = 64
"""Frames of one node that wait to be computed here; of one stream `pipeline_depth.MAX_IN_FLIGHT` are under way."""

MAX_CANCELLED = 1024
"""Frames that are remembered as answered already."""

_parse_plan = lru_cache(maxsize=256)(Plan.parse)


def parse_plan(text: str) -> Plan:
    """The plan that a peer wrote. Raises `PlanError` when it is none, or too long to be one."""
    if len(text) > MAX_PLAN_LETTERS:
        raise PlanError(f"a plan of {len(text)} letters, at most {MAX_PLAN_LETTERS} are read")
    return _parse_plan(text)


class FramePath:
    """Runs and forwards the frames of one node. Its callbacks run on the compute and sending threads.

    tracer: sees the frames that are traced, None where nobody looks.
    """

    def __init__(
        self,
        node: NodeId,
        uplink: Uplink,
        segments: PreparedSegments,
        stages: StageWorker,
        load: NodeLoadMeter,
        energy: EnergyAccount,
        listeners: Listeners,
        news: News,
        readers: OutputReaders,
    ) -> None:
        self._node = node
        self._uplink = uplink
        self._segments = segments
        self._stages = stages
        self._load = load
        self._energy = energy
        self._listeners = listeners
        self._news = news
        self._readers = readers
        self._peer_log = PeerLog(log)
        self._lock = threading.Lock()
        self._n_waiting: Counter[NodeId] = Counter()
        self.tracer: FrameTracer | None = None
        self._cancelled: OrderedDict[tuple[NodeId, str, int], None] = OrderedDict()

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
        self._run_stage(header, plan, Arrival(tensors=tensors), is_urgent=urgent, claim=claim)

    def on_frame(self, source: NodeId, header: msg.FrameData, tensors: list[Array]) -> None:
        try:
            plan = parse_plan(header.plan)
            if not 0 < header.stage < len(plan.stages) or plan.stages[header.stage].node != self._node:
                raise PlanError(f"stage {header.stage} of `{plan}` is not for `{self._node}`")
            if (before := plan.stages[header.stage - 1].node) != source:
                raise PlanError(f"stage {header.stage} of `{plan}` comes from `{before}`")
        except PlanError as error:
            raise WireError(f"`{source}` sent a frame with a plan that does not fit: {error}") from error
        n_bytes = sum(tensor.nbytes for tensor in tensors)
        self._energy.received(n_bytes)
        if header.traceparent and self.tracer is not None:
            self.tracer.hop(header.traceparent, source, header.left_ns, n_bytes)
        if not self._begins_to_wait(source):
            self._failed(header, plan, PlanError(f"more frames of `{source}` wait here than one node may have"))
            return
        arrival = Arrival(encoding=header.encoding, buffers=tensors)
        claim = partial(self._claim, source, (plan.origin, header.stream, header.frame))
        if not self._run_stage(header, plan, arrival, claim=claim):
            self._waited(source)

    def on_cancel(self, source: NodeId, cancel: msg.CancelFrame) -> None:
        """A frame of a stream of `source` has its answer."""
        with self._lock:
            self._cancelled[source, cancel.stream, cancel.frame] = None
            while len(self._cancelled) > MAX_CANCELLED:
                self._cancelled.popitem(last=False)

    def _claim(self, source: NodeId, frame: tuple[NodeId, str, int]) -> bool:
        """The turn of a frame of `source` has come: it is run, unless its origin has its answer already."""
        self._waited(source)
        with self._lock:
            return frame not in self._cancelled

    def _begins_to_wait(self, source: NodeId) -> bool:
        with self._lock:
            if self._n_waiting[source] >= MAX_WAITING_PER_SOURCE:
                return False
            self._n_waiting[source] += 1
            return True

    def _waited(self, source: NodeId) -> None:
        """A frame of `source` waits no more."""
        with self._lock:
            self._n_waiting[source] -= 1
            if not self._n_waiting[source]:
                del self._n_waiting[source]

    def _run_stage(
        self,
        header: msg.FrameData,
        plan: Plan,
        arrival: Arrival,
        *,
        is_urgent: bool = False,
        claim: Callable[[], bool] = always,
    ) -> bool:
        """Queue a stage; False when its segment is not here, of which the origin is told."""
        stage = plan.stages[header.stage]
        try:
            segment = (
                None if stage.segment.is_empty else self._segments.find(header.stream, header.generation, header.stage)
            )
        except PlanError as error:
            self._failed(header, plan, error)
            return False
        if segment is not None:
            self._load.arrived(header.stream, header.generation, header.model_id, stage.segment)
        self._stages.put(
            stage,
            segment,
            arrival,
            turn=Turn(is_urgent=is_urgent, left_s=header.left_s, priority=header.priority, stream=header.stream),
            claim=claim,
            done=partial(self._stage_done, header, plan),
            failed=partial(self._failed, header, plan),
        )
        return True

    def _stage_done(self, header: msg.FrameData, plan: Plan, finished: Finished) -> None:
        report = finished.report
        busy_s = report.decode_s + report.compute_s + report.encode_s
        self._load.computed(header.stream, header.generation, report.queue_s, busy_s)
        if finished.encoded is None:
            self._answer(header, plan, finished)
            return
        if header.traceparent and self.tracer is not None:
            self.tracer.stage(header, plan, report)
        reports = (*header.reports, report)
        target = plan.stages[header.stage + 1].node
        onward = msg.FrameData(
            stream=header.stream,
            frame=header.frame,
            attempt=header.attempt,
            generation=header.generation,
            model_id=header.model_id,
            plan=header.plan,
            stage=header.stage + 1,
            seq=self._uplink.next_seq(),
            encoding=finished.encoded.encoding,
            reports=reports,
            head=header.head,
            traceparent=header.traceparent,
            left_ns=time.time_ns() if header.traceparent else 0,
            left_s=None if header.left_s is None else max(0.0, header.left_s - report.queue_s - busy_s),
            priority=header.priority,
        )
        failed = partial(self._failed, header, plan, lost=target)
        self._uplink.send_frame(target, onward, finished.encoded.buffers, failed=failed)

    def _answer(self, header: msg.FrameData, plan: Plan, finished: Finished) -> None:
        outputs, report, is_read = finished.outputs, finished.report, False
        if header.head is not None and plan.origin != self._node:
            started_s = now_s()
            if (found := self._readers.read(header.model_id, header.head, outputs)) is not None:
                outputs, is_read = found, True
            report = structs.replace(report, encode_s=report.encode_s + now_s() - started_s)
        if header.traceparent and self.tracer is not None:
            self.tracer.stage(header, plan, report)
        result = msg.ResultData(
            stream=header.stream,
            frame=header.frame,
            attempt=header.attempt,
            generation=header.generation,
            outputs=tuple(outputs),
            reports=(*header.reports, report),
            is_read=is_read,
            traceparent=header.traceparent,
            left_ns=time.time_ns() if header.traceparent else 0,
        )
        if plan.origin == self._node:
            self.on_result(self._node, result, list(outputs.values()))
            return
        try:
            self._uplink.send_result(plan.origin, result, tuple(outputs.values()))
        except WireError:
            raise  # an answer that no message can hold is a failure of its stage
        except FabricError as error:
            words = f"frame {header.frame} of {header.stream[:80]}: the answer cannot reach {plan.origin}: {error}"
            self._peer_log.warn(plan.origin, words)

    def on_result(self, source: NodeId, result: msg.ResultData, tensors: list[Array]) -> None:
        if len(result.outputs) != len(tensors):
            raise WireError(f"a result of `{source}` names {len(result.outputs)} outputs and carries {len(tensors)}")
        if result.traceparent and self.tracer is not None and source != self._node:
            self.tracer.hop(result.traceparent, source, result.left_ns, sum(tensor.nbytes for tensor in tensors))
        listener = self._listeners.of(result.stream)
        if listener is not None:
            listener.on_result(source, result, dict(zip(result.outputs, tensors, strict=True)))

    def _failed(self, header: msg.FrameData, plan: Plan, error: SeamlineError, *, lost: NodeId | None = None) -> None:
        self._news.failed(f"frame {header.frame}", header.stream, error)
        failure = msg.FrameFailed(
            stream=header.stream,
            frame=header.frame,
            attempt=header.attempt,
            generation=header.generation,
            node=self._node,
            error=str(error),
            lost=lost,
            is_input=isinstance(error, FrameRefused),
        )
        if plan.origin == self._node:
            self.on_frame_failed(self._node, failure)
            return
        try:
            self._uplink.send(plan.origin, failure)
        except FabricError:
            log.debug("origin %s is gone; frame %d needs no answer", plan.origin, header.frame)

    def on_frame_failed(self, source: NodeId, failure: msg.FrameFailed) -> None:
        listener = self._listeners.of(failure.stream)
        if listener is not None:
            listener.on_frame_failed(source, failure)
