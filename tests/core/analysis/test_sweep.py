"""Every cut between two nodes, allowed or not, costs what its plan costs."""

from dataclasses import replace

import pytest

from seamline.core.analysis.sweep import best_of, sweep
from seamline.core.cost.formulas import latency_s
from seamline.core.cost.problem import Problem
from seamline.core.planning.planner import evaluate, plan
from seamline.core.vocabulary.constraints import Constraints
from seamline.core.vocabulary.nodes import NodeId
from seamline.core.vocabulary.plans import Codec

FOG = NodeId("fog")


def test_the_curve_has_every_cut_and_each_takes_what_its_plan_takes(three_tiers: Problem):
    curve = sweep(replace(three_tiers, queue_s={FOG: 0.01}), FOG, Codec.U8)
    assert [each.cut for each in curve] == [cut.index for cut in three_tiers.cuts]
    assert [str(each.plan) for each in curve[:2]] == ["edge[0:0]raw > fog[0:4]", "edge[0:1]u8 > fog[1:4]"]
    for each in curve:
        assert each.latency_s == pytest.approx(latency_s(each.plan, replace(three_tiers, queue_s={FOG: 0.01})))
    assert curve[-1].plan.is_local
    assert (curve[-1].sent_bytes, curve[-1].transfer_s, curve[-1].target_s) == (0, 0.0, 0.0)


def test_the_best_of_the_curve_is_the_planners_and_may_be_used(three_tiers: Problem):
    private = replace(three_tiers, constraints=Constraints(n_private_cuts=3, codecs=(Codec.U8,)))
    to_fog = replace(private, profiles={n: p for n, p in private.profiles.items() if n != "cloud"})
    found = best_of(sweep(to_fog, FOG, Codec.U8))
    assert found.refusal is None
    assert evaluate(found.plan, to_fog).cost == pytest.approx(plan(to_fog).cost)
    assert min(sweep(to_fog, FOG, Codec.U8), key=lambda each: each.latency_s).refusal is not None
