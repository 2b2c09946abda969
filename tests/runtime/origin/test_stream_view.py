"""What a controller makes of what it is told and of answered frames: events only where something has moved."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from seamline.core.adaptation.events import LinkMeasured, NodeJoined, PlanServing, ProfileKnown
from seamline.core.adaptation.view import View
from seamline.core.cost.formulas import compute_s
from seamline.core.cost.payload import payload_bytes
from seamline.core.vocabulary.constraints import Constraints
from seamline.core.vocabulary.nodes import NodeId, Tier
from seamline.core.vocabulary.objectives import Objective
from seamline.core.vocabulary.plans import Codec, Plan, Segment
from seamline.fabric import messages as msg
from seamline.runtime.origin.results import Result
from seamline.runtime.origin.stream_view import N_WATCHED_FRAMES, Beliefs
from seamline.runtime.shared.clock import now_s

EDGE, FOG = NodeId("edge"), NodeId("fog")


@pytest.fixture
def beliefs(profile) -> Beliefs:
    """Edge and fog are there and profiled, and a split plan serves as generation 1."""
    made = Beliefs(View(origin=EDGE, objective=Objective.LATENCY, constraints=Constraints()))
    made.apply(NodeJoined(FOG, Tier("fog"), "a.0", now_s()))
    for name in (EDGE, FOG):
        made.apply(ProfileKnown(name, profile(name), now_s()))
    made.told(FOG, status_of())
    forth = replace(made.view.links[FOG, EDGE], source=EDGE, target=FOG)
    made.apply(LinkMeasured(forth, now_s()))
    made.apply(PlanServing(split_of(made), 1, now_s()))
    return made


def split_of(beliefs: Beliefs) -> Plan:
    assert beliefs.problem is not None
    return Plan.parse(f"edge[0:4]u8 > fog[4:{beliefs.problem.last_cut}]")


def status_of(**fields: object) -> msg.Status:
    links = tuple(
        msg.LinkReport(
            target=target, rtt_s=0.01, goodput_bps=1e7, goodput_std_ratio=0.1, n_samples=9, age_s=0.5, overhead_s=0.0
        )
        for target in ("edge", "cloud")
    )
    known = {
        "tier": "fog", "incarnation": "a", "version": "1", "engine": "ort", "threads": 1, "n_cores": 1,
        "memory_bytes": 10**9, "free_memory_bytes": 10**9, "queue_s": 0.0, "models": (), "links": links,
    }  # fmt: skip
    return msg.Status(**{**known, **fields})


def result_of(plan: Plan, *, latency_s: float = 0.1, queue_s: float = 0.0, sent_bytes: int = 0) -> Result:
    report = msg.StageReport(
        node="edge", queue_s=queue_s, decode_s=0.0, compute_s=0.01, encode_s=0.0, sent_bytes=sent_bytes
    )
    return Result(
        frame=0, outputs={"scores": np.zeros(1)}, latency_s=latency_s, accepted_s=0.0, plan=plan, generation=1,
        reports=(report,), n_attempts=1,
    )  # fmt: skip


def test_links_that_a_node_tells_of_are_dated_by_our_clock(beliefs):
    before_s = now_s()
    beliefs.told(FOG, status_of())
    link = beliefs.view.links[FOG, EDGE]
    assert before_s - 0.5 <= link.measured_at_s <= now_s() - 0.5
    assert [(link.source, link.target) for link in beliefs.links({EDGE, FOG})] == [(EDGE, FOG), (FOG, EDGE)]


def test_a_link_that_lost_a_frame_is_down_until_it_is_measured_again(beliefs):
    beliefs.link_lost(FOG, EDGE)
    assert beliefs.view.links[FOG, EDGE].goodput_bps == 0.0
    beliefs.told(FOG, status_of())
    assert beliefs.view.links[FOG, EDGE].goodput_bps == 1e7


def test_a_little_more_or_less_memory_is_no_news(beliefs):
    for n_bytes, believed in [(1000, 1000), (985, 1000), (1090, 1000), (970, 970), (1060, 970), (1070, 1070)]:
        beliefs.memory(FOG, n_bytes)
        assert beliefs.view.free_memory_bytes[FOG] == believed


def test_a_node_that_computes_slower_than_profiled_is_believed_after_some_frames(beliefs):
    segment = Segment(4, 12)
    expected_s = compute_s(FOG, segment, beliefs.problem)
    for _ in range(8):
        assert beliefs.computed(FOG, segment, 3.0 * expected_s)
    assert beliefs.view.compute_ratio[FOG] == pytest.approx(3.0, rel=0.1)
    assert EDGE not in beliefs.view.compute_ratio


def test_a_node_that_is_readmitted_is_believed_as_slow_as_it_was_and_one_that_restarted_is_not(beliefs):
    segment = Segment(4, 12)
    slow_s = 3.0 * compute_s(FOG, segment, beliefs.problem)
    for _ in range(8):
        beliefs.computed(FOG, segment, slow_s)
    beliefs.apply(NodeJoined(FOG, Tier("fog"), "a.1", now_s()))  # left out for a while, the process is the same
    assert FOG not in beliefs.view.compute_ratio
    beliefs.computed(FOG, segment, slow_s)
    assert beliefs.view.compute_ratio[FOG] == pytest.approx(3.0, rel=0.1)
    beliefs.restarted(FOG)
    beliefs.apply(NodeJoined(FOG, Tier("fog"), "b.1", now_s()))
    beliefs.computed(FOG, segment, slow_s)
    assert beliefs.view.compute_ratio.get(FOG, 1.0) == pytest.approx(1.0, rel=0.1)  # one slow frame proves nothing


@pytest.mark.parametrize(("name", "segment"), [("cloud", Segment(4, 12)), ("fog", Segment(4, 4))])
def test_what_no_profile_tells_cannot_be_compared(beliefs, name, segment):
    assert not beliefs.computed(NodeId(name), segment, 1.0)
    assert not beliefs.view.compute_ratio


def test_what_a_codec_sends_is_averaged_beside_its_formula(beliefs):
    plan = split_of(beliefs)
    by_formula = payload_bytes(beliefs.problem.cuts[4], Codec.U8, None)
    beliefs.sent(result_of(plan, sent_bytes=2 * by_formula))
    assert beliefs.view.sent_ratio[4, Codec.U8] == 2.0
    beliefs.sent(result_of(plan, sent_bytes=by_formula))
    assert beliefs.view.sent_ratio[4, Codec.U8] == pytest.approx(1.9)
    beliefs.sent(result_of(plan, sent_bytes=int(1.9 * by_formula)))
    assert beliefs.view.sent_ratio[4, Codec.U8] == pytest.approx(1.9)


def test_the_median_latency_counts_without_waiting_at_the_origin_and_not_before_enough_frames(beliefs):
    plan = split_of(beliefs)
    waits_s = [0.0, 0.5, 0.1, 0.0, 0.9, 0.2, 0.0, 0.3]
    for n_before, wait_s in enumerate(waits_s[:N_WATCHED_FRAMES]):
        assert plan not in beliefs.view.watched, n_before
        beliefs.took(result_of(plan, latency_s=0.1 + wait_s, queue_s=wait_s))
    assert beliefs.view.watched[plan].latency_s == pytest.approx(0.1)


def test_a_new_plan_is_judged_by_its_own_frames(beliefs):
    plan = split_of(beliefs)
    for _ in range(N_WATCHED_FRAMES - 1):
        beliefs.took(result_of(plan))
    beliefs.serves_anew()
    beliefs.took(result_of(plan))
    assert plan not in beliefs.view.watched
