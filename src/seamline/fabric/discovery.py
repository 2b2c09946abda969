"""Discovery on the LAN by Zenoh's scouting: nodes of one cluster meet in a multicast group of their own.

The group's port is drawn from the cluster's name and the fingerprint of its authority, so that other clusters are not
heard; who is heard is still let in by certificate alone. A node says where it listens when it starts and when another
asks, and both open a link. Off unless asked for: a link that nobody configured would bypass a shaped or forbidden one.
"""

from __future__ import annotations

import hashlib
import socket
import struct
from typing import Any

import psutil

GROUP = "224.0.0.224"
FIRST_PORT, N_PORTS = 20000, 20000


def group_of(cluster: str, authority: str = "") -> str:
    """``ADDRESS:PORT`` where nodes of `cluster` meet. authority: fingerprint of the cluster's, empty without one."""
    digest = hashlib.sha256(f"{cluster}\0{authority}".encode()).digest()
    return f"{GROUP}:{FIRST_PORT + int.from_bytes(digest[:4], 'big') % N_PORTS}"


def discovering(group: str) -> dict[str, Any]:
    """Settings of a Zenoh session that meets others in `group`."""
    return {
        "scouting/multicast/enabled": True,
        "scouting/multicast/listen": True,
        "scouting/multicast/address": group,
        "scouting/multicast/ttl": 1,
        "scouting/multicast/autoconnect": {"router": ["router", "peer"], "peer": ["router", "peer"]},
    }


def why_closed() -> str | None:
    """Why no node is found by multicast from here; None when it is open as far as this machine can see."""
    flags = {name: stats.flags.split(",") for name, stats in psutil.net_if_stats().items() if stats.isup}
    able = [name for name, each in flags.items() if "multicast" in each and "loopback" not in each]
    if not able:
        return "no network interface of this machine is up and takes multicast"
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as joined:
            membership = struct.pack("4s4s", socket.inet_aton(GROUP), socket.inet_aton("0.0.0.0"))
            joined.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, membership)
    except OSError as exc:
        return f"the group {GROUP} cannot be joined: {exc.strerror or exc}"
    return None
