"""Flows of relayed connections: bytes from a socket, over one hop of links after another, to a socket; both ways.

    accepted socket -> Hop(link 1) -> Hop(link 2) -> Outlet -> socket to the target        (forward flow)
    accepted socket <- Outlet <- Hop(link 2) <- Hop(link 1) <- socket to the target        (backward flow)

A hop holds what waits for its link (`waiting`) and what is on its way across it (`crossing`). Every hop is bounded: it
is served only while what it has sent on is not more than the link itself holds and the next hop may queue, so a slow
link or reader is felt, hop by hop, by the sender. The end of a stream and a reset travel in the same order as bytes,
and are held by a silent link like them. When links are served, and in which turn, is `relay_process.py`'s business.
"""

from __future__ import annotations

import contextlib
import errno
import socket
import struct
from collections import deque
from enum import Enum
from typing import Any

from seamline.core.link.loss import timeout_s
from seamline.testbed.shaping import Arrivals, LinkDirection, LinkShape

READ_BYTES = 65536
TARGET_BUFFER_BYTES = 32768
"""SO_SNDBUF towards the target: bytes that have crossed the links should be the target's, not the kernel's."""

QUEUE_S = 0.008
"""What a hop lets wait before its link, in time at the link's rate: enough to bridge a late wake-up."""

MAX_QUEUE_BYTES = 256 * 1024
OUTLET_BYTES = 64 * 1024
UNLIMITED_CROSSING_BYTES = 4 << 20
"""In flight across a link with a delay and no rate: a TCP window of usual size."""

MAX_BACKDATE_S = 0.020
"""A chunk begins when link and bytes were ready, even if this process woke up later; but no longer ago than this, or a
reader that paused for a second would be sent a second's worth at once."""


class End(Enum):
    FIN = "no more bytes"
    RESET = "connection reset"


Item = tuple[memoryview | End, float]
"""Bytes or an end, with the time it became ready (waiting) or arrives (crossing)."""


class Hop:
    """Hop of one flow: its queue at one link."""

    def __init__(self, link: LinkDirection, onward: Hop | Outlet) -> None:
        self.link = link
        self.onward = onward
        self.waiting: deque[Item] = deque()
        self.crossing: deque[Item] = deque()
        self.n_waiting_bytes = 0
        self.n_crossing_bytes = 0
        self.served_s = 0.0
        self._arrivals = Arrivals()

    @property
    def n_held_bytes(self) -> int:
        return self.n_waiting_bytes

    @property
    def limit_bytes(self) -> int:
        """Bytes that may wait before the link: `QUEUE_S` of it, and two chunks at the least."""
        shape = self.link.shape
        if not shape.rate_bps:
            return MAX_QUEUE_BYTES
        return max(2 * shape.chunk_bytes, min(MAX_QUEUE_BYTES, int(shape.rate_bps * QUEUE_S / 8.0)))

    @property
    def bottleneck_bps(self) -> float:
        """The lowest rate from here to the end of the path, 0.0 when nothing limits it."""
        rates = [rate for rate in (self.link.shape.rate_bps, self.onward.bottleneck_bps) if rate]
        return min(rates, default=0.0)

    def put(self, what: memoryview | End, ready_s: float) -> None:
        self.waiting.append((what, ready_s))
        if not isinstance(what, End):
            self.n_waiting_bytes += len(what)

    def can_serve(self) -> bool:
        """Whether something waits and the next hop will have room. An end takes no room."""
        if not self.waiting:
            return False
        if isinstance(self.waiting[0][0], End):
            return True
        room = _crossing_bytes(self.link.shape, self.bottleneck_bps) + self.onward.limit_bytes
        return self.n_crossing_bytes + self.onward.n_held_bytes < room

    def serve_one(self, now_s: float) -> None:
        """Put the next chunk, or end, onto the link."""
        what, ready_s = self.waiting.popleft()
        n_bytes = 0
        if not isinstance(what, End):
            chunk = what[: self.link.shape.chunk_bytes]
            n_bytes = len(chunk)
            if n_bytes < len(what):
                self.waiting.appendleft((what[n_bytes:], ready_s))
            what = chunk
        self.n_waiting_bytes -= n_bytes
        self.n_crossing_bytes += n_bytes
        arrives_s = self._arrivals.in_order(self.link.serve(n_bytes, ready_s=max(ready_s, now_s - MAX_BACKDATE_S)))
        self.served_s = self.link.free_at_s
        self.crossing.append((what, arrives_s))

    def shift_last(self, from_s: float, to_s: float) -> None:
        """The chunk that would have left the serialiser at `from_s` now leaves at `to_s`, if it is of this hop."""
        if self.crossing and self.served_s == from_s:
            what, arrives_s = self.crossing.pop()
            before_s = self.crossing[-1][1] if self.crossing else 0.0
            self.served_s = to_s
            self._arrivals.last_s = max(before_s, arrives_s + to_s - from_s)
            self.crossing.append((what, self._arrivals.last_s))

    def deliver(self, now_s: float) -> bool:
        """Hand on what has arrived by `now_s`; returns whether anything has."""
        moved = False
        while self.crossing and self.crossing[0][1] <= now_s and not self.link.is_silent:
            what, arrived_s = self.crossing.popleft()
            if not isinstance(what, End):
                self.n_crossing_bytes -= len(what)
            self.onward.put(what, arrived_s)
            moved = True
        return moved

    def drop_waiting(self) -> None:
        self.waiting.clear()
        self.n_waiting_bytes = 0

    def next_due_s(self) -> float | None:
        """Time at which the hop is to be served again; None when that depends on others."""
        if self.link.is_silent:
            return None
        due = [self.crossing[0][1]] if self.crossing else []
        if self.can_serve():
            due.append(self.link.free_at_s)
        return min(due, default=None)


class Outlet:
    """Outlet of a flow: bytes that have arrived, going into a socket as fast as its reader takes them."""

    limit_bytes = OUTLET_BYTES
    bottleneck_bps = 0.0

    def __init__(self) -> None:
        self.buffers: deque[memoryview] = deque()
        self.n_held_bytes = 0
        self.end: End | None = None

    def put(self, what: memoryview | End, ready_s: float) -> None:
        if isinstance(what, End):
            self.end = what
        else:
            self.buffers.append(what)
            self.n_held_bytes += len(what)

    def discard(self) -> None:
        self.buffers.clear()
        self.n_held_bytes = 0

    def write(self, target: socket.socket) -> None:
        """Raises `OSError` when the target is gone."""
        while self.buffers:
            try:
                n_sent = target.send(self.buffers[0])
            except BlockingIOError:
                return
            self.n_held_bytes -= n_sent
            if n_sent == len(self.buffers[0]):
                self.buffers.popleft()
            else:
                self.buffers[0] = self.buffers[0][n_sent:]


class Flow:
    """Flow in one direction of a connection: reads `source`, moves through `hops`, comes out at `outlet`."""

    def __init__(self, links: tuple[LinkDirection, ...]) -> None:
        self.outlet = Outlet()
        self.hops: list[Hop] = []
        onward: Hop | Outlet = self.outlet
        for link in reversed(links):
            onward = Hop(link, onward)
            self.hops.insert(0, onward)
        self.is_read_out = False
        self.is_written_out = False
        self._is_reset = False
        self._full_since_s: float | None = None

    def wants_bytes(self) -> bool:
        """Whether the first hop has room. Stops at the full mark and goes on at half, to read in decent pieces."""
        first = self.hops[0]
        mark = first.limit_bytes if self._full_since_s is None else first.limit_bytes // 2
        return not self.is_read_out and first.n_waiting_bytes < mark

    def read(self, source: socket.socket, now_s: float) -> None:
        """Take what `source` has. Raises `OSError` when its peer reset the connection."""
        first = self.hops[0]
        try:
            data = source.recv(min(READ_BYTES, first.limit_bytes - first.n_waiting_bytes))
        except BlockingIOError:
            return
        if not data:
            self.is_read_out = True
            first.put(End.FIN, now_s)
            return
        # Bytes that we left in the kernel waited for the link since then, not since we came to fetch them.
        first.put(memoryview(data), now_s if self._full_since_s is None else self._full_since_s)
        self._full_since_s = now_s if first.n_waiting_bytes >= first.limit_bytes else None

    def found_nothing(self) -> None:
        """Note that there was room and the source had nothing: bytes that it sends later did not wait."""
        self._full_since_s = None

    def reset(self, now_s: float) -> None:
        """The source is gone: what has not left yet never will, and a reset follows what has."""
        self.is_read_out = True
        if self._is_reset:
            return
        self._is_reset = True
        for hop in self.hops:
            hop.drop_waiting()
        self.hops[0].put(End.RESET, now_s)


class Connection:
    """A relayed TCP connection: the accepted socket (near), the one to the target (far), a flow each way.

    The far socket is opened when the first packet of a real connection would have come there: one path delay later, and
    not while a link of the path is silent.
    """

    def __init__(
        self,
        near: socket.socket,
        target_port: int,
        *,
        forward: tuple[LinkDirection, ...],
        backward: tuple[LinkDirection, ...],
        now_s: float,
    ) -> None:
        self._near: socket.socket = near
        self._far: socket.socket | None = None
        self._is_far_open = False
        self._target_port = target_port
        self._path = forward
        self._open_at_s = now_s + sum(link.shape.delay_s for link in forward)
        self._forward = Flow(forward)
        self._backward = Flow(backward)
        self.hops = [*self._forward.hops, *self._backward.hops]
        self.is_done = False
        near.setblocking(False)
        near.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def wanted(self, reading: list[Any], writing: list[Any]) -> None:
        """Add the sockets whose readiness matters now."""
        if self._forward.wants_bytes():
            reading.append(self._near)
        if self._backward.outlet.buffers:
            writing.append(self._near)
        if self._far is None:
            return
        if not self._is_far_open:
            writing.append(self._far)
            return
        if self._backward.wants_bytes():
            reading.append(self._far)
        if self._forward.outlet.buffers:
            writing.append(self._far)

    def on_ready(self, ready: set[Any], now_s: float) -> None:
        """Read and write the sockets in `ready`."""
        if self.is_done:
            return
        if self._far is not None and not self._is_far_open and self._far in ready:
            self._finish_open(now_s)
        self._read(self._forward, self._near, ready, now_s)
        if self._far is not None and self._is_far_open:
            self._read(self._backward, self._far, ready, now_s)

    def advance(self, now_s: float) -> bool:
        """Move what has arrived one hop on, and out; returns whether anything moved."""
        if self.is_done:
            return False
        if self._far is None and now_s >= self._open_at_s and not any(link.is_silent for link in self._path):
            self._open(now_s)
        moved = False
        for hop in self.hops:
            moved |= hop.deliver(now_s)
        if self._far is not None and self._is_far_open:
            self._write(self._forward, self._far, self._backward, now_s)
        if not self.is_done:
            self._write(self._backward, self._near, self._forward, now_s)
        if not self.is_done and self._forward.is_written_out and self._backward.is_written_out:
            self.close()
        return moved

    def next_due_s(self) -> float | None:
        due = [at_s for hop in self.hops if (at_s := hop.next_due_s()) is not None]
        if self._far is None and not any(link.is_silent for link in self._path):
            due.append(self._open_at_s)
        return min(due, default=None)

    def abort(self) -> None:
        """End at once with a reset at both ends."""
        for end in (self._near, self._far):
            if end is not None:
                _linger_for_nothing(end)
        self.close()

    def close(self) -> None:
        self.is_done = True
        self._near.close()
        if self._far is not None:
            self._far.close()

    def _open(self, now_s: float) -> None:
        self._far = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        self._far.setblocking(False)
        self._far.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._far.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, TARGET_BUFFER_BYTES)
        self._far.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, TARGET_BUFFER_BYTES // 2)
        code = self._far.connect_ex(("127.0.0.1", self._target_port))
        if code not in (0, errno.EINPROGRESS):
            self._backward.reset(now_s)

    def _finish_open(self, now_s: float) -> None:
        assert self._far is not None
        self._is_far_open = True
        if self._far.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
            self._backward.reset(now_s)  # refused; the answer travels back like any other

    def _read(self, flow: Flow, source: socket.socket, ready: set[Any], now_s: float) -> None:
        if not flow.wants_bytes():
            return
        if source not in ready:
            flow.found_nothing()
            return
        try:
            flow.read(source, now_s)
        except OSError:
            flow.reset(now_s)

    def _write(self, flow: Flow, target: socket.socket, opposite: Flow, now_s: float) -> None:
        """Give `target` what has arrived for it; `opposite` is the flow that `target` feeds."""
        outlet = flow.outlet
        if outlet.end is End.RESET:
            self._reset(target)
            return
        try:
            outlet.write(target)
            if outlet.end is End.FIN and not outlet.buffers and not flow.is_written_out:
                flow.is_written_out = True
                target.shutdown(socket.SHUT_WR)
        except OSError:
            # Nobody reads any more. The other end learns it by the reset, as over a real network, a delay later.
            outlet.discard()
            flow.is_read_out = True
            opposite.reset(now_s)

    def _reset(self, target: socket.socket) -> None:
        """Close both sides, `target` with a reset."""
        _linger_for_nothing(target)
        self.close()


def _linger_for_nothing(end: socket.socket) -> None:
    """Make closing `end` a reset: lingering for no time discards and says so."""
    with contextlib.suppress(OSError):
        end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def _crossing_bytes(shape: LinkShape, bottleneck_bps: float) -> int:
    """Bytes that one connection may have on a link: the rate it can reach times the longest stay on it."""
    if not bottleneck_bps:
        return UNLIMITED_CROSSING_BYTES
    longest_s = shape.delay_s + shape.jitter_s + (timeout_s(shape.delay_s) if shape.loss_ratio else 0.0)
    return int(bottleneck_bps * longest_s / 8.0)
