"""Claims about `fabric.window`, `fabric.inbox` and `fabric.roster`: what bounds a fabric and who counts as alive."""

from __future__ import annotations

import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seamline.core.vocabulary.errors import WireError
from seamline.core.vocabulary.nodes import NodeId
from seamline.core.vocabulary.ports import Lane
from seamline.fabric.inbox import Arrival, Inbox, PeerChange
from seamline.fabric.window import Window, pack_credit, unpack_credit

EDGE, FOG = NodeId("edge"), NodeId("fog")


def in_thread(waiting: list[bool], window: Window, lost: threading.Event) -> threading.Thread:
    thread = threading.Thread(target=lambda: waiting.append(window.wait_room(10, lost.is_set)))
    thread.start()
    return thread


def test_a_full_window_opens_with_credit_even_if_earlier_chunks_were_lost() -> None:
    window = Window(limit_bytes=20)
    for end in (10, 20):
        assert window.wait_room(10, lambda: False)
        window.sent((0, end), 10)
    results: list[bool] = []
    thread = in_thread(results, window, threading.Event())
    window.credit((0, 20))
    thread.join(10)
    assert results == [True]
    assert window.in_flight_bytes == 0


def test_a_lost_peer_ends_the_wait() -> None:
    window, lost, results = Window(limit_bytes=10), threading.Event(), list[bool]()
    window.sent((0, 10), 10)
    thread = in_thread(results, window, lost)
    lost.set()
    window.wake()
    thread.join(10)
    assert results == [False]


def test_a_target_that_gives_no_credit_ends_the_wait() -> None:
    window = Window(limit_bytes=10, stall_timeout_s=0.01)
    window.sent((0, 10), 10)
    assert not window.wait_room(10, lambda: False)
    window.reset()
    assert window.wait_room(10, lambda: False)


def test_an_empty_window_takes_a_chunk_of_any_size() -> None:
    assert Window(limit_bytes=10).wait_room(1000, lambda: False)


@given(st.binary(max_size=40))
def test_credits_come_back_and_noise_is_a_wire_error(noise: bytes) -> None:
    assert unpack_credit(pack_credit(2**63, (4, 2**40))) == (2**63, (4, 2**40))
    if len(noise) != 24:
        with pytest.raises(WireError):
            unpack_credit(noise)


def test_urgent_things_overtake_bulk_and_are_never_dropped() -> None:
    inbox = Inbox(max_bulk_bytes=10)
    data = [Arrival(EDGE, Lane.DATA, bytes([n]) * 5) for n in range(4)]
    control = [Arrival(EDGE, Lane.CONTROL, bytes(1000)), PeerChange(EDGE, False)]
    for item in [*data, *control]:
        inbox.put(item)
    reader = iter(inbox)
    assert [next(reader) for _ in range(4)] == [*control, *data[:2]]
    assert inbox.n_dropped == 2
    inbox.put(data[3])
    assert next(reader) == data[3]


def test_closing_an_inbox_ends_its_reader() -> None:
    inbox = Inbox()
    thread = threading.Thread(target=lambda: list(inbox))
    thread.start()
    inbox.close()
    thread.join(10)
    assert not thread.is_alive()
    inbox.put(PeerChange(EDGE, True))
    assert list(inbox) == []
