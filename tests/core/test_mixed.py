"""Deadlines and weighted sums are planned exactly: `plan()` equals `brute_force()` where they bind."""

import math
from dataclasses import replace
from itertools import permutations

import numpy as np
import pytest

from seamline.core.errors import Infeasible
from seamline.core.goals import Weights, Within
from seamline.core.planner import Problem, all_plans, brute_force, evaluate, plan
from seamline.core.values import (
    Block,
    Codec,
    CodecCost,
    Constraints,
    Cut,
    DeviceInfo,
    FrameInfo,
    LinkEstimate,
    ModelInfo,
    NodeId,
    Objective,
    Profile,
    Quantiles,
)

EDGE = NodeId("edge")
SAME_COST = pytest.approx  # both sums round differently; 1e-6 relative is pytest's default


def random_problem(seed: int) -> Problem:
    """Where fast nodes draw much and slow ones little, so that time can be bought with energy; most links are up."""
    random = np.random.default_rng(seed)
    nodes = [NodeId(name) for name in ("edge", "fog", "cloud", "extra")[: random.integers(2, 5)]]
    n_cuts = int(random.integers(3, 8 if len(nodes) < 4 else 5))
    cuts = tuple(
        Cut(
            index=at,
            after=f"l{at}",
            tensors=(),
            payload_bytes=int(random.integers(0, 300_000)),
            weights_before_bytes=200_000 * at,
        )
        for at in range(n_cuts)
    )
    frame = FrameInfo(raw_bytes=150_000, jpeg_bytes=25_000, preprocess_s=0.004) if random.random() < 0.5 else None
    profiles = {}
    for node in nodes:
        speed = float(random.uniform(0.2, 3.0))
        block_s = [float(random.uniform(0.0, 0.04)) / speed for _ in range(n_cuts - 1)]
        idle_w = float(random.uniform(0.5, 3.0))
        profiles[node] = Profile(
            model=ModelInfo(name="random"),
            device=DeviceInfo(
                name=node,
                idle_w=idle_w,
                busy_w=idle_w + 4.0 * speed**2,
                tx_j_per_byte=float(random.choice([0.0, 2e-6])),
            ),
            cuts=cuts,
            blocks=tuple(
                Block(from_cut=at, to_cut=at + 1, compute_s=Quantiles(median=s, p90=s)) for at, s in enumerate(block_s)
            ),
            whole_s=Quantiles(median=sum(block_s), p90=sum(block_s)),
            frame=frame,
            codecs=tuple(
                CodecCost(codec=codec, encode_s_per_byte=float(random.choice([0.0, 2e-8])), decode_s_per_byte=1e-8)
                for codec in (Codec.U8, Codec.F16)
            ),
        )
    links = {
        ends: LinkEstimate(
            source=ends[0],
            target=ends[1],
            rtt_s=float(random.uniform(0.0, 0.02)),
            goodput_bps=float(random.choice([0.0, 1e7, 3e7, 1e8, 1e9], p=[0.1, 0.2, 0.2, 0.2, 0.3])),
        )
        for ends in permutations(nodes, 2)
    }
    limits = Constraints(
        codecs=(Codec.RAW, Codec.F16, Codec.U8, Codec.JPEG),
        memory_bytes=((nodes[-1], 900_000),) if random.random() < 0.3 else (),
        pins=((1, EDGE),) if random.random() < 0.2 else (),
    )
    queue_s = {nodes[-1]: 0.01} if random.random() < 0.3 else {}
    return Problem(
        origin=EDGE, cuts=cuts, profiles=profiles, links=links, queue_s=queue_s, constraints=limits,
        objective=Objective.ENERGY,
    )  # fmt: skip


def assert_exact(problem: Problem) -> None:
    judged = evaluate(plan(problem).plan, problem)
    assert judged.refusal is None
    assert judged.cost == SAME_COST(brute_force(problem).cost)


@pytest.mark.parametrize("seed", range(60))
def test_the_least_energy_within_a_deadline_is_found(seed: int):
    """Deadlines that bind, or nearly: at latencies there are, from the quickest plan to the most frugal one."""
    problem = random_problem(seed)
    found = [evaluate(each, problem) for each in all_plans(problem)]
    allowed = [each for each in found if each.refusal is None]
    frugal = min(allowed, key=lambda each: (each.cost, each.latency_s))
    latencies = sorted({each.latency_s for each in allowed if each.latency_s <= frugal.latency_s})
    for latency_s in {latencies[len(latencies) * eighth // 8] for eighth in (0, 1, 3, 5, 7)}:
        assert_exact(replace(problem, objective=Within(slo_s=latency_s * (1.0 + 1e-6))))


@pytest.mark.parametrize("seed", range(60))
def test_the_least_weighted_sum_is_found(seed: int):
    problem = random_problem(seed)
    for goal in (
        Weights(latency_s=1.0, energy_j=0.2),
        Weights(latency_s=1.0, bottleneck_s=3.0),
        Weights(bottleneck_s=1.0, energy_j=0.1),
        Weights(latency_s=1.0, bottleneck_s=2.0, energy_j=0.1),
        Weights(bottleneck_s=1.0),
    ):
        assert_exact(replace(problem, objective=goal))


def test_deadlines_of_these_problems_do_bind():
    """Otherwise the first test would prove nothing: a deadline between the two plans changes a third of the answers."""
    n_bound = 0
    for seed in range(60):
        problem = random_problem(seed)
        frugal, quick = plan(problem), plan(replace(problem, objective=Objective.LATENCY))
        n_bound += quick.latency_s < 0.99 * frugal.latency_s and math.isfinite(frugal.cost)
    assert n_bound > 20


def test_a_deadline_decides_between_the_quickest_plan_and_the_most_frugal_one(three_tiers: Problem):
    """A deadline that no plan misses leaves the most frugal plan, one that all but the quickest miss leaves that."""
    quick = plan(three_tiers)
    frugal = plan(replace(three_tiers, objective=Objective.ENERGY))
    assert plan(replace(three_tiers, objective=Within(slo_s=10.0))).plan == frugal.plan
    assert plan(replace(three_tiers, objective=Within(slo_s=quick.latency_s))).plan == quick.plan


def test_a_deadline_that_no_plan_meets_names_the_quickest(three_tiers: Problem):
    with pytest.raises(Infeasible, match=r"no plan answers within 1 ms, the quickest takes \d+: `edge"):
        plan(replace(three_tiers, objective=Within(slo_s=0.001)))


def test_a_deadline_without_power_figures_says_what_is_missing(three_tiers: Problem):
    edge = three_tiers.profiles[EDGE]
    profiles = {**three_tiers.profiles, EDGE: replace(edge, device=replace(edge.device, idle_w=None))}
    with pytest.raises(Infeasible, match="`edge` has no power figures"):
        plan(replace(three_tiers, profiles=profiles, objective=Within(slo_s=10.0)))
