"""The link meter against an imitated link, in time that the test makes: what it knows, and what knowing costs."""

from __future__ import annotations

import pytest

from seamline.core.vocabulary.nodes import NodeId
from seamline.runtime.node import links
from seamline.runtime.node.links import LinkMeter

FOG = NodeId("fog")
RTT_S = 0.02
OVERHEAD_S = 0.003
TICK_S = 0.05


class Rehearsal:
    """One meter and one link at `rate_mbps`; `run` lets seconds pass as the heartbeat does."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, rate_mbps: float) -> None:
        self.rate_mbps = rate_mbps
        self.now_s = 100.0
        monkeypatch.setattr(links, "now_s", lambda: self.now_s)
        self.meter = LinkMeter(NodeId("edge"), lambda _: None)
        self.probes: list[int] = []
        self.due: list[tuple[float, int]] = []
        self.meter.peer(FOG, True)
        self.want()

    @property
    def mbps(self) -> float:
        (known,) = self.meter.estimates()
        return known.goodput_bps / 1e6

    def want(self) -> None:
        self.meter.ask(FOG, "stream", [FOG], 3.0)

    def run(self, duration_s: float) -> None:
        until_s = self.now_s + duration_s
        while self.now_s < until_s:
            self.want()
            tick_s = self.now_s + TICK_S
            self._receive(tick_s)
            self.now_s = tick_s
            due = self.meter.beat()
            for target in due.pings:
                seq = self.meter.pinging(target)
                self.now_s += RTT_S
                self.meter.pong(target, seq)
            if due.probe is not None:
                self.probes.append(due.probe.n_bytes)
                self.send(due.probe.seq, due.probe.n_bytes)

    def send(self, seq: int, n_bytes: int) -> None:
        self.meter.sending(FOG, seq, n_bytes)
        free_s = max([self.now_s, *(at_s - RTT_S - OVERHEAD_S for at_s, _ in self.due)])
        self.due.append((free_s + 8 * n_bytes / (self.rate_mbps * 1e6) + RTT_S + OVERHEAD_S, seq))

    def frame(self, n_bytes: int) -> None:
        self.send(self.meter.next_seq(), n_bytes)

    def _receive(self, until_s: float) -> None:
        while self.due and self.due[0][0] <= until_s:
            self.now_s, seq = self.due.pop(0)
            self.meter.receipt(FOG, seq)


@pytest.mark.parametrize("rate_mbps", [2, 5, 20, 100])
def test_the_first_probes_tell_a_new_link_within_a_tenth(monkeypatch, rate_mbps):
    rehearsal = Rehearsal(monkeypatch, rate_mbps)
    rehearsal.run(3.0)
    assert rehearsal.meter.is_measured(FOG)
    assert rehearsal.mbps == pytest.approx(rate_mbps, rel=0.1)


@pytest.mark.parametrize("rate_mbps", [2, 5, 20, 100])
def test_probes_of_an_idle_link_stay_below_a_hundredth_or_4_kb_a_second_and_the_estimate_stays(monkeypatch, rate_mbps):
    rehearsal = Rehearsal(monkeypatch, rate_mbps)
    rehearsal.run(3.0)
    rehearsal.probes.clear()
    rehearsal.run(60.0)
    assert len(rehearsal.probes) > 10
    assert 8 * sum(rehearsal.probes) < max(0.01 * rate_mbps * 1e6, 8 * 4096.0) * 61.0
    assert rehearsal.mbps == pytest.approx(rate_mbps, rel=0.1)


def test_a_link_that_carries_frames_is_not_probed(monkeypatch):
    rehearsal = Rehearsal(monkeypatch, 20)
    rehearsal.run(3.0)
    rehearsal.probes.clear()
    for _ in range(50):
        rehearsal.frame(60_000)
        rehearsal.run(0.2)
    assert rehearsal.probes == []
    assert rehearsal.mbps == pytest.approx(20, rel=0.1)


@pytest.mark.parametrize(("before", "after"), [(20, 5), (5, 20)])
@pytest.mark.parametrize("idle_s", [0.5, 4.0, 20.0])
def test_an_idle_link_that_stepped_is_known_within_two_seconds(monkeypatch, before, after, idle_s):
    rehearsal = Rehearsal(monkeypatch, before)
    rehearsal.run(3.0)
    rehearsal.run(idle_s)
    rehearsal.rate_mbps = after
    rehearsal.run(2.0)
    assert rehearsal.mbps == pytest.approx(after, rel=0.2)


def test_what_was_probed_on_debt_is_paid_back(monkeypatch):
    rehearsal = Rehearsal(monkeypatch, 5)
    rehearsal.run(4.0)
    rehearsal.rate_mbps = 20
    rehearsal.probes.clear()
    rehearsal.run(30.0)
    assert 8 * sum(rehearsal.probes) < 0.011 * 20e6 * 30.0


@pytest.mark.parametrize(("before", "after"), [(20, 5), (5, 20)])
def test_a_step_is_known_after_two_frames(monkeypatch, before, after):
    rehearsal = Rehearsal(monkeypatch, before)
    rehearsal.run(3.0)
    for _ in range(10):
        rehearsal.frame(60_000)
        rehearsal.run(0.2)
    rehearsal.rate_mbps = after
    for _ in range(2):
        rehearsal.frame(60_000)
        rehearsal.run(0.2)
    assert rehearsal.mbps == pytest.approx(after, rel=0.2)
