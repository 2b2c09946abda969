"""Claims about waiting on shared nodes: the queue's formula, what a stream causes, and why moves end."""

from __future__ import annotations

import math
import random
from itertools import pairwise

import pytest

from seamline.core.cost.loads import NodeLoad, SegmentLoad, StageLoad, node_load
from seamline.core.cost.waiting import FULL_RATIO, all_waiting, caused_s, congestion, met_s
from seamline.core.vocabulary.plans import Segment

IDLE = NodeLoad()


def together(*streams: StageLoad, n_workers: int = 1) -> NodeLoad:
    load = NodeLoad(n_workers=n_workers)
    for stream in streams:
        load = load.plus(stream)
    return load


def test_nobody_waits_for_itself():
    assert met_s(IDLE, StageLoad(5.0, 0.1)) == 0.0
    assert caused_s(IDLE, StageLoad(5.0, 0.1)) == 0.0


def test_many_small_streams_wait_as_pollaczek_and_khinchine_say():
    load = together(*[StageLoad(0.08, 0.01)] * 1000)  # 80 frames a second of 10 ms: u = 0.8
    assert met_s(load, StageLoad(0.0, 0.01)) == pytest.approx(0.8 * 0.01 / (2.0 * 0.2))


def test_queue_matches_a_simulated_one():
    """Poisson arrivals, two sizes of work, Lindley's recursion."""
    rng, wait_s, waits_s, before_s = random.Random(1), 0.0, [], 0.0
    for _ in range(200_000):
        wait_s = max(0.0, wait_s + before_s - rng.expovariate(20.0))
        waits_s.append(wait_s)
        before_s = 0.01 if rng.random() < 0.5 else 0.05
    load = together(*[StageLoad(0.01, 0.01)] * 1000, *[StageLoad(0.01, 0.05)] * 1000)
    assert met_s(load, StageLoad()) == pytest.approx(sum(waits_s) / len(waits_s), rel=0.05)


def test_workers_wait_less_as_erlang_says():
    """M/M/c by Erlang C, which Sakasegawa's formula comes within a few per cent of; deterministic work waits half."""
    for n_workers in (1, 2, 4):
        offered = 0.8 * n_workers
        terms = [offered**n / math.factorial(n) for n in range(n_workers)]
        last = offered**n_workers / math.factorial(n_workers) / 0.2
        by_erlang = last / (sum(terms) + last) / (n_workers * 0.2)
        load = together(*[StageLoad(offered / 1000, 1.0)] * 1000, n_workers=n_workers)
        assert met_s(load, StageLoad()) == pytest.approx(by_erlang / 2.0, rel=0.05)


def test_load_beyond_what_a_node_can_do_costs_more_and_more_but_not_endlessly():
    costs = [congestion(0.1 * step) for step in range(30)]
    assert all(one < other for one, other in pairwise(costs))
    assert math.isfinite(costs[-1])
    assert congestion(FULL_RATIO + 1e-9) == pytest.approx(congestion(FULL_RATIO), rel=1e-6)


def test_what_a_stream_meets_and_causes_is_what_all_wait_more():
    """So moves that lower it lower what all wait: an exact potential."""
    rng = random.Random(2)
    for n_workers in (1, 3):
        others = [StageLoad(rng.uniform(1, 5), rng.uniform(0.01, 0.04)) for _ in range(4)]
        own = StageLoad(rng.uniform(1, 5), rng.uniform(0.01, 0.04))
        without, among = together(*others, n_workers=n_workers), together(*others, own, n_workers=n_workers)
        added = own.rate_per_s * (met_s(without, own) + caused_s(without, own))
        assert added == pytest.approx(all_waiting(among) - all_waiting(without))


def test_taking_a_stream_out_undoes_putting_it_in():
    others, own = together(StageLoad(2.0, 0.1), StageLoad(3.0, 0.05)), StageLoad(4.0, 0.02)
    left = others.plus(own).less(own)
    assert IDLE.plus(own).less(StageLoad(3.9, 0.019)) == IDLE  # whoever is alone waits for nobody
    for name in ("rate_per_s", "work", "square_s", "squared_work"):
        assert getattr(left, name) == pytest.approx(getattr(others, name))


def test_report_by_segment_adds_up_to_the_streams():
    reported = SegmentLoad(model_id="m", segment=Segment(0, 3), n_streams=4, rate_per_s=8.0, busy_s=0.05, wait_s=0.0)
    one_by_one, load = together(*[StageLoad(2.0, 0.05)] * 4), node_load([reported])
    for name in ("rate_per_s", "work", "square_s", "squared_work"):
        assert getattr(load, name) == pytest.approx(getattr(one_by_one, name))
