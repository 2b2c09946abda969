"""In-memory fabric within one process, over links with a rate and a delay: the default in tests.

A `VirtualNetwork` holds the links and delivers on one thread, in real time; unlimited links deliver at once. Given a
clock instead, it has no thread and delivers when `advance` is called, so that a test decides what happens when.
How a message crosses a link is modelled in `virtual_link.py`.

Three ways to go wrong: `silence` (nothing crosses nor is reported, until the lease ends), `kill` (the process is
gone, peers know at once) and `close` (it said goodbye).
"""

from __future__ import annotations

import heapq
import itertools
import logging
import math
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from seamline.core.vocabulary.errors import FabricError, PeerLost, UsageError
from seamline.core.vocabulary.limits import MAX_MESSAGE_BYTES
from seamline.core.vocabulary.links import Link
from seamline.core.vocabulary.nodes import NodeId, node_id
from seamline.core.vocabulary.ports import LEASE_S, Buffer, Clock, Lane, OnMessage, OnPeer, Parts
from seamline.fabric.virtual_link import SAME_TIME_S, VirtualLink

BUFFER_BYTES = 64 * 1024

log = logging.getLogger(__name__)


class VirtualNetwork:
    """Nodes and the links between them; every pair is linked, without limit until `set_link` says otherwise.

    clock: None for real time and a delivery thread; a clock for `advance`. lease_s: silence until a peer is lost.
    buffer_bytes: what a link takes in before a DATA send blocks (never with a clock: nobody would advance it).
    """

    def __init__(
        self, *, clock: Clock | None = None, lease_s: float = LEASE_S, buffer_bytes: int = BUFFER_BYTES
    ) -> None:
        self._clock: Clock = clock or _RealTime()
        self._is_stepped = clock is not None
        self._lease_s = lease_s
        self._buffer_bytes = buffer_bytes
        self._nodes: dict[NodeId, MemoryFabric] = {}
        self._links: dict[Link, VirtualLink[_Delivery]] = {}
        self._silent: dict[frozenset[NodeId], int] = {}
        self._due: list[tuple[float, int, _Event]] = []
        self._order = itertools.count()
        self._changed = threading.Condition(threading.RLock())
        self._thread: threading.Thread | None = None
        self._closed = False

    def fabric(self, node: str) -> MemoryFabric:
        """A fabric for `node`; it takes part from its `start` on. After `kill` a new one may take the name."""
        return MemoryFabric(self, node_id(node))

    def set_link(self, source: str, target: str, *, rate_bps: float = math.inf, delay_s: float = 0.0) -> None:
        """Change one direction, also for what is on its way: the rest of a message crosses at the new rate."""
        if not rate_bps > 0.0 or delay_s < 0.0:
            raise UsageError(f"a link of {rate_bps:g} bit/s and {delay_s:g} s cannot be", hint="silence() cuts a link")
        with self._changed:
            self._flow()
            link = self._link(NodeId(source), NodeId(target))
            link.rate_bps, link.delay_s = rate_bps, delay_s
            self._changed.notify_all()

    def silence(self, node: str, other: str) -> None:
        """Let nothing cross between the two any more; both notice after the lease."""
        pair = frozenset((NodeId(node), NodeId(other)))
        with self._changed:
            self._flow()
            if pair not in self._silent:
                self._silent[pair] = cut = next(self._order)
                self._at(self._clock.now_s() + self._lease_s, _LeaseEnd(pair, cut))
            self._changed.notify_all()

    def heal(self, node: str, other: str) -> None:
        """Let the link carry again: within the lease as if nothing had been, later the two join each other again."""
        here, there = NodeId(node), NodeId(other)
        with self._changed:
            self._flow()
            if self._silent.pop(frozenset((here, there)), None) is not None:
                self._meet(here, there)
                self._meet(there, here)
            self._changed.notify_all()

    def silence_node(self, node: str) -> None:
        """Silence all links of `node`, as when its process hangs or its machine loses the network."""
        with self._changed:
            for other in self._nodes.keys() - {node}:
                self.silence(node, other)

    def heal_node(self, node: str) -> None:
        """Let all links of `node` carry again."""
        with self._changed:
            for pair in [pair for pair in self._silent if node in pair]:
                self.heal(*pair)

    def kill(self, node: str) -> None:
        """The process of `node` is gone: its callbacks fall silent, its sends raise, peers in reach know at once."""
        with self._changed:
            if (fabric := self._nodes.get(NodeId(node))) is not None:
                self._remove(fabric)

    def advance(self) -> int:
        """Deliver all that is due by the network's clock, on this thread; the number of callbacks made."""
        n_delivered = 0
        while (event := self._take_due()) is not None:
            event.deliver()
            n_delivered += 1
        return n_delivered

    def next_due_s(self) -> float:
        """Time of the next event, by the network's clock; `math.inf` when nothing is on its way."""
        with self._changed:
            self._flow()
            ends_s = (link.next_end_s() for pair, link in self._links.items() if frozenset(pair) not in self._silent)
            return min(self._due[0][0] if self._due else math.inf, min(ends_s, default=math.inf))

    def close(self) -> None:
        """Close all nodes and join the delivery thread."""
        with self._changed:
            for fabric in tuple(self._nodes.values()):
                self._remove(fabric)
            self._closed = True
            self._changed.notify_all()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join()

    def __enter__(self) -> VirtualNetwork:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _add(self, fabric: MemoryFabric) -> None:
        with self._changed:
            if self._closed:
                raise FabricError("the network is closed")
            if fabric.node in self._nodes:
                raise FabricError(f"a node named `{fabric.node}` is already there", hint="give this one another name")
            self._nodes[fabric.node] = fabric
            for other in self._nodes.keys() - {fabric.node}:
                self._meet(fabric.node, other)
                self._meet(other, fabric.node)
            if not self._is_stepped and self._thread is None:
                self._thread = threading.Thread(target=self._run, name="virtual-network", daemon=True)
                self._thread.start()
            self._changed.notify_all()

    def _remove(self, fabric: MemoryFabric) -> None:
        with self._changed:
            if self._nodes.get(fabric.node) is not fabric:
                return
            self._flow()
            del self._nodes[fabric.node]
            fabric._known.clear()
            for pair, link in self._links.items():
                if fabric.node in pair:
                    link.clear()
            for other in self._nodes:
                if frozenset((fabric.node, other)) not in self._silent:
                    self._lose(other, fabric.node)
            self._changed.notify_all()

    def _submit(self, source: MemoryFabric, target: NodeId, message: bytes, lane: Lane) -> None:
        with self._changed:
            receiver = self._require_known(source, target)
            self._flow()
            link = self._link(source.node, target)
            link.add(lane, 8.0 * len(message), _Delivery(receiver, source.node, message))
            self._changed.notify_all()
            while lane is Lane.DATA and not self._is_stepped and link.waiting_bits > 8.0 * self._buffer_bytes:
                self._changed.wait()
                if self._require_known(source, target) is not receiver:
                    raise PeerLost(f"`{target}` was lost while {len(message)} bytes were sent to it")

    def _has_room(self, source: MemoryFabric, target: NodeId, n_bytes: int) -> bool:
        with self._changed:
            self._flow()
            waiting_bits = self._link(source.node, target).waiting_bits
            return self._is_stepped or waiting_bits + 8.0 * n_bytes <= 8.0 * self._buffer_bytes

    def _require_known(self, source: MemoryFabric, target: NodeId) -> MemoryFabric:
        if self._nodes.get(source.node) is not source:
            raise FabricError(f"the fabric of `{source.node}` is not open")
        if (receiver := source._known.get(target)) is None:
            raise PeerLost(f"`{target}` is not alive")
        return receiver

    def _link(self, source: NodeId, target: NodeId) -> VirtualLink[_Delivery]:
        return self._links.setdefault((source, target), VirtualLink(at_s=self._clock.now_s()))

    def _flow(self) -> None:
        """Let every link carry what it could since it was last looked at; a silent one holds what it has."""
        now_s = self._clock.now_s()
        for pair, link in self._links.items():
            if frozenset(pair) in self._silent:
                link.at_s = now_s
            else:
                for arrives_s, delivery in link.flow(now_s):
                    self._at(arrives_s, delivery)

    def _at(self, due_s: float, event: _Event) -> None:
        heapq.heappush(self._due, (due_s, next(self._order), event))

    def _meet(self, here: NodeId, there: NodeId) -> None:
        """Bring what `here` knows of `there` up to date, unless nothing crosses between them."""
        fabric, peer = self._nodes.get(here), self._nodes.get(there)
        if fabric is None or frozenset((here, there)) in self._silent or fabric._known.get(there) is peer:
            return
        self._lose(here, there)
        if peer is not None:
            fabric._known[there] = peer
            self._at(self._clock.now_s(), _PeerChange(fabric, there, True))

    def _lose(self, here: NodeId, there: NodeId) -> None:
        if (fabric := self._nodes.get(here)) is not None and fabric._known.pop(there, None) is not None:
            self._at(self._clock.now_s(), _PeerChange(fabric, there, False))

    def _take_due(self) -> _Delivery | _PeerChange | None:
        """The next callback that is due; ended leases are dealt with on the way."""
        with self._changed:
            self._flow()
            self._changed.notify_all()
            while self._due and self._due[0][0] <= self._clock.now_s() + SAME_TIME_S:
                _, _, event = heapq.heappop(self._due)
                if isinstance(event, _LeaseEnd):
                    self._end_lease(event)
                elif self._nodes.get(event.fabric.node) is event.fabric:
                    return event
            return None

    def _end_lease(self, event: _LeaseEnd) -> None:
        if self._silent.get(event.pair) == event.cut:
            for here, there in itertools.permutations(event.pair):
                self._lose(here, there)
                self._link(here, there).clear()

    def _run(self) -> None:
        while True:
            event = self._take_due()
            if event is not None:
                event.deliver()
                continue
            with self._changed:
                if self._closed:
                    return
                wait_s = self.next_due_s() - self._clock.now_s()
                if wait_s > 0.0:
                    self._changed.wait(None if wait_s == math.inf else wait_s)


class MemoryFabric:
    """One node's `core.vocabulary.ports.Fabric` on a `VirtualNetwork`; made by `VirtualNetwork.fabric`."""

    def __init__(self, network: VirtualNetwork, node: NodeId) -> None:
        self._network = network
        self._node = node
        self._known: dict[NodeId, MemoryFabric] = {}
        self._on_message: OnMessage | None = None
        self._on_peer: OnPeer | None = None

    @property
    def node(self) -> NodeId:
        return self._node

    def start(self, on_message: OnMessage, on_peer: OnPeer) -> None:
        """Join the network. Raises `FabricError` when the name is in use."""
        self._on_message, self._on_peer = on_message, on_peer
        self._network._add(self)

    def send(self, target: NodeId, message: Buffer | Parts, lane: Lane) -> None:
        """Hand one message over; it is copied. DATA waits while more than the link's buffer is waiting.

        Raises `PeerLost` when `target` is not alive or is lost meanwhile, `FabricError` beyond the size limit.
        """
        whole = b"".join(message) if isinstance(message, tuple) else bytes(message)
        if (n_bytes := len(whole)) > MAX_MESSAGE_BYTES:
            raise FabricError(f"a {lane} message of {n_bytes} bytes exceeds the limit of {MAX_MESSAGE_BYTES}")
        self._network._submit(self, target, whole, lane)

    def is_free(self, target: NodeId, n_bytes: int) -> bool:
        return self._network._has_room(self, target, n_bytes)

    def peers(self) -> frozenset[NodeId]:
        with self._network._changed:
            return frozenset(self._known)

    def close(self) -> None:
        """Leave; peers in reach know at once."""
        self._network._remove(self)


class _RealTime:
    def now_s(self) -> float:
        return time.monotonic()


@dataclass(frozen=True, slots=True)
class _Delivery:
    fabric: MemoryFabric
    source: NodeId
    message: bytes

    def deliver(self) -> None:
        if self.fabric._on_message is not None:
            _call_out(self.fabric._on_message, self.source, memoryview(self.message))


@dataclass(frozen=True, slots=True)
class _PeerChange:
    fabric: MemoryFabric
    peer: NodeId
    alive: bool

    def deliver(self) -> None:
        if self.fabric._on_peer is not None:
            _call_out(self.fabric._on_peer, self.peer, self.alive)


@dataclass(frozen=True, slots=True)
class _LeaseEnd:
    """The two ends of `pair` lose each other, if the silence that began as number `cut` still lasts."""

    pair: frozenset[NodeId]
    cut: int


_Event = _Delivery | _PeerChange | _LeaseEnd


def _call_out(callback: Callable[..., None], *arguments: object) -> None:
    """A caller's fault must not stop delivery to the other nodes."""
    try:
        callback(*arguments)
    except Exception:
        log.exception("a callback failed")
