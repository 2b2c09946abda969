"""What a refusal says: the limit without which the quickest plan would be allowed, that plan, and what to do."""

from dataclasses import replace

import pytest

from seamline.core.planning.planner import PlanKind, Problem, evaluate, plan
from seamline.core.vocabulary.constraints import Constraints
from seamline.core.vocabulary.errors import Infeasible
from seamline.core.vocabulary.nodes import NodeId
from seamline.core.vocabulary.objectives import Objective, Weights, Within
from seamline.core.vocabulary.plans import Codec

EDGE, FOG, CLOUD = NodeId("edge"), NodeId("fog"), NodeId("cloud")
GOALS = (*Objective, Within(slo_s=0.1), Weights(latency_s=1.0, bottleneck_s=1.0))


def refused(problem: Problem) -> Infeasible:
    with pytest.raises(Infeasible) as caught:
        plan(problem)
    return caught.value


def with_limits(problem: Problem, **limits: object) -> Problem:
    return replace(problem, constraints=replace(Constraints(), **limits))


@pytest.mark.parametrize("goal", GOALS, ids=str)
def test_the_plan_that_comes_nearest_is_named_whatever_the_goal(three_tiers: Problem, goal):
    """Of what can be lifted, local plans would take 400 ms and what is private 175."""
    problem = with_limits(three_tiers, allow_local=False, n_private_cuts=4)
    nearest = plan(with_limits(three_tiers, allow_local=False))
    said = refused(replace(problem, objective=goal))
    assert str(said) == (
        f"no plan fits: the first 4 cuts may not leave `edge`; "
        f"without that `{nearest.plan}` would take {nearest.latency_s * 1e3:.0f} ms; "
        f"hint: lower --private, or --trust a node"
    )


def test_of_two_limits_that_each_suffice_the_one_that_costs_more_is_named(three_tiers: Problem):
    """Without the pin the best plan of all would do; without the limit on `fog` one through it."""
    with_pin = with_limits(three_tiers, pins=((1, FOG),), forbidden_nodes=(FOG,))
    assert str(refused(with_pin)).startswith("no plan fits: pinned are the layers before cut 1 to `fog`; without that")


def test_limits_that_only_go_together_are_named_together_and_no_other(three_tiers: Problem):
    weighty = tuple(replace(cut, weights_before_bytes=10_000_000 * cut.index) for cut in three_tiers.cuts)
    limits = {"n_private_cuts": 4, "forbidden_nodes": (FOG, CLOUD), "memory_bytes": ((EDGE, 1_000_000),)}
    problem = with_limits(replace(three_tiers, cuts=weighty), **limits, codecs=tuple(Codec), allow_local=False)
    said = str(refused(problem))
    named = {
        "private": "the first 4 cuts may not leave `edge`" in said,
        "forbidden": "forbidden are `fog`, `cloud`" in said,
        "memory": "on `edge`, which may use 1.0" in said,
        "local": "running everything on the origin is not allowed" in said,
    }
    assert named in (
        {"private": True, "forbidden": True, "memory": False, "local": False},
        {"private": False, "forbidden": False, "memory": True, "local": True},
    )
    assert "without those" in said


def test_a_shortage_names_a_node_of_the_nearest_plan(three_tiers: Problem):
    weighty = tuple(replace(cut, weights_before_bytes=10_000_000 * cut.index) for cut in three_tiers.cuts)
    boundless = replace(three_tiers, cuts=weighty)
    problem = replace(boundless, free_memory_bytes=dict.fromkeys(three_tiers.profiles, 5_000_000))
    said, nearest = str(refused(problem)), plan(boundless).plan
    objection = evaluate(nearest, problem).refusal
    assert said.startswith(f"no plan fits: {objection}; without that `{nearest}` would take")


def test_without_links_it_is_said_that_the_origin_could(three_tiers: Problem):
    said = str(refused(with_limits(replace(three_tiers, links={}), allow_local=False)))
    assert "running everything on the origin is not allowed, and no link there and back is up" in said
    assert "`edge[0:4]` would take" in said


def test_a_kind_of_plan_that_is_only_late_is_not_blamed_on_limits(three_tiers: Problem):
    quick = plan(three_tiers)
    trusting = with_limits(three_tiers, n_private_cuts=1, trusted=(FOG, CLOUD))
    found = plan(replace(trusting, objective=Within(slo_s=quick.latency_s)))
    late = [each for each in found.alternatives if each.plan is None and each.kind is not PlanKind.LOCAL]
    assert late
    assert [each.refusal for each in late] == [
        f"the quickest takes {seconds * 1e3:.0f} ms" for seconds in slower(late, trusting)
    ]


def slower(late: list, problem: Problem) -> list[float]:
    """Latencies of the best plans of the kinds of `late`."""
    return [plan(problem).best(each.kind).latency_s for each in late]
