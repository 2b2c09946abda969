"""Break-even of splitting, beside plans that are priced at many speeds."""

from dataclasses import replace

import pytest

from seamline.core.analysis.break_even import break_even, first_below
from seamline.core.cost.problem import Problem
from seamline.core.planning.planner import Planner
from seamline.core.vocabulary.constraints import Constraints
from seamline.core.vocabulary.nodes import NodeId

CLOUD = NodeId("cloud")
PRIVATE = Constraints(n_private_cuts=1)


@pytest.fixture
def pair(three_tiers: Problem) -> Problem:
    return replace(three_tiers, profiles={n: p for n, p in three_tiers.profiles.items() if n != "fog"})


def at_speed(problem: Problem, bps: float) -> Problem:
    return replace(problem, links={ends: replace(link, goodput_bps=bps) for ends, link in problem.links.items()})


def test_below_the_break_even_nothing_leaves_and_above_it_something_does(pair: Problem) -> None:
    private = replace(pair, constraints=PRIVATE)
    found = break_even(private, CLOUD)
    assert found.split_bps is not None
    assert found.whole_bps is None
    assert Planner().plan(at_speed(private, 0.98 * found.split_bps)).plan.nodes == ("edge",)
    assert Planner().plan(at_speed(private, 1.02 * found.split_bps)).plan.nodes == ("edge", "cloud")


def test_where_frames_may_leave_the_speed_is_said_from_which_that_beats_every_split(pair: Problem) -> None:
    found = break_even(pair, CLOUD)
    assert found.whole_bps is not None
    assert found.beaten_bps is not None
    above = Planner().plan(at_speed(pair, 1.05 * max(found.beaten_bps, found.whole_bps))).plan
    assert above.stages[0].segment.is_empty


def test_a_node_that_is_no_quicker_pays_at_no_speed(pair: Problem) -> None:
    same = replace(pair, profiles={**pair.profiles, CLOUD: pair.profiles[pair.origin]})
    found = break_even(same, CLOUD)
    assert (found.split, found.split_bps, found.whole_bps) == (None, None, None)


def test_the_first_cut_below_a_size_is_found(pair: Problem) -> None:
    sizes = [cut.payload_bytes for cut in pair.cuts[1:-1] if cut.is_candidate]
    cut = first_below(pair.cuts, min(sizes) + 1)
    assert cut is not None
    assert cut.payload_bytes == min(sizes)
    assert first_below(pair.cuts, min(sizes)) is None
