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
from dataclasses import dataclass
from ipaddress import ip_address

from seamline.fabric.zenoh import Neighbour

STARTING_LEASES, STARTING_S = 4.0, 3.0
"""How long a neighbour may take to show who it is: one that starts waits for the ghost of its earlier run first."""
FORGET_S = 60.0
MAX_STRANGERS = 1024


@dataclass(slots=True)
class _Seen:
    """since_s: when it was first seen without being admitted. last_s: when it was last seen at all."""

    since_s: float
    last_s: float
    was_admitted: bool


class Strangers:
    """Tells whose links are to be cut; not thread-safe. grace_s: how long a neighbour may take to show who it is."""

    def __init__(self, grace_s: float) -> None:
        self._grace_s = grace_s
        self._seen: dict[str, _Seen] = {}

    def among(
        self, neighbours: Iterable[Neighbour], is_admitted: Callable[[str], bool], now_s: float
    ) -> tuple[Neighbour, ...]:
        """Those of `neighbours` whose time is over. is_admitted: whether a number is that of an admitted run."""
        self._seen = {session: one for session, one in self._seen.items() if now_s - one.last_s < FORGET_S}
        return tuple(one for one in neighbours if self._is_over(one.session, is_admitted(one.session), now_s))

    def _is_over(self, session: str, is_admitted: bool, now_s: float) -> bool:
        seen = self._seen.get(session)
        if seen is None:
            if len(self._seen) >= MAX_STRANGERS:
                return not is_admitted
            seen = self._seen[session] = _Seen(now_s, now_s, is_admitted)
        seen.last_s = now_s
        if is_admitted:
            seen.since_s, seen.was_admitted = now_s, True
            return False
        return seen.was_admitted or now_s - seen.since_s > self._grace_s


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
