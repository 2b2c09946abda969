"""Decision cache: whatever is not decided again would have been decided the same."""

import random
from dataclasses import replace

import pytest

from seamline.core.adaptation.decision_cache import DecisionCache, cacheable, is_valid
from seamline.core.adaptation.events import (
    CompressionMeasured,
    ComputeMeasured,
    EnergyScopeSet,
    Event,
    ExcessMeasured,
    LatencyMeasured,
    LinkMeasured,
    LoadMeasured,
    MemoryMeasured,
    NodeJoined,
    NodeLeft,
    ObjectiveSet,
    PlanServing,
    ProfileKnown,
    SwitchFailed,
    SwitchStarted,
    Tick,
)
from seamline.core.adaptation.policy import Adaptive, Keep, Policy, PolicySettings, Static, Switch, decide
from seamline.core.adaptation.view import View, apply
from seamline.core.cost.problem import EnergyScope, Problem
from seamline.core.vocabulary.constraints import Constraints
from seamline.core.vocabulary.nodes import NodeId, Tier
from seamline.core.vocabulary.objectives import Objective
from seamline.core.vocabulary.plans import Codec, Plan

EDGE, FOG, CLOUD = NodeId("edge"), NodeId("fog"), NodeId("cloud")


@pytest.fixture
def view(three_tiers: Problem) -> View:
    """The best plan serves, for long enough that nothing waits."""
    view = View(origin=EDGE, constraints=Constraints(n_private_cuts=1))
    for node, profile in three_tiers.profiles.items():
        view = apply(apply(view, NodeJoined(node, Tier(node), "a", 0.0)), ProfileKnown(node, profile, 0.0))
    for link in three_tiers.links.values():
        view = apply(view, LinkMeasured(replace(link, measured_at_s=0.5), 0.5))
    first = decide(view)
    assert isinstance(first, Switch)
    return apply(view, PlanServing(first.plan, 1, 1.0))


def walked(view: View, rng: random.Random, at_s: float) -> View:
    """Every link and node a little faster or slower than before; the edge's links ever slower; frames late or early."""
    for link in view.links.values():
        goodput_bps = link.goodput_bps * rng.lognormvariate(-0.015 if link.source == EDGE else 0.0, 0.004)
        view = apply(view, LinkMeasured(replace(link, goodput_bps=goodput_bps, measured_at_s=at_s), at_s))
    for node in view.profiles:
        ratio = view.compute_ratio.get(node, 1.0) * rng.lognormvariate(0.0, 0.004)
        view = apply(view, ComputeMeasured(node, ratio, at_s))
    return apply(view, ExcessMeasured(rng.uniform(-2e-3, 2e-3), 0.05, at_s))


EAGER = Adaptive(PolicySettings(min_gain_ratio=0.005, uncertainty_factor=0.0))
"""It switches for less than others do after a while."""


@pytest.mark.parametrize("policy", [Adaptive(), EAGER, Static()])
@pytest.mark.parametrize("seed", range(3))
def test_while_a_cached_decision_is_valid_deciding_again_says_the_same(view: View, policy: Policy, seed: int):
    rng, known, n_standing, n_switches = random.Random(seed), None, 0, 0
    for at in range(100):
        view = walked(view, rng, 30.0 + at)
        decision = decide(view, policy)
        if known is not None and is_valid(known, view, policy):
            n_standing += 1
            assert isinstance(decision, Keep), decision.reason
            continue
        known = cacheable(view, policy, decision) if isinstance(decision, Keep) else None
        if isinstance(decision, Switch):
            n_switches += 1
            view = apply(view, PlanServing(decision.plan, 2 + at, 30.0 + at))
    assert n_standing > (0 if policy == EAGER else 10)  # of 100
    assert n_switches > 0 or policy == Static()


def test_the_cache_decides_what_deciding_every_time_does(view: View):
    rng, cache, n_same, before = random.Random(7), DecisionCache(Adaptive()), 0, None
    for at in range(60):
        view = walked(view, rng, 30.0 + at)
        decision, anew = cache.decide(view), decide(view, Adaptive())
        assert type(decision) is type(anew)
        n_same += decision is before
        before = decision
        if isinstance(anew, Switch):
            assert decision == anew
            view = apply(view, PlanServing(anew.plan, 2 + at, 30.0 + at))
    assert n_same > 5


def test_a_node_that_leaves_or_a_link_that_is_down_invalidates_the_cache(view: View):
    decision = decide(view)
    assert isinstance(decision, Keep)
    known = cacheable(view, Adaptive(), decision)
    assert known is not None
    assert is_valid(known, view, Adaptive())
    assert not is_valid(known, apply(view, NodeLeft(view.current.nodes[-1], 40.0)), Adaptive())
    link = view.links[view.current.nodes[0], view.current.nodes[1]]
    assert not is_valid(known, apply(view, LinkMeasured(replace(link, goodput_bps=0.0), 40.0)), Adaptive())


def test_a_faster_link_invalidates_the_cache_even_one_that_the_plan_does_not_use(view: View):
    known = cacheable(view, Adaptive(), decide(view))
    unused = next(link for pair, link in view.links.items() if pair[0] == EDGE and pair[1] not in view.current.nodes)
    faster = replace(unused, goodput_bps=1.1 * unused.goodput_bps, measured_at_s=40.0)
    assert not is_valid(known, apply(view, LinkMeasured(faster, 40.0)), Adaptive())


@pytest.mark.parametrize(
    "event",
    [
        ObjectiveSet(Objective.THROUGHPUT, Constraints(n_private_cuts=1), 40.0),
        ObjectiveSet(Objective.LATENCY, Constraints(n_private_cuts=2), 40.0),
        EnergyScopeSet(EnergyScope.ORIGIN, 40.0),
        MemoryMeasured(CLOUD, 1_000_000, 40.0),
        LoadMeasured(FOG, 0.01, 40.0),
        CompressionMeasured(1, Codec.U8, 0.5, 40.0),
        NodeJoined(CLOUD, Tier("cloud"), "b", 40.0),
        NodeLeft(FOG, 40.0),
        SwitchStarted(Plan.parse("edge[0:4]"), 40.0),
        SwitchFailed(Plan.parse("edge[0:4]"), "no", FOG, 40.0),
    ],
    ids=lambda event: type(event).__name__,
)
def test_whatever_else_a_decision_rests_on_invalidates_the_cache(view: View, event: Event):
    known = cacheable(view, Adaptive(), decide(view))
    assert is_valid(known, apply(view, Tick(40.0)), Adaptive())
    assert not is_valid(known, apply(view, event), Adaptive())


def test_an_uplink_that_falls_silent_invalidates_the_cache(view: View):
    decision = decide(apply(view, Tick(30.0)))
    assert isinstance(decision, Keep)
    known = cacheable(view, Adaptive(), decision)
    assert known is not None
    assert is_valid(known, view, Adaptive())
    assert not is_valid(known, replace(view, uplink=replace(view.uplink, is_silent=True)), Adaptive())


def test_frames_that_leave_home_sooner_than_they_did_invalidate_the_cache(view: View):
    """Then another plan than the one at home may be the best."""
    home = apply(view, PlanServing(Plan.local(EDGE, view.profiles[EDGE].cuts[-1].index + 1), 2, 20.0))
    for _ in range(40):
        home = apply(home, ExcessMeasured(3.0, 0.1, 20.0))
    decision = decide(home)
    assert isinstance(decision, Keep)
    known = cacheable(home, Adaptive(), decision)
    assert known is not None
    assert is_valid(known, apply(home, Tick(20.5)), Adaptive())
    assert not is_valid(known, apply(home, Tick(600.0)), Adaptive())


def test_a_decision_that_only_waits_is_not_cached(view: View):
    assert cacheable(view, Adaptive(), decide(view)) is not None
    refused = apply(view, SwitchFailed(Plan.parse("edge[0:4]"), "no", None, 1.1))
    assert cacheable(refused, Adaptive(), decide(refused)) is None  # it may be tried again in 5 s
    worse = apply(apply(view, PlanServing(Plan.parse("edge[0:4]"), 2, 40.0)), Tick(40.1))
    waits = decide(worse)
    assert isinstance(waits, Keep)
    assert "the last switch was only" in waits.reason
    known = cacheable(worse, Adaptive(), waits)
    assert known is None or not is_valid(known, apply(worse, Tick(50.0)), Adaptive())
    assert isinstance(decide(apply(worse, Tick(50.0))), Switch)


def test_a_plan_that_surprised_keeps_everything_open_until_that_is_forgotten(view: View):
    local = Plan.parse("edge[0:4]")
    said = [LatencyMeasured(1, 0.45, 8, 2.0), PlanServing(local, 2, 3.0), LatencyMeasured(2, 0.41, 8, 4.0)]
    for event in said:
        view = apply(view, event)
    held = apply(view, Tick(20.0))
    decision = decide(held)
    assert isinstance(decision, Keep)
    assert cacheable(held, Adaptive(), decision) is None
    assert isinstance(decide(apply(view, Tick(40.0))), Switch)
