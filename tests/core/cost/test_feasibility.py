"""A plan that may not be used says why, and one that may be used says so no longer than that is true."""

from dataclasses import replace

import pytest

from seamline.core.cost.feasibility import memory_bytes, why_infeasible
from seamline.core.cost.problem import Problem
from seamline.core.vocabulary.constraints import Constraints
from seamline.core.vocabulary.nodes import NodeId
from seamline.core.vocabulary.plans import Codec, Plan, Segment

EDGE, FOG, CLOUD = NodeId("edge"), NodeId("fog"), NodeId("cloud")


@pytest.mark.parametrize(
    ("text", "constraints", "reason"),
    [
        ("edge[0:4]", Constraints(allow_local=False), "running everything on the origin is not allowed"),
        ("edge[0:0]jpeg > fog[0:4]", Constraints(allow_offload=False), "offloading everything is not allowed"),
        ("edge[0:0]jpeg > fog[0:4]", Constraints(n_private_cuts=1), "cut 0 may not leave"),
        ("edge[0:1]u8 > fog[1:4]", Constraints(n_private_cuts=2), "cut 1 may not leave"),
        ("edge[0:1]u8 > fog[1:4]", Constraints(codecs=(Codec.RAW,)), "codec u8 is not allowed"),
        ("edge[0:0]u8 > fog[0:4]", Constraints(), "codec u8 does not exist at cut 0"),
        ("edge[0:1]u8 > mars[1:4]", Constraints(), "`mars` is not there"),
        ("edge[0:1]u8 > fog[1:4]", Constraints(pins=((1, FOG),)), "the layers before cut 1 are pinned to `fog`"),
        ("edge[0:1]u8 > fog[1:4]", Constraints(forbidden_codecs=((FOG, Codec.U8),)), "codec u8 is forbidden on `fog`"),
        ("edge[0:1]u8 > fog[1:4]", Constraints(forbidden_links=((EDGE, FOG),)), "edge->fog is forbidden"),
        ("edge[0:1]u8 > fog[1:4]", Constraints(forbidden_links=((FOG, EDGE),)), "the way back fog->edge is forbidden"),
        ("edge[0:1]u8 > fog[1:4]", Constraints(memory_bytes=((FOG, 1_000_000),)), "on `fog`, which may use 1.0"),
        ("edge[0:3]", Constraints(), "not a plan for this model"),
    ],
)
def test_a_plan_that_may_not_be_used_says_why(three_tiers: Problem, text, constraints, reason):
    assert reason in (why_infeasible(Plan.parse(text), replace(three_tiers, constraints=constraints)) or "")


def test_a_cut_that_carries_the_input_never_leaves_when_the_input_is_private(three_tiers: Problem):
    cuts = (*three_tiers.cuts[:3], replace(three_tiers.cuts[3], carries_input=True), three_tiers.cuts[4])
    private = replace(three_tiers, cuts=cuts, constraints=Constraints(n_private_cuts=1))
    assert "cut 3 may not leave" in (why_infeasible(Plan.parse("edge[0:2]u8 > fog[2:3]u8 > cloud[3:4]"), private) or "")
    assert why_infeasible(Plan.parse("edge[0:2]u8 > fog[2:4]"), private) is None


def test_a_link_that_is_down_is_named(three_tiers: Problem, make_link):
    down = replace(three_tiers, links={**three_tiers.links, (EDGE, FOG): make_link("edge", "fog", mbps=0)})
    assert why_infeasible(Plan.parse("edge[0:2]u8 > fog[2:4]"), down) == "edge->fog is down"
    assert why_infeasible(Plan.parse("edge[0:2]u8 > cloud[2:4]"), down) is None


def test_a_plan_that_was_allowed_is_refused_as_soon_as_anything_speaks_against_it(three_tiers: Problem):
    plan = Plan.parse("edge[0:1]f16 > cloud[1:4]")
    assert why_infeasible(plan, three_tiers) is None
    assert why_infeasible(plan, three_tiers) is None  # the second time from memory
    links = {pair: link for pair, link in three_tiers.links.items() if pair != (EDGE, CLOUD)}
    there = {node: profile for node, profile in three_tiers.profiles.items() if node != CLOUD}
    now = {
        "edge->cloud is down": replace(three_tiers, links=links),
        "`cloud` is not there": replace(three_tiers, profiles=there),
        "`cloud` is forbidden": replace(three_tiers, constraints=Constraints(forbidden_nodes=(CLOUD,))),
        "[1:4] needs": replace(three_tiers, free_memory_bytes={CLOUD: 1000}),
    }
    for words, problem in now.items():
        assert words in (why_infeasible(plan, problem) or ""), words
    silent = {**three_tiers.links, (CLOUD, EDGE): replace(three_tiers.links[CLOUD, EDGE], goodput_bps=0.0)}
    assert why_infeasible(plan, replace(three_tiers, links=silent)) == "the way back cloud->edge is down"
    assert why_infeasible(plan, three_tiers) is None


def test_a_segment_needs_its_weights_and_twice_its_largest_boundary_and_a_tenth_besides(make_cuts):
    cuts = tuple(replace(cut, weights_before_bytes=1000 * cut.index) for cut in make_cuts(50, 10, 40, 10))
    assert memory_bytes(Segment(1, 3), cuts) == pytest.approx(1.1 * (2000 + 2 * 160), abs=1)
    assert memory_bytes(Segment(0, 1), cuts) == pytest.approx(1.1 * (1000 + 2 * 200), abs=1)
    assert memory_bytes(Segment(0, 0), cuts) == 0
