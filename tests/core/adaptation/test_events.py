"""A view is what its events say, and nothing else."""

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seamline.core.adaptation.events import (
    CompressionMeasured,
    ComputeMeasured,
    Event,
    LatencyMeasured,
    LinkMeasured,
    LoadMeasured,
    NodeJoined,
    NodeLeft,
    ObjectiveSet,
    PlanServing,
    ProfileKnown,
    SwitchFailed,
    SwitchStarted,
    Tick,
)
from seamline.core.adaptation.view import View, apply, problem_of
from seamline.core.cost.formulas import latency_s
from seamline.core.cost.problem import Problem
from seamline.core.vocabulary.constraints import Constraints
from seamline.core.vocabulary.nodes import NodeId, Tier
from seamline.core.vocabulary.objectives import Objective
from seamline.core.vocabulary.plans import Codec, Plan

EDGE, FOG, CLOUD = NodeId("edge"), NodeId("fog"), NodeId("cloud")
SPLIT = Plan.parse("edge[0:2]u8 > fog[2:4]")
LOCAL = Plan.parse("edge[0:4]")


def after(view: View, *events: Event) -> View:
    for event in events:
        view = apply(view, event)
    return view


@pytest.fixture
def known(three_tiers: Problem) -> View:
    """All three nodes there, profiled and linked, at one second."""
    events: list[Event] = []
    for node, profile in three_tiers.profiles.items():
        events += [NodeJoined(node, Tier(node), "a", 0.0), ProfileKnown(node, profile, 0.5)]
    events += [LinkMeasured(link, 1.0) for link in three_tiers.links.values()]
    return after(View(origin=EDGE), *events)


def test_what_happened_makes_the_planning_problem(known: View, three_tiers: Problem):
    assert problem_of(known) == three_tiers
    assert problem_of(View(origin=EDGE)) is None


def test_a_view_asks_one_question_however_often_it_is_asked(known: View, make_link):
    later = apply(known, Tick(9.0))
    assert problem_of(known) == problem_of(known)
    assert problem_of(later) == problem_of(known)
    measured = apply(later, LinkMeasured(make_link("edge", "fog", 3e6), 9.0))
    assert problem_of(measured) != problem_of(later)


def test_a_node_that_left_is_not_planned_with_until_it_returns(known: View):
    gone = after(known, NodeLeft(FOG, 2.0))
    assert set(problem_of(gone).profiles) == {EDGE, CLOUD}
    assert set(problem_of(after(gone, NodeJoined(FOG, Tier("fog"), "a", 3.0))).profiles) == {EDGE, FOG, CLOUD}


def test_a_profile_of_another_model_is_not_planned_with(known: View, make_cuts, make_profile):
    other = make_profile("fog", make_cuts(1, 1), [0.1])
    assert FOG not in problem_of(after(known, ProfileKnown(FOG, other, 2.0))).profiles


def test_measurements_enter_the_problem(known: View, make_link):
    slow = make_link("edge", "fog", mbps=5)
    private = Constraints(n_private_cuts=1)
    view = after(
        known,
        LinkMeasured(slow, 2.0),
        ComputeMeasured(FOG, 2.0, 2.1),
        LoadMeasured(CLOUD, 0.05, 2.2),
        CompressionMeasured(2, Codec.LOSSLESS, 0.5, 2.2),
        ObjectiveSet(Objective.ENERGY, private, 2.3),
    )
    problem = problem_of(view)
    assert problem.links[EDGE, FOG] == slow
    assert (problem.compute_ratio, problem.queue_s) == ({FOG: 2.0}, {CLOUD: 0.05})
    assert problem.compression_ratio == {(2, Codec.LOSSLESS): 0.5}
    assert (problem.objective, problem.constraints) == (Objective.ENERGY, private)


def test_a_plan_serves_with_the_estimates_it_was_chosen_by(known: View, make_link):
    view = after(known, SwitchStarted(SPLIT, 2.0))
    assert (view.current, view.pending) == (None, SPLIT)
    moved = LinkMeasured(make_link("edge", "fog", mbps=5), 2.1)
    view = after(view, moved, PlanServing(SPLIT, 0, 2.2))
    assert (view.current, view.pending, view.first, view.serving_since_s) == (SPLIT, None, SPLIT, 2.2)
    assert view.basis.links[EDGE, FOG].goodput_bps == 20e6


def test_a_plan_that_nobody_prepared_serves_with_the_estimates_of_now(known: View, make_link):
    """A manual override, while another plan is being prepared by the estimates of then."""
    moved = LinkMeasured(make_link("edge", "fog", mbps=5), 2.1)
    view = after(known, SwitchStarted(SPLIT, 2.0), moved, PlanServing(LOCAL, 0, 2.2))
    assert (view.current, view.pending) == (LOCAL, SPLIT)
    assert view.basis.links[EDGE, FOG].goodput_bps == 5e6


def test_a_plan_that_failed_is_remembered_until_it_serves(known: View):
    view = after(known, SwitchStarted(SPLIT, 2.0), SwitchFailed(SPLIT, "no memory", FOG, 2.5))
    assert (view.pending, [refused.plan for refused in view.refused]) == (None, [SPLIT])
    assert after(view, PlanServing(SPLIT, 1, 3.0)).refused == ()


def test_a_late_failure_does_not_clear_a_newer_preparation(known: View):
    view = after(known, SwitchStarted(SPLIT, 2.0), SwitchStarted(LOCAL, 2.1), SwitchFailed(SPLIT, "late", None, 2.2))
    assert view.pending == LOCAL


def test_a_node_that_restarted_has_lost_the_segments_of_the_current_plan(known: View):
    view = after(known, PlanServing(SPLIT, 0, 2.0), ComputeMeasured(FOG, 2.0, 2.1), NodeLeft(FOG, 3.0))
    blip = after(view, NodeJoined(FOG, Tier("fog"), "a", 4.0))
    assert (blip.restarted, blip.compute_ratio) == (frozenset(), {FOG: 2.0})
    anew = after(view, NodeJoined(FOG, Tier("fog"), "b", 4.0))
    assert (anew.restarted, anew.compute_ratio) == ({FOG}, {})
    assert after(anew, PlanServing(SPLIT, 1, 5.0)).restarted == frozenset()
    assert after(view, NodeJoined(CLOUD, Tier("cloud"), "b", 4.0)).restarted == frozenset()


def test_measured_latency_is_held_against_the_prediction_of_its_own_generation(known: View, three_tiers: Problem):
    predicted_s = latency_s(SPLIT, three_tiers)
    view = after(known, PlanServing(SPLIT, 3, 2.0))
    assert after(view, LatencyMeasured(2, 9.9, 10, 3.0)).watched == {}
    watched = after(view, LatencyMeasured(3, 2 * predicted_s, 10, 3.0)).watched[SPLIT]
    assert watched.ratio == pytest.approx(2.0)


def test_nothing_is_learnt_from_a_plan_that_has_become_impossible(known: View):
    view = after(known, PlanServing(SPLIT, 0, 2.0), NodeLeft(FOG, 3.0), LatencyMeasured(0, 5.0, 10, 3.1))
    assert view.watched == {}


times = st.floats(0.0, 100.0)
plans = st.sampled_from([SPLIT, LOCAL])
nodes = st.sampled_from([EDGE, FOG, CLOUD])
events = st.one_of(
    st.builds(NodeJoined, nodes, st.just(Tier("any")), st.sampled_from("abc"), times),
    st.builds(NodeLeft, nodes, times),
    st.builds(ComputeMeasured, nodes, st.floats(0.1, 10.0), times),
    st.builds(LoadMeasured, nodes, st.floats(0.0, 1.0), times),
    st.builds(SwitchStarted, plans, times),
    st.builds(PlanServing, plans, st.integers(0, 9), times),
    st.builds(SwitchFailed, plans, st.just("no"), st.none() | nodes, times),
    st.builds(LatencyMeasured, st.integers(0, 9), st.floats(0.001, 1.0), st.integers(1, 99), times),
    st.builds(Tick, times),
)


@given(st.lists(events, max_size=60))
def test_any_order_of_events_leaves_a_sound_view_of_bounded_size(stream: list[Event]):
    view = View(origin=EDGE)
    for event in stream:
        before = view
        view = apply(view, event)
        assert view.now_s >= before.now_s
        assert view.serving_since_s <= view.now_s
        assert view.current is None or view.restarted <= set(view.current.nodes)
        assert (view.pending is None) == (view.pending_basis is None)
        assert len(view.refused) <= 32
        assert len(view.watched) <= 32


def test_a_view_without_events_has_served_nothing():
    assert replace(View(origin=EDGE)) == View(origin=EDGE)
    assert View(origin=EDGE).serving_since_s == -math.inf
