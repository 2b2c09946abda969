"""The link meter and the beat of a node: events in, news, pings and probes out, driven in virtual time."""

from __future__ import annotations

import heapq
import itertools
import math
from collections.abc import Callable

import pytest

from seamline.core.link import estimator as est
from seamline.core.link import meter as meter_module
from seamline.core.link.beat import STATUS_INTERVAL_S, Beat, Due
from seamline.core.link.interest import INTEREST_S
from seamline.core.link.meter import PING_INTERVAL_S, TICK_S, LinkMeter
from seamline.core.link.probing import BUSY_LIMIT_S, MIN_PROBE_BYTES, N_FIRST_PONGS, N_FIRST_PROBES
from seamline.core.link.silence import LEAST_LIMIT_S
from seamline.core.vocabulary.links import LinkEstimate
from seamline.core.vocabulary.nodes import NodeId

EDGE, FOG, CLOUD = NodeId("edge"), NodeId("fog"), NodeId("cloud")
ORIGIN = NodeId("origin")
RTT_S = 0.02


class VirtualLinks:
    """A driver: links from `EDGE`, first in, first out, at `rate_bps`, where 0.0 carries nothing; `ORIGIN` wants them.

    skips_ticks: none is asked for before `next_due_s`. news, pings, probes, statuses: what came of it, each with its
    time. n_ticks: how often the meter was asked.
    """

    def __init__(self, rate_bps: dict[NodeId, float], *, skips_ticks: bool = True) -> None:
        self.rate_bps, self.skips_ticks = rate_bps, skips_ticks
        self.now_s = 0.0
        self.meter = LinkMeter(EDGE)
        self.beat = Beat(EDGE, self.meter)
        self.wanted = frozenset(rate_bps)
        self.news: list[tuple[float, LinkEstimate]] = []
        self.pings: list[tuple[float, NodeId]] = []
        self.probes: list[tuple[float, NodeId, int]] = []
        self.statuses: list[float] = []
        self.n_ticks = 0
        self._free_s = dict.fromkeys(rate_bps, 0.0)
        self._order = itertools.count()
        self._due: list[tuple[float, int, Callable[[], None]]] = []
        for target in rate_bps:
            self.peer(target, True)
        self._at(TICK_S, self._tick)

    def run(self, until_s: float) -> None:
        while self._due and self._due[0][0] <= until_s:
            self.now_s, _, act = heapq.heappop(self._due)
            act()
        self.now_s = until_s

    def frame(self, target: NodeId, n_bytes: int) -> None:
        self._send(target, self.meter.next_seq(), n_bytes)

    def heard(self, news: tuple[LinkEstimate, ...]) -> None:
        if news:
            self.beat.announce_soon()
        self.news += [(self.now_s, estimate) for estimate in news]

    def peer(self, target: NodeId, alive: bool) -> None:
        self._free_s[target] = 0.0
        self.heard(self.meter.peer(target, alive, self.now_s))

    def bps(self, target: NodeId) -> float:
        return next(one for one in self.meter.estimates(self.now_s) if one.target == target).goodput_bps

    def _at(self, at_s: float, act: Callable[[], None]) -> None:
        heapq.heappush(self._due, (at_s, next(self._order), act))

    def _send(self, target: NodeId, seq: int, n_bytes: int) -> None:
        self.meter.sending(target, seq, n_bytes, self.now_s)
        rate_bps = self.rate_bps[target]
        took_s = 8 * n_bytes / rate_bps if rate_bps > 0.0 else math.inf
        self._free_s[target] = max(self.now_s, self._free_s[target]) + took_s
        if math.isfinite(took_s):
            receipt_s = self._free_s[target] + RTT_S
            self._at(receipt_s, lambda: self.heard(self.meter.receipt(target, seq, self.now_s)))

    def _tick(self) -> None:
        self._at(self.now_s + TICK_S, self._tick)
        if self.wanted:
            self.beat.ask(ORIGIN, "stream", self.wanted, INTEREST_S, self.now_s)
        if self.skips_ticks and self.now_s < self.beat.next_due_s():
            return
        self.n_ticks += 1
        due = self.beat.tick(self.now_s)
        self.news += [(self.now_s, estimate) for estimate in due.news]
        for target in due.pings:
            self._ping(target)
        if due.probe is not None:
            self.probes.append((self.now_s, due.probe.target, due.probe.n_bytes))
            self._send(*due.probe)
        if due.reports:
            self.statuses.append(self.now_s)

    def _ping(self, target: NodeId) -> None:
        self.pings.append((self.now_s, target))
        seq = self.meter.ping_sent(target, self.now_s)
        if self.rate_bps[target] > 0.0:
            self._at(self.now_s + RTT_S, lambda: self.heard(self.meter.pong(target, seq, self.now_s)))


def measured(*targets: NodeId, rate_bps: float = 20e6) -> VirtualLinks:
    """Links that have been measured and idle for a while."""
    links = VirtualLinks(dict.fromkeys(targets, rate_bps))
    links.run(5.0)
    assert all(links.meter.is_measured(target) for target in targets)
    links.pings.clear()
    links.probes.clear()
    links.news.clear()
    return links


def test_a_new_link_is_pinged_at_every_tick_and_probed_after_the_first_pongs():
    links = VirtualLinks({FOG: 20e6})
    links.run(0.27)
    assert [round(at_s, 6) for at_s, _ in links.pings] == [0.05, 0.1, 0.15, 0.2, 0.25]
    assert not links.probes
    links.run(5.0)
    assert links.probes[0][0] == pytest.approx(0.3)
    assert links.meter.is_measured(FOG)
    later_s = [at_s for at_s, _ in links.pings if at_s > 0.5]
    gaps_s = [after_s - before_s for before_s, after_s in itertools.pairwise(later_s)]
    assert gaps_s == pytest.approx([PING_INTERVAL_S] * len(gaps_s), abs=1.01 * TICK_S)  # at the first tick after it


@pytest.mark.parametrize("rate_bps", [2e6, 20e6, 100e6])
def test_the_first_receipt_is_news_and_the_first_probes_tell_the_rate_within_a_tenth(rate_bps):
    links = VirtualLinks({FOG: rate_bps})
    links.run(3.0)
    first_s, first = links.news[0]
    assert first.target == FOG
    assert first_s == pytest.approx(links.probes[0][0] + RTT_S + 8 * links.probes[0][2] / rate_bps)
    assert links.bps(FOG) == pytest.approx(rate_bps, rel=0.1)


def test_what_is_as_last_reported_is_no_news():
    links = measured(FOG)
    for _ in range(4):
        links.frame(FOG, 60_000)
        links.run(links.now_s + 0.2)
    assert len(links.news) <= 1  # renewed once, since the last was a second old


def test_nothing_is_probed_while_messages_are_in_flight_on_any_link():
    links = measured(FOG, CLOUD)
    until_s = links.now_s + 10.0
    while links.now_s < until_s:
        links.frame(FOG, 500_000)  # 200 ms of the link, without a pause
        links.run(links.now_s + 0.2)
    assert links.probes == []


def test_a_message_stuck_for_long_keeps_other_links_from_being_probed_no_more():
    links = measured(FOG, CLOUD)
    links.rate_bps[FOG] = 100.0
    links.frame(FOG, 60_000)
    stuck_s = links.now_s
    links.run(stuck_s + 6.0)
    assert CLOUD in {target for _, target, _ in links.probes}
    assert sum(target == FOG for _, target, _ in links.probes) <= 4  # the message itself may have been lost
    assert links.probes[0][0] == pytest.approx(stuck_s + BUSY_LIMIT_S, abs=TICK_S)


def test_an_overdue_message_caps_the_goodput_before_its_receipt():
    links = measured(FOG)
    links.rate_bps[FOG] = 0.0
    links.frame(FOG, 60_000)
    sent_s = links.now_s
    links.run(sent_s + 2.0)
    first_s, first = links.news[0]
    assert sent_s + est.SILENCE_GRACE_S < first_s < sent_s + 0.5
    assert first.goodput_bps < 8 * 60_000 / (first_s - sent_s - first.rtt_s - TICK_S)
    assert links.bps(FOG) < 8 * 60_000 / 1.8


def test_a_link_without_answers_is_silent_before_long_and_others_are_probed_at_once():
    links = measured(FOG, CLOUD)
    links.frame(FOG, 60_000)
    links.run(5.5)
    assert not any(one.is_silent for _, one in links.news)
    links.rate_bps[FOG] = 0.0
    links.frame(FOG, 60_000)
    links.probes.clear()
    links.run(6.2)
    began_s, silent = next((at_s, one) for at_s, one in links.news if one.is_silent)
    assert silent.target == FOG
    assert began_s <= 5.5 + est.SILENCE_GRACE_S + LEAST_LIMIT_S + 2 * TICK_S
    assert links.probes[0][:2] == (pytest.approx(began_s, abs=TICK_S), CLOUD)
    assert all(target == CLOUD for _, target, _ in links.probes)


def test_a_silent_link_is_heard_again_with_the_first_answer():
    links = measured(FOG)
    links.rate_bps[FOG] = 0.0
    links.run(6.0)
    assert links.news[-1][1].is_silent
    links.rate_bps[FOG] = 20e6
    links.run(6.4)
    assert not links.news[-1][1].is_silent


def test_a_message_on_a_slow_link_is_no_silence_while_pings_are_answered():
    links = measured(FOG)
    links.rate_bps[FOG] = 0.05e6
    links.frame(FOG, 60_000)
    links.run(12.0)
    assert not any(one.is_silent for _, one in links.news)


@pytest.mark.parametrize(("rate_bps", "is_probed"), [(400e6, True), (10e6, False)])
def test_a_fast_link_is_looked_at_though_another_never_rests_and_a_slow_one_is_not(rate_bps: float, is_probed: bool):
    links = measured(FOG, CLOUD, rate_bps=rate_bps)
    for number in range(12):  # always two in flight
        links.frame(FOG, int(rate_bps / 15))
        links.run(5.5 + 0.5 * number)
    assert (CLOUD in {target for at_s, target, _ in links.probes if at_s > 7.0}) == is_probed


def test_a_probe_beside_others_shows_a_faster_link_and_no_slower_one():
    links = measured(FOG, CLOUD, rate_bps=100e6)
    for number, rate_bps in enumerate([50e6] * 8 + [800e6] * 16):
        links.rate_bps[CLOUD] = rate_bps
        links.frame(FOG, int(100e6 / 8))
        links.run(5.5 + 0.5 * number)
        if number == 7:
            assert links.bps(CLOUD) == pytest.approx(100e6, rel=0.1)
    assert links.bps(CLOUD) > 200e6


def fallen(sends_to_cloud: bool) -> tuple[VirtualLinks, float]:
    """Links whose bottleneck has fallen to a tenth, and when `FOG` confirmed it; a frame to `CLOUD` shortly before."""
    links = measured(FOG, CLOUD)
    links.run(5.2)  # the last probe of `CLOUD` is some time ago, the next to come
    links.rate_bps[FOG] = 2e6
    links.frame(FOG, 30_000)
    links.run(5.4)
    links.frame(FOG, 30_000)
    links.run(5.52)
    if sends_to_cloud:
        links.frame(CLOUD, 30_000)  # 32 ms on its way
    links.news.clear()
    links.probes.clear()
    proven_s = 5.4 + RTT_S + 8 * 30_000 / 2e6
    links.run(proven_s + 1e-6)
    return links, proven_s


def test_when_a_link_jumps_the_idle_ones_are_probed_at_once():
    links, proven_s = fallen(sends_to_cloud=False)
    assert [one.target for _, one in links.news] == [FOG]
    links.run(proven_s + 1.0)
    assert links.probes[0][0] < proven_s + TICK_S
    assert links.probes[0][1] == CLOUD
    assert links.bps(CLOUD) == pytest.approx(20e6, rel=0.1)


def test_a_link_that_carries_messages_itself_needs_no_probe():
    links, _ = fallen(sends_to_cloud=True)
    assert [one.target for _, one in links.news] == [FOG]


def test_a_lost_link_is_news_and_what_was_on_its_way_is_forgotten():
    links = measured(FOG)
    meter, now_s = links.meter, links.now_s
    frame, ping = meter.next_seq(), meter.ping_sent(FOG, now_s)
    meter.sending(FOG, frame, 60_000, now_s)
    (lost,) = meter.peer(FOG, False, now_s)
    assert lost.goodput_bps == 0.0
    assert meter.n_in_flight(FOG) == 0
    assert meter.receipt(FOG, frame, now_s + 0.1) == meter.pong(FOG, ping, now_s + 0.1) == ()
    assert meter.due_pings(now_s + 60.0) == []
    assert meter.next_probe(now_s + 60.0) is None
    assert meter.next_due_s() == math.inf


def test_a_link_that_returns_is_believed_after_two_messages_and_measured_again():
    links = measured(FOG)
    before_bps = links.bps(FOG)
    links.peer(FOG, False)
    links.run(links.now_s + 3.0)
    links.peer(FOG, True)
    returned_s = links.now_s
    assert not links.meter.is_measured(FOG)
    links.news.clear()
    links.probes.clear()
    links.run(returned_s + 1.0)
    n_bytes = [probe[2] for probe in links.probes]
    assert n_bytes[:2] == [MIN_PROBE_BYTES, MIN_PROBE_BYTES]  # the smallest, whatever the link carried before
    first_s = next(at_s for at_s, one in links.news if one.goodput_bps > 0.0)
    assert links.probes[1][0] < first_s < returned_s + 1.0
    links.run(returned_s + 3.0)
    assert links.meter.is_measured(FOG)
    assert links.bps(FOG) == pytest.approx(before_bps, rel=0.1)


def test_a_forgotten_link_is_neither_pinged_nor_probed_nor_reported():
    links = measured(FOG, CLOUD)
    seq = links.meter.next_seq()
    links.meter.sending(FOG, seq, 60_000, links.now_s)
    links.meter.forget(FOG)
    assert links.meter.receipt(FOG, seq, links.now_s + 0.1) == ()
    links.run(links.now_s + 5.0)
    assert {target for _, target in links.pings} == {target for _, target, _ in links.probes} == {CLOUD}
    assert [one.target for one in links.meter.estimates(links.now_s)] == [CLOUD]


def test_links_measured_anew_know_nothing_and_are_measured_as_if_new():
    links = measured(FOG)
    links.meter.remeasure(links.now_s)
    assert links.meter.estimates(links.now_s) == ()
    assert not links.meter.is_measured(FOG)
    links.rate_bps[FOG] = 5e6
    links.run(links.now_s + 3.0)
    assert len(links.probes) >= N_FIRST_PROBES
    assert links.bps(FOG) == pytest.approx(5e6, rel=0.1)


def test_a_receipt_or_pong_that_comes_twice_counts_once():
    links = measured(FOG)
    meter, now_s = links.meter, links.now_s
    frame, ping = meter.next_seq(), meter.ping_sent(FOG, now_s)
    meter.sending(FOG, frame, 60_000, now_s)
    meter.receipt(FOG, frame, now_s + 0.05)
    meter.pong(FOG, ping, now_s + 0.02)
    known = meter.estimates(now_s + 1.0)
    assert meter.receipt(FOG, frame, now_s + 0.9) == meter.pong(FOG, ping, now_s + 0.9) == ()
    assert meter.receipt(CLOUD, frame, now_s + 0.9) == ()
    assert meter.estimates(now_s + 1.0) == known


def test_a_peer_whose_link_is_known_already_is_neither_new_nor_probed_at_once():
    state = next(iter(measured(FOG).meter.estimates(5.0)))
    known = est.observe_rtt(est.LinkState(source=EDGE, target=FOG), RTT_S, 0.1)
    known = est.observe_transfer(known, est.TransferSample(300_000, 1.0, 1.0 + RTT_S + 8 * 300_000 / 20e6))
    meter = wanting()
    (news,) = meter.peer_measured(known, 2.0)
    assert news.goodput_bps == pytest.approx(state.goodput_bps, rel=0.1)
    assert meter.is_measured(FOG)
    assert meter.next_probe(2.5) is None
    assert meter.next_probe(3.0) is not None


def test_a_meter_that_does_not_probe_waits_for_pings_alone():
    meter = wanting(ping_interval_s=2.0, is_probing=False)
    pinged(meter)
    meter.ping_sent(FOG, 1.0)
    assert meter.next_probe(10.0) is None
    assert meter.next_due_s() == 3.0


def wanting(**options) -> LinkMeter:
    """A meter whose links are all wanted."""
    meter = LinkMeter(EDGE, **options)
    meter.measure({FOG, CLOUD}, 0.0)
    return meter


def pinged(meter: LinkMeter) -> None:
    """The first pings of `FOG`, from 0.0 s on."""
    meter.peer(FOG, True, 0.0)
    for number in range(N_FIRST_PONGS):
        at_s = TICK_S * number
        assert meter.due_pings(at_s) == [FOG]
        meter.pong(FOG, meter.ping_sent(FOG, at_s), at_s + RTT_S)


def test_a_message_that_leaves_is_looked_after_as_soon_as_it_may_be_overdue():
    meter = wanting(ping_interval_s=60.0, is_probing=False)
    pinged(meter)
    meter.ping_sent(FOG, 1.0)
    assert meter.next_due_s() == 61.0
    meter.sending(FOG, meter.next_seq(), 60_000, 2.0)
    assert meter.next_due_s() == 2.0 + est.SILENCE_GRACE_S


def test_a_probe_that_was_on_its_way_when_the_peer_was_lost_is_not_awaited():
    links = VirtualLinks({FOG: 20e6})
    while not links.probes:
        links.run(links.now_s + 0.01)
    links.peer(FOG, False)
    links.run(links.now_s + 1.0)
    links.peer(FOG, True)
    links.run(links.now_s + 3.0)
    assert links.meter.is_measured(FOG)


def test_an_answer_to_a_ping_of_long_ago_teaches_nothing():
    meter = wanting()
    meter.peer(FOG, True, 0.0)
    first, *_ = [meter.ping_sent(FOG, 0.25 * number) for number in range(33)]
    meter.pong(FOG, first, 9.0)
    frame = meter.next_seq()
    meter.sending(FOG, frame, 60_000, 9.0)
    (news,) = meter.receipt(FOG, frame, 9.5)
    assert news.rtt_s == 0.0


def test_a_node_without_peers_has_nothing_due():
    meter = LinkMeter(EDGE)
    assert (meter.next_due_s(), meter.due_pings(1.0), meter.next_probe(1.0), meter.tick(1.0)) == (
        math.inf,
        [],
        None,
        (),
    )


def test_a_driver_that_skips_ticks_before_the_next_is_due_finds_the_same():
    def played(skips_ticks: bool) -> VirtualLinks:
        links = VirtualLinks({FOG: 20e6, CLOUD: 8e6}, skips_ticks=skips_ticks)
        for until_s, rate_bps in [(4.0, 20e6), (8.0, 3e6), (12.0, 0.0), (20.0, 30e6)]:
            links.rate_bps[FOG] = rate_bps
            links.frame(FOG, 60_000)
            links.run(until_s)
        links.peer(FOG, False)
        links.run(25.0)
        links.peer(FOG, True)
        links.run(60.0)
        return links

    skipped, asked = played(True), played(False)
    assert skipped.news == asked.news
    assert (skipped.pings, skipped.probes, skipped.statuses) == (asked.pings, asked.probes, asked.statuses)
    assert skipped.n_ticks < 0.65 * asked.n_ticks  # all of those 8 s in which a message is overdue, few of the others


def test_a_status_is_due_twice_a_second_and_at_the_first_tick_after_news():
    beat = Beat(EDGE, LinkMeter(EDGE))
    beat.ask(ORIGIN, "stream", {FOG}, INTEREST_S, 0.0)
    assert beat.tick(0.0).reports == (ORIGIN,)
    assert not beat.tick(0.3).reports
    assert beat.next_due_s() == STATUS_INTERVAL_S
    beat.announce_soon()
    assert beat.next_due_s() <= 0.35
    assert beat.tick(0.35).reports
    assert not beat.tick(0.4).reports
    assert beat.tick(0.35 + STATUS_INTERVAL_S).reports


def test_a_node_that_nobody_asks_anything_never_has_anything_due():
    beat = Beat(EDGE, meter := LinkMeter(EDGE))
    meter.peer(FOG, True, 0.0)
    beat.announce_soon()
    assert beat.next_due_s() == math.inf
    assert beat.tick(100.0) == Due(news=(), pings=(), probe=None, reports=())


def test_measuring_ends_with_the_interest_and_what_frames_teach_goes_on():
    links = measured(FOG, CLOUD)
    links.wanted = frozenset()
    links.run(links.now_s + INTEREST_S + 0.1)
    links.pings.clear()
    links.probes.clear()
    links.statuses.clear()
    links.rate_bps[FOG] = 2e6
    for _ in range(8):
        links.frame(FOG, 60_000)
        links.run(links.now_s + 0.5)
    assert (links.pings, links.probes, links.statuses) == ([], [], [])
    assert links.bps(FOG) == pytest.approx(2e6, rel=0.1)


def test_a_link_that_is_wanted_again_after_a_rest_is_known_within_a_second():
    links = measured(FOG, CLOUD)
    links.wanted = frozenset({CLOUD})
    links.run(60.0)
    assert {target for at_s, target, _ in links.probes if at_s > 5.0 + INTEREST_S} == {CLOUD}
    links.rate_bps[FOG], links.wanted = 4e6, frozenset({FOG, CLOUD})
    links.run(61.0)
    assert links.bps(FOG) == pytest.approx(4e6, rel=0.25)


def test_an_interest_of_this_node_itself_measures_and_reports_to_nobody():
    beat = Beat(EDGE, meter := LinkMeter(EDGE))
    meter.peer(FOG, True, 0.0)
    beat.ask(EDGE, "stream", {FOG}, INTEREST_S, 0.0)
    assert beat.tick(0.0) == Due(news=(), pings=(FOG,), probe=None, reports=())
    assert beat.tick(INTEREST_S).pings == ()


def test_the_table_of_events_names_the_methods_that_take_one():
    asks = {"next_seq", "next_due_s", "due_pings", "is_measured", "n_in_flight", "estimates", "peer_measured"}
    methods = {name for name, one in vars(LinkMeter).items() if callable(one) and not name.startswith("_")}
    named = {line.split("`")[1] for line in (meter_module.__doc__ or "").splitlines() if line.startswith("| `")}
    assert named == methods - asks


def test_a_link_that_was_thought_slow_is_not_left_alone_for_as_long_once_it_is_known_to_be_fast():
    """It was probed again only after the minutes that 4 kB in a hundred would have taken on the slow link."""
    links = VirtualLinks({FOG: 20e6})
    links.run(5.0)
    links.rate_bps[FOG] = 0.02e6
    links.frame(FOG, 20_000)
    links.run(14.0)  # 8 s for the frame, then a probe that puts the next one off by 5 minutes
    links.rate_bps[FOG] = 20e6
    for number in range(6):
        links.run(20.0 + number)
        links.frame(FOG, 20_000)
    links.run(30.0)
    n_before = len(links.probes)
    links.run(36.0)
    assert len(links.probes) >= n_before + 4


def test_a_link_that_is_back_is_probed_though_another_is_busy_all_the_time():
    links = measured(FOG, CLOUD)
    links.peer(CLOUD, False)
    links.run(links.now_s + 1.0)
    links.peer(CLOUD, True)
    returned_s = links.now_s
    links.probes.clear()
    for number in range(200):  # a frame every 10 ms that takes 12
        links.frame(FOG, 30_000)
        links.run(returned_s + 0.01 * (number + 1))
    assert [probe[1] for probe in links.probes][:2] == [CLOUD, CLOUD]
    assert links.bps(CLOUD) > 0.0


def test_a_receipt_or_pong_counts_from_whom_it_was_asked_and_once():
    fog, cloud = FOG, CLOUD
    meter = wanting(first_seq=1 << 40)
    for peer in (fog, cloud):
        meter.peer(peer, True, 0.0)
    ping, seq = meter.ping_sent(fog, 0.0), meter.next_seq()
    meter.sending(fog, seq, 60_000, 0.0)
    assert min(ping, seq) >= 1 << 40
    for guess in range(100):
        meter.receipt(fog, guess, 0.001)
        meter.pong(fog, guess, 0.001)
    meter.receipt(cloud, seq, 0.001)
    meter.pong(cloud, ping, 0.001)
    assert meter.n_in_flight(fog) == 1
    assert meter.estimates(1.0) == ()
    meter.pong(fog, ping, 0.02)
    meter.receipt(fog, seq, 0.1)
    meter.receipt(fog, seq, 0.2)
    (known,) = meter.estimates(1.0)
    assert known.rtt_s == 0.02
    assert known.n_samples == 1


def test_a_message_that_was_lost_on_a_living_link_keeps_it_from_being_measured_for_a_moment_only():
    """Found by the storm with damaged messages: a link was held for dead for as long as the stream lasted."""
    fog = FOG
    meter = wanting()
    meter.peer(fog, True, 0.0)
    for number in range(N_FIRST_PONGS):
        meter.pong(fog, meter.ping_sent(fog, 0.1 * number), 0.1 * number + 0.01)
    lost = meter.next_probe(1.0)
    assert lost is not None
    meter.sending(fog, lost.seq, lost.n_bytes, 1.0)
    assert meter.next_probe(1.0 + 0.5 * BUSY_LIMIT_S) is None
    again = meter.next_probe(1.0 + BUSY_LIMIT_S)
    assert again is not None
    meter.sending(fog, again.seq, again.n_bytes, 1.0 + BUSY_LIMIT_S)
    meter.receipt(fog, again.seq, 1.1 + BUSY_LIMIT_S)
    assert meter.n_in_flight(fog) == 0
    assert meter.receipt(fog, lost.seq, 1.2 + BUSY_LIMIT_S) == ()
    (known,) = meter.estimates(2.0 + BUSY_LIMIT_S)
    assert known.n_samples == 1
    assert known.goodput_bps > 0.0
