"""`plan()` is exact: it equals `brute_force()` on random problems, and says why when there is no plan."""

import math
from dataclasses import replace
from functools import partial
from itertools import accumulate, permutations
from random import Random

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from seamline.core.analysis.pareto import front
from seamline.core.planning import infeasibility, planner
from seamline.core.planning.additive import search_additive
from seamline.core.planning.constraint_masks import EntryWindow
from seamline.core.planning.planner import EnergyScope, PlanKind, Problem, all_plans, brute_force, evaluate, plan
from seamline.core.vocabulary.constraints import Constraints
from seamline.core.vocabulary.errors import Infeasible
from seamline.core.vocabulary.links import LinkEstimate
from seamline.core.vocabulary.nodes import NodeId
from seamline.core.vocabulary.objectives import Objective, Weights
from seamline.core.vocabulary.plans import Codec, Plan
from seamline.core.vocabulary.profiles import (
    Block,
    Boundary,
    CodecCost,
    Cut,
    DeviceInfo,
    FrameInfo,
    ModelInfo,
    Profile,
    Quantiles,
)

EDGE, FOG, CLOUD = NodeId("edge"), NodeId("fog"), NodeId("cloud")
SAME_COST = pytest.approx  # both sums round differently; 1e-6 relative is pytest's default
SCOPES = tuple(EnergyScope.parse(text) for text in ("all", "origin", "edge=0.5,fog=2,cloud=0"))
MAX_PLANS = 1500
"""Brute force evaluates each in ~15 us; larger sizes are covered by the one full-size example."""

N_EXAMPLES = settings.default.max_examples
BIG = (HealthCheck.filter_too_much, HealthCheck.too_slow)
"""A problem is a big thing to draw."""


def n_plans(n_cuts: int, n_nodes: int, n_codecs: int) -> int:
    return sum(
        math.perm(n_nodes - 1, n_others) * math.comb(n_cuts - 1, n_others) * n_codecs**n_others
        for n_others in range(n_nodes)
    )


@st.composite
def problems(draw: st.DrawFn, max_plans: int = MAX_PLANS) -> Problem:
    n_nodes, n_cuts = draw(st.integers(1, 4)), draw(st.integers(2, 10))
    codecs = draw(st.lists(st.sampled_from(list(Codec)), unique=True, max_size=4))
    assume(n_plans(n_cuts, n_nodes, 3) <= max_plans)
    seconds = st.sampled_from([0.0, 0.001, 0.003, 0.01, 0.02, 0.05, 0.1]) | st.floats(0.0, 0.2)
    sizes = st.integers(0, 600_000)
    cuts = tuple(
        Cut(
            index=at,
            after=f"l{at}",
            tensors=(),
            payload_bytes=draw(sizes),
            is_candidate=at in (0, n_cuts - 1) or draw(st.booleans()),
            carries_input=draw(st.sampled_from([False, False, False, True])),
        )
        for at in range(n_cuts)
    )
    frames = st.builds(
        FrameInfo, raw_bytes=sizes, jpeg_bytes=st.none() | st.integers(1, 50_000), preprocess_s=st.floats(0.0, 0.01)
    )
    frame = draw(st.none() | frames)
    watts = st.sampled_from([(None, None), (0.0, 3.0), (2.0, 6.0), (40.0, 90.0)])
    per_byte = st.sampled_from([0.0, 1e-9, 1e-8, 1e-7])
    radio = st.sampled_from([0.0, 1e-6, 5e-6])
    ratios = st.sampled_from([0.3, 0.7, 1.0, 1.1])
    nodes = [NodeId(name) for name in ("edge", "fog", "cloud", "extra")[:n_nodes]]
    profiles = {}
    for node in nodes:
        idle_w, busy_w = draw(watts)
        block_s = [draw(seconds) for _ in range(n_cuts - 1)]
        profiles[node] = Profile(
            model=ModelInfo(name="random"),
            device=DeviceInfo(
                name=node, idle_w=idle_w, busy_w=busy_w, tx_j_per_byte=draw(radio), rx_j_per_byte=draw(radio)
            ),
            cuts=cuts,
            blocks=tuple(
                Block(from_cut=at, to_cut=at + 1, compute_s=Quantiles(median=s, p90=s)) for at, s in enumerate(block_s)
            ),
            whole_s=Quantiles(median=sum(block_s), p90=sum(block_s)),
            frame=frame,
            codecs=tuple(
                CodecCost(
                    codec=codec,
                    encode_s_per_byte=draw(per_byte),
                    decode_s_per_byte=draw(per_byte),
                    cut=cut,
                    compression_ratio=draw(ratios),
                )
                for codec in (Codec.U8, Codec.F16, Codec.LOSSLESS)
                for cut in draw(st.sampled_from([(), (None,), (None, 1), (0, 1)]))
            ),
            boundaries=tuple(
                Boundary(cut=at, overhead_s=draw(seconds)) for at in range(1, n_cuts - 1) if draw(st.booleans())
            ),
        )
    links = {
        ends: LinkEstimate(
            source=ends[0],
            target=ends[1],
            rtt_s=draw(st.floats(0.0, 0.1)),
            goodput_bps=draw(st.sampled_from([0.0, 1e6, 5e6, 2e7, 1e8, 1e9])),
        )
        for ends in permutations(nodes, 2)
        if draw(st.sampled_from([True, True, True, False]))
    }
    return Problem(
        origin=EDGE,
        cuts=cuts,
        profiles=profiles,
        links=links,
        compute_ratio={node: draw(st.sampled_from([0.5, 1.0, 2.0])) for node in nodes[::2]},
        queue_s={node: draw(st.sampled_from([0.0, 0.02])) for node in nodes[1:]},
        compression_ratio={(1, codec): draw(ratios) for codec in (Codec.LOSSLESS, Codec.JPEG) if draw(st.booleans())},
        objective=draw(st.sampled_from(list(Objective))),
        constraints=Constraints(
            n_private_cuts=draw(st.integers(0, 3)),
            codecs=tuple(codecs),
            allow_local=draw(st.booleans()),
            allow_offload=draw(st.booleans()),
        ),
        energy_scope=draw(st.sampled_from(SCOPES)),
    )


@st.composite
def limited_problems(draw: st.DrawFn) -> Problem:
    """With weights that fill memories, pinned layers, and nodes, links and codecs that are forbidden."""
    problem = draw(problems())
    steps = [draw(st.integers(0, 400_000)) for _ in problem.cuts]
    weights = list(accumulate(steps))
    cuts = tuple(replace(cut, weights_before_bytes=weight) for cut, weight in zip(problem.cuts, weights, strict=True))
    nodes = st.sampled_from(sorted(problem.profiles))
    some = partial(st.lists, max_size=1)
    calibrated = st.tuples(st.integers(0, len(cuts) - 1), st.sampled_from([Codec.F16, Codec.U8]))
    limits = replace(
        problem.constraints,
        trusted=tuple(draw(some(nodes))),
        memory_bytes=tuple(dict(draw(st.lists(st.tuples(nodes, st.integers(0, 6_000_000)), max_size=3))).items()),
        pins=tuple(draw(some(st.tuples(st.integers(1, len(cuts) - 1), nodes)))),
        forbidden_nodes=tuple(draw(some(nodes))) if draw(st.booleans()) else (),
        forbidden_links=tuple(draw(some(st.tuples(nodes, nodes)))),
        forbidden_codecs=tuple(draw(some(st.tuples(nodes, st.sampled_from(list(Codec)))))),
        lossy=draw(st.none() | st.lists(calibrated, max_size=3).map(tuple)),
    )
    return replace(problem, cuts=cuts, constraints=limits)


@given(limited_problems())
@settings(suppress_health_check=BIG)
def test_plan_equals_brute_force_within_limits(problem: Problem):
    try:
        oracle = brute_force(problem)
    except Infeasible:
        with pytest.raises(Infeasible):
            plan(problem)
        return
    planned = plan(problem)
    assert planned.cost == SAME_COST(oracle.cost)
    assert evaluate(planned.plan, problem).refusal is None


@given(limited_problems())
@settings(max_examples=N_EXAMPLES // 2, suppress_health_check=BIG)
def test_the_front_holds_the_best_of_every_sum_and_deadline(problem: Problem):
    """Beside brute force over all plans: none of them is better, whatever is weighed."""
    judged = [evaluate(candidate, problem) for candidate in all_plans(problem)]
    allowed = [each for each in judged if each.refusal is None and math.isfinite(each.latency_s)]
    if not allowed:
        with pytest.raises(Infeasible):
            front(problem)
        return
    found = front(problem)
    for weights in (Weights(latency_s=1.0, bottleneck_s=2.0), Weights(bottleneck_s=1.0), Weights(energy_j=1.0)):
        least = min(weights.cost(each) for each in allowed)
        if math.isfinite(least):
            assert min(weights.cost(each) for each in found) == SAME_COST(least)
    slo_s = sorted(each.latency_s for each in allowed)[len(allowed) // 2]
    within = [each.energy_j for each in allowed if each.latency_s <= slo_s and each.energy_j is not None]
    if within:
        in_time = [each for each in found if each.latency_s <= slo_s * (1 + 1e-6)]
        assert min(each.energy_j for each in in_time if each.energy_j is not None) <= min(within) * (1 + 1e-9)


def test_the_front_runs_from_the_quickest_plan_to_the_most_frugal(three_tiers: Problem):
    found = front(three_tiers)
    latencies = [each.latency_s for each in found]
    assert latencies == sorted(latencies)
    assert len(found) > 1
    joules = [each.energy_j for each in found]
    assert min(joules) == plan(replace(three_tiers, objective=Objective.ENERGY)).energy_j
    assert found[0].plan == plan(three_tiers).plan


@given(st.integers(1, 40), st.randoms(use_true_random=False))
def test_the_least_in_a_window_is_the_least_in_a_window(n: int, random: Random):
    first = [random.randint(0, at) for at in range(n)]
    values = np.array([[random.random() for _ in range(n)] for _ in range(2)])
    least = EntryWindow(np.array(first)).least(values)
    for at in range(n):
        for row in range(2):
            assert least[row, at] == min(values[row, first[at] : at], default=math.inf)


def with_memory(problem: Problem, **bytes_of: int) -> Problem:
    """`problem` with a model of 10 MB a block, and so much memory on some nodes."""
    cuts = tuple(replace(cut, weights_before_bytes=10_000_000 * cut.index) for cut in problem.cuts)
    limits = Constraints(memory_bytes=tuple((NodeId(name), n_bytes) for name, n_bytes in bytes_of.items()))
    return replace(problem, cuts=cuts, constraints=limits)


def test_a_node_gets_no_more_than_it_can_hold(three_tiers: Problem):
    assert plan(with_memory(three_tiers)).plan.nodes == (EDGE, CLOUD)
    planned = plan(with_memory(three_tiers, cloud=13_000_000))
    on_cloud = [stage for stage in planned.plan.stages if stage.node == CLOUD]
    assert all(stage.segment.stop - stage.segment.start <= 1 for stage in on_cloud)


def test_too_little_memory_names_the_node_the_need_and_the_limit(three_tiers: Problem):
    problem = with_memory(three_tiers, edge=1_000_000, fog=1_000_000, cloud=30_000_000)
    # 40 MB of weights, twice the 0.8 MB tensor behind the first block, and a tenth of both
    with pytest.raises(Infeasible, match=r"\[0:4\] needs 45.8 MB on `cloud`, which may use 30.0"):
        plan(problem)


def test_a_pinned_layer_runs_where_it_is_pinned(three_tiers: Problem):
    planned = plan(replace(three_tiers, constraints=Constraints(pins=((2, FOG),))))
    (stage,) = (stage for stage in planned.plan.stages if stage.node == FOG)
    assert stage.segment.start < 2 <= stage.segment.stop


def test_a_trusted_node_may_receive_what_is_private(three_tiers: Problem):
    kept = plan(replace(three_tiers, constraints=Constraints(n_private_cuts=2, trusted=(FOG,)))).plan
    assert kept.stages[0].segment.is_empty
    assert kept.stages[1].node == FOG
    assert all(stage.segment.start >= 2 for stage in kept.stages[2:])


def test_what_is_forbidden_is_named_when_nothing_is_left(three_tiers: Problem):
    limits = Constraints(allow_local=False, forbidden_nodes=(FOG, CLOUD))
    with pytest.raises(Infeasible, match="forbidden are `fog`, `cloud`"):
        plan(replace(three_tiers, constraints=limits))


@given(problems())
@settings(max_examples=2 * N_EXAMPLES, suppress_health_check=BIG)
def test_plan_equals_brute_force(problem: Problem):
    try:
        oracle = brute_force(problem)
    except Infeasible:
        with pytest.raises(Infeasible):
            plan(problem)
        return
    planned = plan(problem)
    assert planned.cost == SAME_COST(oracle.cost)
    found = evaluate(planned.plan, problem)
    assert found.refusal is None
    assert found.cost == planned.cost
    for alternative in planned.alternatives:
        if alternative.plan is None:
            assert alternative.refusal
        else:
            assert evaluate(alternative.plan, problem).refusal is None
            assert alternative.cost >= planned.cost * (1 - 1e-6)


@given(problems(), st.data())
@settings(suppress_health_check=BIG)
def test_plan_equals_brute_force_where_nodes_compute_some_tails_alone(problem: Problem, data: st.DataObject):
    profiles = dict(problem.profiles)
    for node in data.draw(st.sets(st.sampled_from(sorted(profiles)))) - {EDGE}:
        tails = data.draw(st.sets(st.integers(0, problem.last_cut - 1), min_size=1))
        profiles[node] = replace(profiles[node], tails=tuple(sorted(tails)))
    test_plan_equals_brute_force.hypothesis.inner_test(replace(problem, profiles=profiles))


@pytest.fixture
def full_size(three_tiers: Problem, make_cuts, make_profile, make_link) -> Problem:
    """Eight cuts, four nodes, all codecs with costs: plans in which three boundaries can pay."""
    cuts = make_cuts(*(int(300_000 / (1 + at)) + 7_000 * (at * 5 % 3) for at in range(8)))
    codecs = tuple(
        CodecCost(codec=codec, encode_s_per_byte=rate, decode_s_per_byte=rate / 2)
        for codec, rate in ((Codec.F16, 1e-9), (Codec.U8, 4e-9))
    )
    speeds = {"edge": 0.02, "fog": 0.015, "cloud": 0.012, "extra": 0.011}
    profiles = {
        NodeId(name): make_profile(
            name,
            cuts,
            [s * (1 + 0.3 * (at % 3)) for at in range(7)],
            frame=FrameInfo(raw_bytes=150_528, jpeg_bytes=25_000, preprocess_s=0.002),
            idle_w=1.0,
            busy_w=4.0,
            codecs=codecs,
        )
        for name, s in speeds.items()
    }
    links = {
        (NodeId(a), NodeId(b)): make_link(a, b, mbps=50 + 40 * at, rtt_s=0.002)
        for at, (a, b) in enumerate(permutations(speeds, 2))
    }
    return Problem(origin=EDGE, cuts=cuts, profiles=profiles, links=links)


def test_plan_equals_brute_force_at_full_size(full_size: Problem):
    """All plans are looked at once for every objective, which takes most of the time."""
    found = [evaluate(candidate, full_size) for candidate in all_plans(full_size)]
    allowed = [each for each in found if each.refusal is None]
    assert plan(full_size).latency_s == SAME_COST(min(each.latency_s for each in allowed))
    frugal, rapid = (plan(replace(full_size, objective=goal)) for goal in (Objective.ENERGY, Objective.THROUGHPUT))
    assert frugal.energy_j == SAME_COST(min(each.energy_j for each in allowed))
    assert rapid.throughput_fps == SAME_COST(max(each.throughput_fps for each in allowed))


def test_throughput_uses_every_node_where_that_balances_the_stages(full_size: Problem):
    planned = plan(replace(full_size, objective=Objective.THROUGHPUT))
    assert len(planned.plan.stages) == 4


def test_codecs_that_do_not_bound_the_throughput_send_little(three_tiers: Problem):
    planned = plan(replace(three_tiers, objective=Objective.THROUGHPUT, constraints=Constraints(n_private_cuts=1)))
    assert {stage.codec for stage in planned.plan.stages[:-1]} == {Codec.U8}


def test_sending_the_jpeg_to_a_fast_idle_cloud_wins_when_it_is_allowed(three_tiers: Problem):
    assert str(plan(three_tiers).plan) == "edge[0:0]jpeg > cloud[0:4]"


def test_a_private_input_makes_a_split_the_best_plan(three_tiers: Problem):
    planned = plan(replace(three_tiers, constraints=Constraints(n_private_cuts=1)))
    assert planned.plan.stages[0].segment.stop >= 1
    assert planned.best(PlanKind.SPLIT).plan == planned.plan
    assert planned.best(PlanKind.OFFLOAD).plan is None
    assert planned.best(PlanKind.OFFLOAD).refusal == "the first 1 cuts may not leave `edge`"


def test_a_decision_does_not_search_for_the_words_of_a_refusal(three_tiers: Problem, monkeypatch: pytest.MonkeyPatch):
    n_searches = 0

    def counted(*args):
        nonlocal n_searches
        n_searches += 1
        return search_additive(*args)

    monkeypatch.setattr(planner, "search_additive", counted)
    monkeypatch.setattr(infeasibility, "search_additive", counted)
    offload = plan(replace(three_tiers, constraints=Constraints(n_private_cuts=1))).best(PlanKind.OFFLOAD)
    assert (offload.plan, n_searches) == (None, 1)
    assert offload.refusal == "the first 1 cuts may not leave `edge`"
    assert n_searches > 1


def test_without_links_everything_runs_on_the_origin(three_tiers: Problem):
    planned = plan(replace(three_tiers, links={}))
    assert planned.plan == Plan.parse("edge[0:4]")
    assert planned.best(PlanKind.SPLIT).refusal == "no link there and back is up"


def test_a_node_behind_another_is_reached_through_it_when_only_its_way_back_is_direct(three_tiers: Problem):
    links = {ends: link for ends, link in three_tiers.links.items() if ends != (EDGE, CLOUD)}
    planned = plan(replace(three_tiers, links=links, constraints=Constraints(n_private_cuts=1)))
    assert planned.plan.nodes == (EDGE, FOG, CLOUD)


def test_a_tie_goes_to_fewer_stages_and_the_lowest_cut(make_cuts, make_profile, make_link):
    cuts = make_cuts(0, 0, 0, 0)
    nodes = ("edge", "fog", "cloud")
    profiles = {NodeId(name): make_profile(name, cuts, [0.125, 0.125, 0.125]) for name in nodes}
    links = {(NodeId(a), NodeId(b)): make_link(a, b, mbps=100, rtt_s=0.0) for a, b in permutations(nodes, 2)}
    problem = Problem(origin=EDGE, cuts=cuts, profiles=profiles, links=links)
    assert str(plan(problem).plan) == "edge[0:3]"
    split_only = replace(problem, constraints=Constraints(allow_local=False, allow_offload=False, codecs=(Codec.RAW,)))
    assert str(plan(split_only).plan) == "edge[0:1]raw > cloud[1:3]"


@pytest.mark.parametrize("objective", list(Objective))
def test_a_model_that_costs_nothing_still_gets_a_plan(make_cuts, make_profile, make_link, objective: Objective):
    cuts = make_cuts(0, 0, 0, 0)
    profiles = {
        NodeId(name): make_profile(name, cuts, [0.0] * 3, idle_w=0.0, busy_w=1.0) for name in ("edge", "fog", "cloud")
    }
    links = {(NodeId(a), NodeId(b)): make_link(a, b, mbps=100, rtt_s=0.0) for a, b in permutations(profiles, 2)}
    remote_only = Constraints(allow_local=False, codecs=(Codec.RAW,))
    problem = Problem(
        origin=EDGE, cuts=cuts, profiles=profiles, links=links, objective=objective, constraints=remote_only
    )
    assert plan(problem).cost == 0.0


@pytest.mark.parametrize("objective", list(Objective))
def test_planning_twice_gives_the_same_plan(three_tiers: Problem, objective: Objective):
    problem = replace(three_tiers, objective=objective)
    backwards = replace(problem, profiles=dict(reversed(three_tiers.profiles.items())))
    assert plan(problem) == plan(backwards)


@pytest.mark.parametrize(
    ("constraints", "reason"),
    [
        (Constraints(allow_local=False, n_private_cuts=4), "the first 4 cuts may not leave `edge`"),
        (Constraints(allow_local=False, codecs=()), "codecs are limited to none"),
        (Constraints(allow_local=False, allow_offload=False, n_private_cuts=4), "the first 4 cuts may not leave"),
    ],
)
def test_infeasible_names_the_constraint_that_binds(three_tiers: Problem, constraints: Constraints, reason: str):
    with pytest.raises(Infeasible, match=reason):
        plan(replace(three_tiers, constraints=constraints))


def test_infeasible_says_when_no_link_is_left(three_tiers: Problem):
    with pytest.raises(Infeasible, match="no link there and back is up"):
        plan(replace(three_tiers, links={}, constraints=Constraints(allow_local=False)))


def test_energy_without_power_figures_is_infeasible(three_tiers: Problem):
    edge = three_tiers.profiles[EDGE]
    profiles = {**three_tiers.profiles, EDGE: replace(edge, device=replace(edge.device, idle_w=None))}
    with pytest.raises(Infeasible, match="`edge` has no power figures"):
        plan(replace(three_tiers, profiles=profiles, objective=Objective.ENERGY))


def test_a_loaded_cloud_is_left_for_the_fog(three_tiers: Problem):
    busy_cloud = replace(three_tiers, queue_s={CLOUD: 5.0})
    assert CLOUD not in plan(busy_cloud).plan.nodes
