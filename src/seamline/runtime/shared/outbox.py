"""The outbox of a node: one sending thread per peer, so that a congested link holds up nobody else.

Messages to one peer leave in the order in which they were put. `before_send` is called on the sending thread right
before the bytes go, which is the instant a transfer begins for link measurement.
"""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable
from dataclasses import dataclass

from seamline.core.vocabulary.errors import FabricError
from seamline.core.vocabulary.nodes import NodeId
from seamline.core.vocabulary.ports import Fabric, Lane
from seamline.runtime.shared.worker import shutting_down

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outgoing:
    """A packed message and what to do around its sending; `failed` gets the error when it could not leave."""

    message: bytearray
    before_send: Callable[[], None] | None = None
    failed: Callable[[FabricError], None] | None = None


class Outbox:
    """Per-peer queues of bulk messages with a thread each: created on first use, ended by `forget` and `close`."""

    def __init__(self, fabric: Fabric) -> None:
        self._fabric = fabric
        self._lock = threading.Lock()
        self._queues: dict[NodeId, queue.SimpleQueue[Outgoing | None]] = {}
        self._threads: list[threading.Thread] = []
        self._closed = False

    def put(self, target: NodeId, outgoing: Outgoing) -> None:
        """Queue one message for `target`. Raises `PeerLost` after `close`."""
        with self._lock:
            if self._closed:
                raise shutting_down()
            pending = self._queues.get(target)
            if pending is None:
                pending = self._queues[target] = queue.SimpleQueue()
                thread = threading.Thread(
                    target=self._send_all, args=(target, pending), name=f"send-{target}", daemon=True
                )
                self._threads.append(thread)
                thread.start()
            pending.put(outgoing)

    def forget(self, target: NodeId) -> None:
        """`target` is gone: what still waits for it fails, and its thread ends. One that returns gets another."""
        with self._lock:
            self._threads = [thread for thread in self._threads if thread.is_alive()]
            pending = self._queues.pop(target, None)
        if pending is not None:
            pending.put(None)

    def _send_all(self, target: NodeId, pending: queue.SimpleQueue[Outgoing | None]) -> None:
        while (outgoing := pending.get()) is not None:
            try:
                self._send(target, outgoing)
            except Exception:  # the messages behind this one must leave all the same
                log.exception("a message to %s was given up", target)

    def _send(self, target: NodeId, outgoing: Outgoing) -> None:
        try:
            if self._closed:
                raise shutting_down()
            if outgoing.before_send is not None:
                outgoing.before_send()
            self._fabric.send(target, outgoing.message, Lane.DATA)
        except FabricError as error:
            log.debug("message to %s could not leave: %s", target, error)
            if outgoing.failed is not None:
                outgoing.failed(error)

    def close(self) -> None:
        with self._lock:
            self._closed = True
            queues, threads = list(self._queues.values()), self._threads
        for pending in queues:
            pending.put(None)
        for thread in threads:
            thread.join(timeout=0.3)
