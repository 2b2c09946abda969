"""Claims about `fabric.inbox`: what waits is bounded, and a flood is paid for by who sends it."""

from __future__ import annotations

from itertools import islice

from seamline.core.vocabulary.nodes import NodeId
from seamline.core.vocabulary.ports import Lane
from seamline.fabric.inbox import MAX_URGENT, MAX_URGENT_PER_SOURCE, Arrival, Inbox, PeerChange

FOG, MALLORY = NodeId("fog"), NodeId("mallory")


def test_a_flood_of_one_source_drops_none_of_another_and_no_coming_or_going():
    inbox = Inbox()
    for _ in range(3 * MAX_URGENT_PER_SOURCE):
        inbox.put(Arrival(MALLORY, Lane.CONTROL, b"x"))
    inbox.put(Arrival(FOG, Lane.CONTROL, b"status"))
    inbox.put(PeerChange(MALLORY, False))
    assert inbox.n_dropped == 2 * MAX_URGENT_PER_SOURCE
    items = list(islice(inbox, MAX_URGENT_PER_SOURCE + 2))
    assert items[-2:] == [Arrival(FOG, Lane.CONTROL, b"status"), PeerChange(MALLORY, False)]
    inbox.put(Arrival(MALLORY, Lane.CONTROL, b"again"))
    assert next(iter(inbox)) == Arrival(MALLORY, Lane.CONTROL, b"again")
    assert inbox._n_urgent == {}


def test_invented_names_together_are_bounded_too():
    inbox = Inbox()
    for number in range(MAX_URGENT + 1000):
        inbox.put(Arrival(NodeId(f"src{number}"), Lane.CONTROL, b"x"))
    inbox.put(PeerChange(FOG, True))
    assert inbox.n_dropped == 1000


def test_bulk_and_control_do_not_take_each_others_room():
    inbox = Inbox(max_bulk_bytes=10)
    inbox.put(Arrival(FOG, Lane.DATA, bytes(10)))
    inbox.put(Arrival(FOG, Lane.DATA, bytes(1)))
    inbox.put(Arrival(FOG, Lane.CONTROL, bytes(100)))
    assert inbox.n_dropped == 1
    assert [item.lane for item in islice(inbox, 2) if isinstance(item, Arrival)] == [Lane.CONTROL, Lane.DATA]
