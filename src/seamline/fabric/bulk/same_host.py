"""Same-host test: whether two nodes may hand bytes to each other in memory without going around their network.

Two processes of one machine may still have a network between them that somebody shapes: a relay, a TUN device, another
network namespace, a queue discipline on the loopback device. Memory would bypass it, so none of these may be there.
A relay betrays itself: the ends of one TCP connection name the same pair of addresses, those of two do not.
That both see the same memory is not judged here: `shared_memory.py` tries it.
"""

from __future__ import annotations

import ipaddress
import os
import socket
import struct
from collections.abc import Iterable
from typing import Annotated

import msgspec

_NETWORK_NAMESPACE = "/proc/self/ns/net"
_MAX_LINKS = 64

_NLMSG, _IFINFO, _ATTRIBUTE = struct.Struct("=IHHII"), struct.Struct("=BBHiII"), struct.Struct("=HH")
_RTM_GETLINK, _NLM_F_REQUEST, _IFLA_QDISC = 18, 1, 6
_UNSHAPED = b"noqueue\0"

Link = tuple[str, str]
"""(local, remote) address of a connection, each ``PROTOCOL/HOST:PORT``."""


class Place(msgspec.Struct, frozen=True):
    """Where a node stands: the number of its network namespace, and its connections that do not leave the machine."""

    network: int
    links: Annotated[tuple[Link, ...], msgspec.Meta(max_length=_MAX_LINKS)]

    def is_beside(self, other: Place) -> bool:
        """Whether a connection joins the two directly, within one machine."""
        return self.network == other.network and any((remote, local) in other.links for local, remote in self.links)


def place_of(links: Iterable[Link]) -> Place | None:
    """The place of a node with `links`; None when none of them stays on this machine unshaped, or nobody can tell."""
    inner = tuple(link for link in links if _stays(*link))[:_MAX_LINKS]
    try:
        if not inner or _loopback_qdisc() != _UNSHAPED:
            return None
        return Place(network=os.stat(_NETWORK_NAMESPACE).st_ino, links=inner)
    except (OSError, AttributeError, struct.error):
        return None  # not Linux, or a sandbox without netlink


def _stays(local: str, remote: str) -> bool:
    """Whether both addresses are the machine's own: equal, or loopback."""
    try:
        ends = [ipaddress.ip_address(_host(address)) for address in (local, remote)]
    except ValueError:
        return False
    return ends[0] == ends[1] or all(end.is_loopback for end in ends)


def _host(address: str) -> str:
    host = address.partition("/")[2].rpartition(":")[0]
    return host.strip("[]").removeprefix("::ffff:")


def _loopback_qdisc() -> bytes:
    """The name of the loopback device's queue discipline, as rtnetlink(7) has it."""
    body = _IFINFO.pack(0, 0, 0, socket.if_nametoindex("lo"), 0, 0)
    request = _NLMSG.pack(_NLMSG.size + len(body), _RTM_GETLINK, _NLM_F_REQUEST, 0, 0) + body
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0) as netlink:
        netlink.settimeout(1.0)
        netlink.send(request)
        answer = netlink.recv(1 << 16)
    at = _NLMSG.size + _IFINFO.size
    while at < len(answer):
        length, kind = _ATTRIBUTE.unpack_from(answer, at)
        if kind == _IFLA_QDISC:
            return answer[at + _ATTRIBUTE.size : at + length]
        at += max(_ATTRIBUTE.size, (length + 3) & ~3)
    return b""
