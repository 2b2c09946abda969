"""Strangers: neighbours on a link who have not shown who they are, or are no longer admitted; their links are cut.

Mutual TLS lets in every certificate of the authority, a revoked one too, because Zenoh reads no revocation lists. So a
guarded session has the number of its run (its incarnation) as Zenoh's own, and a neighbour whose number is not that of
an admitted run is cut off: after a while when it never was admitted, at once when it was. Zenoh has no call for it; the
kernel ends the connection, and both sides see a closed link.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterable
from contextlib import suppress
from ipaddress import ip_address

from seamline.fabric.zenoh import Neighbour

STARTING_LEASES, STARTING_S = 4.0, 3.0
"""How long a neighbour may take to show who it is: one that starts waits for the ghost of its earlier run first."""
FORGET_S = 60.0


class Strangers:
    """Tells whose links are to be cut; not thread-safe. grace_s: how long a neighbour may take to show who it is."""

    def __init__(self, grace_s: float) -> None:
        self._grace_s = grace_s
        self._seen: dict[str, tuple[float, float]] = {}  # of who has not shown it: (since, last seen), in seconds

    def among(
        self, neighbours: Iterable[Neighbour], standing: Callable[[str], bool | None], now_s: float
    ) -> tuple[Neighbour, ...]:
        """Those of `neighbours` whose links are to end. standing: of the number of a session, see `Seal.standing`."""
        self._seen = {session: seen for session, seen in self._seen.items() if now_s - seen[1] < FORGET_S}
        return tuple(one for one in neighbours if self._is_over(one.session, standing(one.session), now_s))

    def _is_over(self, session: str, standing: bool | None, now_s: float) -> bool:
        if standing is not None:
            self._seen.pop(session, None)
            return not standing
        since_s, _ = self._seen.get(session, (now_s, now_s))
        self._seen[session] = since_s, now_s
        return now_s - since_s > self._grace_s


def cut(neighbour: Neighbour) -> bool:
    """End the connection of this process to `neighbour`; whether there was one."""
    local, remote = _address(neighbour.local), _address(neighbour.remote)
    is_cut = False
    for descriptor in os.listdir("/proc/self/fd"):
        with suppress(OSError, ValueError), socket.socket(fileno=os.dup(int(descriptor))) as one:
            host, port, *_ = one.getpeername()
            if (ip_address(host), port) == remote and one.getsockname()[1] == local[1]:
                one.shutdown(socket.SHUT_RDWR)
                is_cut = True
    return is_cut


def _address(locator: str) -> tuple[object, int]:
    """(IP address, port) of a locator of Zenoh."""
    host, _, port = locator.partition("/")[2].partition("#")[0].partition("?")[0].rpartition(":")
    return ip_address(host.strip("[]")), int(port)
