"""Messages over links in virtual time: order, sharing, several links in a row."""

from dataclasses import replace

import pytest

from seamline.config import Trace
from seamline.core.vocabulary.nodes import NodeId
from seamline.sim import SceneLink
from seamline.sim.network import Network

EDGE, FOG, CLOUD = NodeId("edge"), NodeId("fog"), NodeId("cloud")
STEADY = Trace(times_s=(0.0,), rates_bps=(8e6,), length_s=float("inf"))


@pytest.fixture
def network(make_scene) -> Network:
    return Network.of(make_scene(STEADY, jitter_s=0.0))


def test_the_second_message_waits_for_the_first_whoever_it_is_for(network: Network):
    assert network.send((EDGE, FOG), 1_000_000, 0.0) == pytest.approx(1.0 + 0.002)
    assert network.send((EDGE, CLOUD), 1_000_000, 0.1) == pytest.approx(2.0 + 0.002 + 0.005)
    assert network.send((FOG, EDGE), 1_000_000, 0.2) == pytest.approx(0.2 + 1.0 + 0.002)  # the other direction is free


def test_over_two_links_a_message_takes_as_long_as_over_the_slower_one(network: Network):
    assert network.send((EDGE, CLOUD), 1_000_000, 0.0) == pytest.approx(1.0 + 0.007)
    assert network.send((CLOUD, EDGE), 1_000_000, 5.0) == pytest.approx(6.0 + 0.007)


def test_a_small_message_does_not_wait_behind_bulk_but_an_outage_holds_it(make_scene):
    network = Network.of(make_scene(Trace(times_s=(0.0, 2.0), rates_bps=(8e6, 0.0), length_s=4.0), jitter_s=0.0))
    network.send((EDGE, FOG), 1_000_000, 0.0)
    assert network.send_control((EDGE, FOG), 0.5, 1000) == pytest.approx(0.5 + 0.001 + 0.002)
    assert network.send_control((EDGE, FOG), 3.0, 1000) == pytest.approx(4.0 + 0.001 + 0.002)


def test_delays_of_a_trace_are_followed(make_scene):
    trace = Trace(times_s=(0.0, 1.0), rates_bps=(8e6, 8e6), delays_s=(0.01, 0.05), length_s=2.0)
    network = Network.of(make_scene(trace, jitter_s=0.0))
    assert network.send((EDGE, FOG), 1000, 0.0) == pytest.approx(0.011)
    assert network.send((EDGE, FOG), 1000, 1.5) == pytest.approx(1.551)


def test_packets_whose_repair_is_lost_come_a_timeout_later_and_hold_up_what_follows(make_scene):
    trace = replace(STEADY, loss_ratios=(0.999999,))
    network = Network.of(make_scene(trace, jitter_s=0.0))
    first_s = network.send((EDGE, FOG), 1000, 0.0)
    assert first_s == pytest.approx(0.001 + 0.002 + 0.2)
    assert network.send((EDGE, FOG), 1000, 0.001) >= first_s


def test_a_node_without_a_link_is_not_reached(make_scene):
    scene = make_scene(STEADY)
    alone = replace(scene, links=(SceneLink.steady(EDGE, FOG, 1e6),))
    assert set(Network.of(alone).paths) == {(EDGE, FOG), (FOG, EDGE)}
