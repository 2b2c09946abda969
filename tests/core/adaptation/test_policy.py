"""Situations in, decisions out; then whole histories: a step is one switch, noise is none."""

import math
import random
from dataclasses import replace

import pytest

from seamline.core.adaptation.events import (
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
from seamline.core.adaptation.policy import (
    Adaptive,
    Fixed,
    Keep,
    Local,
    Offload,
    Policy,
    Static,
    Switch,
    decide,
    policy_named,
)
from seamline.core.adaptation.reasons import what_moved
from seamline.core.adaptation.view import View, apply, problem_of
from seamline.core.cost.formulas import breakdown, latency_s
from seamline.core.cost.problem import EnergyScope, Problem
from seamline.core.planning.planner import PlanKind, evaluate, plan
from seamline.core.vocabulary.constraints import Constraints
from seamline.core.vocabulary.errors import PlanError, UsageError
from seamline.core.vocabulary.links import Link, LinkEstimate
from seamline.core.vocabulary.nodes import NodeId, Tier
from seamline.core.vocabulary.objectives import Goal, Objective, Weights, Within
from seamline.core.vocabulary.plans import Plan

EDGE, FOG, CLOUD = NodeId("edge"), NodeId("fog"), NodeId("cloud")
PRIVATE = Constraints(n_private_cuts=1)


def after(view: View, *events: Event) -> View:
    for event in events:
        view = apply(view, event)
    return view


def joined(problem: Problem) -> View:
    events: list[Event] = [ObjectiveSet(problem.objective, problem.constraints, 0.0)]
    for node, profile in problem.profiles.items():
        events += [NodeJoined(node, Tier(node), "a", 0.0), ProfileKnown(node, profile, 0.5)]
    events += [LinkMeasured(link, 1.0) for link in problem.links.values()]
    return after(View(origin=EDGE), *events)


def serving(view: View, chosen: Plan, at_s: float = 2.0) -> View:
    return after(view, SwitchStarted(chosen, at_s), PlanServing(chosen, view.generation + 1, at_s))


def rated(view: View, link: Link, mbps: float, **fields: float) -> LinkEstimate:
    """The estimate of `link` after a new sample."""
    before = view.links[link]
    return replace(before, goodput_bps=mbps * 1e6, measured_at_s=before.measured_at_s + 0.1, **fields)


@pytest.fixture
def private(three_tiers: Problem) -> View:
    """Raw pixels may not leave the edge; the best split serves since 2 s, now it is 10 s."""
    view = joined(replace(three_tiers, constraints=PRIVATE))
    return after(serving(view, plan(problem_of(view)).plan), Tick(10.0))


def test_nothing_is_decided_before_the_origin_is_profiled():
    assert decide(View(origin=EDGE)) == Keep("`edge` has no profile yet")


def test_the_first_plan_is_the_planners(three_tiers: Problem):
    decision = decide(joined(three_tiers))
    assert decision == Switch(plan(three_tiers).plan, f"first plan: {plan(three_tiers).plan} takes 75 ms")


def test_the_best_plan_is_kept(private: View):
    assert decide(private) == Keep(f"{private.current} is the best plan, 189 ms")


def test_while_a_plan_is_prepared_nothing_else_is_started(private: View):
    other = Plan.parse("edge[0:4]")
    assert decide(after(private, SwitchStarted(other, 10.1))) == Keep("edge[0:4] is being prepared")


def test_a_preparation_that_has_become_impossible_is_given_up(private: View):
    hopeless = Plan.parse("edge[0:2]u8 > fog[2:4]")
    view = after(private, SwitchStarted(hopeless, 10.1), NodeLeft(FOG, 10.2), NodeLeft(CLOUD, 10.2))
    assert decide(view).plan == Plan.parse("edge[0:4]")


def test_a_link_that_fell_moves_the_cut_and_the_reason_says_so(private: View):
    slow = after(private, *(LinkMeasured(rated(private, (EDGE, there), 2.0), 10.5) for there in (FOG, CLOUD)))
    decision = decide(slow)
    assert isinstance(decision, Switch)
    assert "fell from 18.0 to 2.0 Mbit/s" in decision.reason
    saved_s = latency_s(private.current, problem_of(slow)) - latency_s(decision.plan, problem_of(slow))
    assert f"{decision.plan} saves {saved_s * 1e3:.0f} ms of" in decision.reason
    assert "uncertainty" in decision.reason


def test_a_gain_below_five_percent_is_not_worth_a_switch(private: View):
    best_s = latency_s(private.current, problem_of(private))
    nearly = min(
        (
            candidate
            for text in ("edge[0:1]u8 > cloud[1:4]", "edge[0:2]u8 > cloud[2:4]", "edge[0:3]u8 > cloud[3:4]")
            if (candidate := Plan.parse(text)) != private.current
        ),
        key=lambda candidate: latency_s(candidate, problem_of(private)),
    )
    there = serving(private, nearly, 11.0)
    gap = latency_s(nearly, problem_of(there)) / best_s - 1
    lenient = replace(Adaptive().settings, min_gain_ratio=gap * 1.1)
    strict = replace(Adaptive().settings, min_gain_ratio=gap * 0.5, uncertainty_factor=0.0)
    later = after(there, Tick(20.0))
    assert decide(later, Adaptive(lenient)).reason.endswith("too little")
    assert decide(later, Adaptive(strict)).plan == private.current


def test_a_gain_that_uncertainty_could_feign_is_no_reason_to_switch(private: View):
    doubtful = [rated(private, (EDGE, there), 12.0, goodput_std_ratio=5.0) for there in (FOG, CLOUD)]
    view = serving(private, Plan.parse("edge[0:1]u8 > cloud[1:4]"), 10.0)
    view = after(view, *(LinkMeasured(link, 12.0) for link in doubtful))
    assert decide(view).reason.endswith("too little")
    sure = after(view, *(LinkMeasured(replace(link, goodput_std_ratio=0.02), 12.0) for link in doubtful))
    assert isinstance(decide(sure), Switch)


def test_after_a_switch_small_news_waits_and_a_jump_does_not(private: View):
    worse = Plan.parse("edge[0:3]u8 > cloud[3:4]")
    just_switched = after(serving(private, worse, 10.0), Tick(10.2))
    assert "last switch was only 0.20 s ago" in decide(just_switched).reason
    assert isinstance(decide(after(just_switched, Tick(11.0))), Switch)
    jumped = after(just_switched, LinkMeasured(rated(private, (EDGE, CLOUD), 100.0), 10.3))
    assert isinstance(decide(jumped), Switch)


@pytest.mark.parametrize(
    ("event", "reason"),
    [
        (NodeLeft(CLOUD, 10.01), "`cloud` is not there"),
        (NodeJoined(CLOUD, Tier("cloud"), "b", 10.01), "`cloud` has restarted"),
        (ObjectiveSet(Objective.LATENCY, Constraints(n_private_cuts=4), 10.01), "may not leave `edge`"),
    ],
)
def test_a_plan_that_has_become_impossible_is_left_at_once(private: View, event: Event, reason: str):
    view = after(serving(private, private.current, 10.0), event)
    decision = decide(view)
    assert isinstance(decision, Switch)
    assert reason in decision.reason


def test_a_plan_over_a_dead_link_is_left_at_once(private: View):
    last = private.current.stages[0].node, private.current.stages[1].node
    decision = decide(after(private, LinkMeasured(rated(private, last, 0.0), 10.01)))
    assert isinstance(decision, Switch)
    assert decision.reason.startswith(f"{last[0]}->{last[1]} is down; ")


def test_a_node_that_restarted_is_prepared_again(private: View):
    decision = decide(after(private, NodeJoined(CLOUD, Tier("cloud"), "b", 10.01)))
    assert decision.plan == private.current


def silent(view: View, link: Link, is_silent: bool = True) -> View:
    return after(view, LinkMeasured(replace(view.links[link], is_silent=is_silent), view.now_s + 0.1))


def test_the_plan_of_a_silent_node_is_kept_for_its_return_where_nothing_is_better_than_home(private: View):
    decision = decide(silent(silent(private, (EDGE, FOG)), (EDGE, CLOUD)))
    assert isinstance(decision, Keep)
    assert "nothing gets through to `cloud`, `fog`" in decision.reason


def test_a_silent_node_is_left_for_one_that_is_heard_and_none_is_chosen(private: View):
    assert private.current is not None
    (node,) = set(private.current.nodes) - {EDGE}
    decision = decide(silent(private, (EDGE, node)))
    assert isinstance(decision, Switch)
    assert node not in decision.plan.nodes
    home = serving(private, Plan.local(EDGE, len(private.profiles[EDGE].cuts)))
    decision = decide(silent(silent(home, (EDGE, FOG)), (EDGE, CLOUD)))
    assert isinstance(decision, Keep)


def test_a_node_that_returns_is_used_again(private: View):
    alone = after(private, NodeLeft(CLOUD, 10.0), NodeLeft(FOG, 10.0))
    alone = serving(alone, decide(alone).plan, 10.1)
    assert alone.current == Plan.parse("edge[0:4]")
    decision = decide(after(alone, NodeJoined(CLOUD, Tier("cloud"), "b", 10.5)))
    assert decision.plan == private.current
    assert "cloud is there now" in decision.reason


def test_a_node_is_used_as_soon_as_it_is_profiled(three_tiers: Problem):
    view = joined(replace(three_tiers, profiles={EDGE: three_tiers.profiles[EDGE]}))
    view = after(serving(view, decide(view).plan), NodeJoined(CLOUD, Tier("cloud"), "a", 3.0))
    assert isinstance(decide(view), Keep)
    decision = decide(after(view, ProfileKnown(CLOUD, three_tiers.profiles[CLOUD], 4.0)))
    assert decision.plan.nodes == (EDGE, CLOUD)
    assert "cloud is there now" in decision.reason


def test_a_plan_that_failed_to_prepare_is_not_tried_again_for_a_while(private: View):
    best = private.current
    view = serving(private, Plan.parse("edge[0:4]"), 10.0)
    view = after(view, SwitchStarted(best, 11.0), SwitchFailed(best, "no memory", CLOUD, 12.0))
    decision = decide(view)
    assert isinstance(decision, Switch)
    assert CLOUD not in decision.plan.nodes
    assert decide(after(view, Tick(18.0))).plan == best


def test_a_plan_stays_on_a_node_that_failed_to_prepare_another_one(private: View):
    best = private.current
    view = after(serving(private, best, 10.0), SwitchStarted(Plan.parse("edge[0:2]u8 > cloud[2:4]"), 11.0))
    view = after(view, SwitchFailed(Plan.parse("edge[0:2]u8 > cloud[2:4]"), "no memory", CLOUD, 12.0))
    assert CLOUD in best.nodes
    assert decide(view).reason.startswith(f"{best} is the best plan")


def test_when_only_refused_plans_remain_the_current_one_stays(private: View):
    best = private.current
    view = after(serving(private, Plan.parse("edge[0:4]"), 10.0), NodeLeft(FOG, 10.5))
    view = after(view, SwitchStarted(best, 11.0), SwitchFailed(best, "no memory", None, 12.0))
    assert decide(view) == Keep("edge[0:4] is the best plan, 402 ms")


def test_a_plan_that_turned_out_worse_is_left_for_the_one_before_and_not_taken_again(private: View):
    best, before = private.current, Plan.parse("edge[0:2]u8 > fog[2:4]")
    view = serving(private, before, 10.0)
    view = after(view, LatencyMeasured(view.generation, latency_s(before, problem_of(view)), 20, 12.0))
    assert decide(view).plan == best
    view = serving(view, best, 12.1)
    took_s = 3 * latency_s(best, problem_of(view))
    view = after(view, LatencyMeasured(view.generation, took_s, 20, 14.0))
    back = decide(view)
    assert isinstance(back, Switch)
    assert back.plan != best
    assert f"took {took_s * 1e3:.0f} ms, 3.0x what was predicted" in back.reason
    view = after(serving(view, back.plan, 14.1), Tick(20.0))
    assert isinstance(decide(view), Keep)


def test_an_error_that_all_plans_share_is_no_reason_to_leave_one(private: View):
    before = Plan.parse("edge[0:2]u8 > fog[2:4]")
    view = serving(private, before, 10.0)
    view = after(view, LatencyMeasured(view.generation, 2 * latency_s(before, problem_of(view)), 20, 12.0))
    view = serving(view, private.current, 12.1)
    view = after(view, LatencyMeasured(view.generation, 2 * latency_s(private.current, problem_of(view)), 20, 14.0))
    assert isinstance(decide(view), Keep)


def test_a_slowed_node_and_a_grown_queue_are_named(private: View):
    loaded = after(private, LoadMeasured(CLOUD, 0.6, 11.0))
    assert "waiting on cloud grew from 0 to 600 ms" in decide(loaded).reason
    slowed = after(private, ComputeMeasured(CLOUD, 30.0, 11.0))
    assert "cloud slowed from 1.0x to 30.0x of its profiled time" in decide(slowed).reason


@pytest.mark.parametrize(("objective", "unit"), [(Objective.THROUGHPUT, "ms per frame"), (Objective.ENERGY, "J")])
def test_other_objectives_decide_in_their_own_unit(private: View, objective: Objective, unit: str):
    view = after(serving(private, Plan.parse("edge[0:4]"), 3.0), ObjectiveSet(objective, PRIVATE, 11.0))
    decision = decide(view)
    assert isinstance(decision, Switch)
    assert f"the objective is now {objective}" in decision.reason
    assert unit in decision.reason


def test_where_no_joule_counts_the_plan_that_serves_is_kept(three_tiers: Problem):
    nobody = EnergyScope.parse("edge=0,fog=0,cloud=0")
    splits = replace(three_tiers, objective=Objective.ENERGY, constraints=Constraints(allow_local=False))
    view = after(joined(splits), EnergyScopeSet(nobody, 1.0))
    view = after(serving(view, Plan.parse("edge[0:1]u8 > fog[1:4]")), Tick(40.0))
    assert plan(problem_of(view)).plan != view.current
    assert isinstance(decide(view), Keep)


def test_the_uncertainty_of_joules_counts_the_power_of_the_nodes_whose_times_are_unsure(private: View):
    view = after(serving(private, Plan.parse("edge[0:4]"), 3.0), ObjectiveSet(Objective.ENERGY, PRIVATE, 11.0))
    view = replace(view, links={ends: replace(link, goodput_std_ratio=0.0) for ends, link in view.links.items()})
    decision, problem = decide(view), problem_of(view)
    before, after_it = (breakdown(each, problem).stages for each in (view.current, decision.plan))
    by_node = {stage.node: stage.compute_s for stage in after_it}
    by_node[EDGE] -= before[0].compute_s
    watts = {node: problem.profiles[node].device.busy_w - problem.profiles[node].device.idle_w for node in by_node}
    variance = sum(((2.0 + watts[node]) * 0.03 * seconds) ** 2 for node, seconds in by_node.items())
    assert f"uncertainty {math.sqrt(variance):.3g} J" in decision.reason


def test_an_infeasible_problem_keeps_what_serves_and_says_why(private: View):
    nothing = Constraints(n_private_cuts=4, allow_local=False)
    decision = decide(after(private, ObjectiveSet(Objective.LATENCY, nothing, 11.0)))
    assert isinstance(decision, Keep)
    assert "no plan fits" in decision.reason


def test_policies_are_named_and_a_plan_is_one():
    assert policy_named("adaptive") == Adaptive()
    assert policy_named("static") == Static()
    assert policy_named("edge[0:4]") == Fixed(Plan.parse("edge[0:4]"))
    with pytest.raises(UsageError, match="`best` is not a policy"):
        policy_named("best")
    with pytest.raises(PlanError):
        policy_named("edge[0:x]")


def test_local_stays_local(private: View):
    decision = decide(private, Local())
    assert decision.plan == Plan.parse("edge[0:4]")
    assert isinstance(decide(serving(private, decision.plan), Local()), Keep)


def test_offload_sends_the_frame_and_where_that_is_forbidden_the_origin_is_the_fallback(three_tiers: Problem):
    allowed = joined(three_tiers)
    assert decide(allowed, Offload()).plan == plan(three_tiers).best(PlanKind.OFFLOAD).plan
    forbidden = decide(joined(replace(three_tiers, constraints=PRIVATE)), Offload())
    assert forbidden == Switch(
        Plan.parse("edge[0:4]"), "the first 1 cuts may not leave `edge`; edge[0:4] is the fallback"
    )


def test_offload_chosen_after_a_stand_in_is_chosen_once_as_well(three_tiers: Problem):
    view = joined(three_tiers)
    alone = after(view, *(LinkMeasured(rated(view, link, 0.0), 1.5) for link in view.links))
    stood_in = serving(alone, Plan.parse("edge[0:4]"))
    back = after(stood_in, *(LinkMeasured(link, 9.0) for link in view.links.values()))
    chosen = decide(back, Offload())
    assert isinstance(chosen, Switch)
    assert chosen.plan.is_offload
    left = (chosen.plan.nodes[0], chosen.plan.nodes[1])
    worse = after(serving(back, chosen.plan, 10.0), LinkMeasured(rated(back, left, 0.5), 20.0))
    assert plan(problem_of(worse)).best(PlanKind.OFFLOAD).plan != chosen.plan
    assert isinstance(decide(worse, Offload()), Keep)


def test_static_keeps_its_first_plan_whatever_the_links_do(private: View):
    slow = after(private, *(LinkMeasured(rated(private, (EDGE, there), 0.5), 10.5) for there in (FOG, CLOUD)))
    assert isinstance(decide(slow), Switch)
    assert isinstance(decide(slow, Static()), Keep)


@pytest.mark.parametrize("policy", [Static(), Fixed(Plan.parse("edge[0:2]u8 > cloud[2:4]"))])
def test_a_pinned_plan_falls_back_to_local_and_returns_when_its_node_does(private: View, policy: Policy):
    pinned = decide(joined(replace(problem_of(private))), policy).plan
    view = serving(private, pinned, 3.0)
    gone = after(view, NodeLeft(CLOUD, 11.0))
    stand_in = decide(gone, policy)
    assert stand_in.plan == Plan.parse("edge[0:4]")
    gone = serving(gone, stand_in.plan, 11.1)
    if isinstance(policy, Static):
        assert gone.first == private.first
    assert isinstance(decide(gone, policy), Keep)
    back = after(gone, NodeJoined(CLOUD, Tier("cloud"), "b", 15.0))
    assert decide(back, policy) == Switch(pinned, f"{pinned} is possible again")


def test_a_pinned_plan_that_cannot_be_prepared_is_not_hammered(private: View):
    pinned = Plan.parse("edge[0:2]u8 > cloud[2:4]")
    view = after(serving(private, Plan.parse("edge[0:4]"), 3.0), SwitchFailed(pinned, "no memory", CLOUD, 9.0))
    assert decide(view, Fixed(pinned)) == Keep("edge[0:4] is the fallback: no memory")
    assert decide(after(view, Tick(15.0)), Fixed(pinned)).plan == pinned


def history(view: View, rates: list[float], seed: int) -> tuple[View, list[tuple[float, Plan]]]:
    """Ten decisions a second while both of the edge's links measure `rates` (one per 0.1 s) with 5 % noise."""
    noise, switches = random.Random(seed), []
    for at, mbps in enumerate(rates):
        now_s = 20.0 + 0.1 * at
        for there in (FOG, CLOUD):
            seen = mbps * noise.lognormvariate(0.0, 0.05)
            view = after(view, LinkMeasured(rated(view, (EDGE, there), seen, goodput_std_ratio=0.05), now_s))
        decision = decide(view)
        if isinstance(decision, Switch):
            switches.append((now_s, decision.plan))
            view = serving(view, decision.plan, now_s)
    return view, switches


@pytest.mark.parametrize("seed", range(3))
def test_a_step_down_and_up_is_one_switch_each(private: View, seed: int):
    # 18 Mbit/s is far inside the region of the first plan, 2 Mbit/s far inside that of another
    _, switches = history(private, [18.0] * 50 + [2.0] * 50 + [18.0] * 50, seed)
    assert [round(at_s, 1) for at_s, _ in switches] == [25.0, 30.0]
    assert switches[1][1] == private.current


@pytest.mark.parametrize("seed", range(3))
def test_at_the_point_where_two_plans_are_equal_noise_does_not_make_it_flap(private: View, seed: int):
    low, high = 2.0, 18.0
    for _ in range(30):  # bisect the rate at which the best plan changes
        middle = (low + high) / 2
        both = (LinkMeasured(rated(private, (EDGE, there), middle), 10.0) for there in (FOG, CLOUD))
        is_same = plan(problem_of(after(private, *both))).plan == private.current
        low, high = (low, middle) if is_same else (middle, high)
    _, switches = history(private, [high] * 200, seed)
    assert len(switches) <= 1


@pytest.fixture
def thirsty(three_tiers: Problem) -> Problem:
    """The cloud is quick and draws so much that the edge alone takes the least energy, and the fog lies between."""
    cloud = three_tiers.profiles[CLOUD]
    cloud = replace(cloud, device=replace(cloud.device, busy_w=2000.0))
    return replace(three_tiers, profiles={**three_tiers.profiles, CLOUD: cloud})


def judged_by(problem: Problem, goal: Goal) -> View:
    return joined(replace(problem, objective=goal))


def test_within_a_deadline_the_most_frugal_plan_is_chosen(thirsty: Problem):
    frugal = plan(replace(thirsty, objective=Objective.ENERGY))
    decision = decide(judged_by(thirsty, Within(slo_s=2 * frugal.latency_s)))
    assert decision == Switch(frugal.plan, f"first plan: {frugal.plan} takes {frugal.cost:.3g} J")


def test_while_no_plan_meets_the_deadline_the_quickest_serves_and_says_so(thirsty: Problem):
    quick = plan(thirsty)
    decision = decide(judged_by(thirsty, Within(slo_s=0.01)))
    assert isinstance(decision, Switch)
    assert decision.plan == quick.plan
    assert decision.reason.startswith("no plan answers within 10 ms, the quickest takes 75")


def test_a_plan_that_comes_keeps_some_of_the_deadline_in_hand_and_one_that_serves_may_use_it_up(thirsty: Problem):
    frugal = plan(replace(thirsty, objective=Objective.ENERGY))
    view = judged_by(thirsty, Within(slo_s=1.01 * frugal.latency_s))
    first = decide(view)
    assert isinstance(first, Switch)
    assert first.plan != frugal.plan
    assert isinstance(decide(after(serving(view, frugal.plan), Tick(10.0))), Keep)


@pytest.mark.parametrize(("slack", "is_taken"), [(1.12, False), (1.3, True)])
def test_headroom_is_a_share_of_the_deadline(thirsty: Problem, slack: float, is_taken: bool):
    frugal = plan(replace(thirsty, objective=Objective.ENERGY))
    first = decide(judged_by(thirsty, Within(slo_s=slack * frugal.latency_s)))
    assert isinstance(first, Switch)
    assert (first.plan == frugal.plan) == is_taken


def test_while_the_uplink_is_silent_a_stream_goes_home_or_stays(private: View):
    """A transfer is overdue, so that links are known to be slower than anything and by how much nobody knows."""
    assert not private.current.is_local
    fell = {there: rated(private, (EDGE, there), 0.5) for there in (FOG, CLOUD)}
    sampled = after(private, *(LinkMeasured(link, 10.0) for link in fell.values()))
    capped = replace(fell[FOG], measured_at_s=private.links[(EDGE, FOG)].measured_at_s, n_samples=0)
    silent = after(private, LinkMeasured(capped, 10.0))
    assert silent.is_uplink_silent
    assert not sampled.is_uplink_silent
    decision = decide(silent)
    assert isinstance(decision, Switch)
    assert decision.plan.is_local
    home = after(serving(silent, decision.plan, 10.1), Tick(12.0))
    assert isinstance(decide(home), Keep)
    assert isinstance(decide(replace(home, links=private.links, uplink=private.uplink)), Switch)


def test_links_count_as_slower_by_what_transfers_took_beyond_their_forecast(private: View):
    """Until they are forgotten: what is not seen any more fades."""
    split = private.current
    late = after(private, *(ExcessMeasured(3.0, 0.001, 10.0) for _ in range(20)))
    decision = decide(late)
    assert isinstance(decision, Switch)
    assert decision.plan.is_local
    home = serving(late, decision.plan, 21.0)
    assert isinstance(decide(after(home, Tick(30.0))), Keep)
    later = decide(after(home, Tick(900.0)))
    assert isinstance(later, Switch)
    assert later.plan == split


def test_a_plan_that_misses_the_deadline_is_left_even_for_one_that_takes_more_energy(thirsty: Problem):
    frugal = plan(replace(thirsty, objective=Objective.ENERGY))
    view = after(serving(judged_by(thirsty, Within(slo_s=0.9 * frugal.latency_s)), frugal.plan), Tick(10.0))
    decision = decide(view)
    assert isinstance(decision, Switch)
    assert f"{frugal.plan} takes {frugal.latency_s * 1e3:.0f} ms, more than" in decision.reason
    assert evaluate(decision.plan, problem_of(view)).energy_j > frugal.energy_j


def test_a_plan_whose_energy_is_not_known_is_left_for_one_that_a_deadline_can_judge(thirsty: Problem):
    fog = replace(thirsty.profiles[FOG], device=replace(thirsty.profiles[FOG].device, busy_w=None))
    unknown = replace(thirsty, profiles={**thirsty.profiles, FOG: fog})
    view = serving(judged_by(unknown, Within(slo_s=10.0)), Plan.parse("edge[0:1]u8 > fog[1:4]"))
    decision = decide(after(view, Tick(10.0)))
    assert decision == Switch(
        Plan.parse("edge[0:4]"), "edge[0:1]u8 > fog[1:4] cannot be judged by slo=10; edge[0:4] can"
    )


def test_a_deadline_is_named_as_it_was_set(thirsty: Problem):
    view = serving(joined(thirsty), plan(thirsty).plan)
    late = decide(after(view, ObjectiveSet(Within(slo_s=0.01), view.constraints, 10.0)))
    assert late.reason.startswith("no plan answers within 10 ms, the quickest takes ")


def test_a_weighted_sum_decides_between_time_and_energy(thirsty: Problem):
    quick = decide(judged_by(thirsty, Weights(latency_s=1.0)))
    frugal = decide(judged_by(thirsty, Weights(latency_s=1e-3, energy_j=10.0)))
    assert isinstance(quick, Switch)
    assert isinstance(frugal, Switch)
    assert quick.plan == plan(thirsty).plan
    assert frugal.plan == plan(replace(thirsty, objective=Objective.ENERGY)).plan


def test_a_node_that_fills_up_is_left_with_what_was_needed_and_what_it_reports(private: View):
    crowded = private.current.stages[-1]
    decision = decide(after(private, MemoryMeasured(crowded.node, 1000, 10.0)))
    assert isinstance(decision, Switch)
    assert f"{crowded.segment} needs " in decision.reason
    assert f"MB on `{crowded.node}`, which reports 0.0" in decision.reason
    assert crowded.node not in decision.plan.nodes


def test_a_node_with_enough_memory_is_kept(private: View):
    crowded = private.current.stages[-1]
    assert isinstance(decide(after(private, MemoryMeasured(crowded.node, 10**9, 10.0))), Keep)


def test_a_switch_for_another_energy_scope_names_it(thirsty: Problem):
    of_all = replace(thirsty, objective=Objective.ENERGY)
    origin = EnergyScope.parse("origin")
    assert plan(of_all).plan != plan(replace(of_all, energy_scope=origin)).plan
    view = serving(judged_by(thirsty, Objective.ENERGY), plan(of_all).plan)
    decision = decide(after(view, EnergyScopeSet(origin, 10.0)))
    assert isinstance(decision, Switch)
    assert "joules that count are now those of origin" in decision.reason


def test_a_link_that_fell_is_no_reason_for_a_plan_that_uses_it(private: View) -> None:
    view = after(
        private,
        LinkMeasured(rated(private, (EDGE, FOG), 0.5), 10.5),
        LinkMeasured(rated(private, (EDGE, CLOUD), 2.0), 10.5),
    )
    problem = problem_of(view)
    assert problem is not None
    over = {node: breakdown(Plan.parse(f"edge[0:2]u8 > {node}[2:4]"), problem) for node in (FOG, CLOUD)}
    for left, wanted in ((FOG, CLOUD), (CLOUD, FOG)):
        words = what_moved(view, over[left], over[wanted])
        assert any(f"edge->{left} fell" in each for each in words), words
        assert not any(f"edge->{wanted} fell" in each for each in words), words
