"""Connections between the nodes of a run, and what crosses them beside frames: receipts, pings, probes, statuses.

A connection breaks when either end has heard nothing of the other for a lease, or its process is gone; whatever is
in flight then is lost. That is so in an outage, and where the link is so slow that one batch of bulk takes a lease to
cross. It is back some time after both can hear each other. Every node drives a link meter and a beat of the core, as a
real one does with threads; the origin hears its own news at once, and what other nodes report by their statuses alone,
for which it has to hold interest. In a run whose policy knows the true links nothing is measured, and statuses say who
is there.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from seamline.core.link import estimator as est
from seamline.core.link import probing
from seamline.core.link.beat import STATUS_INTERVAL_S, Beat
from seamline.core.link.lower_envelope import RTT_NOISE_S
from seamline.core.link.meter import PING_INTERVAL_S, TICK_S, LinkMeter
from seamline.core.link.report import report_of
from seamline.core.session.events import Event, LinkEstimated, PeerChanged, StatusReceived
from seamline.core.vocabulary.links import Link, LinkEstimate
from seamline.core.vocabulary.nodes import NodeId
from seamline.core.vocabulary.ports import LEASE_S
from seamline.sim.network import CONTROL_BYTES, Network, Schedule, Span
from seamline.sim.nodes import SimNode
from seamline.sim.scene import Scene

RETURN_S = 0.3
"""From the moment when two nodes can hear each other again until they are connected."""

QUIET_PING_INTERVAL_S = 2.0
"""Where delays never change, pings only keep the window of round trips filled; fewer of them simulate faster."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Absence:
    """A node's process is gone from `start_s` to `stop_s`; others miss it after `notice_s`: at once when its machine
    says so, after a lease when it does not."""

    node: NodeId
    start_s: float
    stop_s: float
    notice_s: float


@dataclass(slots=True)
class Connection:
    """One direction between two nodes. epoch: how often it has broken."""

    pair: Link
    is_open: bool = True
    epoch: int = 0


@dataclass(slots=True)
class Measuring:
    """How one node measures its outgoing links; a new process begins anew. is_tick_due: news waits to be told."""

    meter: LinkMeter
    beat: Beat
    is_tick_due: bool = False


@dataclass(slots=True)
class Mesh:
    """All connections of a run. hear: takes what reaches the session at the origin. is_measuring: whether links are
    measured at all; is_probing: also while they are idle. is_reporting: whether nodes say how loaded they are though no
    link is measured. on_break: told of each peer that the origin loses; on_peer:
    of each that any node loses or sees again. jumped_s: by so much the origin's clock is ahead of the schedule's.
    """

    scene: Scene
    schedule: Schedule
    network: Network
    nodes: Mapping[NodeId, SimNode]
    hear: Callable[[Event], None]
    is_measuring: bool
    is_probing: bool
    is_reporting: bool = False
    on_break: Callable[[NodeId], None] = lambda node: None
    jumped_s: float = 0.0
    on_peer: Callable[[NodeId, NodeId, bool], None] = lambda node, peer, is_alive: None
    connections: dict[Link, Connection] = field(default_factory=dict)
    last_sample_bps: dict[Link, float] = field(default_factory=dict)
    _measuring: dict[NodeId, Measuring] = field(default_factory=dict)

    def begin(self, absences: Iterable[Absence], until_s: float) -> None:
        """Connect all who are there, and tell what was measured before the stream began."""
        self.connections = {pair: Connection(pair) for pair in self.network.paths}
        for one, other in sorted(self.connections):
            if one < other:
                self._plan_breaks(one, other, absences, until_s)
        if self.is_measuring:
            self._measuring = {node: self._new_measuring(node) for node in self.nodes}
        now_s, estimates = self.schedule.now_s, dict[NodeId, list[LinkEstimate]]()
        for (source, target), connection in self.connections.items():
            if not connection.is_open:
                continue
            if self.is_measuring:
                state = self._measured_at_start((source, target))
                estimates.setdefault(source, []).extend(
                    self._measuring[source].meter.peer_measured(state, self.schedule.now_s)
                )
            else:
                estimates.setdefault(source, []).append(self.network.truth((source, target), now_s))
        for estimate in estimates.get(self.scene.origin, ()):
            self.hear(LinkEstimated(estimate))
        for node in self.nodes:
            if node != self.scene.origin and self._is_linked(node):
                self.hear(self._status(node, estimates.get(node, ())))

    def measure(self, node: NodeId, targets: frozenset[NodeId], for_s: float) -> None:
        """The origin is interested in the links from `node` to `targets`."""
        if not self.is_measuring:
            return
        origin = self.scene.origin
        if node == origin or not self.schedule.now_s > 0.0:
            self._asked(node, targets, for_s)
        else:
            self.control(origin, node, self._asked, node, targets, for_s)

    def _asked(self, node: NodeId, targets: frozenset[NodeId], for_s: float) -> None:
        beat, now_s = self._measuring[node].beat, self._clock_s(node)
        beat.ask(self.scene.origin, "", targets, for_s, now_s)

    def start(self) -> None:
        """Let the nodes beat from now on."""
        if self.is_measuring:
            self.schedule.at(self.schedule.now_s + TICK_S, self._beat)
        elif self.is_reporting:
            self._announce_all()

    # -- messages ------------------------------------------------------------------------------------------------------

    def control(
        self,
        source: NodeId,
        target: NodeId,
        what: Callable[..., None],
        *arguments: Any,
        n_bytes: int = CONTROL_BYTES,
        is_spared: bool = False,
    ) -> bool:
        """`what(*arguments)` happens at `target` when a small message has come; False when there is no connection.

        is_spared: from damage, as nobody says it again: a request, its answer, a release.
        """
        connection = self.connections[source, target]
        if not connection.is_open:
            return False
        network, now_s = self.network, self.schedule.now_s
        if not is_spared and network.is_damaged(now_s):
            return True
        for arrived_s in network.control_arrivals(connection.pair, now_s, n_bytes):
            self.schedule.at(arrived_s, self._deliver, connection, connection.epoch, what, arguments)
        return True

    def bulk(self, source: NodeId, target: NodeId, n_bytes: int, what: Callable[..., None], *arguments: Any) -> bool:
        """The same for a message that will be acknowledged."""
        connection = self.connections[source, target]
        if not connection.is_open:
            return False
        seq = 0
        if self.is_measuring:
            meter = self._measuring[source].meter
            seq = meter.next_seq()
            meter.sending(target, seq, n_bytes, self._clock_s(source))
        self._send(connection, seq, n_bytes, what, arguments)
        return True

    def _send(
        self, connection: Connection, seq: int, n_bytes: int, what: Callable[..., None] | None, arguments: Any
    ) -> None:
        now_s = self.schedule.now_s
        stalls_s = self.network.stalls_s(connection.pair, n_bytes, now_s)
        if stalls_s < math.inf:
            self.schedule.at(stalls_s + LEASE_S, self._stalled, connection, connection.epoch)
        arrived_s = self.network.send(connection.pair, n_bytes, now_s)
        if self.network.is_damaged(now_s):
            return
        self.schedule.at(arrived_s, self._arrive, connection, connection.epoch, seq, n_bytes, now_s, what, arguments)

    def _deliver(self, connection: Connection, epoch: int, what: Callable[..., None], arguments: Any) -> None:
        if connection.epoch == epoch and self.nodes[connection.pair[1]].is_alive:
            what(*arguments)

    def _arrive(
        self,
        connection: Connection,
        epoch: int,
        seq: int,
        n_bytes: int,
        sent_s: float,
        what: Callable[..., None] | None,
        arguments: Any,
    ) -> None:
        source, target = connection.pair
        if connection.epoch != epoch or not self.nodes[target].is_alive:
            return
        if self.is_measuring:
            self.control(target, source, self._receipt, connection.pair, seq, n_bytes, sent_s)
        if what is not None:
            what(*arguments)

    def _clock_s(self, node: NodeId) -> float:
        """Reading of the clock of `node`; only differences of one node's are ever used."""
        return self.schedule.now_s + (self.jumped_s if node == self.scene.origin else 0.0)

    # -- measuring -----------------------------------------------------------------------------------------------------

    def _receipt(self, pair: Link, seq: int, n_bytes: int, sent_s: float) -> None:
        source, target = pair
        now_s = self.schedule.now_s
        took_s = now_s - sent_s - self.network.round_trip_s(pair, now_s)
        self.last_sample_bps[pair] = 8.0 * n_bytes / max(took_s, RTT_NOISE_S)
        self._report(source, self._measuring[source].meter.receipt(target, seq, self._clock_s(source)))

    def _pinged(self, pair: Link, seq: int) -> None:
        self.control(pair[1], pair[0], self._pong, pair, seq)

    def _pong(self, pair: Link, seq: int) -> None:
        source, target = pair
        self._report(source, self._measuring[source].meter.pong(target, seq, self._clock_s(source)))

    def _beat(self) -> None:
        """All nodes beat together; one entry in the schedule is cheaper than one of each."""
        now_s = self.schedule.now_s
        for node, measuring in self._measuring.items():
            if self._clock_s(node) >= measuring.beat.next_due_s() and self.nodes[node].is_alive:
                self._tick(node, measuring)
        self.schedule.at(now_s + TICK_S, self._beat)

    def _tick(self, node: NodeId, measuring: Measuring) -> None:
        now_s = self._clock_s(node)
        due = measuring.beat.tick(now_s)
        if node == self.scene.origin:
            for estimate in due.news:
                self.hear(LinkEstimated(estimate))
        elif due.reports:
            self._announce(node)
        for target in due.pings:
            seq = measuring.meter.ping_sent(target, now_s)
            self.control(node, target, self._pinged, (node, target), seq)
        if due.probe is not None:
            target, seq, n_bytes = due.probe
            measuring.meter.sending(target, seq, n_bytes, now_s)
            self._send(self.connections[node, target], seq, n_bytes, None, ())

    def _report(self, source: NodeId, news: Iterable[LinkEstimate]) -> None:
        """Estimates of `source` that are news: the origin's are known to the session, others' go with a status."""
        if not news:
            return
        if source == self.scene.origin:
            for estimate in news:
                self.hear(LinkEstimated(estimate))
        else:
            self._announce_soon(source)

    def _announce_soon(self, node: NodeId) -> None:
        """What else happens at this moment is told with it."""
        measuring = self._measuring[node]
        measuring.beat.announce_soon()
        if not measuring.is_tick_due:
            measuring.is_tick_due = True
            self.schedule.at(self.schedule.now_s, self._tick_now, node, measuring)

    def _tick_now(self, node: NodeId, measuring: Measuring) -> None:
        measuring.is_tick_due = False
        if self.nodes[node].is_alive and self._measuring.get(node) is measuring:
            self._tick(node, measuring)

    def _announce_all(self) -> None:
        for node in self.nodes:
            if node != self.scene.origin and self.nodes[node].is_alive:
                self._announce(node)
        self.schedule.at(self.schedule.now_s + STATUS_INTERVAL_S, self._announce_all)

    def _announce(self, node: NodeId) -> None:
        if self._is_linked(node):
            now_s = self._clock_s(node)
            estimates = self._measuring[node].meter.estimates(now_s) if self.is_measuring else ()
            self.control(node, self.scene.origin, self.hear, self._status(node, estimates))

    def _status(self, node: NodeId, estimates: Iterable[LinkEstimate]) -> StatusReceived:
        machine, now_s = self.nodes[node], self._clock_s(node)
        return StatusReceived(
            node=node,
            tier=machine.tier,
            incarnation=machine.incarnation,
            queue_s=machine.queue_s,
            usable_memory_bytes=self.scene.memory_bytes.get(node, 0),
            links=tuple([report_of(estimate, now_s) for estimate in estimates]),
            loads=machine.loads(),
        )

    def _is_linked(self, node: NodeId) -> bool:
        connection = self.connections.get((node, self.scene.origin))
        return connection is not None and connection.is_open

    def _new_measuring(self, node: NodeId) -> Measuring:
        varies = any(self.network.varies_delay(pair) for pair in self.network.paths if pair[0] == node)
        interval_s = PING_INTERVAL_S if varies else QUIET_PING_INTERVAL_S
        meter = LinkMeter(node, ping_interval_s=interval_s, is_probing=self.is_probing)
        return Measuring(meter, Beat(node, meter))

    def _measured_at_start(self, pair: Link) -> est.LinkState:
        """As after the first pings and long probes, over the link as it was before the first frame."""
        rtt_s = self.network.round_trip_s(pair, 0.0)
        rate_bps = min(hop.trace.rate_bps_at(0.0) or hop.trace.first_rate_bps for hop in self.network.paths[pair])
        self.last_sample_bps[pair] = rate_bps
        state = est.LinkState(source=pair[0], target=pair[1])
        for number in range(probing.N_FIRST_PONGS):
            state = est.observe_rtt(state, rtt_s, TICK_S * number - 1.0)
        most_s = rtt_s + 8.0 * probing.long_probe_bytes(rate_bps) / rate_bps
        for number in range(probing.N_FIRST_PROBES):
            n_bytes = probing.first_probe_bytes(number, rate_bps)
            took_s = rtt_s + 8.0 * n_bytes / rate_bps
            receipt_s = (number - probing.N_FIRST_PROBES) * (most_s + 0.01)
            sample = est.TransferSample(payload_bytes=n_bytes, sent_s=receipt_s - took_s, receipt_s=receipt_s)
            state = est.observe_transfer(state, sample)
        return state

    # -- connections ---------------------------------------------------------------------------------------------------

    def restarted(self, node: NodeId) -> None:
        """Another process runs on `node`, which has measured nothing."""
        if self.is_measuring:
            self._measuring[node] = self._new_measuring(node)

    def _plan_breaks(self, one: NodeId, other: NodeId, absences: Iterable[Absence], until_s: float) -> None:
        ways = (one, other), (other, one)
        broken = [
            (start_s + LEASE_S, stop_s + RETURN_S)
            for start_s, stop_s in joined(span for way in ways for span in self.network.silences(way, until_s))
            if stop_s - start_s > LEASE_S
        ]
        broken += [
            (min(away.start_s + away.notice_s, away.stop_s), away.stop_s + RETURN_S)
            for away in absences
            if away.node in (one, other)
        ]
        for start_s, stop_s in joined(broken):
            if start_s <= self.schedule.now_s:
                for way in ways:
                    self.connections[way].is_open = False
            else:
                self.schedule.at(start_s, self._break, one, other)
            if not math.isinf(stop_s):
                self.schedule.at(stop_s, self._connect, one, other)

    def _stalled(self, connection: Connection, epoch: int) -> None:
        """A batch of bulk has kept all signs of life from crossing for a lease: the ends miss each other, reconnect."""
        if connection.epoch != epoch or not connection.is_open:
            return
        one, other = connection.pair
        self._break(one, other)
        self.schedule.at(self.schedule.now_s + RETURN_S, self._reconnect, connection, connection.epoch)

    def _reconnect(self, connection: Connection, epoch: int) -> None:
        """Unless the ends cannot hear each other now: then they are connected when they can again."""
        (one, other), now_s = connection.pair, self.schedule.now_s
        is_silent = any(self.network.rate_bps(way, now_s) == 0.0 for way in ((one, other), (other, one)))
        if connection.epoch == epoch and not connection.is_open and not is_silent:
            self._connect(one, other)

    def _break(self, one: NodeId, other: NodeId) -> None:
        for source, target in ((one, other), (other, one)):
            connection = self.connections[source, target]
            was_open, connection.is_open = connection.is_open, False
            connection.epoch += 1
            self.network.forget((source, target), self.schedule.now_s)
            if was_open:
                self._peer(source, target, is_alive=False)

    def _connect(self, one: NodeId, other: NodeId) -> None:
        for source, target in ((one, other), (other, one)):
            self.connections[source, target].is_open = True
            self._peer(source, target, is_alive=True)

    def _peer(self, node: NodeId, peer: NodeId, *, is_alive: bool) -> None:
        """`node` has lost `peer`, or sees it again; a new one is told at once who we are."""
        if not self.nodes[node].is_alive:
            return
        if node == self.scene.origin:
            self.hear(PeerChanged(peer, is_alive))
            if not is_alive:
                self.on_break(peer)
        if self.is_measuring:
            self._report(node, self._measuring[node].meter.peer(peer, is_alive, self._clock_s(node)))
        self.on_peer(node, peer, is_alive)
        if node != self.scene.origin and is_alive and peer == self.scene.origin:
            self._announce(node)


def joined(spans: Iterable[Span]) -> list[Span]:
    """`spans` in order; those that overlap, or nearly touch, are one."""
    found: list[Span] = []
    for start_s, stop_s in sorted(spans):
        if found and start_s <= found[-1][1] + RETURN_S:
            found[-1] = (found[-1][0], max(found[-1][1], stop_s))
        else:
            found.append((start_s, stop_s))
    return found
