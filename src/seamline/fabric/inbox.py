"""Inbox of a fabric: a queue between a network's threads and whoever delivers what they bring.

Urgent things (control messages, peers that come and go) overtake bulk, but not without end: now and then a chunk is
read between them. Both serve their senders in turn, and of one sender so much waits and no more, so that a flood costs
only who sends it. Peers that come and go are never dropped. Past the bounds new arrivals are dropped and counted,
because holding up the network's thread would stop keep-alives too and turn a slow node into a lost one; the sender
learns from the receipt that does not come.
"""

from __future__ import annotations

import logging
import threading
from dataclasses import dataclass

from seamline.core.vocabulary.nodes import NodeId
from seamline.core.vocabulary.ports import Lane
from seamline.fabric.fair_queue import FairQueue

MAX_BULK_BYTES = 256 << 20
MAX_BULK_BYTES_PER_SOURCE = 16 << 20
"""A sender that waits for its credits never has more than its window here, `bulk.path.MOST_WINDOW_BYTES`."""

LEAST_URGENT_BYTES = 2048
"""A control message counts as so many at least, which bounds their number too: 4096 of one source, 32768 of all."""

MAX_URGENT_BYTES_PER_SOURCE = 8 << 20
MAX_URGENT_BYTES = 64 << 20
"""Control messages that wait to be read; a busy node sends some hundred a second."""

URGENT_PER_BULK = 16

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Arrival:
    """Bytes from `source`: a whole control message, or one chunk of the data lane."""

    source: NodeId
    lane: Lane
    payload: bytes


@dataclass(frozen=True, slots=True)
class PeerChange:
    node: NodeId
    alive: bool


class Inbox:
    """A queue that one thread at a time takes from, until it is closed. `n_dropped`: what did not fit."""

    def __init__(self, *, max_bulk_bytes: int = MAX_BULK_BYTES) -> None:
        self.n_dropped = 0
        self._urgent: FairQueue[Arrival | PeerChange] = FairQueue(
            max_per_source=MAX_URGENT_BYTES_PER_SOURCE, max_in_all=MAX_URGENT_BYTES, size=_urgent_bytes
        )
        self._bulk: FairQueue[Arrival] = FairQueue(
            max_per_source=MAX_BULK_BYTES_PER_SOURCE, max_in_all=max_bulk_bytes, size=lambda item: len(item.payload)
        )
        self._n_urgent_in_a_row = 0
        self._closed = False
        self._changed = threading.Condition(threading.Lock())

    def __bool__(self) -> bool:
        """Whether something waits."""
        return bool(self._urgent) or bool(self._bulk)

    def put(self, item: Arrival | PeerChange) -> None:
        """Add `item`; never blocks, and wakes nobody: see `wake`. After `close` nothing is kept."""
        with self._changed:
            if self._closed:
                return
            if isinstance(item, PeerChange):
                is_in = self._urgent.put(item.node, item, is_kept=True)
            elif item.lane is Lane.CONTROL:
                is_in = self._urgent.put(item.source, item)
            else:
                is_in = self._bulk.put(item.source, item)
            if is_in:
                return
            self.n_dropped += 1
            if self.n_dropped == 1:
                log.warning("this node cannot keep up with its peers: data is dropped")

    def take(self) -> Arrival | PeerChange | None:
        """What is due next; None when nothing waits."""
        with self._changed:
            if self._urgent and not (self._bulk and self._n_urgent_in_a_row >= URGENT_PER_BULK):
                self._n_urgent_in_a_row += 1
                return self._urgent.take()
            self._n_urgent_in_a_row = 0
            return self._bulk.take() if self._bulk else None

    def wake(self) -> None:
        """End a `wait`."""
        with self._changed:
            self._changed.notify()

    def wait(self) -> bool:
        """Wait until something does, and return True; False once it is closed."""
        with self._changed:
            self._changed.wait_for(lambda: self._closed or self._urgent or self._bulk)
            return not self._closed

    def close(self) -> None:
        """End every `wait`; what is still here is dropped."""
        with self._changed:
            self._closed = True
            self._urgent.clear()
            self._bulk.clear()
            self._changed.notify_all()


def _urgent_bytes(item: Arrival | PeerChange) -> int:
    return max(LEAST_URGENT_BYTES, len(item.payload)) if isinstance(item, Arrival) else LEAST_URGENT_BYTES
