"""Costs of a plan follow the problem of the moment, and so does what a `Planner` keeps between problems."""

from dataclasses import replace

import pytest

from seamline.core.cost.formulas import breakdown, energy_of, sums, times
from seamline.core.cost.problem import Problem
from seamline.core.planning.planner import Planner, brute_force
from seamline.core.vocabulary.constraints import Constraints
from seamline.core.vocabulary.nodes import NodeId
from seamline.core.vocabulary.objectives import Objective
from seamline.core.vocabulary.plans import Codec, Plan
from seamline.core.vocabulary.profiles import Boundary, CodecCost

PLAN = Plan.parse("edge[0:1]f16 > cloud[1:4]")
CLOUD = NodeId("cloud")


def test_a_plan_is_judged_by_the_profiles_of_the_moment(three_tiers: Problem):
    before = breakdown(PLAN, three_tiers)
    profile = replace(three_tiers.profiles[CLOUD], boundaries=(Boundary(cut=1, overhead_s=0.5),))
    other = replace(three_tiers, profiles={**three_tiers.profiles, CLOUD: profile})
    assert breakdown(PLAN, other).stages[1].compute_s == pytest.approx(before.stages[1].compute_s + 0.25)
    assert breakdown(PLAN, three_tiers) == before


def test_what_was_measured_since_counts(three_tiers: Problem):
    before = breakdown(PLAN, three_tiers)
    measured = replace(three_tiers, compression_ratio={(1, Codec.F16): 0.5}, compute_ratio={CLOUD: 3.0})
    now = breakdown(PLAN, measured)
    assert now.links[0].payload_bytes == before.links[0].payload_bytes // 2
    assert now.stages[1].compute_s == pytest.approx(3.0 * before.stages[1].compute_s)


def test_plans_that_are_equal_cost_the_same_whichever_object_is_asked_for(three_tiers: Problem):
    assert breakdown(Plan.parse(str(PLAN)), three_tiers) == breakdown(PLAN, three_tiers)


@pytest.mark.parametrize(
    "text",
    ["edge[0:4]", "edge[0:1]f16 > cloud[1:4]", "edge[0:0]raw > cloud[0:4]", "edge[0:1]u8 > fog[1:2]f16 > cloud[2:4]"],
)
@pytest.mark.parametrize("is_cut_off", [False, True])
def test_the_sums_are_what_the_terms_come_to(three_tiers: Problem, text: str, is_cut_off: bool):
    loaded = replace(
        three_tiers, queue_s={CLOUD: 0.02}, compute_ratio={CLOUD: 3.0}, compression_ratio={(1, Codec.F16): 0.5}
    )
    problem = replace(loaded, links={}) if is_cut_off else loaded
    held = Plan.parse(text)
    terms = breakdown(held, problem)
    assert sums(held, problem) == (terms.latency_s, terms.bottleneck_s, energy_of(terms, problem))
    assert times(held, problem) == (terms.latency_s, terms.bottleneck_s)


def test_a_planner_plans_by_the_profiles_limits_and_sizes_of_the_moment(three_tiers: Problem):
    costly = CodecCost(codec=Codec.U8, encode_s_per_byte=1e-6, decode_s_per_byte=1e-6)
    slow = replace(three_tiers.profiles[CLOUD], codecs=(costly,))
    planner = Planner()
    moments = [
        three_tiers,
        replace(three_tiers, constraints=Constraints(n_private_cuts=1)),
        replace(three_tiers, constraints=Constraints(n_private_cuts=1), compression_ratio={(1, Codec.U8): 0.01}),
        replace(three_tiers, profiles={**three_tiers.profiles, CLOUD: slow}, constraints=Constraints(n_private_cuts=1)),
        replace(three_tiers, constraints=Constraints(forbidden_codecs=((CLOUD, Codec.JPEG),))),
        replace(three_tiers, objective=Objective.THROUGHPUT),
        replace(three_tiers, free_memory_bytes={CLOUD: 1_000_000}),
        replace(three_tiers, cuts=tuple(replace(cut, payload_bytes=2 * cut.payload_bytes) for cut in three_tiers.cuts)),
    ]
    for moment in [*moments, *reversed(moments)]:
        assert planner.plan(moment).cost == pytest.approx(brute_force(moment).cost, rel=1e-9)  # sums in another order
