"""Claims about sharing: whose turn a move is, what a move that did not help changes, how streams of a lost node
spread."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import replace

import pytest

from seamline.core.adaptation.events import (
    LinkMeasured,
    LoadMeasured,
    NodeJoined,
    NodeLeft,
    PlanServing,
    ProfileKnown,
    RateMeasured,
    SwitchStarted,
)
from seamline.core.adaptation.policy import decide
from seamline.core.adaptation.sharing import (
    CONFIRMED_RATIO,
    FEEDBACK_S,
    MOST_DOUBT,
    SOON_S,
    STAY_S,
    Shared,
    Sharing,
    busy_by_node,
    dealt_at,
    drawn,
    gain_factor,
    held,
    is_due,
    measured,
    moved,
    moving_ratio,
    toll_s,
    with_hand,
)
from seamline.core.adaptation.view import View, apply, problem_of
from seamline.core.cost.loads import NodeLoad, StageLoad
from seamline.core.cost.problem import Problem
from seamline.core.vocabulary.nodes import NodeId, Tier
from seamline.core.vocabulary.plans import Plan

EDGE, FOG, CLOUD = NodeId("edge"), NodeId("fog"), NodeId("cloud")
NAMES = [f"edge-{number} 3" for number in range(1000)]


def joined(problem: Problem) -> View:
    view = View(origin=EDGE)
    for node, profile in problem.profiles.items():
        view = apply(apply(view, NodeJoined(node, Tier(node), "a", 0.0)), ProfileKnown(node, profile, 0.5))
    for link in problem.links.values():
        view = apply(view, LinkMeasured(link, 1.0))
    return apply(view, RateMeasured(5.0, 1.0))


def serving(view: View, chosen: Plan) -> View:
    return apply(apply(view, SwitchStarted(chosen, 2.0)), PlanServing(chosen, view.generation + 1, 2.0))


def loaded(n_streams: int, busy_s: float, rate_per_s: float = 5.0) -> NodeLoad:
    load = NodeLoad()
    for _ in range(n_streams):
        load = load.plus(StageLoad(rate_per_s, busy_s))
    return load


@pytest.fixture
def offloading(three_tiers: Problem) -> View:
    """The stream of a source of 5 frames a second, served by its best plan."""
    view = joined(three_tiers)
    return serving(view, decide(view).plan)


def test_draws_are_even_and_differ_for_names_that_are_alike():
    draws = [drawn(name) for name in NAMES]
    assert all(0.0 < one <= 1.0 for one in draws)
    assert max(abs(at / 1000 - one) for at, one in enumerate(sorted(draws))) < 0.06
    assert set(Counter(map(dealt_at, NAMES))) == set(range(8))


def test_share_that_may_move_does_and_doubles_with_every_report():
    since = held(Sharing(), True, 100.0)
    for n_reports, expected in enumerate((0.05, 0.1, 0.2, 0.4)):
        now_s = 100.0 + n_reports * FEEDBACK_S
        ratio = sum(is_due(since, 0.05, name, now_s) for name in NAMES) / len(NAMES)
        assert ratio == pytest.approx(expected, abs=0.04)
    assert all(is_due(since, 0.05, name, 110.0) for name in NAMES)


def test_plan_that_was_chosen_by_load_stays_for_a_while():
    known = moved(Sharing(), 100.0)
    assert not is_due(known, 1.0, "edge", 100.0 + 0.9 * STAY_S)
    assert is_due(known, 1.0, "edge", 100.0 + 1.1 * STAY_S)


def test_moves_that_frames_did_not_confirm_or_that_did_not_last_make_a_stream_doubt():
    surprised = measured(moved(Sharing(), 0.0), 1.1 * CONFIRMED_RATIO)
    assert surprised.doubt == 2.0
    assert measured(surprised, 9.0).doubt == 2.0  # nothing was moved since
    known = measured(moved(Sharing(), 0.0), 1.0)
    assert known.doubt == 1.0
    for number in range(10):
        known = measured(moved(known, 5.0 * number), 1.0)
    assert known.doubt == MOST_DOUBT
    for number in range(10):
        known = measured(moved(known, 1000.0 * (1 + number)), 1.0)
    assert known.doubt == 1.0
    assert gain_factor(known) < gain_factor(surprised)


def test_stream_in_doubt_keeps_its_plan_longer_and_its_turn_comes_later():
    sure, doubting = Sharing(moved_s=100.0, held_since_s=100.0), Sharing(moved_s=100.0, held_since_s=100.0, doubt=4.0)
    assert is_due(sure, 1.0, "edge", 100.0 + 1.1 * STAY_S)
    assert not is_due(doubting, 1.0, "edge", 100.0 + 3.9 * STAY_S)
    for share, since_s, least in ((0.2, 0.0, 0.05), (0.1, 8.0, 0.1)):  # a quarter at once, doubled every four reports
        now_s = 100.0 + 4.0 * STAY_S + since_s * FEEDBACK_S
        ratio = sum(is_due(doubting, share, name, now_s) for name in NAMES) / len(NAMES)
        assert ratio == pytest.approx(least, abs=0.03)


def test_moves_within_a_minute_are_soon():
    known = moved(Sharing(), 0.0)
    assert moved(known, 0.9 * SOON_S).doubt == 2.0
    assert moved(known, 1.1 * SOON_S).doubt == 1.0
    assert 30.0 < SOON_S < 120.0


def test_putting_off_is_counted_from_the_first_time():
    known = held(held(Sharing(), True, 1.0), True, 2.0)
    assert known.held_since_s == 1.0
    assert held(known, False, 3.0).held_since_s == math.inf


def test_whoever_is_alone_on_a_node_is_charged_nothing(offloading: View):
    problem = problem_of(offloading)
    node = offloading.current.nodes[-1]
    alone = apply(offloading, LoadMeasured(node, 0.0, 3.0, loaded(1, 0.05)))
    assert alone.shared.charged(problem).queue_s[node] == 0.0


def test_node_that_others_fill_is_left_by_those_whose_turn_it_is(offloading: View):
    node = offloading.current.nodes[-1]
    crowded = apply(offloading, LoadMeasured(node, 0.0, 9.0, loaded(12, 0.015)))
    turns = []
    for number in range(40):
        decision = decide(View(**{**as_fields(crowded), "generation": number}))
        turns.append(getattr(decision, "is_held", False))
        if not turns[-1]:
            assert node not in decision.plan.nodes
            assert decision.is_by_load
        else:
            assert "of their streams" in decision.reason
    assert 0 < sum(turns) < 40


def test_share_that_may_move_is_at_least_the_streams_own(offloading: View):
    problem = problem_of(offloading)
    node = offloading.current.nodes[-1]
    crowded = apply(offloading, LoadMeasured(node, 0.0, 9.0, loaded(20, 0.01)))
    shared, local = crowded.shared, Plan.local(EDGE, len(problem.cuts))
    least = moving_ratio(shared, problem, crowded.current, local, 0.0)
    assert 0.02 < least < 0.3
    assert moving_ratio(shared, problem, crowded.current, local, 10.0) > least


def test_a_third_of_what_uses_up_the_gain_may_move(three_tiers: Problem):
    """Of streams on one of two nodes that are alike: with half of them on the other, nobody gains any more."""
    problem = replace(three_tiers, profiles={**three_tiers.profiles, CLOUD: three_tiers.profiles[FOG]})
    here, there = (Plan.parse(f"edge[0:0]jpeg > {node}[0:4]") for node in (FOG, CLOUD))
    busy = busy_by_node(here, problem)
    others = loaded(9, busy[FOG], 0.2)
    shared = Shared({FOG: others.plus(StageLoad(0.2, busy[FOG])), CLOUD: NodeLoad()}, 0.2, here)
    gain_s = toll_s({FOG: others}, busy, 0.2)
    assert moving_ratio(shared, problem, here, there, gain_s) == pytest.approx(0.5 / 3.0, abs=0.002)


def test_load_of_a_lost_node_is_dealt_out_in_hands(offloading: View):
    lost = offloading.current.nodes[-1]
    known = apply(offloading, LoadMeasured(lost, 0.0, 9.0, loaded(8, 0.02)))
    gone = apply(known, NodeLeft(lost, 9.5))
    assert gone.orphaned == loaded(8, 0.02)
    assert lost not in gone.loads
    loads = {CLOUD: loaded(2, 0.02), FOG: loaded(1, 0.02)}
    after = with_hand(loads, gone.orphaned, Plan.parse("edge[0:2]raw > cloud[2:4]"))
    assert after[CLOUD].work == pytest.approx(loaded(3, 0.02).work)
    assert after[FOG] == loads[FOG]
    assert decide(gone).plan.nodes.count(lost) == 0
    assert apply(gone, PlanServing(Plan.local(EDGE, 5), 9, 9.6)).orphaned is None


def as_fields(view: View) -> dict[str, object]:
    return {name: getattr(view, name) for name in View.__dataclass_fields__}
