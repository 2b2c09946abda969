"""Traces of frames: one trace a frame, a span for each stage and hop, over all nodes; nothing where nobody looks."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from seamline.core.vocabulary.nodes import NodeId
from seamline.fabric import messages as msg
from seamline.runtime.tracing.frame_tracer import FrameTracer

SPLIT = "edge[0:4]raw > fog[4:8]raw > cloud[8:19]"


@pytest.fixture
def spans(bench) -> InMemorySpanExporter:
    """What edge, fog and cloud export, all frames traced."""
    exporter = InMemorySpanExporter()
    for name in ("edge", "fog", "cloud"):
        node = bench.start(name)
        node.trace_with(FrameTracer(NodeId(name), 1.0, SimpleSpanProcessor(exporter)))
    for pair in (("edge", "fog"), ("fog", "cloud"), ("edge", "cloud")):
        bench.link(*pair, 100e6)
    return exporter


def run(bench, photos, n_frames: int, wait_until) -> list[np.ndarray]:
    stream = bench.stream(policy=SPLIT)
    wait_until(lambda: str(stream.plan) == SPLIT)
    return [result.outputs["scores"] for result in stream.run(photos[:n_frames], live=False)]


def test_a_frame_is_one_trace_with_a_span_for_each_stage_and_hop(bench, spans, photos, expected, wait_until):
    answers = run(bench, photos, 6, wait_until)
    assert all(np.allclose(one, other, atol=1e-4) for one, other in zip(answers, expected, strict=False))
    wait_until(lambda: sum(span.name == "frame" for span in spans.get_finished_spans()) == 6)
    found = spans.get_finished_spans()
    roots = {span.context.trace_id: span for span in found if span.name == "frame"}
    assert len(roots) == 6
    split = [root for root in roots.values() if root.attributes["seamline.answered_by"] == SPLIT]
    assert split, "the plan that was asked for has served"
    for root in split:
        parts = [span for span in found if span.context.trace_id == root.context.trace_id and span is not root]
        assert {span.name for span in parts} == {
            "stage edge[0:4]raw", "stage fog[4:8]raw", "stage cloud[8:19]", "edge to fog", "fog to cloud",
            "cloud to edge",
        }  # fmt: skip
        assert {span.parent.span_id for span in parts} == {root.context.span_id}
        assert all(span.start_time <= span.end_time for span in parts)
        stages = {span.attributes["seamline.node"]: span for span in parts if span.name.startswith("stage")}
        assert all("compute" in [event.name for event in stages[node].events] for node in ("edge", "fog", "cloud"))
        assert root.attributes["seamline.frame"] == stages["cloud"].attributes["seamline.frame"]


def test_a_stream_that_ends_leaves_no_frame_open(bench, spans):
    stream = bench.stream(policy=SPLIT)
    tracer = bench.nodes["edge"].frames.tracer
    tracer.begin(stream.name, 999, 0, stream.plan)
    tracer.begin("another", 1, 0, stream.plan)
    stream.close()
    (span,) = [span for span in spans.get_finished_spans() if span.name == "frame"]
    assert "before its answer" in span.status.description


def test_a_frame_that_is_run_again_says_so_and_stays_one_trace():
    exporter = InMemorySpanExporter()
    tracer = FrameTracer(NodeId("edge"), 1.0, SimpleSpanProcessor(exporter))
    first = tracer.begin("cam", 3, 0, "edge[0:1]raw > cloud[1:4]")
    assert tracer.begin("cam", 3, 1, "edge[0:4]") == first
    tracer.finish("cam", 3, "edge[0:4]", 2, "no memory")
    (span,) = exporter.get_finished_spans()
    assert [event.name for event in span.events] == ["run again"]
    assert span.status.description == "no memory"
    assert tracer.begin("cam", 3, 2, "edge[0:4]") == "", "an attempt of a frame that was answered belongs to nothing"
    tracer.close()


def test_of_frames_that_are_not_drawn_nothing_is_told():
    exporter = InMemorySpanExporter()
    tracer = FrameTracer(NodeId("edge"), 0.0, SimpleSpanProcessor(exporter))
    assert tracer.begin("cam", 0, 0, "edge[0:4]") == ""
    tracer.finish("cam", 0, "edge[0:4]", 1, None)
    tracer.close()
    assert exporter.get_finished_spans() == ()


def test_what_is_in_flight_when_a_node_ends_is_told_as_unanswered():
    exporter = InMemorySpanExporter()
    tracer = FrameTracer(NodeId("edge"), 1.0, SimpleSpanProcessor(exporter))
    tracer.begin("cam", 0, 0, "edge[0:4]")
    tracer.close()
    tracer.close()
    (span,) = exporter.get_finished_spans()
    assert "before its answer" in span.status.description


def frame(**more: object) -> msg.FrameData:
    return msg.FrameData(
        stream="cam", frame=1, attempt=0, generation=0, model_id="m", plan="edge[0:4]", stage=0, seq=0, encoding=b"",
        reports=(), **more,
    )  # fmt: skip


def test_without_traces_the_wire_carries_nothing_of_them():
    assert b"traceparent" not in msgspec.msgpack.encode(frame())
    assert b"left_ns" not in msgspec.msgpack.encode(frame())


def test_a_context_that_is_none_is_refused_or_begins_a_trace_of_its_own():
    too_long = msgspec.msgpack.encode(frame(traceparent="0" * 56))
    with pytest.raises(msgspec.ValidationError):
        msgspec.msgpack.decode(too_long, type=msg.Message)
    exporter = InMemorySpanExporter()
    tracer = FrameTracer(NodeId("fog"), 1.0, SimpleSpanProcessor(exporter))
    tracer.hop("nonsense", NodeId("edge"), 1 << 62, 10)
    tracer.close()
    (span,) = exporter.get_finished_spans()
    assert span.parent is None
    assert span.start_time <= span.end_time, "a hop from the future began now"
