"""Claims about `fabric.bulk`: sender and receiver joined without a network between them."""

from __future__ import annotations

import threading
from collections import deque

import pytest

from seamline.core.vocabulary.errors import PeerLost
from seamline.core.vocabulary.nodes import NodeId
from seamline.fabric.bulk import BulkReceiver, BulkSender
from seamline.fabric.roster import Roster
from seamline.fabric.window import WINDOW_BYTES
from seamline.fabric.wire import MAX_MESSAGE_BYTES

EDGE, FOG = NodeId("edge"), NodeId("fog")
LONG = bytes(range(256)) * (8 * WINDOW_BYTES // 256)


class Pair:
    """Edge sends to fog. Chunks wait in `chunks` until `take`; credits come back at once."""

    def __init__(self) -> None:
        self.roster = Roster(EDGE, "a")
        self.roster.token(FOG, "b", True)
        self.chunks: deque[bytearray] = deque()
        self.messages: list[bytes] = []
        self.n_credits = 0
        self.is_taken_at_once = True
        self.sender = BulkSender(7, self.roster, self._put)
        self.receiver = BulkReceiver(MAX_MESSAGE_BYTES, credit=self._credit, has_more=lambda: bool(self.chunks))

    def take(self) -> None:
        chunk = bytes(self.chunks.popleft())
        self.receiver.on_chunk(EDGE, chunk, lambda source, message: self.messages.append(bytes(message)))

    def _put(self, target: NodeId, chunk: bytearray) -> None:
        self.chunks.append(chunk)
        if self.is_taken_at_once:
            self.take()

    def _credit(self, source: NodeId, credit: bytes) -> None:
        self.n_credits += 1
        self.sender.on_credit(FOG, credit)


def test_messages_longer_than_the_window_arrive_whole_and_in_order() -> None:
    pair = Pair()
    for message in (LONG, b"", b"short"):
        pair.sender.send(FOG, message)
    assert pair.messages == [LONG, b"", b"short"]


def test_one_credit_serves_for_several_chunks_while_more_wait() -> None:
    pair = Pair()
    pair.is_taken_at_once = False
    pair.sender.send(FOG, bytes(WINDOW_BYTES // 2))
    n_chunks = len(pair.chunks)
    while pair.chunks:
        pair.take()
    assert pair.messages == [bytes(WINDOW_BYTES // 2)]
    assert pair.n_credits < n_chunks


def test_a_target_that_is_lost_ends_the_wait_for_room() -> None:
    pair = Pair()
    pair.is_taken_at_once = False

    def lose() -> None:
        pair.roster.token(FOG, "b", False)
        pair.sender.wake(FOG)

    timer = threading.Timer(0.05, lose)
    timer.start()
    with pytest.raises(PeerLost, match="was lost while"):
        pair.sender.send(FOG, LONG)
    timer.join()
    with pytest.raises(PeerLost, match="is not alive"):
        pair.sender.send(FOG, b"x")


def test_what_was_left_of_a_message_does_not_come_through_after_its_sender_returned() -> None:
    pair = Pair()
    pair.is_taken_at_once = False
    pair.sender.send(FOG, bytes(WINDOW_BYTES // 2))
    pair.take()
    pair.receiver.forget(EDGE)
    pair.chunks.clear()
    pair.sender.send(FOG, b"again")
    pair.take()
    assert pair.messages == [b"again"]
