"""A stream's decisions: what is reported moves them, what cannot be is answered with a reason."""

from __future__ import annotations

import math
import re
from dataclasses import replace

import pytest

from seamline.core.adaptation.decision import Keep
from seamline.core.adaptation.policy import Fixed, Local
from seamline.core.cost.problem import EnergyScope
from seamline.core.session import commands as cmd
from seamline.core.session import events as ev
from seamline.core.session import pilot as pilot_module
from seamline.core.session.events import LOCAL_GENERATION
from seamline.core.session.pilot import DECISION_INTERVAL_S, RETRY_WAIT_S
from seamline.core.session.session import Session
from seamline.core.session.switcher import DRAIN_GRACE_S
from seamline.core.vocabulary.constraints import Constraints
from seamline.core.vocabulary.errors import Infeasible, SwitchError, UsageError
from seamline.core.vocabulary.nodes import NodeId
from seamline.core.vocabulary.objectives import Objective, Within
from seamline.core.vocabulary.plans import Codec, Plan, Segment
from seamline.core.vocabulary.profiles import Quantiles

EDGE, FOG, CLOUD = NodeId("edge"), NodeId("fog"), NodeId("cloud")
LOCAL = Plan.parse("edge[0:4]")
TO_CLOUD = Plan.parse("edge[0:0]jpeg > cloud[0:4]")
TO_FOG = Plan.parse("edge[0:0]jpeg > fog[0:4]")
SLOW_BPS, FAST_BPS = 0.2e6, 200e6


def test_the_table_names_every_event_of_a_pilot():
    rows = re.findall(r"^    ([A-Z][A-Za-z]+)  ", pilot_module.__doc__ or "", re.MULTILINE)
    assert sorted(rows) == sorted(kind.__name__ for kind in ev.PILOT_EVENTS)


def test_a_withdrawn_codec_and_those_of_fewer_bits_leave_the_plans_of_their_cut(session_of):
    lossy = tuple((cut, codec) for cut in range(5) for codec in (Codec.U8, Codec.Q4, Codec.Q3))
    codecs = (Codec.RAW, Codec.U8, Codec.Q4, Codec.Q3)
    driver = session_of(constraints=Constraints(n_private_cuts=1, codecs=codecs, lossy=lossy, allow_local=False))
    cut, used = driver.plan.stages[0].segment.stop, driver.plan.stages[0].codec
    assert used is Codec.Q3
    driver.handle(ev.CodecWithdrawn(cut, Codec.Q4, "80.0% of 20 audited answers agree"))
    driver.run(0.5)
    (said,) = (each for each in driver.of(cmd.Say) if each.level is cmd.Level.WARNING)
    assert said.words == f"withdrawn is q4 at cut {cut}: 80.0% of 20 audited answers agree"
    left = [codec for at, codec in driver.session.pilot.view.constraints.lossy if at == cut]
    assert left == [Codec.U8]
    assert (driver.plan.stages[0].segment.stop, driver.plan.stages[0].codec) not in {(cut, Codec.Q4), (cut, Codec.Q3)}
    n_before = len(driver.commands)
    driver.handle(ev.CodecWithdrawn(cut, Codec.Q4, "again"))
    assert len(driver.commands) == n_before


def test_a_codec_that_needed_no_calibration_is_not_withdrawn_but_said(session_of):
    driver = session_of()
    before = driver.session.pilot.view.constraints
    (said,) = driver.handle(ev.CodecWithdrawn(1, Codec.U8, "few agree"))
    assert said.words.endswith("it was allowed without a calibration, and stays")
    assert driver.session.pilot.view.constraints == before


# -- the first plan ----------------------------------------------------------------------------------------------------


def test_nothing_is_decided_before_begin_and_the_first_plan_after_it(session_of):
    driver = session_of(is_begun=False)
    driver.run(2.0)
    assert driver.of(cmd.Decided) == driver.of(cmd.Prepare) == []
    driver.handle(ev.Begin())
    driver.run(0.2)
    (begun,) = driver.of(cmd.SwitchBegun)
    (done,) = driver.of(cmd.SwitchDone)
    assert driver.plan == begun.plan == done.record.to_plan == TO_CLOUD
    assert done.is_first
    assert driver.of(cmd.Started) == [cmd.Started()]


def test_frames_that_come_before_the_first_plan_serves_run_on_the_origin(session_of):
    driver = session_of(is_begun=False)
    driver.handle(ev.FrameOffered("pixels"))
    (run,) = driver.of(cmd.RunFrame)
    assert run.route.plan == LOCAL
    assert driver.session.ledger.local.expected_s == pytest.approx(0.4)  # the origin's profile


def test_that_no_plan_is_allowed_is_said_once_with_what_binds(session_of):
    driver = session_of(constraints=Constraints(allow_local=False, forbidden_nodes=(FOG, CLOUD)))
    driver.run(3.0)
    (failed,) = driver.of(cmd.StartFailed)
    assert isinstance(failed.error, Infeasible)


def test_a_first_plan_that_is_later_than_the_deadline_will_do(session_of):
    driver = session_of(objective=Within(slo_s=1e-6))
    assert driver.of(cmd.StartFailed) == []
    assert driver.of(cmd.Started) == [cmd.Started()]


# -- when there is a decision ------------------------------------------------------------------------------------------


def test_a_tick_decides_at_once_when_something_has_moved_and_every_second_without(session_of):
    driver = session_of()
    driver.run(1.5)
    pilot = driver.session.pilot
    assert pilot.due_s == pytest.approx(min(pilot._decided_s + DECISION_INTERVAL_S, pilot._links.due_s))
    driver.handle(ev.LinkEstimated(driver.session.pilot.view.links[EDGE, FOG]))
    assert pilot.due_s > driver.now_s  # the same again is no news
    driver.link(CLOUD, SLOW_BPS)
    assert pilot.due_s == -math.inf
    assert driver.of(cmd.SwitchBegun)[1:] == []  # no event but a tick decides
    driver.handle(ev.Tick())
    assert driver.of(cmd.SwitchBegun)[1].plan == TO_FOG


def test_what_happens_together_leads_to_one_decision(session_of):
    driver = session_of()
    driver.run(2.0)
    n_before = len(driver.of(cmd.Decided))
    for target in (FOG, CLOUD):
        driver.link(target, SLOW_BPS)
    driver.handle(ev.Tick())
    (decided,) = driver.of(cmd.Decided)[n_before:]
    assert decided.plan == LOCAL


def test_a_cached_decision_is_said_once(session_of):
    driver = session_of()
    keep = Keep("nothing has moved")
    driver.session.pilot._decides = lambda view, policy: keep
    n_before = len(driver.of(cmd.Decided))
    driver.run(5.0)
    (decided,) = driver.of(cmd.Decided)[n_before:]
    assert decided == cmd.Decided(None, "nothing has moved", driver.session.ledger.route.expected_s)


def test_every_decision_carries_its_reason(session_of):
    driver = session_of()
    driver.link(CLOUD, SLOW_BPS)
    driver.run(1.0)
    for decided in driver.of(cmd.Decided):
        assert decided.reason
    assert "cloud->edge fell from 200.0 to 0.2 Mbit/s" in driver.of(cmd.SwitchBegun)[-1].reason


# -- what is reported --------------------------------------------------------------------------------------------------


def test_a_node_counts_once_its_profile_is_known(session_of, make_spec):
    driver = session_of(make_spec(others=()), is_begun=False)
    assert driver.session.pilot.view.profiles.keys() == {EDGE}
    driver = session_of(make_spec(others=(FOG,)))
    assert driver.plan == TO_FOG


def test_a_profile_that_does_not_come_is_asked_for_again_later(make_spec, session_of):
    driver = session_of(make_spec(others=(FOG,)))
    driver.handle(ev.ProfileFailed(FOG, "no memory"))
    driver.run(9.9)
    assert driver.of(cmd.AskProfile) == []
    driver.run(0.2)
    assert driver.of(cmd.AskProfile) == [cmd.AskProfile(FOG)]


def test_what_a_stranger_says_is_no_news(session_of):
    driver = session_of()
    moon = NodeId("moon")
    before = driver.session.pilot.view
    for event in (ev.PeerChanged(moon, False), ev.StageFailed(9, 0, 1, moon, "gone")):
        assert driver.handle(event) == []
    assert driver.session.pilot.view is before


def test_own_memory_that_is_short_forbids_plans(session_of):
    driver = session_of(policy=Local())
    driver.handle(ev.MemoryMeasured(1))
    driver.run(1.0)
    assert driver.plan != LOCAL


def test_a_lost_node_is_left_at_once_and_used_again_when_it_says_it_is_back(session_of):
    driver = session_of()
    driver.kill(CLOUD)
    driver.run(0.2)
    assert driver.plan == TO_FOG
    assert "`cloud` is not there" in driver.of(cmd.SwitchBegun)[-1].reason
    driver.dead.clear()
    driver.handle(ev.PeerChanged(CLOUD, True))
    driver.run(2.0)
    assert driver.plan == TO_FOG  # seen, but it has not said who it is
    driver.revive(CLOUD)
    driver.run(2.0)
    assert driver.plan == TO_CLOUD


def test_a_node_that_is_lost_while_it_prepares_is_refused_as_such(session_of):
    driver = session_of(is_begun=False)
    driver.dead.add(CLOUD)
    driver.handle(ev.Begin())
    driver.handle(ev.Tick())
    driver.kill(CLOUD)
    said = [say.words for say in driver.of(cmd.Say) if say.level is cmd.Level.WARNING]
    assert said == [f"plan {TO_CLOUD} is refused: `cloud` was lost while preparing"]
    driver.run(0.5)
    assert driver.plan == TO_FOG


def test_a_node_that_computes_slower_than_profiled_is_left(session_of):
    driver = session_of()
    driver.slowdown[CLOUD] = 20.0
    driver.latency_s = 0.42
    driver.frames(20, every_s=0.5)
    assert driver.plan == TO_FOG
    assert any("cloud slowed" in begun.reason for begun in driver.of(cmd.SwitchBegun))


def test_a_frame_that_failed_teaches_nothing(session_of):
    driver = session_of()
    before = driver.session.pilot.view
    finished = ev.FrameFinished(
        frame=0, plan=TO_CLOUD, generation=1, accepted_s=0.0, latency_s=9.0, n_attempts=4, answer=None, reports=(),
        error="gave up",
    )  # fmt: skip
    assert driver.session.pilot.handle(finished, driver.now_s) == []
    assert driver.session.pilot.view is before


def test_a_link_that_lost_a_frame_is_down_until_it_is_measured_again(session_of):
    driver = session_of()
    driver.handle(ev.StageFailed(0, 0, 1, EDGE, "timeout", lost=CLOUD))
    assert driver.session.pilot.view.links[EDGE, CLOUD].goodput_bps == 0.0
    driver.run(0.2)
    assert driver.plan.nodes[:2] == (EDGE, FOG)
    driver.link(CLOUD, FAST_BPS)
    driver.run(2.0)
    assert driver.plan == TO_CLOUD


def test_a_node_that_refuses_what_no_node_can_compute_stays(session_of):
    driver = session_of()
    generation, n_said = driver.session.ledger.route.generation, len(driver.of(cmd.Say))
    driver.latency_s = 30.0
    driver.handle(ev.FrameOffered("pixels"))
    driver.handle(ev.StageFailed(0, 0, generation, CLOUD, "index 20 is out of range", is_input=True))
    driver.handle(ev.StageFailed(0, 1, LOCAL_GENERATION, EDGE, "index 20 is out of range", is_input=True))
    driver.run(0.5)
    assert driver.of(ev.FrameFinished)[0].error is not None
    assert driver.of(cmd.Say)[n_said:] == []
    assert driver.plan == TO_CLOUD


def test_a_node_that_refuses_what_the_origin_can_compute_is_left_out(session_of):
    driver = session_of()
    generation = driver.session.ledger.route.generation
    driver.latency_s = 30.0
    driver.handle(ev.FrameOffered("pixels"))
    driver.handle(ev.StageFailed(0, 0, generation, CLOUD, "no memory left", is_input=True))
    assert driver.plan == TO_CLOUD
    driver.handle(ev.AnswerArrived(0, 1, LOCAL_GENERATION, EDGE, "answer", ()))
    assert "`cloud` is left out for 1 s: no memory left" in [said.words for said in driver.of(cmd.Say)]
    driver.run(0.5)
    assert driver.plan == TO_FOG


def test_a_node_that_refuses_a_frame_of_the_plan_in_use_is_left_out_for_a_while(session_of):
    driver = session_of()
    driver.handle(ev.StageFailed(0, 0, 7, CLOUD, "no such generation"))
    assert CLOUD in driver.session.pilot.view.nodes  # what an old generation says proves nothing
    driver.handle(ev.StageFailed(0, 0, 1, CLOUD, "no such segment"))
    assert CLOUD not in driver.session.pilot.view.nodes
    assert driver.of(cmd.Say)[-1].words == "`cloud` is left out for 1 s: no such segment"
    driver.run(0.5)
    assert driver.plan == TO_FOG
    driver.run(2.0)
    assert driver.plan == TO_CLOUD


# -- switches ----------------------------------------------------------------------------------------------------------


def test_the_old_plan_serves_until_every_node_has_prepared_the_new_one(session_of):
    driver = session_of(policy=Fixed(LOCAL))
    driver.dead.add(FOG)
    driver.handle(ev.SwitchAsked(1, TO_FOG, None, "asked for"))
    driver.run(0.2)
    (number,) = [begun.generation for begun in driver.of(cmd.SwitchBegun) if begun.plan == TO_FOG]
    assert driver.plan == LOCAL
    driver.handle(ev.NodePrepared(number, FOG, 0.3))
    assert driver.plan == TO_FOG
    record = driver.of(cmd.SwitchDone)[-1].record
    assert (record.from_plan, record.to_plan, record.load_s) == (LOCAL, TO_FOG, 0.3)
    assert record.prepare_s == pytest.approx(0.2)


def test_a_generation_is_released_a_while_after_its_last_answer(session_of):
    driver = session_of()
    driver.link(CLOUD, SLOW_BPS)
    driver.run(0.1)
    assert driver.plan == TO_FOG
    assert sorted(driver.loaded) == [1, 2]
    assert driver.of(cmd.Release) == []
    driver.run(DRAIN_GRACE_S)
    assert [release.generation.number for release in driver.of(cmd.Release)] == [1]


def test_a_node_that_cannot_prepare_leaves_the_old_plan_serving(session_of):
    driver = session_of()
    driver.refusals[FOG] = 1
    driver.link(CLOUD, SLOW_BPS)
    driver.run(0.2)
    assert any("`fog` could not prepare: no memory left" in say.words for say in driver.of(cmd.Say))
    assert FOG not in driver.plan.nodes


def test_the_ledger_follows_what_decisions_expect_of_the_plan_that_serves(session_of):
    driver = session_of()
    driver.run(1.0)
    before = driver.session.ledger.route
    driver.run(3.0)
    assert driver.session.ledger.route is before  # nothing has moved
    for target in (FOG, CLOUD):
        driver.link(target, 0.9 * FAST_BPS)
    driver.run(1.0)
    after = driver.session.ledger.route
    assert after.plan == before.plan
    assert before.expected_s < after.expected_s < 1.1 * before.expected_s  # a little may be a frame more in flight


# -- frames in trouble -------------------------------------------------------------------------------------------------


def test_frames_of_a_lost_node_wait_a_moment_for_the_plan_that_comes(session_of):
    driver = session_of()
    driver.handle(ev.FrameOffered("pixels"))
    driver.kill(CLOUD)
    driver.handle(ev.Tick())
    assert driver.session.pilot.retry_from_s == driver.now_s + RETRY_WAIT_S
    assert len(driver.of(cmd.RunFrame)) == 1
    driver.run(0.2)
    assert [run.route.plan for run in driver.of(cmd.RunFrame)] == [TO_CLOUD, TO_FOG]
    assert driver.delivered == [0]


def test_frames_of_a_lost_node_wait_no_longer_than_they_take_on_the_origin(session_of, profile):
    driver = session_of()
    driver.handle(ev.ProfileKnown(EDGE, replace(profile(EDGE), whole_s=Quantiles(median=0.05, p90=0.06))))
    driver.handle(ev.FrameOffered("pixels"))
    driver.kill(CLOUD)
    driver.handle(ev.Tick())
    assert driver.session.pilot.retry_from_s == pytest.approx(driver.now_s + 0.05)


def test_frames_of_a_lost_node_run_on_the_origin_when_no_plan_comes_in_time(session_of):
    driver = session_of()
    driver.handle(ev.FrameOffered("pixels"))
    driver.dead.add(FOG)  # it does not answer, and nobody knows yet
    driver.kill(CLOUD)
    driver.run(RETRY_WAIT_S + 0.01)
    assert driver.of(cmd.RunFrame)[-1].route.plan == LOCAL
    driver.run(1.0)
    assert driver.delivered == [0]


# -- requests ----------------------------------------------------------------------------------------------------------


def test_a_plan_that_is_asked_for_is_settled_with_its_record_and_pinned(session_of):
    driver = session_of()
    driver.handle(ev.SwitchAsked(7, TO_FOG, "spawn", "asked for"))
    driver.run(5.0)
    (settled,) = driver.of(cmd.Settle)
    assert settled.request == 7
    assert (settled.outcome.to_plan, settled.outcome.strategy, settled.outcome.reason) == (TO_FOG, "spawn", "asked for")
    assert driver.plan == TO_FOG
    driver.handle(ev.UnpinAsked(8, "live"))
    assert driver.of(cmd.Settle)[-1].outcome.reason == "the policy decides again"
    driver.run(5.0)
    assert driver.plan == TO_CLOUD
    assert driver.session.pilot.strategy == "live"


def test_what_the_stream_does_not_allow_is_rejected_and_nothing_happens(session_of):
    driver = session_of(constraints=Constraints(n_private_cuts=1))
    n_before, plan = len(driver.commands), driver.plan
    driver.handle(ev.SwitchAsked(1, TO_CLOUD, None, "asked for"))
    (rejected,) = driver.commands[n_before:]
    assert isinstance(rejected.error, SwitchError)
    assert "private" in str(rejected.error)
    assert driver.plan == plan


@pytest.mark.parametrize("event", [ev.SwitchAsked(1, TO_FOG, "teleport", "asked for"), ev.UnpinAsked(1, "teleport")])
def test_a_strategy_that_is_none_is_rejected_and_nothing_is_pinned_or_let_go(event, session_of):
    driver = session_of()
    (rejected,) = driver.handle(event)
    assert isinstance(rejected.error, UsageError)
    assert "not a strategy" in str(rejected.error)
    driver.run(2.0)
    assert driver.plan == TO_CLOUD


def test_another_objective_counts_from_now_on_and_the_one_before_is_the_answer(session_of):
    driver = session_of()
    said, settled = driver.handle(ev.ObjectiveAsked(3, Objective.ENERGY))
    assert settled == cmd.Settle(3, Objective.LATENCY)
    assert "judged by energy from now on, before by latency" in said.words
    assert driver.session.pilot.view.objective is Objective.ENERGY


def test_joules_are_no_objective_without_power_figures(session_of, profile):
    driver = session_of()
    driver.handle(ev.ProfileKnown(EDGE, profile(EDGE, idle_w=None)))
    (rejected,) = driver.handle(ev.ObjectiveAsked(3, Objective.ENERGY))
    assert "power figures" in str(rejected.error)


def test_another_energy_scope_counts_from_now_on_and_a_stranger_in_it_is_rejected(session_of):
    driver = session_of()
    scope = EnergyScope(weights=((FOG, 0.5),))
    _, charge, settled = driver.handle(ev.EnergyScopeAsked(4, scope))
    assert (charge, settled) == (cmd.ChargeEnergy(scope), cmd.Settle(4, EnergyScope.ALL))
    (rejected,) = driver.handle(ev.EnergyScopeAsked(5, EnergyScope(weights=((NodeId("moon"), 0.5),))))
    assert "moon" in str(rejected.error)


def test_a_node_that_is_to_be_avoided_runs_nothing_until_that_ends_and_the_origin_cannot_be(session_of):
    driver = session_of()
    driver.run(2.0)
    assert driver.plan == TO_CLOUD
    said, settled = driver.handle(ev.AvoidAsked(6, (CLOUD,)))
    assert (settled, "avoided from now on: cloud" in said.words) == (cmd.Settle(6, ()), True)
    driver.run(3.0)
    assert CLOUD not in driver.plan.nodes
    for node in (EDGE, NodeId("moon")):
        (rejected,) = driver.handle(ev.AvoidAsked(7, (node,)))
        assert f"cannot do without `{node}`" in str(rejected.error)
    assert driver.handle(ev.AvoidAsked(8, ()))[-1] == cmd.Settle(8, (CLOUD,))
    driver.run(10.0)
    assert driver.plan == TO_CLOUD


def test_who_asked_for_a_plan_that_becomes_impossible_meanwhile_is_told(session_of):
    driver = session_of(policy=Fixed(TO_CLOUD))
    driver.dead.add(FOG)
    driver.handle(ev.SwitchAsked(1, TO_FOG, None, "asked for"))
    driver.link(FOG, 0.0)
    driver.run(0.1)
    (rejected,) = driver.of(cmd.Reject)
    assert "down" in str(rejected.error)
    driver.run(1.0)
    assert driver.plan == TO_CLOUD  # pinned before, and again


def test_who_asks_before_the_first_plan_serves_gets_the_plan_and_an_answer(session_of):
    driver = session_of(is_begun=False)
    driver.dead.add(CLOUD)
    driver.handle(ev.Begin())
    driver.run(0.1)
    driver.handle(ev.SwitchAsked(1, TO_FOG, None, "asked for"))
    driver.run(0.2)
    (settled,) = driver.of(cmd.Settle)
    assert settled.outcome.to_plan == driver.plan == TO_FOG
    assert driver.of(cmd.Started) == [cmd.Started()]


def test_of_two_who_ask_the_earlier_one_is_told(session_of):
    driver = session_of()
    driver.handle(ev.SwitchAsked(1, TO_FOG, None, "asked for"))
    driver.handle(ev.SwitchAsked(2, LOCAL, None, "asked for"))
    driver.run(1.0)
    (rejected,), (settled,) = driver.of(cmd.Reject), driver.of(cmd.Settle)
    assert (rejected.request, settled.request) == (1, 2)
    assert "another switch was asked for" in str(rejected.error)
    assert driver.plan == LOCAL


# -- the end -----------------------------------------------------------------------------------------------------------


def test_everything_is_released_when_the_stream_ends_and_who_waits_is_rejected(session_of):
    driver = session_of()
    driver.dead.add(FOG)
    driver.handle(ev.SwitchAsked(1, TO_FOG, None, "asked for"))
    found = driver.handle(ev.StopAsked())
    assert [one.generation.number for one in found if isinstance(one, cmd.Release)] == [1, 2]
    assert driver.loaded == {}
    (rejected,) = driver.of(cmd.Reject)
    assert "the stream has ended" in str(rejected.error)
    assert driver.session.pilot.due_s == math.inf
    assert driver.handle(ev.StopAsked()) == driver.handle(ev.Tick()) == []


def test_no_frame_is_begun_after_the_end_and_those_in_flight_have_their_answers(session_of):
    driver = session_of()
    driver.handle(ev.FrameOffered("pixels"))
    driver.handle(ev.FrameOffered("pixels"))
    driver.handle(ev.StopAsked())
    driver.run(1.0)
    assert driver.delivered == [0]
    assert not driver.session.ledger.has_room(driver.now_s)
    assert len(driver.of(cmd.RunFrame)) == 1


@pytest.mark.parametrize(
    "event",
    [
        ev.SwitchAsked(9, TO_FOG, None, "asked for"),
        ev.UnpinAsked(9, None),
        ev.ObjectiveAsked(9, Objective.THROUGHPUT),
        ev.EnergyScopeAsked(9, EnergyScope.ORIGIN),
        ev.AvoidAsked(9, (FOG,)),
    ],
)
@pytest.mark.parametrize("is_begun", [True, False])
def test_who_asks_when_the_stream_has_ended_is_told(event, is_begun, session_of):
    driver = session_of(is_begun=is_begun)
    driver.handle(ev.StopAsked())
    (rejected,) = driver.handle(event)
    assert rejected.request == 9
    assert "the stream has ended" in str(rejected.error)


# -- what cannot be ----------------------------------------------------------------------------------------------------


def test_words_of_a_generation_that_was_never_asked_for_are_answered_with_the_reason(session_of):
    driver = session_of()
    for event in (ev.NodePrepared(99, FOG, 0.1), ev.NodePrepareFailed(99, FOG, "no memory left")):
        (said,) = driver.handle(event)
        assert said.level is cmd.Level.WARNING
        assert "no transition" in said.words
    assert driver.plan == TO_CLOUD


def test_a_fault_of_ours_is_said_and_who_asked_is_told(make_spec):
    def fault(*_: object) -> None:
        raise ZeroDivisionError("of its own")

    session = Session(make_spec(), decides=fault)
    session.handle(ev.Begin(), 0.0)
    (said,) = [one for one in session.handle(ev.Tick(), 0.0) if isinstance(one, cmd.Say)]
    assert (said.level, said.words) == (cmd.Level.ERROR, "Tick: this went wrong: ZeroDivisionError: of its own")
    assert isinstance(said.error, ZeroDivisionError)


def test_a_fault_of_ours_leaves_no_frame_in_trouble(session_of):
    def fault(*_: object) -> None:
        raise ZeroDivisionError("of its own")

    driver = session_of()
    driver.handle(ev.FrameOffered("pixels"))
    driver.session.pilot._decides = fault
    driver.kill(CLOUD)
    driver.run(1.0)
    assert driver.delivered == [0]


def test_who_asks_what_goes_wrong_in_an_unforeseen_way_is_told(session_of):
    driver = session_of()
    said, rejected = driver.handle(ev.EnergyScopeAsked(1, None))
    assert said.level is cmd.Level.ERROR
    assert rejected.request == 1
    assert "this went wrong: AttributeError" in str(rejected.error)


def test_a_segment_that_was_not_asked_for_teaches_nothing(session_of):
    driver = session_of()
    assert driver.handle(ev.SegmentTimed(FOG, Segment(0, 4), 9.0)) == []
    assert driver.session.pilot.view.compute_ratio == {}


def test_links_are_asked_for_as_long_as_frames_flow_and_for_a_while_after(session_of):
    driver = session_of()
    driver.run(1.0)
    asked = driver.of(cmd.MeasureLinks)
    assert {one.node: one.targets for one in asked} == {EDGE: {FOG, CLOUD}, FOG: {EDGE, CLOUD}, CLOUD: {EDGE, FOG}}
    driver.run(30.0)
    n_quiet = len(driver.of(cmd.MeasureLinks))
    driver.run(60.0)
    assert len(driver.of(cmd.MeasureLinks)) == n_quiet
    driver.handle(ev.FrameOffered("pixels"))
    driver.run(62.0)
    assert len(driver.of(cmd.MeasureLinks)) > n_quiet
