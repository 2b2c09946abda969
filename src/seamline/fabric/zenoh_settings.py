"""Settings of Zenoh: the defaults that harm a stream of tensors, and the values used instead.

What the defaults did was measured on two cores with Zenoh 1.10; the figures stand beside the settings.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import zenoh

from seamline.core.vocabulary.errors import FabricError
from seamline.core.vocabulary.ports import BATCH_BYTES
from seamline.fabric.discovery import discovering

_WAIT_BEFORE_CLOSE_S = 0.4
"""How long a full queue may block a put, and with it the whole session, before that link is closed; no longer than a
lease, after which the peer counts as lost anyway."""

_ACCEPT_S = 2.0
_ACCEPT_LEASES = 3.0
"""How long a connection may take to say who it is, longer where leases are, as links are slow there. Zenoh gives it
10 s and handles 100 at once, so that 110 silent connections kept every new peer out for 10 s."""

_ACCEPT_PENDING = 400
"""So many silent connections at once do not delay a new peer, more do for that time; each is a file descriptor."""

_QUEUE_BATCHES = 16
"""Per neighbour and lane: the most Zenoh takes."""


_TLS_BUFFER_BYTES = 1 << 20
"""Zenoh's TLS never flushes: what the kernel does not take at once stays in the process until the next write, a
keep-alive in the worst case. With 64 KiB 9 of 60 hops of 600 kB waited for one (2.5 s with a lease of 10 s), with this
0 of 300. Linux gives less where net.core.wmem_max is lower."""


def configuration(
    listen: tuple[str, ...],
    connect: tuple[str, ...],
    *,
    mode: str,
    lease_s: float,
    group: str | None = None,
    more: Mapping[str, Any] = MappingProxyType({}),
) -> Any:
    """A Zenoh configuration that neither loses, delays nor misroutes what we send.

    mode: ``router`` passes messages on between neighbours, ``peer`` does not. group: where to meet others, see
    `discovery`. more: certificates and access rules.
    Raises `FabricError` for what Zenoh does not take, a malformed endpoint above all.
    """
    wait_s = min(_WAIT_BEFORE_CLOSE_S, lease_s)
    settings: dict[str, Any] = {
        "mode": mode,
        "listen/endpoints": list(listen),
        "connect/endpoints": list(connect),
        "connect/timeout_ms": -1,  # keep trying: a node may start before its neighbour
        "connect/exit_on_failure": False,
        "connect/retry": {"period_init_ms": 100, "period_max_ms": 1000, "period_increase_factor": 2},
        "listen/timeout_ms": 0,
        "listen/exit_on_failure": True,
        # only configured links: discovery would open direct ones around a shaped or forbidden link
        "scouting/multicast/enabled": False,
        "scouting/gossip/enabled": False,
        "scouting/delay": 0,  # nothing is scouted for, so there is nothing to wait for (0.5 s otherwise)
        "timestamping/enabled": False,
        "transport/unicast/accept_timeout": round(max(_ACCEPT_S, _ACCEPT_LEASES * lease_s) * 1000),
        "transport/unicast/accept_pending": _ACCEPT_PENDING,
        "transport/link/tx/lease": round(lease_s * 1000),  # 10 s otherwise until a silent peer is lost
        "transport/link/tx/batch_size": BATCH_BYTES,
        "transport/link/tls/so_sndbuf": _TLS_BUFFER_BYTES,
        # a put into a full queue stops the whole session (see `bulk/window.py`): room for what the windows let through
        "transport/link/tx/queue/size/data": _QUEUE_BATCHES,
        "transport/link/tx/queue/size/real_time": _QUEUE_BATCHES,
        "transport/link/tx/queue/congestion_control/block/wait_before_close": round(wait_s * 1e6),
        # on by itself between processes of one host, also where a shaped link is between them; and drops what its
        # receiver's thread has not read within 0.1 s, without a word (issue 2628 of Zenoh): see `bulk/shared_memory.py`
        "transport/shared_memory/enabled": False,
    }
    if group is not None:
        settings.update(discovering(group))
    settings.update(more)
    config: Any = zenoh.Config()
    for key, value in settings.items():
        try:
            config.insert_json5(key, json.dumps(value))
        except zenoh.ZError as exc:
            raise FabricError(f"Zenoh refuses {key} = {value}", hint="endpoints look like tcp/HOST:PORT") from exc
    return config
