"""The heartbeat of a node: tells its peers who it is and how it fares, pings them, and probes links that stay idle.

Everything it sends is small: a status twice a second and whenever an outgoing link's estimate moves, four pings a
second, and at most one probe a second and link, sized to stay under 1 % of the link.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterable
from dataclasses import asdict
from typing import TYPE_CHECKING

import numpy as np
import psutil

from seamline import __version__
from seamline.core.link.report import STATUS_INTERVAL_S, report_of
from seamline.core.vocabulary.errors import FabricError
from seamline.core.vocabulary.links import LinkEstimate
from seamline.core.vocabulary.nodes import NodeId
from seamline.core.vocabulary.ports import Lane
from seamline.fabric import messages as msg
from seamline.fabric.wire import pack
from seamline.runtime.shared.clock import now_s
from seamline.runtime.shared.outbox import Outgoing

if TYPE_CHECKING:
    from seamline.runtime.node.node import Node

log = logging.getLogger(__name__)

TICK_S = 0.05
PING_INTERVAL_S = 0.25


class Presence:
    """Sends and keeps statuses, and drives the link meter's clock."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._lock = threading.Lock()
        self._statuses: dict[NodeId, msg.Status] = {}
        self._wake = threading.Event()
        self._status_due = False
        self._ping_at_s = self._status_at_s = 0.0
        self._has_failed = False
        self._closed = False
        self._own_at_start_bytes = _own_bytes()
        self._thread = threading.Thread(target=self._beat, name="heartbeat", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        self._closed = True
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join(timeout=3.0)

    def statuses(self) -> dict[NodeId, msg.Status]:
        """What every living peer last said of itself.

        A status may come before it is seen here that its sender lives, and after it is seen that it went: who is shown
        can also be sent to.
        """
        alive = self._node.fabric.peers()
        with self._lock:
            return {peer: status for peer, status in self._statuses.items() if peer in alive}

    def usable_memory_bytes(self) -> int:
        """What segments may take here in all: what is available, and what those here have taken already.

        Weights are mapped from their file, so the system counts them as available; what a segment holds beside them is
        seen as this process's own memory grown since the start.
        """
        grown = max(0, _own_bytes() - self._own_at_start_bytes)
        return int(min(self._node.identity.memory_bytes, psutil.virtual_memory().available + grown))

    def received(self, source: NodeId, status: msg.Status) -> None:
        with self._lock:
            self._statuses[source] = status

    def peer(self, node: NodeId, alive: bool) -> None:
        """A peer came or went; a new one is told at once who we are."""
        if not alive:
            with self._lock:
                self._statuses.pop(node, None)
        self._announce_soon()

    def link_moved(self, estimate: LinkEstimate) -> None:
        """Tell the peers: the controller of a stream may sit on any of them."""
        self._announce_soon()

    def _announce_soon(self) -> None:
        self._status_due = True
        self._wake.set()

    def _beat(self) -> None:
        while not self._closed:
            self._wake.wait(TICK_S)
            self._wake.clear()
            try:
                self._beat_once(now_s())
                self._has_failed = False
            except Exception:  # a disk that fails for a moment must not silence the node for good
                if not (self._has_failed or self._closed):
                    log.exception("the heartbeat failed; it goes on")
                self._has_failed = True

    def _beat_once(self, now: float) -> None:
        if now >= self._ping_at_s:
            self._ping_at_s = now + PING_INTERVAL_S
            self._ping(self._node.fabric.peers())
        else:
            self._ping(self._node.links.due_pings())
        if now >= self._status_at_s or self._status_due:
            self._status_due = False
            self._status_at_s = now + STATUS_INTERVAL_S
            self._node.service.tidy(now)
            self._announce()
        self._node.links.tick(now)
        for target, seq, n_bytes in self._node.links.due_probes(now):
            self._probe(target, seq, n_bytes)

    def _ping(self, peers: Iterable[NodeId]) -> None:
        for peer in peers:
            self._send(peer, msg.Ping(seq=self._node.links.pinging(peer)))

    def _announce(self) -> None:
        status = self._status()
        for peer in self._node.fabric.peers():
            self._send(peer, status)

    def _send(self, peer: NodeId, header: msg.Message) -> None:
        try:
            self._node.fabric.send(peer, pack(header), Lane.CONTROL)
        except FabricError as error:
            log.debug("heartbeat to %s failed: %s", peer, error)

    def _probe(self, target: NodeId, seq: int, n_bytes: int) -> None:
        message = pack(msg.Probe(seq=seq), (np.zeros(n_bytes, dtype=np.uint8),))
        self._node.outbox.put(
            target,
            Outgoing(message=message, before_send=lambda: self._node.links.sending(target, seq, len(message))),
        )

    def _energy(self) -> msg.EnergyReport | None:
        reading = self._node.energy.reading()
        if reading is None:
            return None
        return msg.EnergyReport(source=reading.source, scope=reading.scope, energy_j=reading.energy_j)

    def _status(self) -> msg.Status:
        identity, now = self._node.identity, now_s()
        memory = psutil.virtual_memory()
        return msg.Status(
            tier=identity.tier,
            incarnation=identity.incarnation,
            version=__version__,
            engine=self._node.engine.name,
            threads=identity.n_threads,
            n_cores=psutil.cpu_count() or 1,
            memory_bytes=identity.memory_bytes,
            free_memory_bytes=min(identity.memory_bytes, memory.available),
            queue_s=self._node.stages.queue_s,
            models=tuple(self._node.store.ids()),
            streams=self._node.streams,
            energy=self._energy(),
            usable_memory_bytes=self.usable_memory_bytes(),
            links=tuple(
                msg.LinkReport(**asdict(report_of(estimate, now))) for estimate in self._node.links.estimates()
            ),
        )


def _own_bytes() -> int:
    """Memory of this process that no file backs."""
    info = psutil.Process().memory_info()
    return int(info.rss - getattr(info, "shared", 0))  # only Linux tells them apart
