"""Link measurement in virtual time: which transfers and probes feed `core.link.estimator`, and when.

What `runtime/node/links.py` does with threads and sockets, in the same rhythm and by the same rules,
`core.link.probing`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from seamline.core.link import estimator as est
from seamline.core.link import news, probing
from seamline.core.link.lower_envelope import RTT_NOISE_S
from seamline.core.link.probing import Probing
from seamline.core.vocabulary.links import LinkEstimate
from seamline.core.vocabulary.nodes import NodeId
from seamline.sim.network import Network
from seamline.sim.schedule import Schedule

TICK_S = 0.05
PING_INTERVAL_S = 0.25
QUIET_PING_INTERVAL_S = 2.0
"""Where delays never change, pings only keep the window of round trips filled; fewer of them simulate faster."""


@dataclass(slots=True)
class _Outgoing:
    """One direction. under_way: number -> (bytes, sent_s), oldest first. sample_bps: goodput of the last transfer."""

    target: NodeId
    state: est.LinkState
    ping_interval_s: float
    under_way: dict[int, tuple[int, float]] = field(default_factory=dict)
    probes: set[int] = field(default_factory=set)
    probing: Probing = field(default_factory=Probing)
    next_ping_s: float = 0.0
    told: LinkEstimate | None = None
    sample_bps: float = 0.0


class Meter:
    """The outgoing links of one node. tell: hears every estimate worth telling.

    is_probing: whether idle links are measured. is_learning: whether anyone wants estimates; otherwise only that a link
    is down, or back, is noticed, in a third of the time. due_s: before this a tick finds nothing to do.
    """

    def __init__(
        self,
        node: NodeId,
        network: Network,
        schedule: Schedule,
        tell: Callable[[LinkEstimate], None],
        *,
        is_probing: bool = True,
        is_learning: bool = True,
    ) -> None:
        self._node = node
        self._network = network
        self._schedule = schedule
        self._tell = tell
        self._is_probing, self._is_learning = is_probing, is_learning
        self._n_sent = 0
        self.due_s = 0.0
        self._links: dict[NodeId, _Outgoing] = {}
        for source, target in network.paths:
            if source == node:
                self._links[target] = self._measured_at_start(target)

    def start(self) -> None:
        """Tell what was measured before the stream began."""
        for link in self._links.values():
            self._report(link)

    def send(self, target: NodeId, n_bytes: int) -> float:
        """Send a message that will be acknowledged; returns when it arrives."""
        link, now_s = self._links[target], self._schedule.now_s
        self._n_sent += 1
        link.under_way[self._n_sent] = (n_bytes, now_s)
        if self._is_learning:
            self.due_s = min(self.due_s, now_s + est.SILENCE_GRACE_S)
        if self._is_probing:
            link.probing = probing.carried(link.probing, now_s)
        arrived_s = self._network.send((self._node, target), n_bytes, now_s)
        self._schedule.at(arrived_s, self._arrived, link, self._n_sent)
        return arrived_s

    def peer(self, target: NodeId, is_alive: bool) -> None:
        """A peer was lost, or is back."""
        link = self._links[target]
        link.under_way.clear()
        link.probes.clear()
        link.probing = probing.reset(link.probing)
        link.next_ping_s = 0.0 if is_alive else math.inf
        self.due_s = 0.0
        if not is_alive:
            link.state = est.observe_down(link.state)
        self._report(link)

    def sample_bps(self, target: NodeId) -> float:
        """Goodput of the last transfer to `target` alone; 0.0 when it is down."""
        link = self._links[target]
        return 0.0 if link.state.is_down else link.sample_bps

    def _measured_at_start(self, target: NodeId) -> _Outgoing:
        """As after the first pings and long probes, over the link as it was before the first frame."""
        pair = (self._node, target)
        rtt_s = self._network.round_trip_s(pair, 0.0)
        rates = (hop.trace.rate_bps_at(0.0) or hop.trace.first_rate_bps for hop in self._network.paths[pair])
        rate_bps = min(rates)
        state = est.LinkState(source=self._node, target=target)
        for number in range(probing.N_FIRST_PONGS):
            state = est.observe_rtt(state, rtt_s, 0.05 * number - 1.0)
        most_s = rtt_s + 8.0 * probing.long_probe_bytes(rate_bps) / rate_bps
        for number in range(probing.N_FIRST_PROBES):
            n_bytes = probing.first_probe_bytes(number, rate_bps)
            took_s = rtt_s + 8.0 * n_bytes / rate_bps
            receipt_s = (number - probing.N_FIRST_PROBES) * (most_s + 0.01)
            sample = est.TransferSample(payload_bytes=n_bytes, sent_s=receipt_s - took_s, receipt_s=receipt_s)
            state = est.observe_transfer(state, sample)
        varies = self._network.varies_delay(pair)
        interval_s = PING_INTERVAL_S if varies else QUIET_PING_INTERVAL_S
        known = Probing(n_pongs=probing.N_FIRST_PONGS, n_probes=probing.N_FIRST_PROBES, due_s=probing.PROBE_INTERVAL_S)
        return _Outgoing(target, state, interval_s, probing=known, sample_bps=rate_bps)

    def _arrived(self, link: _Outgoing, number: int) -> None:
        receipt_s = self._network.send_control((link.target, self._node), self._schedule.now_s)
        self._schedule.at(receipt_s, self._receipt, link, number)

    def _receipt(self, link: _Outgoing, number: int) -> None:
        sent = link.under_way.pop(number, None)
        if sent is None:  # from before the peer was lost
            return
        if not (self._is_learning or link.state.is_down):
            return
        now_s, before = self._schedule.now_s, link.state
        sample = est.TransferSample(payload_bytes=sent[0], sent_s=sent[1], receipt_s=now_s)
        link.sample_bps = 8.0 * sent[0] / max(now_s - sent[1] - before.rtt_s, RTT_NOISE_S)
        link.state = est.observe_transfer(before, sample)
        ratio = news.change_ratio(before, link.state)
        if news.has_jumped(ratio):
            self._doubt_siblings(link, ratio)
        if number in link.probes:
            link.probes.discard(number)
            link.probing = probing.probed(link.probing, before, link.state, sample)
            self.due_s = 0.0
        self._report(link)

    def _doubt_siblings(self, jumped: _Outgoing, ratio: float) -> None:
        now_s = self._schedule.now_s
        for link in self._links.values():
            if link is jumped or link.under_way:
                continue
            link.probing = probing.bottleneck_changed(link.probing, now_s)
            self.due_s = 0.0
            if link.state.goodput is not None and now_s - link.state.goodput.at_s > probing.SHARED_DROP_AGE_S:
                link.state = est.observe_shared_drop(link.state, ratio)
                self._report(link)

    def tick(self) -> None:
        """Ping, notice what is overdue, and probe, as far as it is time; every `TICK_S`, not before `due_s`."""
        now_s, is_any_due = self._schedule.now_s, False
        for link in self._links.values():
            if now_s >= link.next_ping_s:
                link.next_ping_s = now_s + (TICK_S if link.probing.is_new else link.ping_interval_s)
                self._ping(link)
            if link.under_way and self._is_learning:
                self._notice_silence(link, now_s)
            if link.probing.due_s <= now_s:
                is_any_due = True
        if is_any_due and self._is_probing:
            self._probe_one(now_s)
        self.due_s = min([self._link_due_s(link) for link in self._links.values()], default=math.inf)

    def _link_due_s(self, link: _Outgoing) -> float:
        """When a ping, a probe, or a message that may be overdue is to be looked after next, at the earliest."""
        due_s = min(link.next_ping_s, link.probing.due_s) if self._is_probing else link.next_ping_s
        if link.under_way and self._is_learning:
            _, sent_s = next(iter(link.under_way.values()))
            due_s = min(due_s, sent_s + est.SILENCE_GRACE_S)
        return due_s

    def _notice_silence(self, link: _Outgoing, now_s: float) -> None:
        n_bytes, sent_s = next(iter(link.under_way.values()))
        if now_s - sent_s <= est.SILENCE_GRACE_S:  # cannot be overdue
            return
        state = est.observe_silence(link.state, n_bytes, sent_s, now_s)
        if state is not link.state:
            link.state = state
            self._report(link)

    def _ping(self, link: _Outgoing) -> None:
        pair, now_s = (self._node, link.target), self._schedule.now_s
        back_s = self._network.send_control(pair[::-1], self._network.send_control(pair, now_s))
        self._schedule.at(back_s, self._pong, link, back_s - now_s)

    def _pong(self, link: _Outgoing, rtt_s: float) -> None:
        if math.isinf(link.next_ping_s):  # sent before the peer was lost
            return
        if link.probing.is_new:
            link.probing = replace(link.probing, n_pongs=link.probing.n_pongs + 1)
        if self._is_learning or link.state.is_down:
            link.state = est.observe_rtt(link.state, rtt_s, self._schedule.now_s)
            self._report(link)

    def _probe_one(self, now_s: float) -> None:
        """Links may share a bottleneck: nothing is probed while any transfer of this node is under way (for long)."""
        due = [link for link in self._links.values() if link.probing.due_s <= now_s]
        sent = [sent_s for link in self._links.values() for _, sent_s in link.under_way.values()]
        if sent and now_s - min(sent) < probing.BUSY_LIMIT_S:
            return
        for link in due:
            if link.under_way:
                continue
            link.probing, n_bytes = probing.next_probe(link.probing, link.state, now_s)
            if n_bytes > 0:
                paid = link.probing
                self.send(link.target, n_bytes)
                link.probes.add(self._n_sent)
                link.probing = paid  # a probe does not put off the next one, as a frame does
                return

    def _report(self, link: _Outgoing) -> None:
        if not news.is_news(link.told, link.state):
            return
        current = est.estimate(link.state, self._schedule.now_s)
        if current is not None:
            link.told = current
            self._tell(current)


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """Lets all meters of a run tick, in the order given; one entry in the schedule is cheaper than one of each."""

    schedule: Schedule
    meters: Sequence[Meter]

    def start(self) -> None:
        """The first tick comes in `TICK_S`."""
        self.schedule.at(self.schedule.now_s + TICK_S, self._beat)

    def _beat(self) -> None:
        now_s = self.schedule.now_s
        for meter in self.meters:
            if now_s >= meter.due_s:
                meter.tick()
        self.schedule.at(now_s + TICK_S, self._beat)


def as_last_sampled(estimate: LinkEstimate, sample_bps: float) -> LinkEstimate:
    """`estimate` with the goodput of the last transfer alone, as the simplest controllers use it."""
    return replace(estimate, goodput_bps=sample_bps, goodput_std_ratio=0.0)
