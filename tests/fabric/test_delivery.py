"""One item at a time: on the thread that brings it while nobody is at it, else on the delivery thread."""

from __future__ import annotations

import threading

import pytest

from seamline.core.vocabulary.nodes import NodeId
from seamline.core.vocabulary.ports import Lane
from seamline.fabric.delivery import Delivery
from seamline.fabric.inbox import Arrival

FIRST, SECOND, THIRD = (Arrival(NodeId("fog"), Lane.CONTROL, bytes([number])) for number in range(3))


class Seen:
    """What was delivered, and on which thread. held: the first delivery waits for it."""

    def __init__(self) -> None:
        self.items: list[Arrival] = []
        self.threads: list[threading.Thread] = []
        self.is_begun, self.held, self.are_all = threading.Event(), threading.Event(), threading.Event()

    def __call__(self, item: Arrival) -> None:
        self.items.append(item)
        self.threads.append(threading.current_thread())
        self.is_begun.set()
        if len(self.items) == 1:
            self.held.wait(10)
        if len(self.items) == 3:
            self.are_all.set()


@pytest.fixture
def seen():
    return Seen()


@pytest.fixture
def delivery(seen):
    delivery = Delivery("delivery-test", seen)
    delivery.start()
    yield delivery
    seen.held.set()
    delivery.close()


def test_who_finds_nobody_at_it_delivers_himself(seen, delivery):
    seen.held.set()
    assert delivery.claim()
    delivery.deliver_claimed(FIRST)
    assert seen.threads == [threading.current_thread()]


def test_what_comes_meanwhile_waits_and_follows_in_order_on_the_delivery_thread(seen, delivery):
    assert delivery.claim()
    bringing = threading.Thread(target=delivery.deliver_claimed, args=(FIRST,))
    bringing.start()
    assert seen.is_begun.wait(10)
    assert not delivery.claim()
    delivery.put(SECOND)
    assert not delivery.claim()
    delivery.put(THIRD)
    delivery.wake()
    seen.held.set()
    assert seen.are_all.wait(10)
    bringing.join()
    assert seen.items == [FIRST, SECOND, THIRD]
    assert [thread.name for thread in seen.threads[1:]] == ["delivery-test"] * 2


def test_a_delivery_that_never_began_can_be_closed(seen):
    Delivery("delivery-test", seen).close()
