"""Claims about the dispatcher under floods: who floods waits, in bounded room, and is one line in the log."""

from __future__ import annotations

import logging
import threading

import pytest

from seamline.core.vocabulary.complaints import EVERY_S
from seamline.core.vocabulary.nodes import NodeId
from seamline.fabric import messages as msg
from seamline.fabric.wire import pack
from seamline.runtime.node.dispatch import MAX_WAITING_PER_SOURCE, Dispatcher, Handlers

FOG, MALLORY = NodeId("fog"), NodeId("mallory")
RELEASE = memoryview(pack(msg.Release(stream="s", generation=1)))


class Held:
    """A dispatcher whose handler of `Release` holds the first one until `go_on`, and notes whose came."""

    def __init__(self) -> None:
        self.go_on, self.is_held = threading.Event(), threading.Event()
        self.sources: list[NodeId] = []
        self.dispatcher = Dispatcher()
        self.dispatcher.start(Handlers(in_turn={msg.Release: self._take}))

    def _take(self, source: NodeId, *_: object) -> None:
        self.is_held.set()
        assert self.go_on.wait(20)
        self.sources.append(source)


@pytest.fixture
def held():
    made = Held()
    made.dispatcher.on_message(MALLORY, RELEASE)
    assert made.is_held.wait(10)
    yield made
    made.go_on.set()
    made.dispatcher.close()


def test_a_flood_waits_in_bounded_room_behind_what_another_sends(held, caplog):
    gone: list[int] = []
    with caplog.at_level(logging.WARNING):
        for _ in range(3 * MAX_WAITING_PER_SOURCE):
            held.dispatcher.on_message(MALLORY, RELEASE)
    held.dispatcher.on_message(FOG, RELEASE)
    held.dispatcher.put(lambda: gone.append(len(held.sources)), MALLORY)
    assert held.dispatcher.n_refused == 2 * MAX_WAITING_PER_SOURCE
    held.go_on.set()
    held.dispatcher.close()
    assert held.sources[:3] in ([MALLORY, MALLORY, FOG], [MALLORY, FOG, MALLORY])
    assert len(held.sources) == MAX_WAITING_PER_SOURCE + 2
    assert gone == [MAX_WAITING_PER_SOURCE + 2], (
        "that a peer went is dealt with behind all that it sent, and never lost"
    )
    assert [record.getMessage() for record in caplog.records] == [
        "more messages of `mallory` wait than one node may have: a Release is dropped"
    ]


def test_bytes_that_are_no_message_are_one_line_that_names_their_sender_and_their_number(held, caplog, monkeypatch):
    now_s = [100.0]
    monkeypatch.setattr("seamline.fabric.peer_log.time.monotonic", lambda: now_s[0])
    with caplog.at_level(logging.WARNING):
        for _ in range(1000):
            held.dispatcher.on_message(MALLORY, memoryview(b"garbage"))
        now_s[0] += EVERY_S
        held.dispatcher.on_message(MALLORY, memoryview(b"garbage"))
    words = "a message of `mallory` is refused: 7 bytes are too few for a message"
    assert [record.getMessage() for record in caplog.records] == [words, f"{words} (999 more like it)"]
