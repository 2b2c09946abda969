"""A node that gives signs of life and computes nothing: left after some deadlines, back when it has computed."""

from __future__ import annotations

import pytest

from seamline.core.adaptation.policy import Fixed
from seamline.core.session import commands as cmd
from seamline.core.session import events as ev
from seamline.core.session.events import Route
from seamline.core.session.ledger import MIN_DEADLINE_S, Ledger
from seamline.core.session.peers import FIRST_OPEN_S, N_MISSED
from seamline.core.vocabulary.nodes import NodeId
from seamline.core.vocabulary.plans import Plan, Segment

EDGE, FOG, CLOUD = NodeId("edge"), NodeId("fog"), NodeId("cloud")
LOCAL = Plan.parse("edge[0:4]")
OVER_FOG = Plan.parse("edge[0:2]raw > fog[2:4]")
OVER_BOTH = Plan.parse("edge[0:1]raw > fog[1:3]raw > cloud[3:4]")
LONG_S = 20.0


def serving(session_of, plan):
    driver = session_of(policy=Fixed(plan))
    assert driver.plan == plan
    return driver


def is_there(driver, node) -> bool:
    return node in driver.session.pilot.view.nodes


def warnings(driver) -> list[str]:
    return [said.words for said in driver.of(cmd.Say) if said.level is cmd.Level.WARNING]


def hang(driver, node, seconds=LONG_S) -> None:
    """Frames are offered for a while and `node` computes none of them; it says how it fares all the time."""
    driver.dead.add(node)
    for _ in range(int(seconds / 0.5)):
        driver.status(node)
        driver.frames(1, every_s=0.5)


def test_a_hung_node_of_a_pinned_plan_is_left_after_some_deadlines_with_one_warning(session_of):
    driver = serving(session_of, OVER_FOG)
    hang(driver, FOG)
    assert driver.plan == LOCAL
    assert not is_there(driver, FOG)
    (warning,) = warnings(driver)
    assert f"{N_MISSED} frames in a row" in warning
    assert "`fog` is left out until it has computed [2:4]" in warning
    tried = [run for run in driver.of(cmd.RunFrame) if FOG in run.route.plan.nodes]
    assert len(tried) == N_MISSED
    assert len(driver.delivered) == driver.session.ledger.counts.accepted > N_MISSED


def test_it_is_asked_to_compute_without_a_frame_and_comes_back_when_it_has(session_of):
    driver = serving(session_of, OVER_FOG)
    hang(driver, FOG)
    assert driver.of(cmd.TimeSegment) == [cmd.TimeSegment(FOG, Segment(2, 4))]
    driver.dead.clear()
    driver.handle(ev.SegmentTimed(FOG, Segment(2, 4), 0.03))
    driver.frames(10)
    assert driver.plan == OVER_FOG
    assert is_there(driver, FOG)


def test_signs_of_life_bring_no_hung_node_back(session_of):
    driver = serving(session_of, OVER_FOG)
    hang(driver, FOG, LONG_S)
    driver.handle(ev.PeerChanged(FOG, False))
    driver.run(1.0)
    driver.handle(ev.PeerChanged(FOG, True))
    driver.status(FOG)
    driver.frames(20)
    assert driver.plan == LOCAL
    assert len(driver.of(cmd.TimeSegment)) == 2, "it is asked again, since the answer may have been lost"


def test_another_process_is_another_node(session_of):
    driver = serving(session_of, OVER_FOG)
    hang(driver, FOG)
    driver.kill(FOG)
    driver.revive(FOG, "b")
    driver.frames(20)
    assert driver.plan == OVER_FOG


def test_only_the_node_that_hangs_stays_away(session_of):
    driver = serving(session_of, OVER_BOTH)
    hang(driver, CLOUD)
    assert is_there(driver, FOG), "it has computed its segment when it was asked"
    assert not is_there(driver, CLOUD)
    assert driver.plan == LOCAL


def test_a_node_that_cannot_compute_is_asked_again_after_a_while(session_of):
    driver = serving(session_of, OVER_FOG)
    hang(driver, FOG, 5.0)
    driver.handle(ev.SegmentTimed(FOG, Segment(2, 4), None))
    assert not is_there(driver, FOG)
    driver.run(2 * FIRST_OPEN_S)
    assert len(driver.of(cmd.TimeSegment)) == 2


def test_a_relapse_is_left_out_for_longer(session_of):
    driver = serving(session_of, OVER_FOG)
    for n_times in (1, 2, 3):
        hang(driver, FOG, 10.0)
        assert not is_there(driver, FOG)
        driver.dead.clear()
        asked_s = driver.now_s
        driver.handle(ev.SegmentTimed(FOG, Segment(2, 4), 0.03))
        while not is_there(driver, FOG):
            driver.run(0.1)
        driver.frames(5)
        assert driver.plan == OVER_FOG
        assert driver.session.pilot._peers._peers[FOG].open_s == FIRST_OPEN_S * 2 ** (n_times - 1)
        assert driver.now_s - asked_s < 5.0


@pytest.mark.parametrize("plan", [OVER_FOG, OVER_BOTH])
def test_one_answer_in_time_begins_the_count_again(session_of, plan):
    driver = serving(session_of, plan)
    for _ in range(3):
        driver.dead.add(FOG)
        driver.frames(N_MISSED - 1, every_s=4 * MIN_DEADLINE_S)
        driver.dead.clear()
        driver.frames(1, every_s=4 * MIN_DEADLINE_S)
    assert driver.plan == plan
    assert warnings(driver) == []


def test_frames_that_are_late_together_count_once(session_of):
    driver = serving(session_of, OVER_FOG)
    generation = driver.session.ledger.route.generation
    for number in range(2 * N_MISSED):
        driver.handle(ev.DeadlineMissed(generation, OVER_FOG, driver.now_s - 1.0 - 0.01 * number))
    assert is_there(driver, FOG)
    for _ in range(N_MISSED - 1):
        driver.run(0.1)
        driver.handle(ev.DeadlineMissed(generation, OVER_FOG, driver.now_s - 0.05))
    assert not is_there(driver, FOG)


def test_deadlines_of_a_plan_that_is_not_in_use_do_not_count(session_of):
    driver = serving(session_of, OVER_FOG)
    generation = driver.session.ledger.route.generation
    for _ in range(2 * N_MISSED):
        driver.run(0.1)
        driver.handle(ev.DeadlineMissed(generation - 1, OVER_BOTH, driver.now_s))
    assert warnings(driver) == []


def test_the_ledger_says_each_first_attempt_that_is_late_but_of_no_node_that_is_known_to_be_lost():
    ledger = Ledger(LOCAL)
    ledger.handle(ev.SetRoute(Route(generation=1, plan=OVER_FOG, expected_s=0.2, bottleneck_s=0.01), 0.0), 0.0)
    ledger.handle(ev.FrameOffered("pixels"), 0.1)
    missed = [one for one in ledger.handle(ev.RetryOverdue(), 1.0) if isinstance(one, ev.DeadlineMissed)]
    assert missed == [ev.DeadlineMissed(1, OVER_FOG, 0.1)]
    ledger.handle(ev.AnswerArrived(0, 1, 0, EDGE, None, ()), 1.1)
    ledger.handle(ev.FrameOffered("pixels"), 1.2)
    ledger.handle(ev.PeerChanged(FOG, False), 1.3)
    assert not any(isinstance(one, ev.DeadlineMissed) for one in ledger.handle(ev.RetryOverdue(), 3.0))
