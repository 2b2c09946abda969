"""Every strategy: the cut is moved on request while frames flow, and none is lost, doubled or disordered."""

from __future__ import annotations

import pytest

from seamline.core.adaptation.policy import Fixed
from seamline.core.session import commands as cmd
from seamline.core.session import events as ev
from seamline.core.session.switcher import DRAIN_DEADLINE_S, DRAIN_GRACE_S, PREPARE_DEADLINE_S
from seamline.core.switching import STRATEGIES
from seamline.core.vocabulary.nodes import NodeId
from seamline.core.vocabulary.plans import Plan

EDGE, FOG, CLOUD = NodeId("edge"), NodeId("fog"), NodeId("cloud")
EARLY, LATE = Plan.parse("edge[0:1]raw > fog[1:4]"), Plan.parse("edge[0:3]raw > fog[3:4]")
LOCAL = Plan.parse("edge[0:4]")
SLOW_BPS, FAST_BPS = 0.2e6, 200e6

every_strategy = pytest.mark.parametrize("strategy", sorted(STRATEGIES))


def assert_all_answered(driver) -> None:
    """No frame lost, doubled or out of order, and everything given back at the end."""
    driver.run(5.0)
    counts = driver.session.ledger.counts
    assert counts.lost == 0
    assert driver.delivered == list(range(counts.accepted))
    driver.handle(ev.StopAsked())
    assert driver.loaded == {}


@every_strategy
def test_frames_keep_their_order_while_the_cut_moves_to_and_fro(strategy, session_of):
    driver = session_of(policy=Fixed(EARLY), strategy=strategy)
    for request, plan in enumerate((LATE, EARLY, LOCAL, LATE, EARLY)):
        driver.handle(ev.SwitchAsked(request, plan, None, "asked for"))
        driver.frames(20, every_s=0.05)
        record = driver.of(cmd.Settle)[-1].outcome
        assert (record.to_plan, record.strategy) == (plan, strategy)
        assert (record.pause_s > 0) == strategy.startswith("pause")
        assert driver.plan == plan
    assert len(driver.of(cmd.SwitchDone)) == 6
    assert_all_answered(driver)


@every_strategy
def test_a_switch_that_a_node_refuses_leaves_the_old_plan_serving(strategy, session_of):
    driver = session_of(policy=Fixed(EARLY), strategy=strategy)
    driver.refusals[FOG] = 1
    driver.handle(ev.SwitchAsked(1, LATE, None, "asked for"))
    driver.frames(40, every_s=0.05)
    (rejected,) = driver.of(cmd.Reject)
    assert "no memory left" in str(rejected.error)
    assert driver.plan == EARLY
    assert_all_answered(driver)


@every_strategy
def test_a_node_that_dies_during_a_switch_costs_no_frame(strategy, session_of):
    driver = session_of(policy=Fixed(LOCAL), strategy=strategy)
    driver.frames(2, every_s=0.05)
    driver.dead.add(FOG)
    driver.handle(ev.SwitchAsked(1, LATE, None, "asked for"))
    driver.frames(2, every_s=0.05)
    driver.kill(FOG)
    driver.frames(40, every_s=0.05)
    (rejected,) = driver.of(cmd.Reject)
    assert "`fog`" in str(rejected.error)
    assert driver.plan == LOCAL
    assert_all_answered(driver)


@every_strategy
def test_a_node_that_falls_silent_while_it_prepares_is_given_up_at_the_deadline(strategy, session_of):
    driver = session_of(policy=Fixed(LOCAL), strategy=strategy)
    driver.dead.add(FOG)
    driver.handle(ev.SwitchAsked(1, LATE, None, "asked for"))
    driver.run(PREPARE_DEADLINE_S - 0.1)
    assert driver.of(cmd.Reject) == []
    driver.run(1.0)
    (rejected,) = driver.of(cmd.Reject)
    assert "`fog` did not get ready in time" in str(rejected.error)
    assert driver.plan == LOCAL
    driver.dead.clear()
    assert_all_answered(driver)


def test_a_standby_is_used_without_loading(session_of):
    driver = session_of(policy=Fixed(EARLY), strategy="standby")
    assert driver.session.pilot.standby is None
    driver.handle(ev.StandbyAsked(LATE))
    driver.run(0.2)
    assert driver.session.pilot.standby == LATE
    n_prepared = len(driver.of(cmd.Prepare))
    driver.handle(ev.SwitchAsked(1, LATE, None, "asked for"))
    record = driver.of(cmd.Settle)[-1].outcome
    assert record.prepare_s == 0.0
    assert len(driver.of(cmd.Prepare)) == n_prepared
    assert driver.session.pilot.standby == EARLY
    assert_all_answered(driver)


@pytest.mark.parametrize("strategy", sorted(name for name, one in STRATEGIES.items() if not one.keeps_standby))
def test_where_there_is_no_standby_a_guess_changes_nothing(strategy, session_of):
    driver = session_of(policy=Fixed(EARLY), strategy=strategy)
    assert driver.handle(ev.StandbyAsked(LATE)) == []


@pytest.mark.parametrize("strategy", ["pause-resume", "pause-resume-best"])
def test_pause_resume_never_holds_two_pipelines(strategy, session_of):
    driver = session_of(policy=Fixed(EARLY), strategy=strategy)
    for request, plan in enumerate((LATE, EARLY)):
        driver.handle(ev.FrameOffered("pixels"))
        driver.handle(ev.SwitchAsked(request, plan, None, "asked for"))
        for _ in range(20):
            driver.run(0.05)
            assert len(driver.loaded) <= 1
    assert driver.plan == EARLY


def test_a_pause_does_not_wait_for_ever_for_frames_in_flight(session_of):
    driver = session_of(policy=Fixed(EARLY), strategy="pause-resume")
    driver.latency_s = 1e6
    driver.session.ledger._has_deadlines = False
    driver.session.ledger.handle(ev.SetRoute(driver.session.ledger.route, driver.now_s), driver.now_s)
    driver.handle(ev.FrameOffered("pixels"))
    driver.handle(ev.SwitchAsked(1, LATE, None, "asked for"))
    driver.run(DRAIN_DEADLINE_S - 0.1)
    assert driver.of(cmd.Settle) == []
    driver.run(0.5)
    assert driver.plan == LATE
    assert driver.of(cmd.Settle)[0].outcome.pause_s == pytest.approx(DRAIN_DEADLINE_S + 0.05)


def test_when_not_even_the_plan_before_can_be_loaded_frames_run_on_the_origin(session_of):
    driver = session_of(policy=Fixed(EARLY), strategy="pause-resume")
    driver.refusals[FOG] = 2
    driver.handle(ev.SwitchAsked(1, LATE, None, "asked for"))
    driver.run(0.1)
    assert [one.plan for one in driver.of(cmd.FallBackDone)] == [LOCAL]
    assert driver.plan == LOCAL
    driver.run(0.1)
    assert driver.plan == EARLY  # pinned from the start, and tried again
    assert_all_answered(driver)


def test_the_strategy_may_change_between_two_switches(session_of):
    driver = session_of(policy=Fixed(EARLY))
    names = sorted(STRATEGIES)
    for number, strategy in enumerate([*names, *reversed(names)]):
        driver.handle(ev.SwitchAsked(number, (LATE, EARLY)[number % 2], strategy, "asked for"))
        driver.frames(20, every_s=0.05)
        assert driver.of(cmd.Settle)[-1].outcome.strategy == strategy
    assert_all_answered(driver)


def test_a_switch_by_another_strategy_waits_for_what_the_one_before_lets_go(session_of):
    driver = session_of(policy=Fixed(EARLY), strategy="standby")
    driver.handle(ev.StandbyAsked(LATE))
    driver.run(0.2)
    driver.handle(ev.SwitchAsked(1, LOCAL, "pause-resume", "asked for"))
    assert driver.session.pilot.strategy == "pause-resume"
    assert driver.of(cmd.Settle) == []
    driver.run(1.0)
    assert driver.of(cmd.Settle)[0].outcome.strategy == "pause-resume"
    assert_all_answered(driver)


def test_everything_is_released_when_the_stream_ends_a_standby_too(session_of):
    driver = session_of(policy=Fixed(EARLY), strategy="standby")
    driver.handle(ev.StandbyAsked(LATE))
    driver.run(0.2)
    assert len(driver.loaded) == 2
    driver.handle(ev.StopAsked())
    assert driver.loaded == {}


def test_under_a_policy_the_best_plan_for_the_other_link_speed_is_the_standby(session_of):
    driver = session_of(strategy="standby")
    fast = driver.plan
    driver.run(5.0)
    for target in (FOG, CLOUD):
        driver.link(target, SLOW_BPS)
    driver.run(3.0)
    assert driver.plan == LOCAL
    assert driver.session.pilot.standby == fast
    for target in (FOG, CLOUD):
        driver.link(target, FAST_BPS)
    driver.run(12.0)
    assert driver.plan == fast
    assert driver.session.pilot.standby == LOCAL


def test_a_late_answer_finds_its_generation_still_held(session_of):
    driver = session_of(policy=Fixed(EARLY))
    driver.handle(ev.SwitchAsked(1, LATE, None, "asked for"))
    driver.run(0.06)
    assert driver.plan == LATE
    assert sorted(driver.loaded) == [1, 2]
    driver.run(DRAIN_GRACE_S)
    assert sorted(driver.loaded) == [2]
