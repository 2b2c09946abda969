"""Inbox of a fabric: a queue between a network's threads and the delivery thread.

Urgent things (control messages, peers that come and go) overtake bulk. Of one source so many control messages wait and
no more, so that a flood costs only who sends it; peers that come and go are never dropped. Bulk is bounded in bytes:
past the bound new chunks are dropped and counted, because holding up the network's thread would stop keep-alives too
and turn a slow node into a lost one. The sender learns from the receipt that does not come.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

from seamline.core.vocabulary.nodes import NodeId
from seamline.core.vocabulary.ports import Lane

MAX_BULK_BYTES = 256 << 20
MAX_URGENT_PER_SOURCE = 4096
MAX_URGENT = 65536
"""Control messages that wait to be read; a busy node sends some hundred a second."""

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
    """A queue for one reader, who iterates until it is closed. `n_dropped`: what did not fit."""

    def __init__(self, *, max_bulk_bytes: int = MAX_BULK_BYTES) -> None:
        self.max_bulk_bytes = max_bulk_bytes
        self.n_dropped = 0
        self._urgent: deque[Arrival | PeerChange] = deque()
        self._bulk: deque[Arrival] = deque()
        self._bulk_bytes = 0
        self._n_urgent: dict[NodeId, int] = {}  # of sources with control messages that wait
        self._closed = False
        self._changed = threading.Condition()

    @property
    def has_bulk(self) -> bool:
        """Whether a chunk waits to be read."""
        return bool(self._bulk)

    def put(self, item: Arrival | PeerChange) -> None:
        """Add `item`; never blocks. After `close` nothing is kept."""
        with self._changed:
            if self._closed:
                return
            if isinstance(item, PeerChange):
                self._urgent.append(item)
            elif item.lane is Lane.CONTROL and self._has_urgent_room(item.source):
                self._n_urgent[item.source] = self._n_urgent.get(item.source, 0) + 1
                self._urgent.append(item)
            elif item.lane is not Lane.CONTROL and self._bulk_bytes + len(item.payload) <= self.max_bulk_bytes:
                self._bulk.append(item)
                self._bulk_bytes += len(item.payload)
            else:
                self.n_dropped += 1
                if self.n_dropped == 1:
                    log.warning("this node cannot keep up with its peers: data is dropped")
                return
            self._changed.notify()

    def __iter__(self) -> Iterator[Arrival | PeerChange]:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._closed or self._urgent or self._bulk)
                if self._closed:
                    return
                item = self._take()
            yield item

    def close(self) -> None:
        """End the reader's iteration; what still waits is dropped."""
        with self._changed:
            self._closed = True
            self._urgent.clear()
            self._bulk.clear()
            self._n_urgent.clear()
            self._changed.notify_all()

    def _take(self) -> Arrival | PeerChange:
        if self._urgent:
            urgent = self._urgent.popleft()
            if isinstance(urgent, Arrival):
                self._n_urgent[urgent.source] -= 1
                if not self._n_urgent[urgent.source]:
                    del self._n_urgent[urgent.source]
            return urgent
        item = self._bulk.popleft()
        self._bulk_bytes -= len(item.payload)
        return item

    def _has_urgent_room(self, source: NodeId) -> bool:
        return self._n_urgent.get(source, 0) < MAX_URGENT_PER_SOURCE and len(self._urgent) < MAX_URGENT
