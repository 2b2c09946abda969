"""Measures this node's outgoing links from what crosses them anyway: send -> receipt, ping -> pong.

What a sample means is `core.estimate`; here are the clocks, the numbers of messages under way, and when to probe. A
link that carries frames is never probed. Listeners hear of an estimate when it has moved, or was renewed a while ago.
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
MIN_PROBE_BYTES, MAX_PROBE_BYTES = 4 * 1024, 32 * 1024
FIRST_PROBE_BYTES = 64 * 1024
N_FIRST_PROBES = 3
FIRST_PROBE_INTERVAL_S = 0.1
BUSY_LIMIT_S = 3.0
MOVED_RATIO = 0.05
RENEW_S = 1.0


@dataclass(slots=True)
class _Outgoing:
    """One direction. under_way: seq -> (bytes, sent_s), oldest first. pings: seq -> sent_s."""

    state: est.LinkState
    under_way: dict[int, tuple[int, float]] = field(default_factory=dict)
    pings: dict[int, float] = field(default_factory=dict)
    n_probes: int = 0
    next_probe_s: float = 0.0
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
            link.under_way.clear()
            link.pings.clear()
            link.n_probes = 0
            link.next_probe_s = 0.0
            if not alive:
                link.state = est.observe_down(link.state)
        self._report(target)

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
                link.next_probe_s = now + PROBE_INTERVAL_S

    def receipt(self, source: NodeId, seq: int) -> None:
        """Message `seq` has arrived whole at `source`."""
        now = now_s()
        with self._lock:
            link = self._links.get(source)
            sent = link.under_way.pop(seq, None) if link is not None else None
            if link is None or sent is None:
                return
            before = link.state
            sample = est.TransferSample(payload_bytes=sent[0], sent_s=sent[1], receipt_s=now)
            link.state = est.observe_transfer(before, sample)
            if _jumped(before, link.state, now):
                self._probe_others_soon(source, now)
        self._report(source)

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

    def due_probes(self, now: float) -> list[tuple[NodeId, int]]:
        """Idle links to probe now, and with how many bytes: a new link a few times, then 1 % of it once a second.

        Links may share a bottleneck, so nothing is probed while any of this node's transfers is under way (for long).
        """
        with self._lock:
            sent = [sent_s for link in self._links.values() for _, sent_s in link.under_way.values()]
            if sent and now - min(sent) < BUSY_LIMIT_S:
                return []
            for target, link in self._links.items():
                if now >= link.next_probe_s and not link.under_way and not link.state.is_down:
                    is_new = link.n_probes < N_FIRST_PROBES
                    link.next_probe_s = now + (FIRST_PROBE_INTERVAL_S if is_new else PROBE_INTERVAL_S)
                    link.n_probes += 1
                    return [(target, FIRST_PROBE_BYTES if is_new else _probe_bytes(link.state))]
        return []

    def estimates(self) -> tuple[LinkEstimate, ...]:
        """What is believed now of every link measured so far."""
        now = now_s()
        with self._lock:
            found = [est.estimate(link.state, now) for link in self._links.values()]
        return tuple(one for one in found if one is not None)

    def _probe_others_soon(self, but: NodeId, now: float) -> None:
        """One link has jumped: the others may share what has changed."""
        for target, link in self._links.items():
            if target != but and not link.under_way:
                link.next_probe_s = now

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


def _jumped(before: est.LinkState, after: est.LinkState, now: float) -> bool:
    """Whether one sample changed the belief by half or more: a change point, or the link's first measurement again."""
    old, new = est.estimate(before, now), est.estimate(after, now)
    if old is None or new is None or old.goodput_bps <= 0.0:
        return False
    return not 0.67 < new.goodput_bps / old.goodput_bps < 1.5


def _probe_bytes(state: est.LinkState) -> int:
    goodput_bps = state.goodput.value if state.goodput is not None else 0.0
    share = int(PROBE_SHARE_RATIO * goodput_bps / 8 * PROBE_INTERVAL_S)
    return max(MIN_PROBE_BYTES, min(MAX_PROBE_BYTES, share))
