"""Discovery: nodes of one cluster meet by multicast without being told of each other, those of another do not."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import psutil
import pytest

from seamline.core.vocabulary.nodes import NodeId
from seamline.fabric import discovery
from seamline.fabric.discovery import group_of, why_closed
from seamline.fabric.zenoh import ZenohFabric

CLUSTER = f"discovery-{time.monotonic_ns() & 0xFFFFFF:06x}"
LIMIT_S = 10.0


@pytest.fixture
def start() -> Iterator[Callable[..., ZenohFabric]]:
    with ExitStack() as running:

        def started(name: str, cluster: str = CLUSTER) -> ZenohFabric:
            fabric = ZenohFabric(NodeId(name), listen=("tcp/0.0.0.0:0",), cluster=cluster, group=group_of(cluster))
            fabric.start(lambda source, message: None, lambda peer, is_alive: None)
            running.callback(fabric.close)
            return fabric

        yield started


def wait_peers(fabric: ZenohFabric, *names: str) -> None:
    until_s = time.monotonic() + LIMIT_S
    while set(fabric.peers()) != set(names):
        assert time.monotonic() < until_s, f"{fabric.node} sees {fabric.peers()}"
        time.sleep(0.01)


@pytest.mark.needs("multicast")
def test_a_third_node_is_found_by_the_others_and_a_stranger_is_not(start):
    first, second, stranger = start("one"), start("two"), start("other", f"{CLUSTER}-b")
    wait_peers(first, "two")
    third = start("three")
    wait_peers(third, "one", "two")
    wait_peers(second, "one", "three")
    assert not stranger.peers()


def test_a_cluster_meets_in_a_group_of_its_own():
    assert group_of("default", "aa") == group_of("default", "aa")
    assert len({group_of("default"), group_of("home"), group_of("default", "aa"), group_of("default", "bb")}) == 4
    address, port = group_of("default").split(":")
    assert address == "224.0.0.224"
    assert 20000 <= int(port) < 40000


def test_where_multicast_is_closed_it_is_said(monkeypatch):
    stats = {"lo": psutil.net_if_stats()["lo"]}
    monkeypatch.setattr(discovery.psutil, "net_if_stats", lambda: stats)
    assert "takes multicast" in why_closed()
