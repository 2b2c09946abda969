"""Delivery of what a fabric brings: one item at a time, by whoever is free.

A network's thread that brings an item while none waits and nobody delivers does it itself, so that no other thread has
to be woken; what comes meanwhile waits in the inbox for the delivery thread.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

from seamline.fabric.inbox import Arrival, Inbox, PeerChange


class Delivery:
    """Owner of the inbox and its thread. deliver: is called with one item at a time, and raises nothing."""

    def __init__(self, name: str, deliver: Callable[[Arrival | PeerChange], None]) -> None:
        self._deliver = deliver
        self._inbox = Inbox()
        self._at_it = threading.Lock()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Begin to deliver."""
        self._thread.start()

    def put(self, item: Arrival | PeerChange) -> None:
        """Let `item` wait; wakes nobody, see `wake`."""
        self._inbox.put(item)

    def wake(self) -> None:
        """Have the thread deliver what waits, if anything does."""
        if self._inbox:
            self._inbox.wake()

    def claim(self) -> bool:
        """Whether the caller may deliver the next item, which it then must, with `deliver_claimed`."""
        return not self._inbox and self._at_it.acquire(blocking=False)

    def deliver_claimed(self, item: Arrival) -> None:
        """Deliver `item` on this thread."""
        try:
            self._deliver(item)
        finally:
            self._at_it.release()

    def close(self) -> None:
        """Drop what waits and end the thread; may be called by what is delivered, and before `start`."""
        self._inbox.close()
        if self._thread.is_alive() and self._thread is not threading.current_thread():
            self._thread.join()

    def _run(self) -> None:
        while self._inbox.wait():
            with self._at_it:
                if (item := self._inbox.take()) is not None:
                    self._deliver(item)
