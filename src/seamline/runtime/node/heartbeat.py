"""The heartbeat of a node: periodic status announcements, pings, and probes of links that stay idle.

When what is due is decided in `core.link.beat`; here is the thread. What a status says is `status.py`, what peers'
statuses are good for `membership.py`.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from seamline.core.link.meter import TICK_S
from seamline.core.vocabulary.ports import Fabric
from seamline.fabric import messages as msg
from seamline.runtime.node.uplink import Uplink
from seamline.runtime.shared.clock import now_s

log = logging.getLogger(__name__)


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
        self._wake = threading.Event()
        self._has_failed = False
        self._closed = False
        self._thread = threading.Thread(target=self._beat, name="heartbeat", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        """End the thread; waits for the beat that runs."""
        self._closed = True
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join(timeout=0.5)

    def announce_soon(self) -> None:
        """Announce the status without waiting for its time: a peer is new."""
        self._uplink.links.announce_soon()
        self._wake.set()

    def _beat(self) -> None:
        while not self._closed:
            self._wake.wait(TICK_S)
            self._wake.clear()
            try:
                self._beat_once()
                self._has_failed = False
            except Exception:  # a disk that fails for a moment must not silence the node for good
                if not (self._has_failed or self._closed):
                    log.exception("the heartbeat failed; it goes on")
                self._has_failed = True

    def _beat_once(self) -> None:
        due = self._uplink.links.beat()
        self._uplink.ping(due.pings)
        if due.probe is not None:
            self._uplink.probe(*due.probe)
        if due.is_status_due:
            self._tidy(now_s())
            self._announce()

    def _announce(self) -> None:
        status = self._status()
        for peer in self._fabric.peers():
            self._uplink.send_best_effort(peer, status)
