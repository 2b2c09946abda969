"""Link measurement in virtual time: which transfers and probes feed `core.estimate`, and when.

What `runtime/links.py` does with threads and sockets, in the same rhythm and with the same constants (a test holds them
equal): quick pings and three long probes of a new link; a small probe a second of an idle one and larger ones after one
that did not fit, both paid from a credit of 1 % of the link's time; doubt for the siblings of a link that jumped; news
only when an estimate has moved or aged.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from seamline.core import estimate as est
from seamline.core.values import LinkEstimate, NodeId
from seamline.sim.network import Network
from seamline.sim.schedule import Schedule

TICK_S = 0.05
PING_INTERVAL_S = 0.25
QUIET_PING_INTERVAL_S = 2.0
"""Where delays never change, pings only keep the window of round trips filled; fewer of them simulate faster."""

PROBE_INTERVAL_S = 1.0
PROBE_SHARE_RATIO = 0.01
REGULAR_SHARE_RATIO = 0.006
MOST_CREDIT_S = 0.1
MIN_PROBE_BYTES, MAX_PROBE_BYTES = 4 * 1024, 32 * 1024
LONG_PROBE_S = 0.05
MIN_LONG_PROBE_BYTES, MAX_LONG_PROBE_BYTES = 32 * 1024, 320 * 1024
N_FIRST_PONGS = 5
N_FIRST_PROBES = 3
N_CONFIRMING_PROBES = 6
CONFIRMED_RATIO = 1.5
BUSY_LIMIT_S = 3.0
JUMP_RATIO = 1.5
SIBLING_AGE_S = 0.3
MOVED_RATIO = 0.05
RENEW_S = 1.0


@dataclass(slots=True)
class _Outgoing:
    """One direction. under_way: number -> (bytes, sent_s), oldest first. sample_bps: goodput of the last transfer."""

    target: NodeId
    state: est.LinkState
    ping_interval_s: float
    under_way: dict[int, tuple[int, float]] = field(default_factory=dict)
    probes: set[int] = field(default_factory=set)
    n_pongs: int = N_FIRST_PONGS
    n_probes: int = N_FIRST_PROBES
    n_confirming: int = 0
    credit_s: float = MOST_CREDIT_S
    credit_at_s: float = 0.0
    next_probe_s: float = 0.0
    next_ping_s: float = 0.0
    told: LinkEstimate | None = None
    sample_bps: float = 0.0


class Meter:
    """The outgoing links of one node. tell: hears every estimate worth telling."""

    def __init__(
        self,
        node: NodeId,
        network: Network,
        schedule: Schedule,
        tell: Callable[[LinkEstimate], None],
        *,
        is_probing: bool = True,
    ) -> None:
        self._node = node
        self._network = network
        self._schedule = schedule
        self._tell = tell
        self._is_probing = is_probing
        self._n_sent = 0
        self._links: dict[NodeId, _Outgoing] = {}
        for source, target in network.paths:
            if source == node:
                self._links[target] = self._measured_at_start(target)

    def start(self) -> None:
        """Tell what was measured before the stream began, and begin to tick."""
        for link in self._links.values():
            self._report(link)
        self._schedule.at(self._schedule.now_s + TICK_S, self._tick)

    def send(self, target: NodeId, n_bytes: int) -> float:
        """Send a message that will be acknowledged; returns when it arrives."""
        link, now_s = self._links[target], self._schedule.now_s
        self._n_sent += 1
        link.under_way[self._n_sent] = (n_bytes, now_s)
        link.next_probe_s = max(link.next_probe_s, now_s + PROBE_INTERVAL_S)
        arrived_s = self._network.send((self._node, target), n_bytes, now_s)
        self._schedule.at(arrived_s, self._arrived, link, self._n_sent)
        return arrived_s

    def peer(self, target: NodeId, is_alive: bool) -> None:
        """A peer was lost, or is back."""
        link = self._links[target]
        link.under_way.clear()
        link.probes.clear()
        link.n_pongs = link.n_probes = link.n_confirming = 0
        link.next_probe_s = 0.0
        link.next_ping_s = 0.0 if is_alive else math.inf
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
        for number in range(N_FIRST_PONGS):
            state = est.observe_rtt(state, rtt_s, 0.05 * number - 1.0)
        n_bytes = int(max(MIN_LONG_PROBE_BYTES, min(MAX_LONG_PROBE_BYTES, LONG_PROBE_S * rate_bps / 8)))
        took_s = rtt_s + 8.0 * n_bytes / rate_bps
        for number in range(N_FIRST_PROBES):
            receipt_s = (number - N_FIRST_PROBES) * (took_s + 0.01)
            sample = est.TransferSample(payload_bytes=n_bytes, sent_s=receipt_s - took_s, receipt_s=receipt_s)
            state = est.observe_transfer(state, sample)
        varies = self._network.varies_delay(pair)
        interval_s = PING_INTERVAL_S if varies else QUIET_PING_INTERVAL_S
        return _Outgoing(target, state, interval_s, next_probe_s=PROBE_INTERVAL_S, sample_bps=rate_bps)

    def _arrived(self, link: _Outgoing, number: int) -> None:
        receipt_s = self._network.send_control((link.target, self._node), self._schedule.now_s)
        self._schedule.at(receipt_s, self._receipt, link, number)

    def _receipt(self, link: _Outgoing, number: int) -> None:
        sent = link.under_way.pop(number, None)
        if sent is None:  # from before the peer was lost
            return
        now_s, before = self._schedule.now_s, link.state
        sample = est.TransferSample(payload_bytes=sent[0], sent_s=sent[1], receipt_s=now_s)
        link.sample_bps = 8.0 * sent[0] / max(now_s - sent[1] - before.rtt_s, est.RTT_NOISE_S)
        link.state = est.observe_transfer(before, sample)
        ratio = _change_ratio(before, link.state, now_s)
        if not 1 / JUMP_RATIO < ratio < JUMP_RATIO:
            self._doubt_siblings(link, ratio)
        if number in link.probes:
            link.probes.discard(number)
            _follow_up(link, before, sample)
        self._report(link)

    def _doubt_siblings(self, jumped: _Outgoing, ratio: float) -> None:
        now_s = self._schedule.now_s
        for link in self._links.values():
            if link is jumped or link.under_way:
                continue
            link.next_probe_s, link.n_confirming = now_s, 1
            if link.state.goodput is not None and now_s - link.state.goodput.at_s > SIBLING_AGE_S:
                link.state = est.observe_sibling(link.state, ratio)
                self._report(link)

    def _tick(self) -> None:
        now_s = self._schedule.now_s
        for link in self._links.values():
            if now_s >= link.next_ping_s:
                link.next_ping_s = now_s + (link.ping_interval_s if link.n_pongs >= N_FIRST_PONGS else TICK_S)
                self._ping(link)
            if link.under_way:
                n_bytes, sent_s = next(iter(link.under_way.values()))
                state = est.observe_silence(link.state, n_bytes, sent_s, now_s)
                if state is not link.state:
                    link.state = state
                    self._report(link)
        if self._is_probing:
            self._probe_one(now_s)
        self._schedule.at(now_s + TICK_S, self._tick)

    def _ping(self, link: _Outgoing) -> None:
        pair, now_s = (self._node, link.target), self._schedule.now_s
        back_s = self._network.send_control(pair[::-1], self._network.send_control(pair, now_s))
        self._schedule.at(back_s, self._pong, link, back_s - now_s)

    def _pong(self, link: _Outgoing, rtt_s: float) -> None:
        if math.isinf(link.next_ping_s):  # sent before the peer was lost
            return
        link.state = est.observe_rtt(link.state, rtt_s, self._schedule.now_s)
        link.n_pongs += 1
        self._report(link)

    def _probe_one(self, now_s: float) -> None:
        """Links may share a bottleneck: nothing is probed while any transfer of this node is under way (for long)."""
        due = [link for link in self._links.values() if now_s >= link.next_probe_s]
        if not due:
            return
        sent = [sent_s for link in self._links.values() for _, sent_s in link.under_way.values()]
        if sent and now_s - min(sent) < BUSY_LIMIT_S:
            return
        for link in due:
            if link.under_way or link.state.is_down or link.n_pongs < N_FIRST_PONGS:
                continue
            n_bytes = _spend(link, now_s)
            if n_bytes == 0:
                continue
            link.n_probes += 1
            next_probe_s = link.next_probe_s
            self.send(link.target, n_bytes)
            link.probes.add(self._n_sent)
            link.next_probe_s = next_probe_s
            return

    def _report(self, link: _Outgoing) -> None:
        current = est.estimate(link.state, self._schedule.now_s)
        if current is not None and _is_news(link.told, current):
            link.told = current
            self._tell(current)


def as_last_sampled(estimate: LinkEstimate, sample_bps: float) -> LinkEstimate:
    """`estimate` with the goodput of the last transfer alone, as the simplest controllers use it."""
    return replace(estimate, goodput_bps=sample_bps, goodput_std_ratio=0.0)


def has_moved(told: LinkEstimate, current: LinkEstimate) -> bool:
    """Whether a link is another one than was told, or only known more recently."""
    if (told.goodput_bps == 0.0) != (current.goodput_bps == 0.0):
        return True
    moved = abs(current.goodput_bps - told.goodput_bps) > MOVED_RATIO * told.goodput_bps
    return moved or abs(current.rtt_s - told.rtt_s) > max(1e-3, MOVED_RATIO * told.rtt_s)


def _is_news(told: LinkEstimate | None, current: LinkEstimate) -> bool:
    if told is None or current.measured_at_s - told.measured_at_s > RENEW_S:
        return True
    return has_moved(told, current)


def _change_ratio(before: est.LinkState, after: est.LinkState, now_s: float) -> float:
    if before.goodput is after.goodput and before.ceiling_bps == after.ceiling_bps:
        return 1.0
    old, new = est.estimate(before, now_s), est.estimate(after, now_s)
    if old is None or new is None or old.goodput_bps <= 0.0 or new.goodput_bps <= 0.0 or old.n_samples == 0:
        return 1.0
    return new.goodput_bps / old.goodput_bps


def _follow_up(link: _Outgoing, before: est.LinkState, sample: est.TransferSample) -> None:
    if before.goodput is None or link.state.goodput is None:
        return
    service_s = max(sample.receipt_s - sample.sent_s - before.rtt_s - before.overhead_s, est.RTT_NOISE_S)
    ratio = 8.0 * sample.payload_bytes / service_s / before.goodput.value
    fits = 1 / CONFIRMED_RATIO < ratio < CONFIRMED_RATIO and not link.state.goodput.suspects
    if fits or link.n_confirming >= N_CONFIRMING_PROBES:
        link.n_confirming = 0
        return
    link.n_confirming += 1
    link.next_probe_s = 0.0


def _spend(link: _Outgoing, now_s: float) -> int:
    """Bytes of the probe that is sent now, paid for; 0 when the credit has to grow first. Sets when the next is due."""
    link.credit_s = min(MOST_CREDIT_S, link.credit_s + PROBE_SHARE_RATIO * (now_s - link.credit_at_s))
    link.credit_at_s = now_s
    goodput_bps = _goodput_bps(link.state)
    if link.n_probes < N_FIRST_PROBES or goodput_bps <= 0.0:
        link.next_probe_s = now_s if link.n_probes < N_FIRST_PROBES - 1 else now_s + PROBE_INTERVAL_S
        return _long_probe_bytes(link.state)
    affordable = int(link.credit_s * goodput_bps / 8)
    is_confirming = link.n_confirming > 0
    n_bytes = min(_long_probe_bytes(link.state), affordable) if is_confirming else _probe_bytes(link.state)
    cost_s = 8 * n_bytes / goodput_bps
    link.next_probe_s = now_s + max(PROBE_INTERVAL_S, 0.0 if is_confirming else cost_s / REGULAR_SHARE_RATIO)
    if affordable < (_long_probe_bytes(link.state) // 2 if is_confirming else n_bytes):
        link.next_probe_s = now_s + PROBE_INTERVAL_S / 10
        return 0
    link.credit_s -= cost_s
    return n_bytes


def _goodput_bps(state: est.LinkState) -> float:
    return state.goodput.value if state.goodput is not None else 0.0


def _long_probe_bytes(state: est.LinkState) -> int:
    share = LONG_PROBE_S * _goodput_bps(state) / 8
    return int(max(MIN_LONG_PROBE_BYTES, min(MAX_LONG_PROBE_BYTES, share)))


def _probe_bytes(state: est.LinkState) -> int:
    share = REGULAR_SHARE_RATIO * _goodput_bps(state) / 8 * PROBE_INTERVAL_S
    return math.floor(max(MIN_PROBE_BYTES, min(MAX_PROBE_BYTES, share)))
