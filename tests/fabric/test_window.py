"""Claims about `fabric.bulk.window` and `fabric.inbox`: what bounds a fabric."""

from __future__ import annotations

import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seamline.core.vocabulary.errors import WireError
from seamline.core.vocabulary.nodes import NodeId
from seamline.core.vocabulary.ports import Lane
from seamline.fabric.bulk.path import FIRST_WINDOW_BYTES
from seamline.fabric.bulk.window import Window, pack_credit, unpack_credit
from seamline.fabric.inbox import Arrival, Inbox, PeerChange

EDGE, FOG = NodeId("edge"), NodeId("fog")


def in_thread(waiting: list[bool], window: Window, lost: threading.Event) -> threading.Thread:
    thread = threading.Thread(target=lambda: waiting.append(window.wait_room(10, lost.is_set)))
    thread.start()
    return thread


FULL = FIRST_WINDOW_BYTES


def full(**options: float) -> Window:
    """A window that has just been filled."""
    window = Window(**options)
    window.sent((0, FULL), FULL)
    return window


def test_a_full_window_opens_with_credit_even_if_earlier_chunks_were_lost() -> None:
    window = Window()
    for end in (FULL // 2, FULL):
        assert window.wait_room(FULL // 2, lambda: False)
        window.sent((0, end), FULL // 2)
    results: list[bool] = []
    thread = in_thread(results, window, threading.Event())
    window.credit((0, FULL))
    thread.join(10)
    assert results == [True]
    assert window.in_flight_bytes == 0


def test_a_lost_peer_ends_the_wait() -> None:
    window, lost, results = full(), threading.Event(), list[bool]()
    thread = in_thread(results, window, lost)
    lost.set()
    window.wake()
    thread.join(10)
    assert results == [False]


def test_a_target_that_gives_no_credit_ends_the_wait() -> None:
    window = full(stall_timeout_s=0.01)
    assert not window.wait_room(10, lambda: False)
    window.reset()
    assert window.wait_room(10, lambda: False)


def test_an_empty_window_takes_a_chunk_of_any_size() -> None:
    assert Window().wait_room(100 * FULL, lambda: False)


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
    assert [inbox.take() for _ in range(4)] == [*control, *data[:2]]
    assert inbox.n_dropped == 2
    inbox.put(data[3])
    assert inbox
    assert inbox.take() == data[3]
    assert inbox.take() is None


def test_closing_an_inbox_ends_the_wait_for_what_comes() -> None:
    inbox, waits = Inbox(), list[bool]()
    thread = threading.Thread(target=lambda: waits.append(inbox.wait()))
    thread.start()
    inbox.close()
    thread.join(10)
    assert waits == [False]
    inbox.put(PeerChange(EDGE, True))
    assert not inbox


def test_whoever_is_woken_finds_what_waits() -> None:
    inbox, waits = Inbox(), list[bool]()
    thread = threading.Thread(target=lambda: waits.append(inbox.wait()))
    thread.start()
    inbox.put(PeerChange(EDGE, True))
    inbox.wake()
    thread.join(10)
    assert waits == [True]
    assert inbox.take() == PeerChange(EDGE, True)
