"""Link meter of one node: measures its outgoing links from the messages that cross them, as a machine without I/O.

Theory of operation. A message that will be acknowledged is *in flight* from `sending` to its `receipt`; what one took
is a sample of `estimator.py`. A ping and its pong are a sample of the round trip. A link without messages is measured
by probes, messages that carry nothing; when and how large is `probing.py`. Pings and probes go over wanted links alone,
those that somebody decides by (`interest.py`). Links of one node may share a bottleneck, such as the uplink of a house,
hence two rules. Nothing is probed while a message of this node is in flight on any link that is heard, unless one has
been for `BUSY_LIMIT_S`, or the link was down and is back. A fast link that was not measured for `STARVED_S` because
others never rest is probed beside them; what that takes may be their doing, so it counts only where it was quicker than
estimated. When one link jumps, the idle ones are probed at once; what a
jump means for them until then is a matter of whoever decides (`core.adaptation.uplink`).
A message whose receipt does not come (it was damaged, dropped by a receiver that is flooded, or never answered) is
forgotten with the receipt of a later one. What a receipt waits on its way back is not the link's, and a message is
overdue only by how far its peer has been heard since (`return_path.py`). A link whose pings are not answered is
*silent* (`silence.py`); a message that is late is followed by a ping, so that silence is known soon.

Every method that changes an estimate returns what is news (`news.py`), to be reported.

| event | effect | returns |
|---|---|---|
| `peer` joined | a new link, or a known one measured anew | news of a known one |
| `peer` lost | the link is down; what was in flight is forgotten, its estimator kept | news |
| `forget` | the link is no more: neither pinged, probed nor reported | |
| `remeasure` | every link as if new | |
| `measure` | only these links are pinged and probed from now on | |
| `sending` | in flight; a frame puts the next probe off | |
| `receipt` | a transfer sample; after a jump idle links are probed | news |
| `ping_sent` | the next ping is due later; an answer is owed | the number of the ping |
| `heard` | until when the peer has been heard | |
| `pong` | a round-trip sample, the end of silence; probes follow the first ones | news |
| `tick` | the oldest message in flight of each link may be overdue, which caps its goodput; silence begins | news |
| `next_probe` | paid for, and awaited from now on | the probe to send |

Events that do not fit (a receipt for what is not in flight, a pong from before a loss, a peer never heard of) are
ignored: the network doubles and delays them. One owner, no lock and no clock: `now_s` is any clock of the caller that
begins at 0 or later and hardly ever goes back. `runtime.node.links` drives this with threads; a driver in virtual time
sleeps until `next_due_s`. When all of this is asked is `beat.py`.
"""

from __future__ import annotations

import math
from collections.abc import Set
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from seamline.core.link import estimator as est
from seamline.core.link import probing
from seamline.core.link.lower_envelope import RTT_NOISE_S
from seamline.core.link.news import change_ratio, has_jumped, is_news
from seamline.core.link.probing import Probing
from seamline.core.link.return_path import ReturnPath
from seamline.core.link.silence import Silence
from seamline.core.vocabulary.links import LinkEstimate
from seamline.core.vocabulary.nodes import NodeId

TICK_S = 0.05
"""Between two looks at what is overdue, and between two pings of a new link."""

PING_INTERVAL_S = 0.25

OVERDUE_S = 0.05
"""A message is asked after by a ping when its receipt is late by so much."""

STARVED_S = 2.0
FAST_BPS = 8.0 * probing.MIN_PROBE_BYTES / RTT_NOISE_S
"""A link that carries a small probe within the noise of timings is not left without a look for longer: no frame feels
it, as it would on a slower one."""

_MOST_PINGS = 32
"""Unanswered pings that are remembered: 8 s of them."""


class Probe(NamedTuple):
    """A message of `n_bytes` that carries nothing, to be sent as number `seq`."""

    target: NodeId
    seq: int
    n_bytes: int


@dataclass(slots=True)
class _Outgoing:
    """State of one outgoing link. in_flight: seq -> (bytes, sent_s), oldest first. pings: seq -> sent_s.

    probes: unacknowledged; beside: those of them sent while other links were in use. ping_due_s: `math.inf` while the
    peer is lost or the link not wanted. back: of what the peer sends. asked_after: the newest message that a ping was
    sent after.
    """

    state: est.LinkState
    ping_due_s: float = math.inf
    is_lost: bool = False
    is_wanted: bool = False
    probing: Probing = field(default_factory=Probing)
    in_flight: dict[int, tuple[int, float]] = field(default_factory=dict)
    pings: dict[int, float] = field(default_factory=dict)
    probes: set[int] = field(default_factory=set)
    beside: set[int] = field(default_factory=set)
    last_reported: LinkEstimate | None = None
    back: ReturnPath = field(default_factory=ReturnPath)
    silence: Silence = field(default_factory=Silence)
    asked_after: int = 0

    @property
    def oldest_sent_s(self) -> float:
        """Time at which the oldest message in flight left; there must be one."""
        return next(iter(self.in_flight.values()))[1]

    @property
    def is_probed_when_idle(self) -> bool:
        """Whether probes are due at all: not before the first pings are back, and not while the link is down."""
        return self.is_wanted and not (self.probing.is_new or self.state.is_down)

    @property
    def is_back(self) -> bool:
        """Whether it was down, and too few messages have crossed it since: it is probed beside what else goes on."""
        return self.state.n_to_believe > 0

    def starved_from_s(self) -> float:
        """Time from which it is probed though others are in use; inf for a slow one."""
        is_fast = est.estimated_bps(self.state) > FAST_BPS
        return est.measured_at_s(self.state) + STARVED_S if is_fast else math.inf

    def forget_before(self, seq: int) -> None:
        """Messages cross in the order of their numbers, so what was sent before `seq`, which has come, was lost."""
        for lost in [one for one in self.in_flight if one < seq]:
            del self.in_flight[lost]
            self.probes.discard(lost)
            self.beside.discard(lost)

    def is_waiting(self, now_s: float) -> bool:
        """Whether the receipt of a message can be waited for; one that does not come for long may have been lost."""
        return bool(self.in_flight) and now_s - self.oldest_sent_s < probing.BUSY_LIMIT_S

    def ask_after_s(self) -> float:
        """When the receipt of the oldest message in flight is late, and a ping asks after it; inf when one has."""
        if not self.in_flight or math.isinf(self.ping_due_s) or self.asked_after >= (seq := next(iter(self.in_flight))):
            return math.inf
        return est.receipt_due_s(self.state, *self.in_flight[seq]) + OVERDUE_S

    def reset(self, now_s: float) -> None:
        """Forget what is on its way, and measure the link from the beginning."""
        self.in_flight.clear()
        self.pings.clear()
        self.probes.clear()
        self.beside.clear()
        self.probing = probing.reset(self.probing)
        self.back = ReturnPath()
        self.ping_from(now_s)

    def ping_from(self, now_s: float) -> None:
        """A ping is due now, if at all; no answer is owed."""
        self.silence = Silence()
        self.ping_due_s = now_s if self.is_wanted and not self.is_lost else math.inf


class LinkMeter:
    """Link meter of `node`: owns the estimators of its outgoing links and numbers its messages.

    ping_interval_s: between two pings of a link that is no longer new. is_probing: whether idle links are measured.
    first_seq: where numbers begin; one that cannot be guessed keeps those who do not see a message from answering it.
    """

    def __init__(
        self,
        node: NodeId,
        *,
        ping_interval_s: float = PING_INTERVAL_S,
        is_probing: bool = True,
        first_seq: int = 1,
    ) -> None:
        self._node = node
        self._ping_interval_s, self._is_probing = ping_interval_s, is_probing
        self._last_seq = first_seq - 1
        self._links: dict[NodeId, _Outgoing] = {}
        self._wanted: frozenset[NodeId] = frozenset()
        self._due_s, self._is_due_known = math.inf, True

    # -- peers ---------------------------------------------------------------------------------------------------------

    def peer(self, target: NodeId, alive: bool, now_s: float) -> tuple[LinkEstimate, ...]:
        """A peer joined or was lost. What is known of its link is kept, with doubt, for its return."""
        self._is_due_known = False
        link = self._links.get(target)
        if link is None:
            if alive:
                self._add(est.LinkState(source=self._node, target=target), now_s)
            return ()
        link.is_lost = not alive
        link.reset(now_s)
        if not alive:
            link.state = est.observe_down(link.state)
        return self._news(link, now_s)

    def peer_measured(self, state: est.LinkState, now_s: float) -> tuple[LinkEstimate, ...]:
        """A peer joined whose link is known already, as if its first pings and probes had just given `state`."""
        self._is_due_known = False
        link = self._add(state, now_s)
        link.probing = Probing(
            n_pongs=probing.N_FIRST_PONGS,
            n_probes=probing.N_FIRST_PROBES,
            due_s=now_s + probing.PROBE_INTERVAL_S,
            credit_at_s=now_s,
        )
        return self._news(link, now_s)

    def forget(self, target: NodeId) -> None:
        """Remove the link to `target`: it is neither measured nor reported."""
        self._is_due_known = False
        self._links.pop(target, None)

    def remeasure(self, now_s: float) -> None:
        """Forget what is known of all links and measure them now: the machine was too busy to measure well."""
        self._is_due_known = False
        for link in self._links.values():
            link.state = est.LinkState(source=self._node, target=link.state.target, is_down=link.state.is_down)
            link.last_reported = None
            link.reset(now_s)

    def measure(self, targets: Set[NodeId], now_s: float) -> None:
        """Ping and probe the links to `targets` from now on and no others; one that has rested is measured at once."""
        self._is_due_known = False
        self._wanted = frozenset(targets)
        for target, link in self._links.items():
            was_wanted, link.is_wanted = link.is_wanted, target in self._wanted
            if link.is_wanted != was_wanted:
                link.ping_from(now_s)
                link.probing = probing.resumed(link.probing, now_s) if link.is_wanted else link.probing

    # -- messages ------------------------------------------------------------------------------------------------------

    def next_seq(self) -> int:
        """A number for a message that will be acknowledged."""
        self._last_seq += 1
        return self._last_seq

    def sending(self, target: NodeId, seq: int, n_bytes: int, now_s: float) -> None:
        """Message `seq`, a frame or a probe, leaves now."""
        link = self._links.get(target)
        if link is None:
            return
        link.in_flight[seq] = (n_bytes, now_s)
        self._is_due_known = False
        if self._is_probing and seq not in link.probes:
            link.probing = probing.carried(link.probing, now_s)

    def heard(self, source: NodeId, said_s: float | None, now_s: float) -> None:
        """A small message of `source` is here that left at `said_s` by its clock; None where none ever waits."""
        if said_s is not None and (link := self._links.get(source)) is not None:
            link.back = link.back.heard(said_s, now_s)

    def receipt(self, source: NodeId, seq: int, now_s: float, said_s: float | None = None) -> tuple[LinkEstimate, ...]:
        """Message `seq` has arrived whole at `source`. said_s: as for `heard`."""
        self.heard(source, said_s, now_s)
        link = self._links.get(source)
        sent = link.in_flight.pop(seq, None) if link is not None else None
        if link is None or sent is None:
            return ()
        self._is_due_known = False
        link.silence = link.silence.answered(None)
        link.forget_before(seq)
        before = link.state
        waited_s = 0.0 if said_s is None else min(link.back.waited_s(said_s, now_s), max(0.0, now_s - sent[1]))
        sample = est.TransferSample(payload_bytes=sent[0], sent_s=sent[1], receipt_s=now_s - waited_s)
        if seq in link.beside:
            link.beside.discard(seq)
            if sample.receipt_s > est.receipt_due_s(before, sample.payload_bytes, sample.sent_s):
                link.probes.discard(seq)
                return ()
        link.state = est.observe_transfer(before, sample)
        if has_jumped(change_ratio(before, link.state)):
            self._probe_idle(link, now_s)
        if seq in link.probes:
            link.probes.discard(seq)
            link.probing = probing.probed(link.probing, before, link.state, sample)
        return self._news(link, now_s)

    # -- the beat ------------------------------------------------------------------------------------------------------

    def due_pings(self, now_s: float) -> list[NodeId]:
        """Peers to ping now, by wanted links: new ones at every tick, others every `ping_interval_s`."""
        return [target for target, link in self._links.items() if link.ping_due_s <= now_s]

    def ping_sent(self, target: NodeId, now_s: float) -> int:
        """A ping leaves now; returns its number. Pings to a peer that is lost or not measured teach nothing."""
        seq, link = self.next_seq(), self._links.get(target)
        if link is None or math.isinf(link.ping_due_s):
            return seq
        self._is_due_known = False
        link.ping_due_s = now_s + (TICK_S if link.probing.is_new else self._ping_interval_s)
        link.pings[seq] = now_s
        link.silence = link.silence.asked(now_s)
        if len(link.pings) > _MOST_PINGS:
            del link.pings[next(iter(link.pings))]
        return seq

    def pong(self, source: NodeId, seq: int, now_s: float, said_s: float | None = None) -> tuple[LinkEstimate, ...]:
        """The answer to ping `seq`. said_s: as for `heard`."""
        self.heard(source, said_s, now_s)
        link = self._links.get(source)
        sent_s = link.pings.pop(seq, None) if link is not None else None
        if link is None or sent_s is None:
            return ()
        if link.probing.is_new or link.state.is_down:
            self._is_due_known = False
        took_s = max(0.0, now_s - sent_s)
        link.silence = link.silence.answered(took_s)
        link.state = est.observe_rtt(link.state, took_s, now_s)
        if link.probing.is_new:
            link.probing = replace(link.probing, n_pongs=link.probing.n_pongs + 1)
        return self._news(link, now_s)

    def tick(self, now_s: float) -> tuple[LinkEstimate, ...]:
        """Look at what is overdue; call it every `TICK_S` from `next_due_s` on."""
        self._is_due_known = False
        found: tuple[LinkEstimate, ...] = ()
        for link in self._links.values():
            is_silent, before = now_s >= link.silence.begins_s, link.state
            if link.in_flight:
                if now_s >= link.ask_after_s():
                    link.asked_after, link.ping_due_s = next(iter(link.in_flight)), now_s
                n_bytes, sent_s = next(iter(link.in_flight.values()))
                until_s = link.back.heard_until_s(now_s)
                may_be_overdue = (
                    until_s - sent_s > est.SILENCE_GRACE_S and next(iter(link.in_flight)) not in link.beside
                )
                if may_be_overdue:
                    link.state = est.observe_silence(before, n_bytes, sent_s, until_s)
            has_fallen_silent = is_silent and link.last_reported is not None and not link.last_reported.is_silent
            if has_fallen_silent:
                self._probe_idle(link, now_s)
            if link.state is not before or has_fallen_silent:
                found = (*found, *self._news(link, now_s))
        return found

    def next_probe(self, now_s: float) -> Probe | None:
        """The idle link to probe now, of those wanted, if any; hand the probe to `sending` when it leaves."""
        if not self._is_probing:
            return None
        self._is_due_known = False
        is_busy = now_s < self._busy_until_s(now_s)
        for target, link in self._links.items():
            is_spared = is_busy and not link.is_back and now_s < link.starved_from_s()
            if not link.is_wanted or link.is_waiting(now_s) or is_spared:
                continue
            link.probing, n_bytes = probing.next_probe(link.probing, link.state, now_s)
            if n_bytes > 0:
                seq = self.next_seq()
                link.probes.add(seq)
                if is_busy and not link.is_back:
                    link.beside.add(seq)
                return Probe(target, seq, n_bytes)
        return None

    def next_due_s(self) -> float:
        """Before this, pings, `tick` and `next_probe` find nothing to do, should no other event come; `math.inf`
        without peers. A time that has passed means: at the next tick."""
        if not self._is_due_known:
            busy_until_s = self._busy_until_s(-math.inf)
            self._due_s = min([self._link_due_s(link, busy_until_s) for link in self._links.values()], default=math.inf)
            self._is_due_known = True
        return self._due_s

    # -- what is known -------------------------------------------------------------------------------------------------

    def is_measured(self, target: NodeId) -> bool:
        """Whether the first probes of a link are through."""
        link = self._links.get(target)
        return link is not None and link.probing.is_measured and not link.probes

    def n_in_flight(self, target: NodeId) -> int:
        """Messages that have left for `target` and are not acknowledged."""
        link = self._links.get(target)
        return 0 if link is None else len(link.in_flight)

    def estimates(self, now_s: float) -> tuple[LinkEstimate, ...]:
        """Estimates at `now_s` of every link measured so far."""
        found = [est.estimate(link.state, now_s) for link in self._links.values()]
        return tuple([one for one in found if one is not None])

    def _add(self, state: est.LinkState, now_s: float) -> _Outgoing:
        link = self._links[state.target] = _Outgoing(state, is_wanted=state.target in self._wanted)
        link.ping_from(now_s)
        return link

    # -- rules ---------------------------------------------------------------------------------------------------------

    def _probe_idle(self, jumped: _Outgoing, now_s: float) -> None:
        """Links may share the bottleneck that has changed: measure the idle ones now."""
        for link in self._links.values():
            if link is not jumped and not link.in_flight:
                link.probing = probing.bottleneck_changed(link.probing, now_s)

    def _busy_until_s(self, now_s: float) -> float:
        """Until when nothing is probed, because messages are in flight; -inf when none is. Silent links carry none."""
        links = [link for link in self._links.values() if link.in_flight]
        return min(
            [
                min(link.oldest_sent_s + probing.BUSY_LIMIT_S, link.silence.begins_s)
                for link in links
                if now_s < link.silence.begins_s
            ],
            default=-math.inf,
        )

    def _link_due_s(self, link: _Outgoing, busy_until_s: float) -> float:
        """Earliest time at which a ping or a probe is due, or a message may be overdue."""
        is_heard = link.last_reported is not None and not link.last_reported.is_silent
        ping_s = min(link.ping_due_s, link.silence.begins_s) if is_heard else link.ping_due_s
        if link.in_flight:
            return min(ping_s, link.ask_after_s(), link.oldest_sent_s + est.SILENCE_GRACE_S)
        if self._is_probing and link.is_probed_when_idle:
            rested_s = min(busy_until_s, link.starved_from_s())
            probe_s = link.probing.due_s if link.is_back else max(link.probing.due_s, rested_s)
            return min(ping_s, probe_s)
        return ping_s

    def _news(self, link: _Outgoing, now_s: float) -> tuple[LinkEstimate, ...]:
        """The estimate of `link` if it is news, which counts as reported then."""
        is_silent = now_s >= link.silence.begins_s
        if not is_news(link.last_reported, link.state, is_silent):
            return ()
        current = est.estimate(link.state, now_s)
        if current is None:
            return ()
        current = link.last_reported = replace(current, is_silent=True) if is_silent else current
        return (current,)
