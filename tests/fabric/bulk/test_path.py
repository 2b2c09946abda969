"""Claims about `fabric.bulk.path`: a first-in first-out link, in virtual time, is filled and never queued for long."""

from __future__ import annotations

import random
import statistics
from collections import deque

import pytest

from seamline.fabric.bulk.path import LEAST_CHUNK_BYTES, MOST_WINDOW_BYTES, QUEUE_S, Path


class Bed:
    """A sender that never runs out of bulk, and a link. queues_s: how long each chunk waited for its turn.

    stall_s: by which the receiver is late to credit a chunk, on average.
    """

    def __init__(self, mbps: float, rtt_s: float, stall_s: float = 0.0) -> None:
        self.random, self.stall_s, self.last_credit_s = random.Random(1), stall_s, 0.0
        self.bytes_per_s, self.rtt_s = mbps * 1e6 / 8.0, rtt_s
        self.path = Path()
        self.now_s = self.free_s = self.busy_s = 0.0
        self.in_flight: deque[tuple[int, int, float, float]] = deque()
        self.n_in_flight = self.n_sent = 0
        self.queues_s: list[float] = []

    def run(self, seconds: float) -> float:
        """The share of the link that was used meanwhile."""
        until_s, before = self.now_s + seconds, self.n_sent
        while self.now_s < until_s:
            while self._may_send():
                self._send()
            n_bytes, before_bytes, sent_s, credit_s = self.in_flight.popleft()
            self.now_s = credit_s
            self.n_in_flight -= n_bytes
            self.path.credited(n_bytes, before_bytes, self.now_s - sent_s, self.now_s)
        return (self.n_sent - before) / (self.bytes_per_s * seconds)

    def _may_send(self) -> bool:
        if not self.in_flight:
            return True
        fits = self.n_in_flight + self.path.chunk_bytes <= self.path.window_bytes
        return fits and not self.path.is_stale(self.now_s)

    def _send(self) -> None:
        n_bytes = self.path.chunk_bytes
        self.queues_s.append(max(0.0, self.free_s - self.now_s))
        self.free_s = max(self.free_s, self.now_s) + n_bytes / self.bytes_per_s
        self.n_in_flight += n_bytes
        self.n_sent += n_bytes
        stall_s = self.random.expovariate(1.0 / self.stall_s) if self.stall_s else 0.0
        self.last_credit_s = max(self.last_credit_s, self.free_s + self.rtt_s + stall_s)
        self.in_flight.append((n_bytes, self.n_in_flight, self.now_s, self.last_credit_s))


@pytest.mark.parametrize(
    ("mbps", "rtt_s"),
    [(5.0, 0.001), (5.0, 0.02), (20.0, 0.001), (50.0, 0.02), (100.0, 0.1), (1000.0, 0.001), (1000.0, 0.02)],
)
def test_a_link_is_filled_and_holds_no_more_than_a_moment(mbps: float, rtt_s: float) -> None:
    bed = Bed(mbps, rtt_s)
    bed.run(5.0)
    bed.queues_s.clear()
    assert bed.run(30.0) > 0.93
    assert statistics.quantiles(bed.queues_s, n=20)[-2] < 2.0 * QUEUE_S
    assert max(bed.queues_s) < 2.0 * QUEUE_S + 1.2 * rtt_s, "a window at once, after it was left to drain"
    assert bed.path.window_bytes <= 1.2 * bed.bytes_per_s * (rtt_s + 2.0 * QUEUE_S) + 3 * LEAST_CHUNK_BYTES


def test_a_link_that_falls_is_known_from_its_first_credits() -> None:
    bed = Bed(100.0, 0.02)
    bed.run(2.0)
    bed.bytes_per_s = 5e6 / 8.0
    bed.run(0.6)  # what was on its way takes so long
    bed.queues_s.clear()
    bed.run(5.0)
    assert max(bed.queues_s) < 3.0 * QUEUE_S


def test_a_link_that_rises_is_filled_within_a_second() -> None:
    bed = Bed(5.0, 0.02)
    bed.run(5.0)
    bed.bytes_per_s = 100e6 / 8.0
    bed.run(1.0)
    assert bed.run(5.0) > 0.95


@pytest.mark.parametrize("mbps", [20.0, 1000.0])
def test_a_receiver_that_is_late_now_and_then_is_no_queue(mbps: float) -> None:
    bed = Bed(mbps, 0.02, stall_s=0.01)
    bed.run(5.0)
    assert bed.run(30.0) > 0.9


def test_credits_that_waited_for_a_processor_change_nothing_unless_all_have() -> None:
    path = Path()
    for at in range(20):
        path.credited(600_000, 600_000, 0.001, 0.1 * at)
    assert path.window_bytes == MOST_WINDOW_BYTES
    for at in range(20, 40):
        path.credited(600_000, 600_000, 0.001 if at % 4 == 0 else 0.3, 0.1 * at)
    assert path.window_bytes == MOST_WINDOW_BYTES
    for at in range(40, 50):
        path.credited(600_000, 600_000, 0.3, 0.1 * at)
    assert path.window_bytes < 100_000


def test_a_way_that_became_longer_is_known_after_a_while() -> None:
    bed = Bed(100.0, 0.01)
    bed.run(5.0)
    bed.rtt_s = 0.1
    bed.run(25.0)
    assert bed.run(10.0) > 0.9


def test_between_messages_a_way_that_became_longer_is_known_at_once() -> None:
    path = Path()
    for at in range(20):
        path.credited(8_000, 64_000, 0.03, 0.2 * at)
        path.credited(8_000, 8_000, 0.02, 0.2 * at + 0.1)
    before = path.window_bytes
    for at in range(20, 40):
        path.credited(8_000, 8_000, 0.1, 0.2 * at)
        path.credited(8_000, 64_000, 0.105, 0.2 * at + 0.1)
    assert path.window_bytes >= before
