"""Traces of frames: one trace a frame, a span for each stage and for each hop between nodes, as OpenTelemetry has them.

The origin draws which frames are traced and opens a span for each; the context travels in the header as W3C's
`traceparent`, and every node that traces adds its spans below. Spans carry the wall clock of the node that saw them, so
a hop, which begins on one machine and ends on another, is as right as their clocks agree; none ends before it began.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator
from contextlib import suppress

from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Span, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.sampling import ALWAYS_ON, ParentBased, TraceIdRatioBased
from opentelemetry.trace import Status, StatusCode, set_span_in_context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

import seamline
from seamline.core.vocabulary.nodes import NodeId
from seamline.core.vocabulary.plans import Plan
from seamline.fabric import messages as msg

HEADER = "traceparent"
PATIENCE_S = 2
"""How long a collector may take, also for a node that ends; what it has not taken then is lost."""

SAY_EVERY_S = 60.0
"""A collector that is away is said so often."""


class FrameTracer:
    """Traces the frames that pass `node`; safe from any thread. sample_ratio: of the frames that begin here.

    to: where spans go; a collector that the usual OTEL_EXPORTER_OTLP_* variables name when None.
    """

    def __init__(self, node: NodeId, sample_ratio: float, to: SpanProcessor | None = None) -> None:
        self._node = node
        resource = Resource.create(
            {"service.name": "seamline", "service.instance.id": node, "service.version": seamline.__version__}
        )
        sampler = ParentBased(TraceIdRatioBased(sample_ratio), remote_parent_sampled=ALWAYS_ON)
        self._provider = TracerProvider(sampler=sampler, resource=resource, shutdown_on_exit=False)
        self._provider.add_span_processor(to or _exporting())
        self._tracer = self._provider.get_tracer("seamline", seamline.__version__)
        self._propagator = TraceContextTextMapPropagator()
        self._lock = threading.Lock()
        self._open: dict[tuple[str, int], tuple[Span, str]] = {}

    # -- at the origin -------------------------------------------------------------------------------------------------

    def begin(self, stream: str, frame: int, attempt: int, plan: Plan) -> str:
        """A frame sets out, or is run again: what goes into its header; empty when it is not traced."""
        if attempt > 0:
            with self._lock:
                known = self._open.get((stream, frame))
            if known is None:
                return ""
            known[0].add_event("run again", {"seamline.attempt": attempt, "seamline.plan": str(plan)})
            return known[1]
        span = self._tracer.start_span("frame", context=Context())
        if not isinstance(span, Span):
            return ""
        span.set_attributes({"seamline.stream": stream, "seamline.frame": frame, "seamline.plan": str(plan)})
        carrier: dict[str, str] = {}
        self._propagator.inject(carrier, set_span_in_context(span))
        with self._lock:
            self._open[stream, frame] = (span, carrier[HEADER])
        return carrier[HEADER]

    def finish(self, stream: str, frame: int, plan: Plan, n_attempts: int, error: str | None) -> None:
        """The first answer to a frame, or the error that ends it."""
        with self._lock:
            known = self._open.pop((stream, frame), None)
        if known is None:
            return
        span, _ = known
        span.set_attributes({"seamline.answered_by": str(plan), "seamline.attempts": n_attempts})
        if error is not None:
            span.set_status(Status(StatusCode.ERROR, error))
        span.end()

    def end(self, stream: str) -> None:
        """`stream` is over: its frames that have no answer get none."""
        with self._lock:
            left = [self._open.pop(key) for key in [*self._open] if key[0] == stream]
        for span, _ in left:
            span.set_status(Status(StatusCode.ERROR, "the stream ended before its answer"))
            span.end()

    # -- on every node -------------------------------------------------------------------------------------------------

    def stage(self, header: msg.FrameData, plan: Plan, report: msg.StageReport) -> None:
        """A stage of a traced frame is over here, just now."""
        ended_ns = time.time_ns()
        seconds = {
            "queue": report.queue_s, "decode": report.decode_s, "compute": report.compute_s, "encode": report.encode_s
        }  # fmt: skip
        began_ns = ended_ns - int(1e9 * sum(seconds.values()))
        span = self._tracer.start_span(
            f"stage {plan.stages[header.stage]}",
            context=self._context(header.traceparent),
            start_time=began_ns,
            attributes={
                "seamline.node": self._node,
                "seamline.stream": header.stream,
                "seamline.frame": header.frame,
                "seamline.attempt": header.attempt,
                "seamline.generation": header.generation,
                "seamline.sent_bytes": report.sent_bytes,
                **{f"seamline.{name}_s": value for name, value in seconds.items()},
            },
        )
        for name, at_ns in _instants(began_ns, seconds):
            span.add_event(name, timestamp=at_ns)
        span.end(ended_ns)

    def hop(self, traceparent: str, source: NodeId, left_ns: int, n_bytes: int) -> None:
        """A traced frame, or its answer, has just come from `source`, which it left at `left_ns` by the clock there."""
        now_ns = time.time_ns()
        span = self._tracer.start_span(
            f"{source} to {self._node}",
            context=self._context(traceparent),
            start_time=min(left_ns, now_ns),
            attributes={"seamline.source": source, "seamline.target": self._node, "seamline.bytes": n_bytes},
        )
        span.end(now_ns)

    def close(self) -> None:
        """Send what there is, for `PATIENCE_S` at most; idempotent."""
        with self._lock:
            streams = {stream for stream, _ in self._open}
        for stream in streams:
            self.end(stream)
        with suppress(Exception):  # a collector that is away is no error of the node
            self._provider.shutdown()

    def _context(self, traceparent: str) -> Context:
        """An empty one for what is no `traceparent`: such a span begins a trace of its own."""
        return self._propagator.extract({HEADER: traceparent}, Context())


class _Seldom(logging.Filter):
    """One line a minute of an exporter that cannot deliver, for each attempt of which it has several."""

    def __init__(self) -> None:
        super().__init__()
        self._quiet_until_s = 0.0

    def filter(self, record: logging.LogRecord) -> bool:
        if record.levelno < logging.ERROR or record.created < self._quiet_until_s:
            return False
        self._quiet_until_s = record.created + SAY_EVERY_S
        return True


def _exporting() -> SpanProcessor:
    """To the collector of the environment. What it does not take is dropped: traces hold up no frame."""
    log = logging.getLogger(OTLPSpanExporter.__module__)
    if not any(isinstance(each, _Seldom) for each in log.filters):
        log.addFilter(_Seldom())
    return BatchSpanProcessor(OTLPSpanExporter(timeout=PATIENCE_S))


def _instants(began_ns: int, seconds: dict[str, float]) -> Iterator[tuple[str, int]]:
    """When each part of a stage that took any time began."""
    at_ns = began_ns
    for name, value in seconds.items():
        if value > 0.0:
            yield name, at_ns
        at_ns += int(1e9 * value)
