"""Measures this node's outgoing links from what crosses them anyway: send -> receipt, ping -> pong.

What a sample means is `core.link.estimator`, when to probe and what is news `core.link.probing`; here are the clocks,
the locks and the numbers of messages under way. A link that carries frames is never probed.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from seamline.core.link import estimator as est
from seamline.core.link import news, probing
from seamline.core.link.probing import Probing
from seamline.core.vocabulary.links import LinkEstimate
from seamline.core.vocabulary.nodes import NodeId
from seamline.runtime.shared.clock import now_s


@dataclass(slots=True)
class _Outgoing:
    """One direction. under_way: seq -> (bytes, sent_s), oldest first. pings: seq -> sent_s. probes: those under way."""

    state: est.LinkState
    probing: Probing = field(default_factory=Probing)
    under_way: dict[int, tuple[int, float]] = field(default_factory=dict)
    pings: dict[int, float] = field(default_factory=dict)
    probes: set[int] = field(default_factory=set)
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

    def forget(self, target: NodeId) -> None:
        """Nothing will be sent to `target`: its link is neither probed nor told of."""
        with self._lock:
            self._links.pop(target, None)

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
            return link is not None and link.probing.is_measured and not link.probes

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
                if seq not in link.probes:
                    link.probing = probing.carried(link.probing, now)

    def receipt(self, source: NodeId, seq: int) -> None:
        """Message `seq` has arrived whole at `source`."""
        now = now_s()
        doubted: list[NodeId] = []
        with self._lock:
            link = self._links.get(source)
            sent = link.under_way.pop(seq, None) if link is not None else None
            if link is None or sent is None:
                return
            before = link.state
            sample = est.TransferSample(payload_bytes=sent[0], sent_s=sent[1], receipt_s=now)
            link.state = est.observe_transfer(before, sample)
            ratio = news.change_ratio(before, link.state)
            if news.has_jumped(ratio):
                doubted = self._doubt_siblings(source, ratio, now)
            if seq in link.probes:
                link.probes.discard(seq)
                link.probing = probing.probed(link.probing, before, link.state, sample)
        for target in (*doubted, source):  # the doubt first: who hears of the jump alone would flee to a sibling
            self._report(target)

    def due_pings(self) -> list[NodeId]:
        """New links, which are pinged more often than others."""
        with self._lock:
            return [target for target, link in self._links.items() if link.probing.is_new]

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
                link.probing = replace(link.probing, n_pongs=link.probing.n_pongs + 1)

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
            if sent and now - min(sent) < probing.BUSY_LIMIT_S:
                return []
            for target, link in self._links.items():
                if link.under_way:
                    continue
                link.probing, n_bytes = probing.next_probe(link.probing, link.state, now)
                if n_bytes > 0:
                    seq = self.next_seq()
                    link.probes.add(seq)
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
            link.probing = probing.doubted(link.probing, now)
            if link.state.goodput is not None and now - link.state.goodput.at_s > probing.SIBLING_AGE_S:
                link.state = est.observe_sibling(link.state, ratio)
                doubted.append(target)
        return doubted

    def _report(self, target: NodeId) -> None:
        now = now_s()
        with self._lock:
            link = self._links.get(target)
            if link is None or not news.is_news(link.told, link.state):
                return
            current = est.estimate(link.state, now)
            if current is None:
                return
            link.told = current
        self._tell(current)


def _begin_anew(link: _Outgoing) -> None:
    link.under_way.clear()
    link.pings.clear()
    link.probes.clear()
    link.probing = probing.anew(link.probing)
