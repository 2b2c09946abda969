"""Messages that cannot be handled: a warning while the node is here, not worth one while it leaves."""

from __future__ import annotations

import logging
from typing import get_args

import pytest

from seamline.core.vocabulary.nodes import NodeId
from seamline.core.vocabulary.ports import Lane
from seamline.fabric import messages as msg
from seamline.fabric.wire import pack

LOGGER = "seamline.runtime.node.dispatch"
QUESTION = msg.FetchModel(request_id=1, model_id="0" * 64, part="manifest", offset=0, length=1)


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.DEBUG, LOGGER)
    return caplog


@pytest.fixture
def pair(bench, wait_until):
    """Nodes `edge` and `fog` that know each other."""
    edge, fog = bench.start("edge"), bench.start("fog")
    wait_until(lambda: edge.fabric.peers() and fog.fabric.peers())
    return edge, fog


def said(log: pytest.LogCaptureFixture, level: int) -> list[str]:
    return [record.getMessage() for record in log.records if record.name == LOGGER and record.levelno == level]


def test_a_message_that_makes_no_sense_is_warned_of_while_the_node_is_here(pair, log, wait_until):
    edge, fog = pair
    senseless = msg.ResultData(stream="s", frame=0, attempt=0, generation=0, outputs=("a", "b"), reports=())
    fog.fabric.send(edge.name, pack(senseless), Lane.CONTROL)
    wait_until(lambda: "a result of `fog` names 2 outputs and carries 0" in said(log, logging.WARNING))


def test_what_is_asked_of_a_node_that_is_leaving_fails_without_a_warning(pair, log, monkeypatch):
    edge, _ = pair
    leave = edge.fabric.close

    def asked_at_the_last_moment() -> None:
        leave()
        edge.dispatcher.on_message(NodeId("fog"), memoryview(pack(QUESTION)))
        edge.dispatcher.on_message(NodeId("fog"), memoryview(pack(msg.Ping(seq=1))))

    monkeypatch.setattr(edge.fabric, "close", asked_at_the_last_moment)
    edge.close()
    assert said(log, logging.WARNING) == said(log, logging.ERROR) == []
    assert said(log, logging.DEBUG).count("the fabric of `edge` is not open") == 2


def test_every_message_has_one_handler(bench):
    handlers = bench.start("edge").handlers
    assert not handlers.at_once.keys() & handlers.in_turn.keys()
    assert handlers.at_once.keys() | handlers.in_turn.keys() == set(get_args(msg.Message))


def test_a_flood_of_bad_messages_is_a_few_short_lines(pair, log):
    edge, _ = pair
    plan = "edge[0:1]raw > " * 200_000
    long = msg.FrameData(
        stream="s", frame=0, attempt=0, generation=0, model_id="0", plan=plan[:60_000], stage=1, seq=0, encoding=b"",
        reports=(),
    )  # fmt: skip
    for bad in (b"\x00garbage", bytes(pack(long))):
        for _ in range(1000):
            edge.dispatcher.on_message(NodeId("mallory"), memoryview(bad))
            edge.dispatcher.on_message(NodeId("fog"), memoryview(bad))
    lines = said(log, logging.WARNING) + said(log, logging.ERROR)
    assert 1 <= len(lines) <= 4
    assert all(len(line) < 700 for line in lines)
