"""Every formula, by hand-computed numbers."""

import math
from dataclasses import replace

import numpy as np
import pytest

from seamline.core.analysis.energy_by_node import joules_by_node
from seamline.core.cost.formulas import (
    breakdown,
    compute_s,
    energy_j,
    joules,
    latency_s,
    serialise_s,
    throughput_fps,
    transfer_s,
)
from seamline.core.cost.problem import EnergyScope, Problem
from seamline.core.vocabulary.errors import PlanError, UsageError
from seamline.core.vocabulary.nodes import NodeId
from seamline.core.vocabulary.plans import Codec, Plan, Segment
from seamline.core.vocabulary.profiles import Boundary, CodecCost

EDGE, FOG, CLOUD = NodeId("edge"), NodeId("fog"), NodeId("cloud")


def test_transfer_is_half_a_round_trip_plus_serialisation(make_link):
    assert transfer_s(250_000, make_link("a", "b", mbps=20, rtt_s=0.03)) == pytest.approx(0.015 + 0.1)


def test_a_link_that_is_down_takes_forever(make_link):
    assert transfer_s(1, make_link("a", "b", mbps=0)) == math.inf


def test_preprocessing_belongs_to_the_segment_where_the_frame_enters(three_tiers: Problem):
    assert compute_s(FOG, Segment(0, 2), three_tiers) == pytest.approx(0.002 + 0.06)
    assert compute_s(FOG, Segment(1, 3), three_tiers) == pytest.approx(0.08)
    assert compute_s(EDGE, Segment(0, 0), three_tiers) == 0.0


def test_a_slowed_node_computes_by_its_ratio(three_tiers: Problem):
    slowed = replace(three_tiers, compute_ratio={FOG: 2.0})
    assert compute_s(FOG, Segment(1, 3), slowed) == pytest.approx(0.16)


def test_inside_a_block_time_is_shared_by_multiply_accumulates(make_cuts, make_profile):
    cuts = make_cuts(10, 10, 10)
    cuts = (cuts[0], replace(cuts[1], is_candidate=False, macs_before=500), cuts[2])
    profile = make_profile("edge", cuts, [0.1, 0.1])
    merged = replace(profile, blocks=(replace(profile.blocks[0], to_cut=2),))
    problem = Problem(origin=EDGE, cuts=cuts, profiles={EDGE: merged}, links={})
    assert compute_s(EDGE, Segment(0, 1), problem) == pytest.approx(0.1 * 500 / 2000)
    assert compute_s(EDGE, Segment(0, 2), problem) == pytest.approx(0.1)


def test_a_segment_pays_half_the_overhead_of_each_inner_cut_it_ends_at(three_tiers: Problem):
    fog = replace(
        three_tiers.profiles[FOG], boundaries=(Boundary(cut=1, overhead_s=0.01), Boundary(cut=3, overhead_s=0.03))
    )
    problem = replace(three_tiers, profiles={**three_tiers.profiles, FOG: fog}, compute_ratio={FOG: 2.0})
    plain = replace(three_tiers, compute_ratio={FOG: 2.0})
    for segment, extra_s in [((0, 1), 0.005), ((1, 3), 0.02), ((3, 4), 0.015), ((2, 3), 0.015), ((0, 4), 0.0)]:
        added_s = compute_s(FOG, Segment(*segment), problem) - compute_s(FOG, Segment(*segment), plain)
        assert added_s == pytest.approx(2.0 * extra_s)


def test_a_boundary_is_an_inner_cut_and_named_once(three_tiers: Problem):
    for cuts in [(0,), (4,), (2, 2)]:
        with pytest.raises(PlanError, match="boundary at cut"):
            replace(three_tiers.profiles[FOG], boundaries=tuple(Boundary(cut=cut, overhead_s=0.1) for cut in cuts))


def test_latency_is_the_sum_of_stages_links_and_the_way_back(three_tiers: Problem):
    plan = Plan.parse("edge[0:2]u8 > fog[2:4]")
    edge_s, fog_s = 0.002 + 0.12, 0.14
    there_s = 0.01 + 8 * 50_016 / 20e6
    back_s = 0.01 + 8 * 4_000 / 20e6
    assert latency_s(plan, three_tiers) == pytest.approx(edge_s + there_s + fog_s + back_s)


def test_waiting_on_a_loaded_node_counts_unless_nothing_runs_there(three_tiers: Problem):
    loaded = replace(three_tiers, queue_s={FOG: 0.05, EDGE: 0.5})
    split, offload = Plan.parse("edge[0:2]u8 > fog[2:4]"), Plan.parse("edge[0:0]jpeg > fog[0:4]")
    assert latency_s(split, loaded) - latency_s(split, three_tiers) == pytest.approx(0.55)
    assert latency_s(offload, loaded) - latency_s(offload, three_tiers) == pytest.approx(0.05)


def test_codec_time_is_paid_on_both_sides_per_uncompressed_byte(three_tiers: Problem):
    costs = (CodecCost(codec=Codec.U8, encode_s_per_byte=1e-9, decode_s_per_byte=2e-9),)
    profiles = {node: replace(profile, codecs=costs) for node, profile in three_tiers.profiles.items()}
    edge, fog = breakdown(Plan.parse("edge[0:2]u8 > fog[2:4]"), replace(three_tiers, profiles=profiles)).stages
    assert (edge.decode_s, edge.encode_s) == pytest.approx((0.0, 200_000e-9))
    assert (fog.decode_s, fog.encode_s) == pytest.approx((400_000e-9, 0.0))


def test_what_a_codec_cost_at_a_cut_counts_there_before_what_it_costs_anywhere(three_tiers: Problem):
    costs = (
        CodecCost(codec=Codec.U8, encode_s_per_byte=3e-9, decode_s_per_byte=4e-9, cut=2),
        CodecCost(codec=Codec.U8, encode_s_per_byte=1e-9, decode_s_per_byte=2e-9),
    )
    profiles = {node: replace(profile, codecs=costs) for node, profile in three_tiers.profiles.items()}
    problem = replace(three_tiers, profiles=profiles)
    at_two = breakdown(Plan.parse("edge[0:2]u8 > fog[2:4]"), problem).stages
    at_one = breakdown(Plan.parse("edge[0:1]u8 > fog[1:4]"), problem).stages
    assert (at_two[0].encode_s, at_two[1].decode_s) == pytest.approx((600_000e-9, 800_000e-9))
    assert (at_one[0].encode_s, at_one[1].decode_s) == pytest.approx((800_000e-9, 1_600_000e-9))


def test_what_travelled_before_corrects_what_is_expected_to_travel(three_tiers: Problem):
    plan = Plan.parse("edge[0:2]lossless > fog[2:4]")
    known = CodecCost(codec=Codec.LOSSLESS, encode_s_per_byte=0.0, decode_s_per_byte=0.0, cut=2, compression_ratio=0.5)
    profiles = {**three_tiers.profiles, EDGE: replace(three_tiers.profiles[EDGE], codecs=(known,))}
    profiled = replace(three_tiers, profiles=profiles)
    learnt = replace(profiled, compression_ratio={(2, Codec.LOSSLESS): 0.25})
    sizes = [breakdown(plan, problem).links[0].payload_bytes for problem in (three_tiers, profiled, learnt)]
    assert sizes == [200_000, 100_000, 50_000]


def test_without_a_measured_way_back_the_way_there_stands_for_it(three_tiers: Problem):
    plan = Plan.parse("edge[0:2]u8 > fog[2:4]")
    links = {ends: link for ends, link in three_tiers.links.items() if ends != (FOG, EDGE)}
    assert latency_s(plan, replace(three_tiers, links=links)) == latency_s(plan, three_tiers)
    links.pop((EDGE, FOG))
    assert latency_s(plan, replace(three_tiers, links=links)) == math.inf


def test_the_slowest_stage_or_link_bounds_the_throughput(three_tiers: Problem):
    assert throughput_fps(Plan.parse("edge[0:2]u8 > fog[2:4]"), three_tiers) == pytest.approx(1 / 0.14)
    assert throughput_fps(Plan.parse("edge[0:1]raw > fog[1:4]"), three_tiers) == pytest.approx(20e6 / (8 * 800_000))


def test_energy_charges_busy_nodes_and_the_waiting_origin(three_tiers: Problem):
    plan = Plan.parse("edge[0:2]u8 > fog[2:4]")
    waited_j = 2.0 * latency_s(plan, three_tiers)
    assert energy_j(plan, three_tiers) == pytest.approx(4.0 * 0.122 + 20.0 * 0.14 + waited_j)
    of_origin = replace(three_tiers, energy_scope=EnergyScope.ORIGIN)
    assert energy_j(plan, of_origin) == pytest.approx(4.0 * 0.122 + waited_j)


def test_each_nodes_joules_add_up_to_a_frames_and_what_counts_is_left_aside(three_tiers: Problem):
    plan = Plan.parse("edge[0:2]u8 > fog[2:4]")
    origin_only = replace(three_tiers, energy_scope=EnergyScope.ORIGIN)
    drawn = joules_by_node(plan, origin_only)
    assert drawn == {
        EDGE: pytest.approx(energy_j(plan, origin_only)),
        FOG: pytest.approx(energy_j(plan, three_tiers) - energy_j(plan, origin_only)),
    }
    device = replace(three_tiers.profiles[FOG].device, idle_w=None, busy_w=None)
    unknown = {**three_tiers.profiles, FOG: replace(three_tiers.profiles[FOG], device=device)}
    drawn = joules_by_node(plan, replace(three_tiers, profiles=unknown))
    assert (drawn[EDGE] is None, drawn[FOG] is None) == (False, True)


def test_energy_charges_the_radios_in_scope_for_every_byte_there_and_back(three_tiers: Problem):
    plan = Plan.parse("edge[0:2]u8 > fog[2:4]")
    radios = {EDGE: (2e-6, 1e-6), FOG: (5e-7, 3e-7)}
    profiles = dict(three_tiers.profiles)
    for node, (tx, rx) in radios.items():
        device = replace(profiles[node].device, tx_j_per_byte=tx, rx_j_per_byte=rx)
        profiles[node] = replace(profiles[node], device=device)
    problem = replace(three_tiers, profiles=profiles)
    there, back = (link.payload_bytes for link in breakdown(plan, problem).all_links)
    assert there > 0
    without_j = energy_j(plan, three_tiers)
    assert energy_j(plan, problem) == pytest.approx(without_j + there * 2.3e-6 + back * 1.5e-6)
    of_origin = replace(problem, energy_scope=EnergyScope.ORIGIN)
    quiet = replace(three_tiers, energy_scope=EnergyScope.ORIGIN)
    assert energy_j(plan, of_origin) == pytest.approx(energy_j(plan, quiet) + there * 2e-6 + back * 1e-6)


def test_a_joule_of_a_node_counts_as_much_as_its_weight_says(three_tiers: Problem):
    plan = Plan.parse("edge[0:2]u8 > fog[2:4]")
    waited_j = 2.0 * latency_s(plan, three_tiers)
    half = replace(three_tiers, energy_scope=EnergyScope.parse("fog=0.5"))
    assert energy_j(plan, half) == pytest.approx(4.0 * 0.122 + 0.5 * 20.0 * 0.14 + waited_j)
    only_fog = replace(three_tiers, energy_scope=EnergyScope.parse("edge=0"))
    assert energy_j(plan, only_fog) == pytest.approx(20.0 * 0.14)


def test_an_energy_scope_reads_as_it_is_written():
    assert EnergyScope.parse("all") == EnergyScope.ALL
    assert EnergyScope.parse("origin") == EnergyScope.ORIGIN
    for text in ("all", "origin", "cloud=0,fog=0.5"):
        assert str(EnergyScope.parse(text)) == text
    assert EnergyScope.ORIGIN.weight(EDGE, EDGE) == 1.0
    assert EnergyScope.ORIGIN.weight(FOG, EDGE) == 0.0


@pytest.mark.parametrize("text", ["", "battery", "fog=", "fog=-1", "fog=nan", "fog=1,fog=2", "Fog=1"])
def test_an_energy_scope_that_means_nothing_is_refused(text: str):
    with pytest.raises(UsageError):
        EnergyScope.parse(text)


def test_energy_is_unknown_without_power_figures(three_tiers: Problem):
    fog = three_tiers.profiles[FOG]
    without = {**three_tiers.profiles, FOG: replace(fog, device=replace(fog.device, busy_w=None))}
    problem = replace(three_tiers, profiles=without)
    assert energy_j(Plan.parse("edge[0:2]u8 > fog[2:4]"), problem) is None
    assert energy_j(Plan.parse("edge[0:4]"), problem) == pytest.approx(6.0 * 0.402)


def test_a_plan_of_another_model_is_an_error(three_tiers: Problem):
    with pytest.raises(PlanError, match="stops at cut 3, the model at 4"):
        latency_s(Plan.parse("edge[0:3]"), three_tiers)
    with pytest.raises(PlanError, match="`mars` has no profile"):
        latency_s(Plan.parse("edge[0:2]u8 > mars[2:4]"), three_tiers)


def test_a_problem_needs_the_origins_profile_and_one_model(three_tiers: Problem, make_cuts, make_profile):
    with pytest.raises(PlanError, match="origin `edge` has no profile"):
        replace(three_tiers, profiles={})
    other = make_profile("fog", make_cuts(1, 1), [0.1])
    with pytest.raises(PlanError, match="profile of `fog` ends at cut 1"):
        replace(three_tiers, profiles={**three_tiers.profiles, FOG: other})


def test_bytes_in_an_array_take_as_long_as_each_alone(make_link):
    link, sizes = make_link("edge", "fog", 3e6), np.array([0.0, 1.0, 12_345.0, math.inf])
    assert list(serialise_s(sizes, link)) == [serialise_s(float(size), link) for size in sizes]


def test_joules_of_an_array_of_frames_are_those_of_each(three_tiers: Problem):
    taken_s, busy_s = np.array([0.1, 0.4]), np.array([0.05, 0.2])
    sent = [(NodeId("edge"), NodeId("fog"), 1000)]
    both = joules(taken_s, [(NodeId("edge"), busy_s)], sent, three_tiers)
    each = [
        joules(float(t), [(NodeId("edge"), float(b))], sent, three_tiers) for t, b in zip(taken_s, busy_s, strict=True)
    ]
    assert both is not None
    assert list(both) == pytest.approx(each)


def test_an_answer_that_is_read_on_the_last_node_costs_what_is_read_to_send(three_tiers: Problem):
    plan = Plan.parse(f"edge[0:1]raw > fog[1:{three_tiers.last_cut}]")
    whole = breakdown(plan, three_tiers)
    read = breakdown(plan, replace(three_tiers, read_bytes=10))
    assert whole.answer is not None
    assert read.answer is not None
    assert (whole.answer.payload_bytes, read.answer.payload_bytes) == (three_tiers.cuts[-1].payload_bytes, 10)
    assert latency_s(plan, replace(three_tiers, read_bytes=10)) < latency_s(plan, three_tiers)
    assert latency_s(plan, replace(three_tiers, read_bytes=10**9)) == latency_s(plan, three_tiers), "never more"
