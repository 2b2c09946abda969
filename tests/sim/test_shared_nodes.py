"""Claims about adaptive streams that share nodes and know nothing of each other: in a steady scene they settle."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from seamline.core.adaptation.policy import Adaptive
from seamline.core.vocabulary.nodes import NodeId
from seamline.meters.profile_file import from_json
from seamline.sim.driver import Conditions, Driver
from seamline.sim.network import Network
from seamline.sim.policy_adapters import CorePolicyAdapter
from seamline.sim.run import session_of
from seamline.sim.scene import Scene, SceneLink
from seamline.sim.stage_work import StageWorkTable

FOG, CLOUD = NodeId("fog"), NodeId("cloud")
FILE = Path(__file__).parents[1] / "replay" / "mobilenetv2.profiles.json"
PROFILES = {one.device.name: one for one in map(from_json, json.loads(FILE.read_text(encoding="utf-8")))}
SETTLED_S, DURATION_S = 15.0, 30.0


def scene(number: int, fps: float, slowdown: float) -> Scene:
    """A stream of its own edge, whose frames may leave as JPEGs to a fog and a cloud that others use too."""
    edge = NodeId(f"edge-{number}")
    return Scene(
        origin=edge,
        profiles={edge: PROFILES["edge"], FOG: PROFILES["fog"], CLOUD: PROFILES["cloud"]},
        links=(
            SceneLink.steady(edge, FOG, 60e6, 0.002),
            SceneLink.steady(edge, CLOUD, 60e6, 0.004),
            SceneLink.steady(FOG, CLOUD, 100e6, 0.002),
        ),
        fps=fps,
        duration_s=DURATION_S,
        slowdowns=dict.fromkeys((FOG, CLOUD), ((0.0, slowdown),)),
        seed=number,
    )


def drivers_of(scenes: Iterable[Scene]) -> list[Driver]:
    drivers: list[Driver] = []
    for one in scenes:
        session = session_of(one, CorePolicyAdapter(Adaptive()))
        beside = drivers[0] if drivers else None
        conditions = Conditions(is_endless=True)
        drivers.append(Driver(one, session, Network.of(one), StageWorkTable(one), conditions, beside=beside))
    return drivers


def played(n_streams: int, fps: float, slowdown: float) -> list[Driver]:
    drivers = drivers_of(scene(number, fps, slowdown) for number in range(n_streams))
    for driver in drivers:
        driver.begin()
    for number, driver in enumerate(drivers):
        driver.schedule.at(0.013 * number, driver.start)
    drivers[0].schedule.run(DURATION_S)
    return drivers


@pytest.mark.parametrize(
    ("n_streams", "fps", "slowdown", "most_s"),
    [
        (2, 20.0, 3.0, 0.25),  # one alone takes 0.125 s; both on one node, in turns, twice that
        (4, 10.0, 1.0, 0.2),
    ],
)
def test_streams_over_the_same_nodes_settle(n_streams, fps, slowdown, most_s):
    """They made 58 to 80 switches a minute, and their frames took twice as long as in turns."""
    latencies_s: list[float] = []
    for driver in played(n_streams, fps, slowdown):
        at_s = [at_s for at_s, _ in driver.tally.switches]
        assert sum(one > SETTLED_S for one in at_s) <= 1, at_s
        assert len(at_s) <= 6, at_s
        latencies_s += [one.latency_s for one in driver.tally.finished if one.accepted_s > SETTLED_S]
    assert np.mean(latencies_s) < most_s


def test_machine_is_the_same_for_all_streams_though_the_first_does_not_know_it():
    """Machines beyond the first scene's were each stream's own, so nobody waited there."""
    alone = replace(scene(0, 5.0, 1.0), slowdowns={}, links=())
    alone = replace(alone, profiles={alone.origin: PROFILES["edge"]})
    _, second, third = drivers_of([alone, scene(1, 5.0, 1.0), scene(2, 5.0, 1.0)])
    assert second.nodes[FOG] is third.nodes[FOG]


def test_frames_of_a_stream_come_from_its_start_on():
    """They came at multiples of the period, whenever the stream had begun: those of all streams at the same moment."""
    (driver,) = drivers_of([scene(0, 5.0, 1.0)])
    driver.begin()
    driver.schedule.at(2.05, driver.start)
    driver.schedule.run(3.0)
    assert driver.tally.n_offered == 5
    driver.schedule.run(3.1)
    assert driver.tally.n_offered == 6
