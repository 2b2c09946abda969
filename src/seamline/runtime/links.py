"""Measures this node's outgoing links from what crosses them anyway: send -> receipt, ping -> pong.

What a sample means is `core.estimate`; here are the clocks, the numbers of messages under way, and when to probe:

- a new link gets some quick pings, then three probes of 50 ms each, as far as that can be known;
- an idle link a probe a second of 0.6 % of what it carries in that time (4 kB at least, then less often);
- a probe that does not fit the belief is followed at once by larger ones, because a small one proves little: what a
  token bucket lets through after a pause looks like a fast link.

But for the first three, probes together never take more than 1 % of the link's time: each is paid from a credit that
grows at that rate, and holds what two long probes take. A link that seems to have become faster may be probed on debt,
which is paid before the next; so it is known within a second or two. What a probe cost is what it took in the end, less
than was feared when the link has become faster. A link that carries frames is never probed. Listeners hear of
an estimate when it has moved, or was renewed a while ago.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable
from dataclasses import dataclass, field

from seamline.core import estimate as est
from seamline.core.values import LinkEstimate, NodeId
from seamline.runtime.clock import now_s

PROBE_INTERVAL_S = 1.0
PROBE_SHARE_RATIO = 0.01
REGULAR_SHARE_RATIO = 0.006
MOST_CREDIT_S = 0.1
MIN_PROBE_BYTES, MAX_PROBE_BYTES = 4 * 1024, 32 * 1024
LONG_PROBE_S = 0.05
MIN_LONG_PROBE_BYTES, MAX_LONG_PROBE_BYTES = 32 * 1024, 320 * 1024
"""Less than the fabric lets under way at once: more would measure its window, 31 Mbit/s over 100 ms of round trip."""

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
    """One direction. under_way: seq -> (bytes, sent_s), oldest first. pings: seq -> sent_s.

    n_pongs, n_probes: since the link was new, or was to be measured anew. n_confirming: probes since one did not fit.
    probes: of those under way, number -> link time paid. credit_s: what may be spent on probes, as of credit_at_s.
    seems_faster: the last probe was much faster than believed.
    """

    state: est.LinkState
    under_way: dict[int, tuple[int, float]] = field(default_factory=dict)
    pings: dict[int, float] = field(default_factory=dict)
    n_pongs: int = 0
    n_probes: int = 0
    n_confirming: int = 0
    probes: dict[int, float] = field(default_factory=dict)
    seems_faster: bool = False
    next_probe_s: float = 0.0
    credit_s: float = MOST_CREDIT_S
    credit_at_s: float = 0.0
    told: LinkEstimate | None = None


class LinkMeter:
    """Owner of the link states of one node; every method is safe from any thread, `tell` is called without locks."""

    def __init__(self, node: NodeId, tell: Callable[[LinkEstimate], None]) -> None:
        self._node = node
        self._tell = tell
        self._lock = threading.Lock()
        self._numbers = itertools.count(1)
        self._links: dict[NodeId, _Outgoing] = {}

    def peer(self, target: NodeId, alive: bool) -> None:
        """A peer came or went. What was known of its link is kept, with doubt, for its return."""
        with self._lock:
            link = self._links.get(target)
            if alive and link is None:
                self._links[target] = _Outgoing(est.LinkState(source=self._node, target=target))
                return
            if link is None:
                return
            _begin_anew(link)
            if not alive:
                link.state = est.observe_down(link.state)
        self._report(target)

    def measure_anew(self) -> None:
        """Forget what is known of all links and probe them now: the machine was too busy to measure well."""
        with self._lock:
            for link in self._links.values():
                is_down = link.state.is_down
                link.state = est.LinkState(source=self._node, target=link.state.target, is_down=is_down)
                link.told = None
                _begin_anew(link)

    def is_measured(self, target: NodeId) -> bool:
        """Whether the first probes of a link are through."""
        with self._lock:
            link = self._links.get(target)
            return link is not None and link.n_probes >= N_FIRST_PROBES and not link.probes

    def next_seq(self) -> int:
        """A number for a message that will be acknowledged."""
        return next(self._numbers)

    def sending(self, target: NodeId, seq: int, n_bytes: int) -> None:
        """Message `seq` leaves now."""
        now = now_s()
        with self._lock:
            link = self._links.get(target)
            if link is not None:
                link.under_way[seq] = (n_bytes, now)
                link.next_probe_s = max(link.next_probe_s, now + PROBE_INTERVAL_S if seq not in link.probes else 0.0)

    def receipt(self, source: NodeId, seq: int) -> None:
        """Message `seq` has arrived whole at `source`."""
        now = now_s()
        doubted: list[NodeId] = []
        with self._lock:
            link = self._links.get(source)
            sent = link.under_way.pop(seq, None) if link is not None else None
            if link is None or sent is None:
                return
            before, paid_s = link.state, link.probes.pop(seq, None)
            sample = est.TransferSample(payload_bytes=sent[0], sent_s=sent[1], receipt_s=now)
            link.state = est.observe_transfer(before, sample)
            ratio = _change_ratio(before, link.state, now)
            if not 1 / JUMP_RATIO < ratio < JUMP_RATIO:
                doubted = self._doubt_siblings(source, ratio, now)
            if paid_s is not None:
                _follow_up(link, before, sample, paid_s)
        for target in (*doubted, source):  # the doubt first: who hears of the jump alone would flee to a sibling
            self._report(target)

    def due_pings(self) -> list[NodeId]:
        """New links, which are pinged more often than others."""
        with self._lock:
            return [target for target, link in self._links.items() if link.n_pongs < N_FIRST_PONGS]

    def pinging(self, target: NodeId) -> int:
        """The number of a ping that leaves now."""
        seq = self.next_seq()
        with self._lock:
            link = self._links.get(target)
            if link is not None:
                link.pings[seq] = now_s()
                while len(link.pings) > 32:
                    del link.pings[next(iter(link.pings))]
        return seq

    def pong(self, source: NodeId, seq: int) -> None:
        """The answer to a ping."""
        now = now_s()
        with self._lock:
            link = self._links.get(source)
            sent_s = link.pings.pop(seq, None) if link is not None else None
            if link is not None and sent_s is not None:
                link.state = est.observe_rtt(link.state, now - sent_s, now)
                link.n_pongs += 1

    def tick(self, now: float) -> None:
        """Look at what is overdue; call it some twenty times a second."""
        with self._lock:
            for link in self._links.values():
                if link.under_way:
                    n_bytes, sent_s = next(iter(link.under_way.values()))
                    link.state = est.observe_silence(link.state, n_bytes, sent_s, now)
            targets = list(self._links)
        for target in targets:
            self._report(target)

    def due_probes(self, now: float) -> list[tuple[NodeId, int, int]]:
        """The idle link to probe now, if any: (target, number, bytes).

        Links may share a bottleneck, so nothing is probed while any of this node's transfers is under way (for long).
        """
        with self._lock:
            sent = [sent_s for link in self._links.values() for _, sent_s in link.under_way.values()]
            if sent and now - min(sent) < BUSY_LIMIT_S:
                return []
            for target, link in self._links.items():
                if now < link.next_probe_s or link.under_way or link.state.is_down or link.n_pongs < N_FIRST_PONGS:
                    continue
                n_bytes = _spend(link, now)
                if n_bytes == 0:
                    continue
                link.n_probes += 1
                seq = self.next_seq()
                goodput = link.state.goodput
                link.probes[seq] = 8 * n_bytes / goodput.value if goodput is not None else 0.0
                return [(target, seq, n_bytes)]
        return []

    def estimates(self) -> tuple[LinkEstimate, ...]:
        """What is believed now of every link measured so far."""
        now = now_s()
        with self._lock:
            found = [est.estimate(link.state, now) for link in self._links.values()]
        return tuple(one for one in found if one is not None)

    def _doubt_siblings(self, jumped: NodeId, ratio: float, now: float) -> list[NodeId]:
        """One link has jumped: the others may share what has changed. Probe them, and expect the worse meanwhile."""
        doubted = []
        for target, link in self._links.items():
            if target == jumped or link.under_way:
                continue
            link.next_probe_s = now
            link.n_confirming = 1
            if link.state.goodput is not None and now - link.state.goodput.at_s > SIBLING_AGE_S:
                link.state = est.observe_sibling(link.state, ratio)
                doubted.append(target)
        return doubted

    def _report(self, target: NodeId) -> None:
        now = now_s()
        with self._lock:
            link = self._links.get(target)
            current = est.estimate(link.state, now) if link is not None else None
            if link is None or current is None or not _is_news(link.told, current):
                return
            link.told = current
        self._tell(current)


def _is_news(told: LinkEstimate | None, current: LinkEstimate) -> bool:
    if told is None or (told.goodput_bps == 0.0) != (current.goodput_bps == 0.0):
        return True
    if current.measured_at_s - told.measured_at_s > RENEW_S:
        return True
    moved = abs(current.goodput_bps - told.goodput_bps) > MOVED_RATIO * told.goodput_bps
    return moved or abs(current.rtt_s - told.rtt_s) > max(1e-3, MOVED_RATIO * told.rtt_s)


def _change_ratio(before: est.LinkState, after: est.LinkState, now: float) -> float:
    """By what factor one sample changed the belief; 1.0 when there was none before, or the link was down."""
    old, new = est.estimate(before, now), est.estimate(after, now)
    if old is None or new is None or old.goodput_bps <= 0.0 or new.goodput_bps <= 0.0 or old.n_samples == 0:
        return 1.0
    return new.goodput_bps / old.goodput_bps


def _begin_anew(link: _Outgoing) -> None:
    link.under_way.clear()
    link.pings.clear()
    link.probes.clear()
    link.n_pongs = link.n_probes = link.n_confirming = 0
    link.next_probe_s = 0.0


def _spend(link: _Outgoing, now: float) -> int:
    """Bytes of the probe that is sent now, paid for; 0 when the credit has to grow first. Sets when the next is due."""
    link.credit_s = min(MOST_CREDIT_S, link.credit_s + PROBE_SHARE_RATIO * (now - link.credit_at_s))
    link.credit_at_s = now
    goodput_bps = link.state.goodput.value if link.state.goodput is not None else 0.0
    if link.n_probes < N_FIRST_PROBES or goodput_bps <= 0.0:
        link.next_probe_s = now if link.n_probes < N_FIRST_PROBES - 1 else now + PROBE_INTERVAL_S
        return _long_probe_bytes(link.state)
    debt_s = MOST_CREDIT_S if link.seems_faster and link.n_confirming > 0 else 0.0
    affordable = int((link.credit_s + debt_s) * goodput_bps / 8)
    n_bytes = min(_long_probe_bytes(link.state), affordable) if link.n_confirming > 0 else _probe_bytes(link.state)
    cost_s = 8 * n_bytes / goodput_bps
    link.next_probe_s = now + max(PROBE_INTERVAL_S, cost_s / REGULAR_SHARE_RATIO if link.n_confirming == 0 else 0.0)
    least_bytes = _long_probe_bytes(link.state) // 2 if link.n_confirming > 0 else n_bytes
    if affordable < least_bytes:
        link.next_probe_s = now + PROBE_INTERVAL_S / 10
        return 0
    link.credit_s -= cost_s
    return n_bytes


def _follow_up(link: _Outgoing, before: est.LinkState, sample: est.TransferSample, paid_s: float) -> None:
    """Probe again at once, with more bytes, when a probe did not fit the belief; a few times, then it was chance."""
    if before.goodput is None or link.state.goodput is None:
        return
    service_s = max(sample.receipt_s - sample.sent_s - before.rtt_s - before.overhead_s, est.RTT_NOISE_S)
    link.credit_s += max(0.0, paid_s - service_s)
    ratio = 8.0 * sample.payload_bytes / service_s / before.goodput.value
    link.seems_faster = ratio >= CONFIRMED_RATIO
    fits = 1 / CONFIRMED_RATIO < ratio < CONFIRMED_RATIO and not link.state.goodput.suspects
    if fits or link.n_confirming >= N_CONFIRMING_PROBES:
        link.n_confirming = 0
        return
    link.n_confirming += 1
    link.next_probe_s = 0.0


def _long_probe_bytes(state: est.LinkState) -> int:
    goodput_bps = state.goodput.value if state.goodput is not None else 0.0
    return int(max(MIN_LONG_PROBE_BYTES, min(MAX_LONG_PROBE_BYTES, LONG_PROBE_S * goodput_bps / 8)))


def _probe_bytes(state: est.LinkState) -> int:
    goodput_bps = state.goodput.value if state.goodput is not None else 0.0
    share = int(REGULAR_SHARE_RATIO * goodput_bps / 8 * PROBE_INTERVAL_S)
    return max(MIN_PROBE_BYTES, min(MAX_PROBE_BYTES, share))
