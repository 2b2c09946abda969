"""Claims about `fabric.bulk.lane`: sender and receiver joined without a network between them."""

from __future__ import annotations

import gc
import os
import threading
from collections import deque

import pytest

from seamline.core.vocabulary.errors import PeerLost
from seamline.core.vocabulary.nodes import NodeId
from seamline.fabric.bulk.chunks import cut
from seamline.fabric.bulk.lane import MOST_AT_ONCE_BYTES, BulkReceiver, BulkSender
from seamline.fabric.bulk.path import FIRST_WINDOW_BYTES
from seamline.fabric.bulk.same_host import Place
from seamline.fabric.bulk.shared_memory import MOST_SHARED_BYTES
from seamline.fabric.bulk.window import pack_credit
from seamline.fabric.roster import Roster
from seamline.fabric.wire import MAX_MESSAGE_BYTES

EDGE, FOG = NodeId("edge"), NodeId("fog")
LONG = bytes(range(256)) * (8 * FIRST_WINDOW_BYTES // 256)


class Pair:
    """Edge sends to fog. Chunks wait in `chunks` until `take`; credits come back at once."""

    def __init__(self, edge: Place | None = None, fog: Place | None = None) -> None:
        self.roster = Roster(EDGE, "a")
        self.roster.token(FOG, "b", True)
        self.chunks: deque[bytes] = deque()
        self.messages: list[bytes] = []
        self.n_credits = 0
        self.n_bytes = 0
        self.is_taken_at_once = True
        self.sender = BulkSender(7, self.roster, self._put, lambda: edge)
        self.receiver = BulkReceiver(MAX_MESSAGE_BYTES, credit=self._credit, place=lambda: fog)

    def take(self) -> None:
        chunk = bytes(self.chunks.popleft())
        self.receiver.on_chunk(EDGE, chunk, lambda source, message: self.messages.append(bytes(message)))

    def _put(self, target: NodeId, chunk: bytes) -> None:
        self.chunks.append(chunk)
        self.n_bytes += len(chunk)
        if self.is_taken_at_once:
            self.take()

    def _credit(self, source: NodeId, credit: bytes) -> None:
        self.n_credits += 1
        self.sender.on_credit(FOG, credit)


def test_messages_longer_than_the_window_arrive_whole_and_in_order() -> None:
    pair = Pair()
    for message in (LONG, b"", b"short"):
        pair.sender.send(FOG, (message,))
    assert pair.messages == [LONG, b"", b"short"]


def test_on_a_fast_path_a_message_soon_leaves_in_one_piece_and_at_once() -> None:
    pair = Pair()
    n_pieces = []
    for _ in range(20):
        pair.n_credits = 0
        pair.sender.send(FOG, (LONG,))
        n_pieces.append(pair.n_credits)
    assert n_pieces[0] > 1
    assert n_pieces[-1] == 1
    assert pair.sender.is_free(FOG, len(LONG))
    assert not pair.sender.is_free(FOG, MOST_AT_ONCE_BYTES + 1)
    assert not pair.sender.is_free(EDGE, 1), "nothing is known of that path"


def test_while_the_window_is_full_nothing_leaves_at_once() -> None:
    pair = Pair()
    pair.is_taken_at_once = False
    pair.sender.send(FOG, (bytes(FIRST_WINDOW_BYTES - 1000),))
    assert not pair.sender.is_free(FOG, 1000)
    while pair.chunks:
        pair.take()
    assert pair.sender.is_free(FOG, 1000)


def test_a_target_that_is_lost_ends_the_wait_for_room() -> None:
    pair = Pair()
    pair.is_taken_at_once = False

    def lose() -> None:
        pair.roster.token(FOG, "b", False)
        pair.sender.wake(FOG)

    timer = threading.Timer(0.05, lose)
    timer.start()
    with pytest.raises(PeerLost, match="was lost while"):
        pair.sender.send(FOG, (LONG,))
    timer.join()
    with pytest.raises(PeerLost, match="is not alive"):
        pair.sender.send(FOG, (b"x",))


def test_what_was_left_of_a_message_does_not_come_through_after_its_sender_returned() -> None:
    pair = Pair()
    pair.is_taken_at_once = False
    pair.sender.send(FOG, (bytes(FIRST_WINDOW_BYTES // 2),))
    pair.take()
    pair.receiver.forget(EDGE)
    pair.chunks.clear()
    pair.sender.send(FOG, (b"again",))
    pair.take()
    assert pair.messages == [b"again"]


def test_a_credit_goes_with_what_leaves_for_its_sender_while_the_message_is_handled_and_by_itself_else() -> None:
    credits: list[bytes] = []
    receiver = BulkReceiver(MAX_MESSAGE_BYTES, credit=lambda source, credit: credits.append(credit))
    taken: list[bytes | None] = []

    def answer(source: NodeId, message: memoryview) -> None:
        taken.extend((receiver.owed(FOG), receiver.owed(source), receiver.owed(source)))

    receiver.on_chunk(EDGE, next(cut(b"asked", 7, 0, lambda: 100)), answer)
    assert (taken, credits) == ([None, pack_credit(7, (0, 5)), None], [])
    receiver.on_chunk(EDGE, next(cut(b"told", 7, 1, lambda: 100)), lambda source, message: None)
    receiver.on_chunk(EDGE, next(cut(b"part of it", 7, 2, lambda: 4)), answer)
    assert credits == [pack_credit(7, (1, 4)), pack_credit(7, (2, 4))]


@pytest.mark.needs("linux")
def test_messages_of_one_machine_pass_in_memory_in_turn_with_those_that_do_not() -> None:
    here, there = ("tcp/127.0.0.1:1", "tcp/127.0.0.1:2"), ("tcp/127.0.0.1:2", "tcp/127.0.0.1:1")
    pair = Pair(Place(network=1, links=(here,)), Place(network=1, links=(there,)))
    sent = [LONG, LONG[::-1], b"short", LONG, bytes(MOST_SHARED_BYTES + 1), LONG]
    n_bytes = []
    for message in sent:
        pair.n_bytes = 0
        pair.sender.send(FOG, (message,))
        n_bytes.append(pair.n_bytes)
    assert pair.messages == sent
    assert [n < 200 for n in n_bytes] == [False, True, True, True, False, True]
    pair.sender.close()


@pytest.mark.needs("linux")
def test_a_target_that_is_gone_holds_no_memory() -> None:
    here, there = ("tcp/127.0.0.1:1", "tcp/127.0.0.1:2"), ("tcp/127.0.0.1:2", "tcp/127.0.0.1:1")
    pair = Pair(Place(network=1, links=(here,)), Place(network=1, links=(there,)))
    gc.collect()  # earlier tests' pairs
    before = len(os.listdir("/proc/self/fd"))
    pair.sender.send(FOG, (LONG,))
    assert len(os.listdir("/proc/self/fd")) > before
    pair.sender.wake(FOG)
    assert len(os.listdir("/proc/self/fd")) > before, "it is there"
    pair.roster.token(FOG, "b", False)
    pair.sender.wake(FOG)
    pair.receiver.forget(EDGE)
    assert len(os.listdir("/proc/self/fd")) == before
