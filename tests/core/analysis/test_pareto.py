"""The front is exact: beside brute force over all plans, none beats one of it, and it beats all others."""

import math
from dataclasses import replace
from itertools import permutations

import numpy as np
import pytest

from seamline.core.analysis.pareto import front
from seamline.core.planning.planner import Alternative, Problem, all_plans, evaluate
from seamline.core.vocabulary.constraints import Constraints
from seamline.core.vocabulary.nodes import NodeId
from seamline.core.vocabulary.plans import Codec
from seamline.core.vocabulary.profiles import CodecCost, DeviceInfo

NODES = [NodeId(name) for name in ("edge", "fog", "hut", "cloud")]
TIE_RATIO = 1e-9
"""Sums in another order differ by less."""


def costs(found: Alternative) -> tuple[float, ...]:
    return found.latency_s, 1.0 / found.throughput_fps, math.inf if found.energy_j is None else found.energy_j


def beats(one: Alternative, other: Alternative) -> bool:
    return all(mine <= theirs * (1.0 + TIE_RATIO) for mine, theirs in zip(costs(one), costs(other), strict=True))


@pytest.fixture
def some_nodes(make_cuts, make_profile, make_link):
    """Three or four nodes, where fast ones draw more; on one of them power is not known in every third problem."""

    def make(seed: int) -> Problem:
        random = np.random.default_rng(seed)
        nodes = NODES[: 3 + seed % 2]
        cuts = make_cuts(*(int(n) for n in random.integers(5_000, 200_000, 9 - 3 * (seed % 2))))
        profiles = {}
        for place, node in enumerate(nodes):
            per_byte = float(random.choice([0.0, 5e-9, 5e-8]))
            codecs = tuple(
                CodecCost(codec=codec, encode_s_per_byte=per_byte, decode_s_per_byte=per_byte / 2)
                for codec in (Codec.F16, Codec.U8)
            )
            block_s = [float(seconds) / (1 + place) for seconds in random.uniform(0.002, 0.04, len(cuts) - 1)]
            profiles[node] = make_profile(node, cuts, block_s, codecs=codecs)
            if seed % 3 or node != nodes[-1]:
                device = DeviceInfo(name=node, idle_w=1.0, busy_w=4.0 * (1 + place) ** 2, tx_j_per_byte=1e-7)
                profiles[node] = replace(profiles[node], device=device)
        links = {ends: make_link(*ends, mbps=float(random.uniform(10, 200))) for ends in permutations(nodes, 2)}
        limits = Constraints(n_private_cuts=seed % 3, memory_bytes=((nodes[1], 1_500_000),))
        return Problem(origin=nodes[0], cuts=cuts, profiles=profiles, links=links, constraints=limits)

    return make


@pytest.mark.parametrize("seed", range(4))
def test_the_front_is_what_no_plan_beats(some_nodes, seed: int):
    problem = some_nodes(seed)
    judged = [evaluate(candidate, problem) for candidate in all_plans(problem)]
    allowed = [each for each in judged if each.refusal is None]
    found = front(problem)
    assert {each.plan for each in found} <= {each.plan for each in allowed}
    assert all(any(beats(best, each) for best in found) for each in allowed)
    for each in found:
        assert not any(beats(other, each) for other in found if other is not each)
    assert [each.latency_s for each in found] == sorted(each.latency_s for each in found)


def test_energy_counts_for_nothing_where_the_origin_has_no_power_figures(some_nodes):
    problem = some_nodes(1)
    edge = replace(problem.profiles[NODES[0]], device=DeviceInfo(name=NODES[0]))
    found = front(replace(problem, profiles={**problem.profiles, NODES[0]: edge}))
    assert {each.energy_j for each in found} == {None}
    assert len(found) <= len(front(problem))
