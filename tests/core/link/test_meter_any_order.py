"""The link meter holds its invariants whatever comes in whatever order: lost, late, doubled and unheard-of messages."""

from __future__ import annotations

import math

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from seamline.core.link.meter import LinkMeter, Probe
from seamline.core.link.probing import BUSY_LIMIT_S
from seamline.core.vocabulary.links import LinkEstimate
from seamline.core.vocabulary.nodes import NodeId

EDGE, FOG, CLOUD = NodeId("edge"), NodeId("fog"), NodeId("cloud")
TARGETS = st.sampled_from([FOG, CLOUD])


class AnyOrder(RuleBasedStateMachine):
    """What the meter must know, kept as simply as can be: peers, and what has left for each and when."""

    def __init__(self) -> None:
        super().__init__()
        self.meter, self.now_s = LinkMeter(EDGE), 0.0
        self.wanted: frozenset[NodeId] = frozenset()
        self.is_alive: dict[NodeId, bool] = {}
        self.sent_s: dict[NodeId, dict[int, float]] = {FOG: {}, CLOUD: {}}
        self.numbers: list[int] = []
        self.unsent: list[Probe] = []

    @rule(by_s=st.floats(0.0, 2.0))
    def time_passes(self, by_s: float) -> None:
        self.now_s += by_s

    @rule(node=TARGETS, alive=st.booleans())
    def peer(self, node: NodeId, alive: bool) -> None:
        if alive or node in self.is_alive:
            self.is_alive[node] = alive
            self.sent_s[node].clear()
        news = self.heard(self.meter.peer(node, alive, self.now_s))
        assert alive or all(one.goodput_bps == 0.0 for one in news)

    @rule(wanted=st.frozensets(TARGETS))
    def measure(self, wanted: frozenset[NodeId]) -> None:
        self.wanted = wanted
        self.meter.measure(wanted, self.now_s)

    @rule(node=TARGETS)
    def forget(self, node: NodeId) -> None:
        self.is_alive.pop(node, None)
        self.sent_s[node].clear()
        self.meter.forget(node)

    @rule()
    def remeasure(self) -> None:
        for sent_s in self.sent_s.values():
            sent_s.clear()
        self.meter.remeasure(self.now_s)
        assert self.meter.estimates(self.now_s) == ()

    @rule(node=TARGETS, n_bytes=st.integers(0, 2_000_000))
    def frame(self, node: NodeId, n_bytes: int) -> None:
        seq = self.numbered(self.meter.next_seq())
        self.sends(node, seq, n_bytes)

    @precondition(lambda self: self.unsent)
    @rule()
    def waiting_probe_leaves(self) -> None:
        self.sends(*self.unsent.pop())

    @precondition(lambda self: self.numbers)
    @rule(data=st.data(), source=TARGETS)
    def receipt(self, data: st.DataObject, source: NodeId) -> None:
        seq = data.draw(st.sampled_from(self.numbers[-8:]))
        is_awaited = self.sent_s[source].pop(seq, None) is not None
        for lost in [one for one in self.sent_s[source] if is_awaited and one < seq]:
            del self.sent_s[source][lost]  # messages cross in the order of their numbers
        news = self.heard(self.meter.receipt(source, seq, self.now_s))
        assert is_awaited or not news

    @rule(node=TARGETS, rtt_s=st.floats(0.0, 0.5), is_doubled=st.booleans())
    def ping_and_pong(self, node: NodeId, rtt_s: float, is_doubled: bool) -> None:
        seq = self.numbered(self.meter.ping_sent(node, self.now_s))
        self.now_s += rtt_s
        news = self.heard(self.meter.pong(node, seq, self.now_s))
        assert self.is_alive.get(node) or not news
        assert not (is_doubled and self.meter.pong(node, seq, self.now_s))

    @rule(leaves=st.booleans())
    def tick(self, leaves: bool) -> None:
        due_s = self.meter.next_due_s()
        news, pings = self.heard(self.meter.tick(self.now_s)), self.meter.due_pings(self.now_s)
        probe = self.meter.next_probe(self.now_s)
        assert self.now_s >= due_s or not (news or pings or probe)
        assert all(self.is_alive[target] for target in pings)
        assert self.wanted.issuperset(pings)
        for target in pings:
            self.numbered(self.meter.ping_sent(target, self.now_s))
        if probe is None:
            return
        assert self.is_alive[probe.target]
        assert probe.target in self.wanted
        assert not self.sent_s[probe.target]
        everything = [sent_s for sent in self.sent_s.values() for sent_s in sent.values()]
        assert not everything or self.now_s >= min(everything) + BUSY_LIMIT_S
        assert probe.n_bytes > 0
        self.numbered(probe.seq)
        self.unsent.append(probe)
        if leaves:
            self.waiting_probe_leaves()

    @invariant()
    def in_flight_is_what_left_and_did_not_arrive(self) -> None:
        for target, sent_s in self.sent_s.items():
            assert self.meter.n_in_flight(target) == len(sent_s)

    @invariant()
    def estimates_are_of_known_links_and_make_sense(self) -> None:
        self.heard(self.meter.estimates(self.now_s))

    def sends(self, target: NodeId, seq: int, n_bytes: int) -> None:
        self.meter.sending(target, seq, n_bytes, self.now_s)
        if target in self.is_alive:
            self.sent_s[target][seq] = self.now_s

    def numbered(self, seq: int) -> int:
        assert seq not in self.numbers
        self.numbers.append(seq)
        return seq

    def heard(self, news: tuple[LinkEstimate, ...]) -> tuple[LinkEstimate, ...]:
        assert len({one.target for one in news}) == len(news)
        for one in news:
            assert one.source == EDGE
            assert one.target in self.is_alive
            assert 0.0 <= one.goodput_bps < math.inf
            assert one.rtt_s >= 0.0
        return news


AnyOrder.TestCase.settings = settings(max_examples=settings.default.max_examples // 2, stateful_step_count=50)
TestAnyOrder = AnyOrder.TestCase
