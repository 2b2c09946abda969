"""What a session makes of reports and of answered frames: events only where something has moved."""

from __future__ import annotations

from dataclasses import replace

import pytest

from seamline.core.adaptation.events import NodeJoined, PlanServing, ProfileKnown
from seamline.core.adaptation.view import View
from seamline.core.cost.formulas import compute_s
from seamline.core.cost.payload import payload_bytes
from seamline.core.session import events as ev
from seamline.core.session.stream_view import N_WATCHED_FRAMES, QUEUE_MOVED_S, StreamView
from seamline.core.vocabulary.nodes import NodeId, Tier
from seamline.core.vocabulary.plans import Codec, Plan, Segment

EDGE, FOG = NodeId("edge"), NodeId("fog")
SPLIT = Plan.parse("edge[0:2]u8 > fog[2:4]")
NOW_S = 100.0
BPS = 10e6


@pytest.fixture
def view(profile, status, link) -> StreamView:
    """Edge and fog are there and profiled, and a split plan serves as generation 1."""
    made = StreamView(View(origin=EDGE))
    made.apply(NodeJoined(FOG, Tier("fog"), "a.0", NOW_S))
    for name in (EDGE, FOG):
        made.apply(ProfileKnown(name, profile(name), NOW_S))
    made.status_received(status(FOG, bps=BPS), NOW_S)
    made.link_estimated(link(FOG, BPS).estimate, NOW_S)
    made.apply(PlanServing(SPLIT, 1, NOW_S))
    made.has_moved = False
    return made


@pytest.fixture
def finished(report):
    def make(*, latency_s: float = 0.1, queue_s: float = 0.0, sent_bytes: int = 0) -> ev.FrameFinished:
        spent = report(node="edge", queue_s=queue_s, compute_s=0.01, sent_bytes=sent_bytes)
        return ev.FrameFinished(
            frame=0, plan=SPLIT, generation=1, accepted_s=0.0, latency_s=latency_s, n_attempts=1, answer=None,
            reports=(spent,),
        )  # fmt: skip

    return make


def test_links_that_a_node_reports_are_dated_by_our_clock(view, status):
    reported = status(FOG)
    view.status_received(replace(reported, links=tuple(replace(one, age_s=0.5) for one in reported.links)), NOW_S)
    assert view.view.links[FOG, EDGE].measured_at_s == NOW_S - 0.5


def test_a_link_that_lost_a_frame_is_down_until_it_is_measured_again(view, status):
    view.link_lost(FOG, EDGE, NOW_S)
    assert view.view.links[FOG, EDGE].goodput_bps == 0.0
    assert view.has_moved
    view.status_received(status(FOG, bps=BPS), NOW_S)
    assert view.view.links[FOG, EDGE].goodput_bps == BPS


def test_a_sample_told_again_is_not_a_newer_one_for_a_status_that_took_longer(view, status):
    told_again = status(FOG, bps=BPS)
    told_again = replace(told_again, links=tuple(replace(one, age_s=1.0) for one in told_again.links))
    view.status_received(told_again, NOW_S + 1.03)  # 30 ms longer on its way than the first
    assert view.view.links[FOG, EDGE].measured_at_s == NOW_S
    later = replace(told_again, links=tuple(replace(one, age_s=0.0) for one in told_again.links))
    view.status_received(later, NOW_S + 1.03)
    assert view.view.links[FOG, EDGE].measured_at_s == NOW_S + 1.03


def test_a_link_that_nobody_has_measured_cannot_be_lost(view):
    view.link_lost(NodeId("moon"), EDGE, NOW_S)
    assert not view.has_moved


def test_the_same_estimate_again_is_kept_and_calls_for_no_decision(view, link):
    view.link_estimated(link(FOG, BPS, at_s=NOW_S + 1.0).estimate, NOW_S + 1.0)
    assert view.view.links[EDGE, FOG].measured_at_s == NOW_S + 1.0
    assert not view.has_moved
    view.link_estimated(link(FOG, BPS / 4).estimate, NOW_S + 2.0)
    assert view.has_moved


@pytest.mark.parametrize(("queue_s", "has_moved"), [(0.5 * QUEUE_MOVED_S, False), (2.0 * QUEUE_MOVED_S, True)])
def test_a_queue_that_hardly_moves_calls_for_no_decision(view, status, queue_s, has_moved):
    view.status_received(status(FOG, bps=BPS, queue_s=queue_s), NOW_S)
    assert view.view.queue_s[FOG] == queue_s
    assert view.has_moved == has_moved


def test_a_little_more_or_less_memory_is_no_news(view):
    view.memory_measured(FOG, 900, NOW_S)
    for n_bytes, expected in [(1000, 1000), (985, 1000), (1090, 1000), (970, 970), (1060, 970), (1070, 1070)]:
        view.memory_measured(FOG, n_bytes, NOW_S)
        assert view.view.free_memory_bytes[FOG] == expected


def test_a_node_that_does_not_say_its_memory_is_not_one_without(view, status):
    before = view.view.free_memory_bytes[FOG]
    view.status_received(status(FOG, bps=BPS, usable_memory_bytes=0), NOW_S)
    assert view.view.free_memory_bytes[FOG] == before


def test_a_node_that_computes_slower_than_profiled_counts_as_slower_after_some_frames(view):
    segment = Segment(2, 4)
    expected_s = compute_s(FOG, segment, view.problem)
    for _ in range(8):
        assert view.segment_computed(FOG, segment, 3.0 * expected_s, NOW_S)
    assert view.view.compute_ratio[FOG] == pytest.approx(3.0, rel=0.1)
    assert EDGE not in view.view.compute_ratio
    assert view.has_moved


def test_a_node_whose_breaker_closed_is_as_slow_as_it_was_and_one_that_restarted_is_not(view):
    segment = Segment(2, 4)
    slow_s = 3.0 * compute_s(FOG, segment, view.problem)
    for _ in range(8):
        view.segment_computed(FOG, segment, slow_s, NOW_S)
    view.apply(NodeJoined(FOG, Tier("fog"), "a.1", NOW_S))  # left out for a while, the process is the same
    assert FOG not in view.view.compute_ratio
    view.segment_computed(FOG, segment, slow_s, NOW_S)
    assert view.view.compute_ratio[FOG] == pytest.approx(3.0, rel=0.1)
    view.restarted(FOG)
    view.apply(NodeJoined(FOG, Tier("fog"), "b.1", NOW_S))
    view.segment_computed(FOG, segment, slow_s, NOW_S)
    assert view.view.compute_ratio.get(FOG, 1.0) == pytest.approx(1.0, rel=0.1)  # one slow frame proves nothing


@pytest.mark.parametrize(("name", "segment"), [("cloud", Segment(2, 4)), ("fog", Segment(4, 4))])
def test_what_no_profile_tells_cannot_be_compared(view, name, segment):
    assert not view.segment_computed(NodeId(name), segment, 1.0, NOW_S)
    assert not view.view.compute_ratio


def test_what_a_codec_sends_is_averaged_beside_its_formula(view, finished):
    by_formula = payload_bytes(view.problem.cuts[2], Codec.U8, view.problem.frame)
    view.payload_sent(finished(sent_bytes=2 * by_formula), NOW_S)
    assert view.view.compression_ratio[2, Codec.U8] == 2.0
    view.payload_sent(finished(sent_bytes=by_formula), NOW_S)
    assert view.view.compression_ratio[2, Codec.U8] == pytest.approx(1.9)
    view.payload_sent(finished(sent_bytes=int(1.9 * by_formula)), NOW_S)
    assert view.view.compression_ratio[2, Codec.U8] == pytest.approx(1.9)


def test_the_median_latency_counts_without_waiting_at_the_origin_and_not_before_enough_frames(view, finished):
    waits_s = [0.0, 0.5, 0.1, 0.0, 0.9, 0.2, 0.0, 0.3]
    for n_before, wait_s in enumerate(waits_s[:N_WATCHED_FRAMES]):
        assert SPLIT not in view.view.watched, n_before
        view.latency_measured(finished(latency_s=0.1 + wait_s, queue_s=wait_s), NOW_S)
    assert view.view.watched[SPLIT].latency_s == pytest.approx(0.1)


def test_a_new_plan_is_judged_by_its_own_frames(view, finished):
    for _ in range(N_WATCHED_FRAMES - 1):
        view.latency_measured(finished(), NOW_S)
    view.plan_serving(SPLIT, 1, NOW_S)
    view.latency_measured(finished(), NOW_S)
    assert SPLIT not in view.view.watched


def test_without_a_profile_of_the_origin_nothing_is_compared(status, finished):
    view = StreamView(View(origin=EDGE))
    view.status_received(status(FOG), NOW_S)
    view.payload_sent(finished(sent_bytes=9), NOW_S)
    assert view.problem is None
    assert not view.segment_computed(EDGE, Segment(0, 2), 1.0, NOW_S)


def test_frames_that_crossed_a_link_before_it_jumped_are_no_surprise_after_it(view, finished, link):
    """A stream left a plan for 30 s for what frames took on the slow link, beside a prediction by the fast one."""
    view.link_estimated(link(FOG, BPS / 4).estimate, NOW_S + 1.0)
    for _ in range(N_WATCHED_FRAMES - 1):
        view.latency_measured(finished(latency_s=1.0), NOW_S + 2.0)
    view.link_estimated(link(FOG, BPS, at_s=NOW_S + 3.0).estimate, NOW_S + 3.0)
    view.latency_measured(finished(latency_s=1.0), NOW_S + 3.0)
    assert not view.view.watched
