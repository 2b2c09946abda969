"""The search for throughput beyond what brute force over four nodes shows: more nodes, pins, and codecs left out."""

from dataclasses import replace
from itertools import permutations

import numpy as np
import pytest

from seamline.core.planning.boundary_arrays import boundary_arrays, stage_ends
from seamline.core.planning.planner import Problem, brute_force, plan
from seamline.core.planning.problem_arrays import arrays_of
from seamline.core.vocabulary.constraints import Constraints
from seamline.core.vocabulary.nodes import NodeId
from seamline.core.vocabulary.objectives import Objective
from seamline.core.vocabulary.plans import Codec
from seamline.core.vocabulary.profiles import CodecCost

NODES = [NodeId(name) for name in ("edge", "fog", "hut", "attic", "cloud")]


@pytest.fixture
def five_nodes(make_cuts, make_profile, make_link):
    """Five nodes of different speeds and links, five cuts and two codecs: 1,500 plans, most orders among them close."""

    def make(seed: int) -> Problem:
        random = np.random.default_rng(seed)
        cuts = make_cuts(*(int(n) for n in random.integers(5_000, 60_000, 5)))
        profiles = {}
        for node in NODES:
            per_byte = float(random.choice([0.0, 5e-9, 5e-8]))
            codecs = tuple(
                CodecCost(codec=codec, encode_s_per_byte=per_byte, decode_s_per_byte=per_byte / 2)
                for codec in (Codec.F16, Codec.U8)
            )
            block_s = [float(seconds) for seconds in random.uniform(0.002, 0.02, 4)]
            profiles[node] = make_profile(node, cuts, block_s, codecs=codecs)
        links = {ends: make_link(*ends, mbps=float(random.uniform(20, 400))) for ends in permutations(NODES, 2)}
        limits = Constraints(codecs=(Codec.RAW, Codec.U8))
        return Problem(
            origin=NODES[0],
            cuts=cuts,
            profiles=profiles,
            links=links,
            objective=Objective.THROUGHPUT,
            constraints=limits,
        )

    return make


@pytest.mark.parametrize("seed", range(3))
def test_orders_that_share_a_state_lose_no_plan(five_nodes, seed: int):
    problem = five_nodes(seed)
    planned, oracle = plan(problem), brute_force(problem)
    assert planned.cost == pytest.approx(oracle.cost, rel=1e-9)
    assert len(planned.plan.stages) == len(oracle.plan.stages)


def test_a_plan_of_two_stages_is_no_bound_where_three_are_pinned(five_nodes):
    problem = five_nodes(0)
    limits = replace(problem.constraints, pins=((2, NODES[1]), (4, NODES[2])))
    pinned = replace(problem, constraints=limits)
    assert plan(pinned).cost == pytest.approx(brute_force(pinned).cost, rel=1e-9)
    assert {NODES[1], NODES[2]} <= set(plan(pinned).plan.nodes)


def test_a_codec_that_another_beats_in_everything_is_left_out(three_tiers: Problem):
    arrays = arrays_of(replace(three_tiers, constraints=Constraints(codecs=(Codec.RAW, Codec.F16, Codec.U8))))
    boundaries = boundary_arrays(NodeId("fog"), NodeId("cloud"), arrays, stage_ends(arrays))
    rows = boundaries.flat // len(arrays.index)
    assert list(boundaries.cut) == [
        0,
        1,
        2,
        3,
    ]  # codecs cost nothing here, so the smallest is left; frames have raw alone
    assert [arrays.codecs[row] for row in rows] == [Codec.RAW, Codec.U8, Codec.U8, Codec.U8]


def test_a_codec_stays_where_it_is_quicker_in_anything(three_tiers: Problem):
    slow = CodecCost(codec=Codec.U8, encode_s_per_byte=1e-8, decode_s_per_byte=0.0)
    fog = replace(three_tiers.profiles[NodeId("fog")], codecs=(slow,))
    problem = replace(three_tiers, profiles={**three_tiers.profiles, NodeId("fog"): fog})
    arrays = arrays_of(replace(problem, constraints=Constraints(codecs=(Codec.RAW, Codec.F16, Codec.U8))))
    boundaries = boundary_arrays(NodeId("fog"), NodeId("cloud"), arrays, stage_ends(arrays))
    rows = boundaries.flat // len(arrays.index)
    assert {arrays.codecs[row] for row in rows[boundaries.cut == 2]} == {Codec.F16, Codec.U8}
