"""Relay process: carries bytes from TCP connections to TCP connections, shaped by the links of their route.

It runs as ``python -m seamline.testbed.relay_process``, started and commanded by `relay.Network` through its standard
input and output (one JSON object a line), and ends when that input does. A process of its own, because pacing to a
millisecond does not go together with another program's interpreter lock. One thread, one `select` loop; `select` and
not epoll, because only that waits for fractions of a millisecond. What a link does to a chunk stands in `shaping.py`,
how a connection's bytes move from hop to hop in `flows.py`.
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import select
import socket
import sys
import time
from collections.abc import Mapping
from typing import Any

from seamline.testbed.flows import Connection, Hop
from seamline.testbed.priority import prefer
from seamline.testbed.shaping import LinkDirection, LinkShape, changed

ACCEPT_BUFFER_BYTES = 16384
"""SO_RCVBUF towards the sender (the kernel doubles it). Little may wait before the link, or the sender would believe
bytes sent that are not, and would notice a slower link late."""

MIN_WAIT_S = 0.0004
"""Timers this close together are served at once. Departures are computed, so this moves bytes by less than that."""

MAX_WAIT_S = 1.0


class Relay:
    """All links and routes of one testbed. `run_once` is the loop's body; nothing here blocks but its `select`."""

    def __init__(self) -> None:
        self._links: dict[tuple[str, str], LinkDirection] = {}
        self._routes: dict[socket.socket, tuple[tuple[LinkDirection, ...], int]] = {}
        self._connections: list[Connection] = []

    def add_link(self, one: str, other: str, shape: LinkShape) -> None:
        """A physical link: two directions of the same shape, independent of each other."""
        for pair in ((one, other), (other, one)):
            self._links[pair] = LinkDirection(shape, seed=len(self._links))

    def add_route(self, hops: list[tuple[str, str]], target_port: int) -> int:
        """Listen for connections that cross `hops` to reach `target_port`; returns the port to connect to."""
        listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        # Before listen: an accepted socket inherits it, and the window offered in the handshake depends on it.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, ACCEPT_BUFFER_BYTES)
        listener.bind(("127.0.0.1", 0))
        listener.listen(64)
        listener.setblocking(False)
        self._routes[listener] = (tuple(self._links[hop] for hop in hops), target_port)
        port: int = listener.getsockname()[1]
        return port

    def reshape(
        self, one: str, other: str, rate_bps: float | None, delay_s: float | None, loss_ratio: float | None
    ) -> None:
        """Both directions take the values that are given, also for bytes that already wait."""
        now_s = time.monotonic()
        for link in self._both(one, other):
            left_s = link.free_at_s
            shape = changed(link.shape, rate_bps=rate_bps, delay_s=delay_s, loss_ratio=loss_ratio)
            link.reshape(shape, now_s=now_s)
            for hop in self._hops_of(link):
                hop.shift_last(left_s, link.free_at_s)

    def silence(self, one: str, other: str, is_silent: bool, is_one_way: bool) -> None:
        """Stop everything on a link, or let it go on. Nothing is closed and nothing is lost."""
        for link in self._both(one, other)[: 1 if is_one_way else 2]:
            if is_silent:
                link.silence()
            else:
                link.restore(now_s=time.monotonic())

    def disconnect(self, one: str, other: str) -> None:
        """Reset both ends of every connection across a link."""
        links = self._both(one, other)
        for connection in self._connections:
            if any(hop.link is link for hop in connection.hops for link in links):
                connection.abort()

    def n_carried_bytes(self, source: str, target: str) -> int:
        return self._links[source, target].n_carried_bytes

    def run_once(self, commands: int) -> bool:
        """Move what is due, wait for what comes next. Returns whether the file descriptor `commands` is readable."""
        now_s = time.monotonic()
        due_s = self._pump(now_s)
        wait_s = MAX_WAIT_S if due_s is None else min(MAX_WAIT_S, max(MIN_WAIT_S, due_s - time.monotonic()))
        reading: list[Any] = [commands, *self._routes]
        writing: list[Any] = []
        for connection in self._connections:
            connection.wanted(reading, writing)
        readable, writable, _ = select.select(reading, writing, [], wait_s)
        ready = set(readable) | set(writable)
        now_s = time.monotonic()
        for listener in self._routes.keys() & ready:
            self._accept(listener, now_s)
        for connection in self._connections:
            connection.on_ready(ready, now_s)
        return commands in ready

    def close(self) -> None:
        for connection in self._connections:
            connection.close()
        for listener in self._routes:
            listener.close()

    def _both(self, one: str, other: str) -> tuple[LinkDirection, LinkDirection]:
        return self._links[one, other], self._links[other, one]

    def _hops_of(self, link: LinkDirection) -> list[Hop]:
        return [hop for connection in self._connections for hop in connection.hops if hop.link is link]

    def _accept(self, listener: socket.socket, now_s: float) -> None:
        with contextlib.suppress(OSError):  # gone again, or no descriptors left: the peer tries again
            accepted, _ = listener.accept()
            hops, port = self._routes[listener]
            back = tuple(self._opposite(hop) for hop in reversed(hops))
            self._connections.append(Connection(accepted, port, forward=hops, backward=back, now_s=now_s))

    def _opposite(self, link: LinkDirection) -> LinkDirection:
        source, target = next(pair for pair, known in self._links.items() if known is link)
        return self._links[target, source]

    def _pump(self, now_s: float) -> float | None:
        """Move everything that is due by `now_s`; returns when the next thing is, None when nothing waits."""
        # One round for each hop a chunk can take within `now_s`, at the most.
        for _ in range(16):
            moved = [connection.advance(now_s) for connection in self._connections]
            moved.extend(self._serve(link, now_s) for link in self._links.values())
            if not any(moved):
                break
        self._connections = [connection for connection in self._connections if not connection.is_done]
        due = [at_s for connection in self._connections if (at_s := connection.next_due_s()) is not None]
        return min(due, default=None)

    def _serve(self, link: LinkDirection, now_s: float) -> bool:
        """Let the flows that wait for `link` take turns, a chunk each, while it is free."""
        if link.is_silent:
            return False
        waiting = self._hops_of(link)
        moved = False
        while link.free_at_s <= now_s:
            servable = [hop for hop in waiting if hop.can_serve()]
            if not servable:
                break
            # Least recently served first: round robin that survives flows coming and going.
            min(servable, key=lambda hop: hop.served_s).serve_one(now_s)
            moved = True
        return moved


def main() -> None:
    """Obey the commands of `relay.Network` until they end."""
    gc.disable()  # a collection of a few ms would show as jitter; nothing here makes cycles that grow
    prefer(os.getpid())  # pacing comes before computing; without it, busy cores add up to some ms
    relay = Relay()
    pending = b""
    commands = sys.stdin.fileno()
    try:
        while True:
            if not relay.run_once(commands):
                continue
            received = os.read(commands, 65536)
            if not received:
                return
            *lines, pending = (pending + received).split(b"\n")
            for line in lines:
                sys.stdout.write(json.dumps(_obey(relay, json.loads(line))) + "\n")
            sys.stdout.flush()
    except (KeyboardInterrupt, BrokenPipeError):
        return  # Ctrl-C reaches the whole foreground group; whoever started this says so, not we
    finally:
        relay.close()


def _obey(relay: Relay, command: Mapping[str, Any]) -> dict[str, Any]:
    """The answer to one command, see `relay.Network` for the other side."""
    match command:
        case {"do": "link", "between": [one, other], "shape": shape}:
            relay.add_link(one, other, LinkShape(**shape))
        case {"do": "route", "hops": hops, "target_port": target_port}:
            return {"port": relay.add_route([(source, target) for source, target in hops], target_port)}
        case {
            "do": "reshape", "between": [one, other], "rate_bps": rate_bps, "delay_s": delay_s, "loss_ratio": loss_ratio
        }:  # fmt: skip
            relay.reshape(one, other, rate_bps, delay_s, loss_ratio)
        case {"do": "silence", "between": [one, other], "is_silent": is_silent, "is_one_way": is_one_way}:
            relay.silence(one, other, is_silent, is_one_way)
        case {"do": "disconnect", "between": [one, other]}:
            relay.disconnect(one, other)
        case {"do": "carried", "between": [source, target]}:
            return {"n_bytes": relay.n_carried_bytes(source, target)}
        case other:
            return {"error": f"unknown command {other}"}
    return {}


if __name__ == "__main__":
    main()
