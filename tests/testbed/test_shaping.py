"""What one direction of a link does to chunks, in computed time."""

import pytest

from seamline.core.link.loss import PACKET_BYTES
from seamline.testbed.flows import Hop, Outlet
from seamline.testbed.shaping import Arrivals, LinkDirection, LinkShape, changed


def test_chunks_leave_one_after_the_other_at_the_rate_and_arrive_a_delay_later() -> None:
    link = LinkDirection(LinkShape(rate_bps=8e6, delay_s=0.010))
    assert link.serve(1000, ready_s=5.0) == pytest.approx(5.011)
    assert link.serve(1000, ready_s=5.0) == pytest.approx(5.012)
    assert link.serve(1000, ready_s=6.0) == pytest.approx(6.011)


def test_an_idle_link_saves_up_no_burst() -> None:
    link = LinkDirection(LinkShape(rate_bps=8e6))
    link.serve(1000, ready_s=0.0)
    arrivals = [link.serve(1000, ready_s=100.0) for _ in range(3)]
    assert arrivals == pytest.approx([100.001, 100.002, 100.003])


def test_an_unlimited_link_only_delays() -> None:
    link = LinkDirection(LinkShape(delay_s=0.25))
    assert [link.serve(10**9, ready_s=1.0) for _ in range(2)] == [1.25, 1.25]


def test_a_new_rate_applies_to_what_is_left_of_the_chunk_in_service() -> None:
    link = LinkDirection(LinkShape(rate_bps=8e3))
    link.serve(1000, ready_s=0.0)  # busy until 1.0
    link.reshape(changed(link.shape, rate_bps=4e3), now_s=0.5)
    assert link.free_at_s == pytest.approx(1.5)
    link.reshape(changed(link.shape, rate_bps=0.0), now_s=0.6)
    assert link.free_at_s == pytest.approx(0.6)


def test_a_chunk_in_service_arrives_sooner_when_the_link_gets_faster() -> None:
    link, outlet = LinkDirection(LinkShape(rate_bps=8.0, delay_s=0.5)), Outlet()
    hop = Hop(link, outlet)
    hop.put(memoryview(bytes(1000)), 0.0)
    hop.serve_one(0.0)  # would be out after 1000 s
    link.reshape(changed(link.shape, rate_bps=8e6), now_s=0.0)
    hop.shift_last(1000.0, link.free_at_s)
    assert not hop.deliver(0.5)
    assert hop.deliver(0.5012)
    assert outlet.n_held_bytes == 1000


def test_silence_carries_nothing_and_is_not_made_up_for() -> None:
    link = LinkDirection(LinkShape(rate_bps=8e6))
    link.silence()
    link.restore(now_s=10.0)
    assert link.serve(1000, ready_s=1.0) == pytest.approx(10.001)


def test_jitter_stays_within_its_bounds_and_varies() -> None:
    link = LinkDirection(LinkShape(delay_s=0.1, jitter_s=0.02), seed=1)
    delays = [link.serve(100, ready_s=float(at)) - at for at in range(200)]
    assert all(0.08 - 1e-9 <= delay <= 0.12 + 1e-9 for delay in delays)
    assert max(delays) - min(delays) > 0.03


def test_a_lost_packet_comes_a_round_trip_later_or_a_timeout_where_its_repair_is_lost_too() -> None:
    link = LinkDirection(LinkShape(delay_s=0.01, loss_ratio=0.2), seed=2)
    delays = [link.serve(PACKET_BYTES, ready_s=float(at)) - at for at in range(2000)]
    n_repaired = sum(delay == pytest.approx(0.03, abs=1e-6) for delay in delays)
    n_timeouts = sum(delay == pytest.approx(0.21, abs=1e-6) for delay in delays)
    assert n_repaired + n_timeouts + sum(delay == pytest.approx(0.01, abs=1e-6) for delay in delays) == 2000
    # Binomial(2000, 0.16): 320 +- 16 and (2000, 0.04): 80 +- 9 (one standard deviation); the width is five of them.
    assert 240 < n_repaired < 400
    assert 35 < n_timeouts < 125


def test_bytes_of_one_connection_never_overtake() -> None:
    arrivals = Arrivals()
    assert [arrivals.in_order(at_s) for at_s in (1.0, 1.2, 1.1, 1.3)] == [1.0, 1.2, 1.2, 1.3]


def test_a_smaller_delay_takes_the_jitter_down_with_it() -> None:
    assert changed(LinkShape(delay_s=0.02, jitter_s=0.01), delay_s=0.005).jitter_s == 0.005


@pytest.mark.parametrize("rate_bps", [2e6, 5e6, 20e6, 100e6])
def test_a_hop_that_is_woken_late_still_carries_its_rate(rate_bps: float) -> None:
    link, outlet = LinkDirection(LinkShape(rate_bps=rate_bps, delay_s=0.01)), Outlet()
    hop = Hop(link, outlet)
    now_s, n_out = 0.0, 0
    while now_s < 2.0:
        # Wake-ups every 1 to 5 ms, and a sender that always has more.
        while link.free_at_s <= now_s and hop.can_serve():
            hop.serve_one(now_s)
        hop.deliver(now_s)
        n_out += outlet.n_held_bytes
        outlet.discard()
        while hop.n_waiting_bytes < hop.limit_bytes:
            hop.put(memoryview(bytes(PACKET_BYTES)), now_s)
        now_s += 0.001 + 0.001 * (int(now_s * 1000) % 5)
    assert n_out * 8.0 / (2.0 - 0.01) == pytest.approx(rate_bps, rel=0.02)


def test_a_hop_stops_when_the_next_one_is_full() -> None:
    outlet = Outlet()
    hop = Hop(LinkDirection(LinkShape(rate_bps=8e6)), outlet)
    for at_ms in range(1000):
        hop.put(memoryview(bytes(1000)), at_ms / 1e3)
        if hop.can_serve():
            hop.serve_one(at_ms / 1e3)
        hop.deliver(at_ms / 1e3)
    assert outlet.n_held_bytes <= outlet.limit_bytes + hop.link.shape.chunk_bytes
    assert hop.n_waiting_bytes > 0
