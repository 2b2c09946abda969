"""Receipts wait behind what their sender sends itself: that is not the link's slowness."""

from __future__ import annotations

import pytest

from seamline.core.link.meter import PING_INTERVAL_S, LinkMeter
from seamline.core.link.return_path import PERIOD_S, ReturnPath
from seamline.core.vocabulary.nodes import NodeId

CLOUD, EDGE = NodeId("cloud"), NodeId("edge")
RATE_BPS, ONE_WAY_S, OFFSET_S = 20e6, 0.01, 5_000.0
ANSWER_BYTES = 20_000


class Pair:
    """The cloud measures its link to the edge, whose clock is ahead; what the edge sends waits while its uplink is
    busy, in order."""

    def __init__(self, *, says_clock: bool = True) -> None:
        self.meter = LinkMeter(CLOUD, is_probing=False)
        self.meter.peer(EDGE, True, 0.0)
        self.meter.measure({EDGE}, 0.0)
        self.says_clock = says_clock
        self.now_s = 0.0
        self.uplink_free_s = 0.0
        self.on_way: list[tuple[float, int, str, float | None]] = []
        self.pings = True

    def run(self, seconds: float, *, answers_every_s: float = 0.2, rate_bps: float = RATE_BPS) -> list[float]:
        """The estimates of the link at every tick."""
        found, until_s = [], self.now_s + seconds
        pinged_s = answered_s = self.now_s
        while self.now_s < until_s:
            if self.now_s >= pinged_s:
                pinged_s += PING_INTERVAL_S
                self._back(self.now_s + ONE_WAY_S, self.meter.ping_sent(EDGE, self.now_s), "pong")
                self._back(self.now_s, 0, "ping")  # the edge pings as well
            if self.now_s >= answered_s:
                answered_s += answers_every_s
                seq = self.meter.next_seq()
                self.meter.sending(EDGE, seq, ANSWER_BYTES, self.now_s)
                self._back(self.now_s + 8 * ANSWER_BYTES / rate_bps + ONE_WAY_S, seq, "receipt")
            self._arrive()
            self.meter.tick(self.now_s)
            found += [one.goodput_bps for one in self.meter.estimates(self.now_s)]
            self.now_s = round(self.now_s + 0.01, 6)
        return found

    def _back(self, left_s: float, seq: int, what: str) -> None:
        here_s = max(left_s, self.uplink_free_s) + ONE_WAY_S
        self.on_way.append((here_s, seq, what, left_s + OFFSET_S if self.says_clock else None))
        self.on_way.sort(key=lambda one: one[0])

    def _arrive(self) -> None:
        while self.on_way and self.on_way[0][0] <= self.now_s:
            here_s, seq, what, said_s = self.on_way.pop(0)
            match what:
                case "receipt":
                    self.meter.receipt(EDGE, seq, here_s, said_s)
                case "pong":
                    self.meter.pong(EDGE, seq, here_s, said_s)
                case _:
                    self.meter.heard(EDGE, said_s, here_s)


def with_busy_uplink(pair: Pair, *, for_s: float) -> list[float]:
    """Frames of the edge keep its uplink busy for as long, again and again."""
    found = []
    for _ in range(8):
        pair.uplink_free_s = pair.now_s + for_s
        found += pair.run(for_s + 0.1)
    return found


@pytest.mark.parametrize("busy_s", [0.1, 0.5, 1.5])
def test_what_receipts_wait_behind_the_peers_own_frames_is_not_the_links(busy_s):
    pair = Pair()
    pair.run(3.0)
    found = with_busy_uplink(pair, for_s=busy_s)
    assert (min(found), max(found)) == pytest.approx((RATE_BPS, RATE_BPS), rel=0.02)


def test_without_the_peers_clock_the_same_link_seems_to_fall():
    pair = Pair(says_clock=False)
    pair.run(3.0)
    assert min(with_busy_uplink(pair, for_s=1.5)) < RATE_BPS / 10


def test_a_link_that_falls_is_known_within_a_second_all_the_same():
    pair = Pair()
    pair.run(3.0)
    assert pair.run(1.0, rate_bps=RATE_BPS / 50)[-1] < RATE_BPS / 4


def test_a_falling_link_and_a_busy_uplink_are_told_apart_once_the_uplink_is_free():
    pair = Pair()
    pair.run(3.0)
    pair.uplink_free_s = pair.now_s + 1.0
    assert min(pair.run(0.9, rate_bps=RATE_BPS / 50)) == pytest.approx(RATE_BPS, rel=0.02)
    assert pair.run(1.0, rate_bps=RATE_BPS / 50)[-1] < RATE_BPS / 4


def test_a_clock_that_lies_moves_nothing_but_its_own_link_and_stays_finite():
    meter = LinkMeter(CLOUD, is_probing=False)
    meter.peer(EDGE, True, 0.0)
    for number, said_s in enumerate((1e15, -1e15, 0.0, 1e15)):
        seq, sent_s = meter.next_seq(), 1.0 + number
        meter.sending(EDGE, seq, ANSWER_BYTES, sent_s)
        meter.receipt(EDGE, seq, sent_s + 0.1, said_s)
        meter.tick(sent_s + 0.2)
    (estimate,) = meter.estimates(6.0)
    assert 0.0 < estimate.goodput_bps < 1e15


def test_the_way_back_may_become_longer_for_good():
    back = ReturnPath()
    for at_s in range(10):
        back = back.heard(100.0 + at_s, at_s + 0.01)
    assert back.waited_s(110.0, 10.2) == pytest.approx(0.19)
    for at_s in range(10, 10 + round(2 * PERIOD_S) + 2):
        back = back.heard(100.0 + at_s, at_s + 0.2)
    assert back.waited_s(150.0, 50.2) == pytest.approx(0.0)


def test_of_a_peer_that_has_said_nothing_nothing_is_subtracted():
    assert ReturnPath().waited_s(5.0, 7.0) == 0.0
    assert ReturnPath().heard_until_s(7.0) == 7.0
