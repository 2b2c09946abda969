"""Claims about the overhead of a link that is reported to peers: never more than what messages were seen to take."""

from __future__ import annotations

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seamline.core.link import estimator as est
from seamline.core.link.lower_envelope import MAX_OVERHEAD_S
from seamline.core.link.meter import LinkMeter
from seamline.core.vocabulary.nodes import NodeId

HERE, THERE = NodeId("edge"), NodeId("fog")
SIZES_BYTES = (1, 300, 8192, 60_000, 600_000, 1 << 30)
STEPS_S = (0.0, 1e-9, 1e-4, 0.01, 0.05, 0.4, 2.1)


@given(st.integers(0, 2**32), st.booleans())
def test_whatever_comes_in_whatever_order_every_estimate_can_be_reported(seed: int, may_jump: bool):
    """It found 388 s of overhead after 10 s, where a run had reported more than 1e15: what one byte had taken,
    stretched to the size of a frame when a round trip turned out to be misjudged."""
    rng, now_s = random.Random(seed), 1000.0
    meter = LinkMeter(HERE)
    meter.measure({THERE}, now_s)
    meter.peer(THERE, True, now_s)
    sent: list[int] = []
    pings: list[int] = []
    for _ in range(rng.randint(20, 120)):
        now_s += rng.choice(STEPS_S) if rng.random() < 0.5 else rng.expovariate(10.0)
        if may_jump and rng.random() < 0.02:
            now_s += rng.choice((3600.0, -5.0))
        match rng.choice(("send", "send", "receipt", "receipt", "ping", "pong", "tick", "lost", "back", "anew")):
            case "send":
                sent.append(meter.next_seq())
                meter.sending(THERE, sent[-1], rng.choice(SIZES_BYTES), now_s)
            case "receipt" if sent:
                meter.receipt(THERE, sent.pop(rng.randrange(len(sent))), now_s)
            case "ping":
                pings.append(meter.ping_sent(THERE, now_s))
            case "pong" if pings:
                meter.pong(THERE, pings.pop(rng.randrange(len(pings))), now_s)
            case "tick":
                meter.tick(now_s)
            case "lost" | "back" as which if rng.random() < 0.3:
                meter.peer(THERE, which == "back", now_s)
            case "anew" if rng.random() < 0.1:
                meter.remeasure(now_s)
        for known in meter.estimates(now_s):
            assert 0.0 <= known.overhead_s <= (MAX_OVERHEAD_S if may_jump else min(MAX_OVERHEAD_S, now_s - 1000.0))
            assert 0.0 <= known.rtt_s < 4000.0
            for value in (known.goodput_bps, known.goodput_std_ratio, known.average_bps, known.average_std_ratio):
                assert value >= 0.0
                assert math.isfinite(value)


@pytest.mark.parametrize("late_s", [100.0, 1e6])
def test_an_overhead_beyond_a_minute_counts_as_a_minute(late_s: float):
    state = est.LinkState(source=HERE, target=THERE)
    for number, took_s in enumerate((0.01, 0.01, late_s, late_s)):
        sent_s = 2e6 * number
        sample = est.TransferSample(payload_bytes=60_000, sent_s=sent_s, receipt_s=sent_s + took_s)
        state = est.observe_transfer(state, sample)
    assert est.estimate(state, 8e6).overhead_s <= MAX_OVERHEAD_S
