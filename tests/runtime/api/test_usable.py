"""Why a node that is there cannot be used: its version, role, memory, or the path of its data."""

from __future__ import annotations

from dataclasses import replace

import msgspec
import pytest

import seamline
from seamline.core.vocabulary.links import LinkEstimate
from seamline.core.vocabulary.nodes import NodeId
from seamline.fabric.messages import Status
from seamline.runtime.api.usable import why_unusable

STATUS = Status(
    tier="fog", incarnation="a", version=seamline.__version__, engine="onnxruntime", threads=1, n_cores=2,
    memory_bytes=1 << 30, free_memory_bytes=1 << 29, queue_s=0.0, models=(), links=(), usable_memory_bytes=1 << 29,
)  # fmt: skip
LINK = LinkEstimate(source=NodeId("edge"), target=NodeId("fog"), rtt_s=0.01, goodput_bps=1e7, n_samples=3)


def why(status=STATUS, **more) -> str | None:
    known = {"role": None, "link": LINK, "is_measured": True, "refused": None}
    return why_unusable(status, **{**known, **more})


def test_a_node_that_answers_and_is_reached_is_usable():
    assert why() is None
    assert why(role="node") is None
    assert why(link=None, is_measured=False) is None, "nobody has looked yet"


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"refused": "the peer speaks wire version 4, this node 3"}, "wire version 4"),
        ({"status": None}, "says nothing of itself"),
        ({"role": "origin"}, "role origin"),
        ({"status": msgspec.structs.replace(STATUS, version="9.9.1")}, "runs Seamline 9.9.1"),
        ({"status": msgspec.structs.replace(STATUS, usable_memory_bytes=4_000_000)}, "4.0 MB of memory"),
        ({"link": replace(LINK, goodput_bps=0.0)}, "data path is down"),
        ({"link": None}, "data path does not answer"),
    ],
)
def test_what_is_in_the_way_is_said(given, said):
    assert said in why(**given)


def test_a_cluster_names_whom_it_cannot_use(bench, wait_until):
    from seamline.runtime.api.cluster import Cluster

    edge = bench.start("edge")
    bench.start("fog", memory_bytes=1_000_000)
    bench.start("cloud")
    bench.link("edge", "fog", 1e8)
    bench.link("edge", "cloud", 1e8)
    cluster = Cluster(edge)
    wait_until(lambda: len(edge.membership.statuses()) == 2)
    found = cluster.unusable()
    assert set(found) == {"fog"}
    assert "of memory there" in found["fog"]
    edge.dispatcher.foreign[NodeId("cloud")] = "the peer speaks wire version 4, this node 3"
    assert set(cluster.unusable()) == {"fog", "cloud"}
