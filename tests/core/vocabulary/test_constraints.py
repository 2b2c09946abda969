"""Limits by name become constraints, and a name that means nothing is refused."""

from dataclasses import replace

import pytest

from seamline.core.cost.problem import Problem
from seamline.core.vocabulary.constraints import Constraints, limited
from seamline.core.vocabulary.errors import UsageError
from seamline.core.vocabulary.nodes import NodeId
from seamline.core.vocabulary.plans import Codec

EDGE, FOG, CLOUD = NodeId("edge"), NodeId("fog"), NodeId("cloud")
NODES = (EDGE, FOG, CLOUD)


def test_limits_by_name_join_those_that_are_there(three_tiers: Problem):
    cuts = tuple(replace(cut, weights_before_bytes=1000 * cut.index) for cut in three_tiers.cuts)
    limits = limited(
        Constraints(n_private_cuts=2),
        cuts,
        NODES,
        memory_bytes={"fog": 5_000_000},
        pins={"layer2": "edge", "3": "fog"},
        forbid=["cloud", "fog:u8", "edge>cloud"],
        trust=["fog"],
    )
    assert limits == Constraints(
        n_private_cuts=2,
        memory_bytes=((FOG, 5_000_000),),
        pins=((2, EDGE), (3, FOG)),
        forbidden_nodes=(CLOUD,),
        forbidden_codecs=((FOG, Codec.U8),),
        forbidden_links=((EDGE, CLOUD),),
        trusted=(FOG,),
    )


@pytest.mark.parametrize(
    ("limits", "objection"),
    [
        ({"trust": ["mars"]}, "`mars`, which is not among the nodes"),
        ({"forbid": ["edge>mars"]}, "`mars`, which is not among the nodes"),
        ({"forbid": ["fog:zip"]}, "`zip` is not a codec"),
        ({"pins": {"input": "edge"}}, "no cut after a layer `input`"),
        ({"pins": {"9": "edge"}}, "no cut after a layer `9`"),
        ({"memory_bytes": {"fog": 1}}, "do not say how large the weights are"),
    ],
)
def test_a_limit_that_names_nothing_is_refused(three_tiers: Problem, limits: dict, objection: str):
    with pytest.raises(UsageError, match=objection):
        limited(Constraints(), three_tiers.cuts, NODES, **limits)
