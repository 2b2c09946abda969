"""Claims about `fabric.inbox`: what waits is bounded, and a flood is paid for by who sends it, in room and in turns."""

from __future__ import annotations

import queue
import threading

from seamline.core.vocabulary.nodes import NodeId
from seamline.core.vocabulary.ports import Lane
from seamline.fabric.inbox import (
    LEAST_URGENT_BYTES,
    MAX_BULK_BYTES_PER_SOURCE,
    MAX_URGENT_BYTES,
    MAX_URGENT_BYTES_PER_SOURCE,
    URGENT_PER_BULK,
    Arrival,
    Inbox,
    PeerChange,
)

FOG, MALLORY = NodeId("fog"), NodeId("mallory")
N_OF_ONE = MAX_URGENT_BYTES_PER_SOURCE // LEAST_URGENT_BYTES


def taken(inbox: Inbox, n_items: int) -> list[Arrival | PeerChange]:
    """So many items, or all there are."""
    items = [inbox.take() for _ in range(n_items)]
    return [item for item in items if item is not None]


def control(source: NodeId, payload: bytes = b"x") -> Arrival:
    return Arrival(source, Lane.CONTROL, payload)


def test_a_flood_of_one_source_neither_drops_nor_delays_what_another_sends():
    inbox = Inbox()
    for _ in range(3 * N_OF_ONE):
        inbox.put(control(MALLORY))
    inbox.put(control(FOG, b"status"))
    inbox.put(PeerChange(FOG, False))
    assert inbox.n_dropped == 2 * N_OF_ONE
    items = taken(inbox, 4)
    assert items == [control(MALLORY), control(FOG, b"status"), control(MALLORY), PeerChange(FOG, False)]


def test_that_a_peer_went_is_told_after_what_it_sent_and_never_dropped():
    inbox = Inbox()
    for _ in range(2 * N_OF_ONE):
        inbox.put(control(MALLORY))
    inbox.put(PeerChange(MALLORY, False))
    items = taken(inbox, N_OF_ONE + 2)
    assert items == [control(MALLORY)] * N_OF_ONE + [PeerChange(MALLORY, False)]
    inbox.put(control(MALLORY, b"again"))
    assert inbox.take() == control(MALLORY, b"again")


def test_invented_names_together_and_large_messages_are_bounded_too():
    inbox = Inbox()
    for number in range(MAX_URGENT_BYTES // LEAST_URGENT_BYTES + 1000):
        inbox.put(control(NodeId(f"src{number}")))
    inbox.put(PeerChange(FOG, True))
    assert inbox.n_dropped == 1000
    inbox = Inbox()
    for _ in range(10):
        inbox.put(control(MALLORY, bytes(4 << 20)))
    assert inbox.n_dropped == 10 - MAX_URGENT_BYTES_PER_SOURCE // (4 << 20)


def test_bulk_and_control_do_not_take_each_others_room(caplog):
    inbox = Inbox(max_bulk_bytes=10)
    inbox.put(Arrival(FOG, Lane.DATA, bytes(10)))
    inbox.put(Arrival(FOG, Lane.DATA, bytes(1)))
    inbox.put(control(FOG, bytes(100)))
    inbox.put(Arrival(FOG, Lane.DATA, bytes(1)))
    assert inbox.n_dropped == 2
    assert len(caplog.messages) == 1, "it is said once"
    assert [item.lane for item in taken(inbox, 2) if isinstance(item, Arrival)] == [Lane.CONTROL, Lane.DATA]


def test_bulk_of_one_source_leaves_room_for_another_and_is_read_in_turn():
    inbox = Inbox()
    chunk = bytes(64 * 1024)
    for _ in range(2 * MAX_BULK_BYTES_PER_SOURCE // len(chunk)):
        inbox.put(Arrival(MALLORY, Lane.DATA, chunk))
    inbox.put(Arrival(FOG, Lane.DATA, chunk))
    assert inbox.n_dropped == MAX_BULK_BYTES_PER_SOURCE // len(chunk)
    assert [item.source for item in taken(inbox, 2) if isinstance(item, Arrival)] == [MALLORY, FOG]


def test_urgent_things_without_end_do_not_keep_bulk_from_being_read():
    inbox = Inbox()
    for _ in range(2):
        inbox.put(Arrival(FOG, Lane.DATA, b"chunk"))
    for _ in range(1000):
        inbox.put(control(MALLORY))
    first = [item.lane for item in taken(inbox, 2 * (URGENT_PER_BULK + 1)) if isinstance(item, Arrival)]
    assert first == ([Lane.CONTROL] * URGENT_PER_BULK + [Lane.DATA]) * 2


def test_a_reader_waits_for_what_comes_and_ends_when_the_inbox_is_closed():
    inbox = Inbox()
    read: queue.Queue[Arrival | PeerChange | None] = queue.Queue()

    def read_all() -> None:
        while inbox.wait():
            read.put(inbox.take())

    reader = threading.Thread(target=read_all, daemon=True)
    reader.start()
    for item in (control(FOG), Arrival(FOG, Lane.DATA, b"chunk"), PeerChange(FOG, False)):
        inbox.put(item)
        inbox.wake()
        assert read.get(timeout=10.0) == item
    inbox.close()
    reader.join(timeout=10.0)
    assert not reader.is_alive()


def test_a_closed_inbox_keeps_nothing():
    inbox = Inbox()
    inbox.put(control(FOG))
    inbox.put(Arrival(FOG, Lane.DATA, b"chunk"))
    inbox.close()
    inbox.put(Arrival(FOG, Lane.DATA, b"chunk"))
    assert not inbox
    assert inbox.take() is None
