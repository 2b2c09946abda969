"""Claims about `runtime.shared.bounds`: what is possible passes as it is, and nothing else does."""

from __future__ import annotations

import math

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from seamline.core.vocabulary.nodes import NodeId
from seamline.fabric import messages as msg
from seamline.fabric.wire import pack, unpack
from seamline.runtime.shared import bounds

LINK = msg.LinkReport(
    target="edge", rtt_s=0.02, goodput_bps=2e7, goodput_std_ratio=0.1, n_samples=9, age_s=0.5, overhead_s=0.003,
    average_bps=1.9e7, average_std_ratio=0.2, oscillating_for_s=12.0,
)  # fmt: skip
STATUS = msg.Status(
    tier="fog", incarnation="1", version="1", engine="ort", threads=4, n_cores=4, memory_bytes=10**9,
    free_memory_bytes=10**8, queue_s=0.2, models=(), links=(LINK,), usable_memory_bytes=10**8,
    provider="cuda", gpu=msg.GpuReport(name="NVIDIA T4", memory_bytes=10**10, free_memory_bytes=10**9),
)  # fmt: skip
REPORT = msg.StageReport(
    node="fog", queue_s=0.1, decode_s=0.001, compute_s=0.02, encode_s=0.0, sent_bytes=600_000, energy_j=0.3
)

any_number = st.floats(allow_nan=True, allow_infinity=True)


def test_what_is_possible_passes_as_it_is():
    assert bounds.bounded_status(STATUS) == STATUS
    assert bounds.bounded_report(REPORT) == REPORT


@given(st.lists(any_number, min_size=9, max_size=9), st.integers())
def test_whatever_the_own_estimates_are_the_status_can_be_sent_and_is_taken(numbers, whole):
    fields = [name for name in LINK.__struct_fields__ if name not in ("target", "n_samples")]
    link = msgspec.structs.replace(LINK, **dict(zip(fields, numbers, strict=False)), n_samples=whole)
    gpu = msg.GpuReport(name="n" * 999, memory_bytes=whole, free_memory_bytes=-whole)
    status = msgspec.structs.replace(
        STATUS, links=(link,) * 300, queue_s=numbers[0], usable_memory_bytes=whole, gpu=gpu, provider="p" * 999
    )
    sent = bounds.bounded_status(status)
    header, _ = unpack(pack(sent))
    assert header == sent == bounds.bounded_status(sent)
    assert len(sent.links) == bounds.MAX_LINKS
    assert 0.0 <= sent.links[0].overhead_s <= bounds.MAX_OVERHEAD_S
    assert 0.0 <= sent.links[0].rtt_s <= bounds.MAX_RTT_S
    assert 0.0 <= sent.links[0].goodput_bps <= bounds.MAX_GOODPUT_BPS


@pytest.mark.parametrize("seconds", [1e15, -1e15, math.inf, math.nan])
def test_a_stage_says_no_more_than_an_hour_and_nothing_negative(seconds):
    report = bounds.bounded_report(
        msgspec.structs.replace(REPORT, queue_s=seconds, compute_s=seconds, sent_bytes=-5, energy_j=seconds)
    )
    assert 0.0 <= report.queue_s <= bounds.MAX_SPENT_S
    assert 0.0 <= report.compute_s <= bounds.MAX_SPENT_S
    assert report.sent_bytes == 0
    assert report.energy_j is not None
    assert 0.0 <= report.energy_j <= bounds.MAX_ENERGY_J


def test_interest_is_held_under_short_names_and_in_so_many_links():
    ask = msg.MeasureLinks("s" * 10**6, tuple(f"{number}-{'n' * 10**4}" for number in range(1000)), 3.0)
    kept = bounds.bounded_interest(ask)
    assert len(kept.stream) == bounds.MAX_WORD_LETTERS
    assert len(kept.targets) == bounds.MAX_LINKS
    assert max(map(len, kept.targets)) == bounds.MAX_WORD_LETTERS
    assert kept.for_s == 3.0
    assert bounds.bounded_interest(msg.MeasureLinks("edge-1", ("fog", "cloud"), 3.0)).targets == ("fog", "cloud")


def test_a_node_takes_no_absurd_status_into_its_streams(bench, wait_until):
    edge, fog = bench.start("edge"), NodeId("fog")
    bench.start("fog")
    wait_until(lambda: fog in edge.membership.statuses())
    absurd = msgspec.structs.replace(
        edge.membership.statuses()[fog], queue_s=1e15, links=(msgspec.structs.replace(LINK, overhead_s=1e15),)
    )
    edge.membership.on_status(fog, absurd)
    heard = edge.membership.statuses()[fog]
    assert heard.queue_s == bounds.MAX_SPENT_S
    assert [link.overhead_s for link in heard.links] == [bounds.MAX_OVERHEAD_S]
