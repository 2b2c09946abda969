"""Nodes that frames left because they were slow: used again once they have recovered, also the origin itself."""

from __future__ import annotations

import math

import pytest

from seamline.core.session import commands as cmd
from seamline.core.session import events as ev
from seamline.core.speed.reprofiling import FIRST_INTERVAL_S
from seamline.core.vocabulary.nodes import NodeId

EDGE, FOG, CLOUD = NodeId("edge"), NodeId("fog"), NodeId("cloud")


def left_for_slowness(session_of, make_spec, slow: NodeId):
    """A session of two nodes whose frames have left `slow` because it computes twenty times slower than profiled."""
    driver = session_of(make_spec(others=(FOG,)), bps=200e6 if slow == FOG else 0.5e6)
    assert driver.plan.is_local == (slow == EDGE)
    driver.slowdown[slow] = 20.0
    driver.frames(20, every_s=0.5)
    assert driver.plan.is_local != (slow == EDGE)
    return driver


@pytest.mark.parametrize("slow", [FOG, EDGE])
def test_a_node_that_recovers_is_used_again_though_no_frame_went_to_it(session_of, make_spec, slow):
    driver = left_for_slowness(session_of, make_spec, slow)
    before = driver.plan
    driver.slowdown[slow] = 1.0
    driver.frames(60, every_s=5.0)
    assert driver.plan.is_local == (slow == EDGE) != before.is_local
    reasons = " | ".join(begun.reason for begun in driver.of(cmd.SwitchBegun))
    assert f"{slow} slowed from 1.0x to" in reasons
    assert f"{slow} sped up from" in reasons


def test_a_node_is_not_asked_again_before_it_has_answered(session_of, make_spec):
    driver = left_for_slowness(session_of, make_spec, FOG)
    driver.dead.add(FOG)
    n_before = len(driver.of(cmd.TimeSegment))
    driver.run(60.0)
    asked = driver.of(cmd.TimeSegment)[n_before:]
    assert [one.node for one in asked] == [FOG]


@pytest.mark.parametrize("answer_s", [None, 0.0, -1.0, math.nan, math.inf])
def test_an_answer_that_says_nothing_teaches_nothing_and_the_node_is_asked_again(session_of, make_spec, answer_s):
    driver = left_for_slowness(session_of, make_spec, FOG)
    driver.dead.add(FOG)
    driver.run(60.0)
    before = driver.session.pilot.view.compute_ratio
    (asked, n_before) = driver.of(cmd.TimeSegment)[-1], len(driver.of(cmd.TimeSegment))
    driver.handle(ev.SegmentTimed(FOG, asked.segment, answer_s))
    assert driver.session.pilot.view.compute_ratio == before
    driver.run(60.0)
    assert len(driver.of(cmd.TimeSegment)) == n_before + 1


def test_a_node_that_was_lost_is_asked_anew_when_it_is_back(session_of, make_spec):
    driver = left_for_slowness(session_of, make_spec, FOG)
    driver.dead.add(FOG)
    driver.run(60.0)
    n_before = len(driver.of(cmd.TimeSegment))
    driver.kill(FOG)
    driver.revive(FOG, incarnation="a")
    driver.run(60.0)
    assert len(driver.of(cmd.TimeSegment)) > n_before


def test_nodes_in_use_are_not_asked_as_their_frames_tell(session_of):
    driver = session_of()
    driver.slowdown[CLOUD] = 1.2
    driver.frames(40, every_s=FIRST_INTERVAL_S / 4)
    assert driver.plan.nodes == (EDGE, CLOUD)
    assert driver.of(cmd.TimeSegment) == []
