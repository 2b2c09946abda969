"""What a plan, a profile and their parts may not be, and how a plan reads."""

from dataclasses import replace

import pytest

from seamline.core.cost.problem import Problem
from seamline.core.vocabulary.constraints import Constraints
from seamline.core.vocabulary.errors import PlanError, UsageError
from seamline.core.vocabulary.limits import is_sendable
from seamline.core.vocabulary.nodes import NodeId, as_node_name, node_id
from seamline.core.vocabulary.plans import Codec, Plan, Segment, Stage, codecs_up_to
from seamline.core.vocabulary.profiles import CodecCost, TensorSpec

EDGE, FOG = NodeId("edge"), NodeId("fog")


@pytest.mark.parametrize(
    "text", ["edge[0:45]", "edge[0:0]jpeg > cloud[0:45]", "e-1[0:14]f16 > fog[14:31]u8 > c[31:45]"]
)
def test_a_plan_reads_as_it_is_written(text: str):
    assert str(Plan.parse(text)) == text


@pytest.mark.parametrize(
    ("text", "objection"),
    [
        ("edge[1:4]", "does not start at cut 0"),
        ("edge[0:4]u8", "has a codec after its last stage"),
        ("edge[0:2]u8 > fog[2:3]u8 > edge[3:4]", "visits a node twice"),
        ("edge[0:2]u8 > fog[3:4]", "leaves a gap between"),
        ("edge[0:2]u8 > fog[2:2]u8 > cloud[2:4]", "has an empty stage"),
        ("edge[0:2] > fog[2:4]", "does not say how"),
        ("edge[0:2]jpeg > fog[2:4]", "as JPEG"),
        ("edge[0:0]", "must run at least one layer"),
        ("edge[2:1]", "runs backwards"),
        ("edge[0:2]zip > fog[2:4]", "`zip` is not a codec"),
        ("Edge[0:4]", "is not a stage"),
        ("", "is not a stage"),
    ],
)
def test_what_is_no_plan_is_refused_with_the_part_that_is_wrong(text: str, objection: str):
    with pytest.raises(PlanError, match=objection):
        Plan.parse(text)


def test_a_plan_has_at_least_one_stage():
    with pytest.raises(PlanError, match="at least one stage"):
        Plan(())


def test_the_local_plan_runs_every_layer_on_the_origin():
    assert Plan.local(EDGE, 5) == Plan((Stage(EDGE, Segment(0, 4)),))


@pytest.mark.parametrize("name", ["", "-edge", "Edge", "edge/1", "e" * 64, "edge\n"])
def test_a_name_that_could_not_be_a_key_or_a_path_is_no_node(name: str):
    with pytest.raises(UsageError, match="is not a node name"):
        node_id(name)


def test_a_limit_of_loss_allows_all_that_lose_less_and_always_the_camera_frame():
    assert codecs_up_to(Codec.LOSSLESS) == (Codec.RAW, Codec.LOSSLESS, Codec.JPEG)
    assert codecs_up_to(Codec.F16) == (Codec.RAW, Codec.LOSSLESS, Codec.F16, Codec.JPEG)
    assert codecs_up_to(Codec.U8) == (Codec.RAW, Codec.LOSSLESS, Codec.F16, Codec.U8, Codec.JPEG)
    assert codecs_up_to(Codec.Q2) == tuple(Codec)
    with pytest.raises(UsageError, match="no limit of what may be lost"):
        codecs_up_to(Codec.JPEG)


def test_a_tensor_that_cannot_cross_a_cut_is_refused():
    with pytest.raises(PlanError, match="cannot cross a cut"):
        TensorSpec(name="x", dtype="string", shape=(1,))
    with pytest.raises(PlanError, match="negative extent"):
        TensorSpec(name="x", dtype="uint8", shape=(1, -1))


def test_the_blocks_of_a_profile_reach_from_the_first_cut_to_the_last(three_tiers: Problem):
    profile = three_tiers.profiles[FOG]
    for blocks in (profile.blocks[1:], profile.blocks[:-1], profile.blocks[:1] + profile.blocks[2:]):
        with pytest.raises(PlanError, match=r"has a gap at cut|ends at cut"):
            replace(profile, blocks=blocks)


@pytest.mark.parametrize(("cut", "compression_ratio"), [(5, 1.0), (-1, 1.0), (2, 0.0)])
def test_a_codec_costs_something_at_a_cut_that_there_is(three_tiers: Problem, cut: int, compression_ratio: float):
    cost = CodecCost(
        codec=Codec.U8, encode_s_per_byte=0.0, decode_s_per_byte=0.0, cut=cut, compression_ratio=compression_ratio
    )
    with pytest.raises(PlanError, match="that cannot be"):
        replace(three_tiers.profiles[FOG], codecs=(cost,))


def test_what_is_private_may_leave_for_those_that_are_trusted(three_tiers: Problem):
    limits = Constraints(n_private_cuts=2, trusted=(FOG,))
    cuts = three_tiers.cuts
    assert [limits.may_leave(cut, FOG) for cut in cuts[:3]] == [True, True, True]
    assert [limits.may_leave(cut, NodeId("cloud")) for cut in cuts[:3]] == [False, False, True]


@pytest.mark.parametrize(
    ("host", "name"),
    [("edge-1", "edge-1"), ("Pi_4.local", "pi-4"), ("ÄÖ", "node"), ("-x-", "x"), ("", "node"), ("a" * 80, "a" * 63)],
)
def test_a_hosts_name_becomes_a_nodes_name(host, name):
    assert as_node_name(host) == node_id(name)


@pytest.mark.parametrize(
    ("shape", "is_carried"),
    [
        ((1,) * 8, True), ((0, 1 << 40), True), ((0, 1 << 40) + (1,) * 7, False), ((1,) * 16, True), ((1,) * 17, False),
    ],
)  # fmt: skip
def test_beyond_eight_axes_a_message_carries_sixteen_and_extents_of_32_bits(shape: tuple[int, ...], is_carried: bool):
    assert is_sendable([TensorSpec(name="x", dtype="uint8", shape=shape)]) is is_carried
