"""Metrics of a node, read when Prometheus asks: the status that peers get twice a second, its links and its joules.

Names and units follow Prometheus' conventions: base units, ``_total`` for what only grows; docs/observing.md has them.
"""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily, Metric
from prometheus_client.registry import Collector

from seamline.core.vocabulary.complaints import quoted
from seamline.core.vocabulary.nodes import NodeId
from seamline.runtime.node.node import Node
from seamline.runtime.node.status import OBSERVER
from seamline.runtime.shared.clock import now_s

REMEMBERED_S = 900.0
"""So long a peer that has gone is shown as down."""

MAX_PEERS = 1024


class NodeCollector(Collector):
    """Metrics of `node`. It keeps nothing but which peers were there when it was asked before."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._seen_s: dict[NodeId, tuple[float, str]] = {}

    def collect(self) -> Iterator[Metric]:
        status, name = self._node.status.compose(), str(self._node.name)
        info = InfoMetricFamily("seamline_node", "What this node is", labels=["node"])
        info.add_metric([name], {"tier": status.tier, "version": status.version, "engine": status.engine})
        yield info
        for metric, value, words in (
            ("memory_bytes", status.memory_bytes, "Memory that models may use"),
            ("memory_available_bytes", status.free_memory_bytes, "Memory that is available now"),
            ("queue_seconds", status.queue_s, "How long a new frame would wait before it is computed"),
            ("threads", status.threads, "Threads it computes with"),
            ("models", len(status.models), "Models it keeps"),
            ("streams", len(status.streams), "Streams that start here"),
        ):
            yield _gauge(f"seamline_node_{metric}", words, {"node": name}, value)
        energy = self._node.energy
        n_sent, n_received = energy.moved_bytes()
        for metric, value, words in (
            ("busy_seconds", energy.busy_s(), "Seconds in which it computed"),
            ("frame_sent_bytes", n_sent, "Bytes of frames and answers that left"),
            ("frame_received_bytes", n_received, "Bytes of frames and answers that arrived"),
        ):
            yield _counter(f"seamline_node_{metric}", words, {"node": name}, value)
        if status.energy is not None:
            labels = {"node": name, "source": status.energy.source, "scope": status.energy.scope}
            yield _counter("seamline_energy_joules", "Joules drawn since the start", labels, status.energy.energy_j)
        yield self._peers(name)
        yield from self._links()

    def _peers(self, name: str) -> Metric:
        """1 for a peer that is there, 0 for one that was and has gone."""
        now, statuses = now_s(), self._node.membership.statuses()
        here = {peer: status.tier for peer, status in statuses.items() if status.tier != OBSERVER}
        self._seen_s |= {peer: (now, quoted(tier, 40)) for peer, tier in here.items()}
        newest = sorted(self._seen_s.items(), key=lambda seen: -seen[1][0])[:MAX_PEERS]
        self._seen_s = {peer: seen for peer, seen in newest if now - seen[0] < REMEMBERED_S}
        metric = GaugeMetricFamily("seamline_node_peer_up", "Whether a peer is there", labels=["node", "peer", "tier"])
        for peer, (_, tier) in sorted(self._seen_s.items()):
            metric.add_metric([name, peer, tier], float(peer in here))
        return metric

    def _links(self) -> Iterator[Metric]:
        rate = GaugeMetricFamily(
            "seamline_link_throughput_bits_per_second",
            "Measured goodput of an outgoing link, 0 when it is down",
            labels=["src", "dst"],
        )
        round_trip = GaugeMetricFamily("seamline_link_rtt_seconds", "Round trip of a link", labels=["src", "dst"])
        for link in self._node.links.estimates():
            rate.add_metric([link.source, link.target], link.goodput_bps)
            round_trip.add_metric([link.source, link.target], link.rtt_s)
        yield rate
        yield round_trip


def _gauge(name: str, words: str, labels: dict[str, str], value: float) -> Metric:
    metric = GaugeMetricFamily(name, words, labels=list(labels))
    metric.add_metric(list(labels.values()), value)
    return metric


def _counter(name: str, words: str, labels: dict[str, str], value: float) -> Metric:
    metric = CounterMetricFamily(name, words, labels=list(labels))
    metric.add_metric(list(labels.values()), value)
    return metric
