"""The best plan beside its rivals, and why it is what it is."""

from dataclasses import replace

from seamline.core.analysis.comparison import named_alternatives, why
from seamline.core.cost.problem import Problem
from seamline.core.planning.planner import plan
from seamline.core.vocabulary.constraints import Constraints
from seamline.core.vocabulary.nodes import NodeId


def test_rivals_are_every_kind_of_plan_and_the_best_without_each_other_node(three_tiers: Problem):
    planned = plan(three_tiers)
    others = {rival.name: rival.found for rival in named_alternatives(three_tiers, planned)}
    assert list(others) == ["local", "offload", "split", "without cloud", "without fog"]
    assert all(found.plan is not None and found.cost >= planned.cost for found in others.values())
    assert NodeId("cloud") not in others["without cloud"].plan.nodes


def test_of_two_nodes_none_is_left_out(three_tiers: Problem):
    two = replace(three_tiers, profiles={n: p for n, p in three_tiers.profiles.items() if n != "fog"})
    assert [rival.name for rival in named_alternatives(two, plan(two))] == ["local", "offload", "split"]


def test_why_names_the_largest_parts_how_much_worse_rivals_are_and_why_one_is_not_possible(three_tiers: Problem):
    limits = Constraints(n_private_cuts=2, allow_local=False)
    problem = replace(three_tiers, constraints=limits)
    planned = plan(problem)
    words = why(planned.plan, problem, named_alternatives(problem, planned))
    assert words.startswith(f"`{planned.plan}` costs ")
    assert "computing on edge (" in words
    assert "local: running everything on the origin is not allowed" in words
    assert "offload: the first 2 cuts may not leave `edge`" in words
    assert "x)" in words
    assert "split would cost" not in words  # it is what was chosen
