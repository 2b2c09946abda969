"""The outbox of a node: one sending thread per peer, so that a congested link holds up nobody else.

Messages to one peer leave in the order in which they were put. One that need not wait for any leaves on the thread of
whoever puts it: waking another costs more than sending. `before_send` is called on the sending thread right before the
bytes go, which is the instant a transfer begins for link measurement.
"""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from seamline.core.vocabulary.errors import FabricError
from seamline.core.vocabulary.nodes import NodeId
from seamline.core.vocabulary.ports import Fabric, Lane, Parts
from seamline.runtime.shared.worker import shutting_down

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outgoing:
    """A packed message and what to do around its sending; `failed` gets the error when it could not leave."""

    message: Parts
    before_send: Callable[[], None] | None = None
    failed: Callable[[FabricError], None] | None = None

    @property
    def n_bytes(self) -> int:
        return sum(map(len, self.message))


@dataclass(slots=True)
class _Peer:
    """Messages for one peer. n_outstanding: those that wait or are being sent."""

    pending: queue.SimpleQueue[Outgoing | None] = field(default_factory=queue.SimpleQueue)
    n_outstanding: int = 0
    has_thread: bool = False


class Outbox:
    """Per-peer queues of bulk messages with a thread each: created on first use, ended by `forget` and `close`."""

    def __init__(self, fabric: Fabric) -> None:
        self._fabric = fabric
        self._lock = threading.Lock()
        self._peers: dict[NodeId, _Peer] = {}
        self._threads: list[threading.Thread] = []
        self._closed = False

    def put(self, target: NodeId, outgoing: Outgoing) -> None:
        """Send one message to `target`, or queue it. Raises `PeerLost` after `close`."""
        with self._lock:
            if self._closed:
                raise shutting_down()
            peer = self._peers.setdefault(target, _Peer())
            peer.n_outstanding += 1
            is_first = peer.n_outstanding == 1
        is_alone = is_first and self._fabric.is_free(target, outgoing.n_bytes)
        if is_alone or not self._queue(target, peer, outgoing):
            self._send(target, peer, outgoing)

    def _queue(self, target: NodeId, peer: _Peer, outgoing: Outgoing) -> bool:
        """Have the peer's thread send; False when the peer has gone meanwhile, and its thread with it, or there is no
        memory for one."""
        with self._lock:
            if self._closed or self._peers.get(target) is not peer:
                return False
            if not peer.has_thread:
                thread = threading.Thread(
                    target=self._send_all, args=(target, peer), name=f"send-{target}", daemon=True
                )
                try:
                    thread.start()
                except RuntimeError as error:
                    log.debug("%s is sent to without a thread: %s", target, error)
                    return False
                peer.has_thread = True
                self._threads.append(thread)
            # copied, as nobody keeps tensors from being changed for as long as they may wait
            peer.pending.put(replace(outgoing, message=(b"".join(outgoing.message),)))
            return True

    def forget(self, target: NodeId) -> None:
        """`target` is gone: what still waits for it fails, and its thread ends. One that returns gets another."""
        with self._lock:
            self._threads = [thread for thread in self._threads if thread.is_alive()]
            peer = self._peers.pop(target, None)
        if peer is not None:
            peer.pending.put(None)

    def _send_all(self, target: NodeId, peer: _Peer) -> None:
        while (outgoing := peer.pending.get()) is not None:
            self._send(target, peer, outgoing)

    def _send(self, target: NodeId, peer: _Peer, outgoing: Outgoing) -> None:
        try:
            if self._closed:
                raise shutting_down()
            if outgoing.before_send is not None:
                outgoing.before_send()
            self._fabric.send(target, outgoing.message, Lane.DATA)
        except FabricError as error:
            log.debug("message to %s could not leave: %s", target, error)
            self._tell(target, outgoing, error)
        except Exception:  # the messages behind this one must leave all the same
            log.exception("a message to %s was given up", target)
        finally:
            with self._lock:
                peer.n_outstanding -= 1

    def _tell(self, target: NodeId, outgoing: Outgoing, error: FabricError) -> None:
        try:
            if outgoing.failed is not None:
                outgoing.failed(error)
        except Exception:
            log.exception("nobody could be told of a message to %s", target)

    def close(self) -> None:
        """End the sending threads; what waits for them fails."""
        with self._lock:
            self._closed = True
            peers, threads = list(self._peers.values()), self._threads
        for peer in peers:
            peer.pending.put(None)
        for thread in threads:
            thread.join(timeout=0.3)
