"""Lanes: whose work begins, and what is left of it when some ends or is not wanted any more."""

from __future__ import annotations

import pytest

from seamline.core.hosting.lanes import Lanes
from seamline.core.vocabulary.nodes import NodeId

EDGE, CAM = NodeId("edge"), NodeId("cam")


@pytest.fixture
def lanes() -> Lanes[str]:
    made: Lanes[str] = Lanes(per_origin=2, in_all=3)
    for job in ("e1", "e2", "e3", "e4"):
        made.put(EDGE, job)
    for job in ("c1", "c2"):
        made.put(CAM, job)
    return made


def test_origins_take_turns_within_their_own_limit_and_that_of_all(lanes):
    assert lanes.begin(0.0) == ["e1", "c1", "e2"]
    assert lanes.begun_s() == [("e1", 0.0), ("e2", 0.0), ("c1", 0.0)]


def test_one_job_that_ends_makes_room_for_one(lanes):
    lanes.begin(0.0)
    lanes.done("c1")
    assert lanes.begin(1.0) == ["c2"], "two of the other origin run"
    lanes.done("e1")
    assert lanes.begin(2.0) == ["e3"]
    assert lanes.n_running == 3
    lanes.done("nobody knows it")
    assert lanes.n_running == 3


def test_a_job_that_is_dropped_leaves_those_beside_it_in_order(lanes):
    lanes.drop("e1")
    lanes.drop("e3")
    assert lanes.n_waiting(EDGE) == 2
    assert lanes.begin(0.0) == ["e2", "c1", "e4"]


def test_a_job_that_two_origins_want_begins_once():
    lanes: Lanes[str] = Lanes(per_origin=1, in_all=4)
    for origin in (EDGE, CAM):
        lanes.put(origin, "both")
    assert lanes.begin(0.0) == ["both"]
    assert lanes.n_waiting(EDGE) == lanes.n_waiting(CAM) == 0


def test_a_lane_that_is_dropped_says_what_waited_in_it(lanes):
    lanes.begin(0.0)
    assert lanes.drop_lane(EDGE) == ["e3", "e4"]
    assert lanes.drop_lane(EDGE) == []
    assert lanes.n_waiting(CAM) == 1
