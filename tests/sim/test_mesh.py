"""Connections: messages that arrive, wait out a partition, or are lost as it outlasts the lease."""

from collections.abc import Callable

import pytest

from seamline.config import Trace
from seamline.core.session import events as ev
from seamline.core.vocabulary.nodes import NodeId
from seamline.core.vocabulary.ports import LEASE_S
from seamline.sim.mesh import RETURN_S, Absence, Mesh, joined
from seamline.sim.network import Network, Schedule, Weather
from seamline.sim.nodes import SimNode

EDGE, FOG, CLOUD = NodeId("edge"), NodeId("fog"), NodeId("cloud")
STEADY = Trace(times_s=(0.0,), rates_bps=(8e6,), length_s=float("inf"))


class Town:
    """A mesh, what its origin heard, and when messages arrived."""

    def __init__(self, scene, weather: Weather, absences: tuple[Absence, ...]) -> None:
        self.schedule = Schedule()
        self.heard: list[tuple[float, ev.Event]] = []
        self.arrived: list[tuple[float, str]] = []
        self.nodes = {name: SimNode(name, self.schedule) for name in scene.profiles}
        self.mesh = Mesh(
            scene=scene,
            schedule=self.schedule,
            network=Network.of(scene, weather),
            nodes=self.nodes,
            hear=lambda event: self.heard.append((self.schedule.now_s, event)),
            is_measuring=True,
            is_probing=False,
        )
        self.mesh.begin(absences, 60.0)
        self.heard.clear()

    def arrive(self, what: str) -> None:
        self.arrived.append((self.schedule.now_s, what))

    def send(self, at_s: float, what: str, target: NodeId = FOG) -> None:
        self.schedule.at(at_s, lambda: self.mesh.control(EDGE, target, self.arrive, what))
        self.schedule.at(at_s, lambda: self.mesh.bulk(EDGE, target, 1000, self.arrive, f"bulk {what}"))

    def peers(self, node: NodeId) -> list[tuple[float, bool]]:
        return [
            (at_s, event.is_alive)
            for at_s, event in self.heard
            if isinstance(event, ev.PeerChanged) and event.node == node
        ]


@pytest.fixture
def make_town(make_scene) -> Callable[..., Town]:
    def make(absences: tuple[Absence, ...] = (), **weather) -> Town:
        return Town(make_scene(STEADY, jitter_s=0.0), Weather(**weather), absences)

    return make


def both_ways(start_s: float, stop_s: float) -> dict:
    return {(EDGE, FOG): ((start_s, stop_s),), (FOG, EDGE): ((start_s, stop_s),)}


def test_a_short_partition_holds_messages_up(make_town):
    town = make_town(partitions=both_ways(1.0, 1.3))
    town.send(1.1, "one")
    town.schedule.run(5.0)
    assert sorted(what for _, what in town.arrived) == ["bulk one", "one"]
    assert all(1.3 <= at_s < 1.31 for at_s, _ in town.arrived)
    assert town.peers(FOG) == []


def test_one_that_outlasts_the_lease_breaks_the_connection_and_loses_what_is_under_way(make_town):
    town = make_town(partitions=both_ways(1.0, 4.0))
    town.send(1.1, "lost")
    town.send(1.0 + LEASE_S + 0.1, "refused")
    town.send(5.0, "through")
    town.schedule.run(6.0)
    assert sorted(what for _, what in town.arrived) == ["bulk through", "through"]
    assert town.peers(FOG) == [(1.0 + LEASE_S, False), (4.0 + RETURN_S, True)]
    assert town.peers(CLOUD) == []


def test_a_one_way_partition_breaks_both_ways(make_town):
    town = make_town(partitions={(FOG, EDGE): ((1.0, 4.0),)})
    town.send(1.0 + LEASE_S + 0.1, "refused")
    town.schedule.run(6.0)
    assert town.arrived == []
    assert town.peers(FOG) == [(1.0 + LEASE_S, False), (4.0 + RETURN_S, True)]


def test_a_node_that_is_back_says_who_it_is(make_town):
    town = make_town(absences=(Absence(node=FOG, start_s=1.0, stop_s=3.0, notice_s=0.01),))
    town.schedule.at(1.0, town.nodes[FOG].die)
    town.schedule.at(3.0, town.nodes[FOG].restart)
    town.schedule.run(5.0)
    assert town.peers(FOG) == [(1.01, False), (3.0 + RETURN_S, True)]
    told = [event for at_s, event in town.heard if isinstance(event, ev.StatusReceived) and at_s > 3.0]
    assert told[0].node == FOG
    assert told[0].incarnation == town.nodes[FOG].incarnation != "1"


def test_nothing_arrives_at_a_dead_process_before_it_is_missed(make_town):
    town = make_town(absences=(Absence(node=FOG, start_s=1.0, stop_s=3.0, notice_s=LEASE_S),))
    town.schedule.at(1.0, town.nodes[FOG].die)
    town.send(1.1, "unheard")
    town.schedule.run(2.0)
    assert town.arrived == []


def test_control_messages_are_doubled_and_reordered_until_the_weather_clears(make_town):
    town = make_town(doubled_ratio=1.0, messy_until_s=2.0)
    town.send(1.0, "one")
    town.send(3.0, "two")
    town.schedule.run(5.0)
    assert sorted(what for _, what in town.arrived) == ["bulk one", "bulk two", "one", "one", "two"]
    town = make_town(reordered_ratio=0.5)
    for number in range(50):
        town.send(1.0 + 0.001 * number, f"{number:02}")
    town.schedule.run(5.0)
    order = [what for _, what in town.arrived if not what.startswith("bulk")]
    assert order != sorted(order)
    assert sorted(order) == [f"{number:02}" for number in range(50)]


def test_spans_that_touch_are_one():
    assert joined([(3.0, 4.0), (0.0, 1.0), (1.2, 2.0), (3.5, 3.6)]) == [(0.0, 2.0), (3.0, 4.0)]


@pytest.mark.parametrize(("rate_bps", "breaks"), [(0.015e6, True), (0.1e6, False), (0.7e6, False), (8e6, False)])
def test_bulk_that_takes_a_lease_for_a_batch_breaks_the_connection_and_it_is_back_soon(make_scene, rate_bps, breaks):
    trace = Trace(times_s=(0.0,), rates_bps=(rate_bps,), length_s=float("inf"))
    town = Town(make_scene(trace, jitter_s=0.0), Weather(), ())
    town.schedule.at(1.0, lambda: town.mesh.bulk(EDGE, FOG, 200_000, town.arrive, "bulk"))
    town.schedule.run(30.0)
    assert [what for _, what in town.arrived] == ([] if breaks else ["bulk"])
    missed = [(1.0 + LEASE_S, False), (1.0 + LEASE_S + RETURN_S, True)] if breaks else []
    assert town.peers(FOG) == [(pytest.approx(at_s), is_alive) for at_s, is_alive in missed]


def test_what_is_under_way_when_a_link_falls_may_take_a_lease(make_scene):
    trace = Trace(times_s=(0.0, 1.01), rates_bps=(40e6, 0.01e6), length_s=float("inf"))
    town = Town(make_scene(trace, jitter_s=0.0), Weather(), ())
    town.schedule.at(1.0, lambda: town.mesh.bulk(EDGE, FOG, 200_000, town.arrive, "bulk"))
    town.schedule.run(5.0)
    assert [is_alive for _, is_alive in town.peers(FOG)] == [False, True]


def test_a_small_message_shows_life_on_a_slow_link(make_scene):
    trace = Trace(times_s=(0.0,), rates_bps=(0.1e6,), length_s=float("inf"))
    town = Town(make_scene(trace, jitter_s=0.0), Weather(), ())
    town.schedule.at(1.0, lambda: town.mesh.bulk(EDGE, FOG, 4000, town.arrive, "small"))
    town.schedule.run(5.0)
    assert [what for _, what in town.arrived] == ["small"]
    assert town.peers(FOG) == []
