"""The heartbeat of a node: its status, pings and probes, sent by one thread that sleeps until something is due.

When pings, probes and reports are due is decided in `core.link.beat`, for those who hold interest in this node's links.
Everybody else is sent the status when they come, when its standing part has changed, and now and then (`REFRESH_S`);
that a node lives is known without it, from the fabric. So a node that nobody asks anything does next to nothing. What a
status says is `status.py`, what peers' statuses are good for `membership.py`.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable

from seamline.core.link.meter import TICK_S
from seamline.core.vocabulary.nodes import NodeId
from seamline.core.vocabulary.ports import Fabric
from seamline.fabric import messages as msg
from seamline.runtime.node.status import standing_of
from seamline.runtime.node.uplink import Uplink
from seamline.runtime.shared.clock import now_s

log = logging.getLogger(__name__)

TIDY_S = 5.0
"""Between two looks at what may be dropped, and at whether the standing part of the status has changed."""

REFRESH_S, REFRESH_PER_PEER_S = 60.0, 6.0
"""Between two statuses to peers that did not ask for any, at least, and for each of them: however many there are, one
node sends ten in a minute."""


RETRY_S = 0.5
"""After a beat that failed."""


class Heartbeat:
    """Owner of the periodic thread of a node.

    status: composes what is announced. tidy(now_s): housekeeping, called before every announcement.
    """

    def __init__(
        self, fabric: Fabric, uplink: Uplink, status: Callable[[], msg.Status], tidy: Callable[[float], None]
    ) -> None:
        self._fabric = fabric
        self._uplink = uplink
        self._status = status
        self._tidy = tidy
        self._lock = threading.Lock()
        self._new_peers: set[NodeId] = set()
        self._standing: msg.Status | None = None
        self._look_s = self._refresh_s = 0.0
        self._wake = threading.Event()
        self._has_failed = False
        self._closed = False
        self._thread = threading.Thread(target=self._beat, name="heartbeat", daemon=True)
        uplink.links.wake = self._wake.set

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        """End the thread; waits for the beat that runs."""
        self._closed = True
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join(timeout=0.5)

    def greet(self, peer: NodeId) -> None:
        """A peer is new: it is sent the status at once."""
        with self._lock:
            self._new_peers.add(peer)
        self._wake.set()

    def look_soon(self) -> None:
        """The standing part of the status may have changed."""
        self._look_s = 0.0
        self._wake.set()

    def _beat(self) -> None:
        beaten_s = now_s() - TICK_S
        while not self._closed:
            self._wake.wait(max(0.0, self._due_s() - now_s()))
            time.sleep(max(0.0, beaten_s + TICK_S - now_s()))
            self._wake.clear()
            beaten_s = now_s()
            try:
                self._beat_once(beaten_s)
                self._has_failed = False
            except Exception:  # a disk that fails for a moment must not silence the node for good
                self._look_s = beaten_s + RETRY_S
                if not (self._has_failed or self._closed):
                    log.exception("the heartbeat failed; it goes on")
                self._has_failed = True

    def _due_s(self) -> float:
        return min(self._uplink.links.next_due_s(), self._look_s)

    def _beat_once(self, now: float) -> None:
        due = self._uplink.links.beat()
        self._uplink.ping(due.pings)
        if due.probe is not None:
            self._uplink.probe(*due.probe)
        with self._lock:  # a peer that is greeted again from here on is sent another status
            new_peers, self._new_peers = self._new_peers, set()
        try:
            if due.reports or new_peers or now >= self._look_s:
                self._look_s = now + TIDY_S
                self._tidy(now)
                self._announce(new_peers.union(due.reports), now)
        except BaseException:
            with self._lock:
                self._new_peers |= new_peers
            raise

    def _announce(self, targets: Iterable[NodeId], now: float) -> None:
        """Send the status to `targets`, and to all peers when it is time or its standing part is another."""
        status, peers = self._status(), self._fabric.peers()
        standing = standing_of(status)
        if now >= self._refresh_s or standing != self._standing:
            self._refresh_s = now + max(REFRESH_S, REFRESH_PER_PEER_S * len(peers))
            self._standing = standing
            targets = peers
        for target in peers.intersection(targets):
            self._uplink.send_best_effort(target, status)
