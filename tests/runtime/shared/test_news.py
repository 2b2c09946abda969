"""What a node says to whoever runs it: joins and leaves, streams, failures; nothing twice."""

from __future__ import annotations

import logging

import pytest

from seamline.core.vocabulary.errors import PlanError
from seamline.core.vocabulary.nodes import NodeId
from seamline.core.vocabulary.plans import Plan
from seamline.runtime.shared.news import LOGGER, MAX_LINES, MAX_REASONS, SPAN_S, Bounded, News

FOG = NodeId("fog")


@pytest.fixture
def said(caplog):
    """The lines of news so far."""
    caplog.set_level(logging.INFO, LOGGER.name)
    return lambda: [record.getMessage() for record in caplog.records if record.name == LOGGER.name]


def test_nodes_and_streams_are_named_as_they_come_and_go(bench, said, wait_until):
    edge = bench.start("edge")
    fog = bench.start("fog")
    plan = Plan.parse(f"edge[0:2]raw > fog[2:{len(bench.model.cuts) - 1}]")
    edge.client.prepare(FOG, "edge-1", 1, bench.model.model_id, plan).result(timeout=20)
    edge.client.prepare(FOG, "edge-1", 2, bench.model.model_id, plan).result(timeout=20)
    edge.client.release(FOG, "edge-1", -1)
    wait_until(lambda: "stream edge-1 ended" in said())
    wait_until(lambda: any(words.startswith("edge joined") for words in said()))
    bench.kill("edge")
    wait_until(lambda: "edge is gone" in said())
    assert sum("joined (edge, onnxruntime " in words for words in said()) == 1
    assert [words for words in said() if "joined" not in words] == [
        f"model {bench.model.model_id[:12]} is fetched from edge",
        f"model tiny is here ({fog.store.get(bench.model.model_id).weights_bytes / 1e6:.1f} MB of weights)",
        f"stream edge-1 of edge began: {plan}",
        f"stream edge-1: ready for {plan}",
        "stream edge-1 ended",
        "edge is gone",
    ]


def test_a_plan_that_cannot_be_prepared_is_said_with_the_reason(bench, said):
    edge = bench.start("edge")
    bench.start("fog")
    with pytest.raises(PlanError):
        edge.client.prepare(FOG, "edge-1", 1, bench.model.model_id, Plan.parse("edge[0:4]")).result(timeout=20)
    assert "preparing edge[0:4] of edge-1 failed on fog: `edge[0:4]` has no stage for `fog`" in said()


def test_of_the_same_failure_the_first_the_tenth_and_the_hundredth_are_said(said):
    news = News(FOG)
    for number in range(150):
        news.failed(f"frame {number}", "edge-1", "indices  out of\n range")
    assert said() == [
        "frame 0 of edge-1 failed on fog: indices out of range",
        "frame 9 of edge-1 failed on fog (10 times so far): indices out of range",
        "frame 99 of edge-1 failed on fog (100 times so far): indices out of range",
    ]


def test_a_flood_of_different_failures_takes_no_memory(said):
    news = News(FOG)
    for number in range(3 * MAX_REASONS):
        news.failed("a frame", "edge-1", f"reason {number}")
    assert len(said()) == 3 * MAX_REASONS
    assert len(news._n_failures) <= MAX_REASONS + 1


def test_a_flood_of_news_is_cut_and_the_next_line_says_by_how_many():
    bounded = Bounded()

    def line(at_s: float) -> logging.LogRecord:
        record = logging.LogRecord(LOGGER.name, logging.INFO, "", 0, "%s is gone", ("fog",), None)
        record.created = at_s
        return record

    assert sum(bounded.filter(line(1000.0 + 0.001 * number)) for number in range(700)) == MAX_LINES
    later = line(1000.0 + SPAN_S)
    assert bounded.filter(later)
    assert later.getMessage() == f"fog is gone ({700 - MAX_LINES} more like it)"
    assert bounded.filter(line(10.0)), "the clock was set back"
