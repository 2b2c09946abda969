"""A recording holds values only, comes back as it was, and the same code decides the same from it."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from seamline.core.adaptation.decision import Keep, Switch
from seamline.core.adaptation.policy import Adaptive, Fixed, Local, Offload, PolicySettings, Static
from seamline.core.cost.problem import EnergyScope
from seamline.core.recording.plain import Spent
from seamline.core.recording.provenance import Provenance
from seamline.core.recording.record import from_plain, header, lines_of, plan_of, reason_of, replay, spec_of, to_plain
from seamline.core.session import commands as cmd
from seamline.core.session import events as ev
from seamline.core.switching import STRATEGIES
from seamline.core.vocabulary.constraints import Constraints
from seamline.core.vocabulary.errors import ConfigError
from seamline.core.vocabulary.nodes import NodeId
from seamline.core.vocabulary.objectives import Objective, Weights, Within
from seamline.core.vocabulary.plans import Codec, Plan, Segment

EDGE, FOG, CLOUD = NodeId("edge"), NodeId("fog"), NodeId("cloud")
MADE_BY = Provenance(
    version="0", date="2026-12-01", cpu="any", n_cores=2, memory_bytes=1, python="3", onnxruntime="1", platform="any"
)
LOCAL, SPLIT = Plan.parse("edge[0:4]"), Plan.parse("edge[0:2]u8 > fog[2:4]")


def through_json(value: object) -> object:
    """`value` as it comes back from a file; `allow_nan=False` is what JSON says."""
    return json.loads(json.dumps(value, allow_nan=False))


def taped(spec, session_of, driver_kind):
    """A session that has begun, and the lines of everything that its pilot hears."""
    lines = [header(spec, MADE_BY)]

    def begin(session):
        handle = session.pilot.handle

        def heard(event, now_s):
            outputs = handle(event, now_s)
            lines.extend(lines_of(event, now_s, outputs))
            return outputs

        session.pilot.handle = heard
        return driver_kind(session)

    return session_of(spec, kind=begin), lines


# -- values ------------------------------------------------------------------------------------------------------------


def every_event(profile, status, link) -> list[ev.PilotEvent]:
    spent = Spent(node="edge", queue_s=0.0, compute_s=math.inf, sent_bytes=7)
    finished = ev.FrameFinished(
        frame=3, plan=SPLIT, generation=2, accepted_s=1.0, latency_s=0.25, n_attempts=1, answer=None, reports=(spent,),
        error=None,
    )  # fmt: skip
    return [
        ev.PeerChanged(FOG, False),
        ev.StageFailed(1, 0, 2, FOG, "gone", lost=CLOUD),
        ev.Drained(4),
        ev.Routed(5, 1e-4),
        ev.DeadlineMissed(2, SPLIT, 5.0),
        finished,
        replace(finished, error="gave up", reports=()),
        status(FOG),
        link(CLOUD),
        ev.MemoryMeasured(10**9),
        ev.ProfileKnown(EDGE, profile(EDGE)),
        ev.ProfileFailed(FOG, "no memory"),
        ev.SegmentTimed(FOG, Segment(1, 3), 0.02),
        ev.SegmentTimed(FOG, Segment(1, 3), None),
        ev.NodePrepared(1, FOG, 0.3),
        ev.NodePrepareFailed(1, FOG, "no memory left"),
        ev.Begin(),
        ev.Tick(),
        ev.SwitchAsked(1, SPLIT, None, "asked for"),
        ev.UnpinAsked(2, "live"),
        ev.CodecWithdrawn(3, Codec.Q4, "80.0% of 20 audited answers agree"),
        ev.ObjectiveAsked(3, Objective.ENERGY),
        ev.ObjectiveAsked(3, Within(slo_s=0.1)),
        ev.ObjectiveAsked(3, Weights(latency_s=1.0, energy_j=0.5)),
        ev.EnergyScopeAsked(4, EnergyScope(weights=((FOG, 0.5),))),
        ev.AvoidAsked(5, (FOG,)),
        ev.StandbyAsked(SPLIT),
        ev.StopAsked(),
    ]


def test_every_event_comes_back_as_it_was(profile, status, link):
    events = every_event(profile, status, link)
    assert {type(event) for event in events} == ev.PILOT_EVENTS
    for event in events:
        assert from_plain(through_json(to_plain(event))) == event


def test_plans_are_written_as_text_and_endless_numbers_by_name(link):
    estimate = to_plain(link(FOG))["estimate"]
    assert estimate["oscillating_until_s"] == "-inf"
    assert to_plain(ev.StandbyAsked(SPLIT)) == {"kind": "StandbyAsked", "plan": str(SPLIT)}
    not_a_number = through_json(to_plain(ev.NodePrepared(1, FOG, math.nan)))
    assert math.isnan(from_plain(not_a_number).load_s)


def test_neither_answers_nor_what_else_a_report_holds_are_written(report):
    finished = ev.FrameFinished(
        frame=0, plan=SPLIT, generation=1, accepted_s=0.0, latency_s=0.1, n_attempts=1, answer=object(),
        reports=[report(node="edge", compute_s=0.2)],
    )  # fmt: skip
    plain = through_json(to_plain(finished))
    assert "answer" not in plain
    back = from_plain(plain)
    assert back.answer is None
    assert back.reports == (Spent(node="edge", queue_s=0.0, compute_s=0.2, sent_bytes=0),)


@pytest.mark.parametrize(
    ("plain", "words"),
    [
        (7, "7 is no object"),
        ({"kind": "Tock"}, "there is no 'Tock'"),
        ({"kind": "Segment", "start": 0, "stop": 1}, "Segment is no event"),
        ({"kind": "Drained"}, "Drained lacks `generation`"),
        ({"kind": "Drained", "generation": "one"}, "'one' is no whole number"),
        ({"kind": "Drained", "generation": True}, "True is no whole number"),
        ({"kind": "Drained", "generation": 1, "colour": 2}, "Drained has no `colour`"),
        ({"kind": "StandbyAsked", "plan": "edge"}, "StandbyAsked.plan: `edge` is not a stage"),
        ({"kind": "Routed", "generation": 1, "switch_s": "soon"}, "'soon' is no number"),
        ({"kind": "SegmentTimed", "node": "fog", "segment": {"start": 3, "stop": 1}}, "runs backwards"),
        ({"kind": "ObjectiveAsked", "request": 1, "objective": "beauty"}, "'beauty' is none of latency"),
        ({"kind": "ObjectiveAsked", "request": 1, "objective": {"kind": "Tick"}}, "Tick does not belong there"),
    ],
)
def test_what_cannot_be_is_refused_by_name(plain, words):
    with pytest.raises(ConfigError) as caught:
        from_plain(plain)
    assert words in str(caught.value)


# -- the header --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "policy",
    [Adaptive(PolicySettings(cooldown_s=math.inf)), Local(), Offload(), Static(), Fixed(SPLIT)],
)
def test_what_a_stream_was_opened_with_comes_back(policy, make_spec):
    spec = make_spec(
        policy=policy,
        strategy="standby",
        objective=Within(slo_s=0.1),
        constraints=Constraints(n_private_cuts=1, pins=((1, EDGE),), forbidden_codecs=((FOG, Codec.U8),)),
    )
    spec = replace(spec, energy_scope=EnergyScope.ORIGIN)
    assert spec_of(through_json(header(spec, MADE_BY))) == spec


def test_another_schema_is_refused_with_the_one_that_is_read(make_spec):
    for line in ({**header(make_spec(), MADE_BY), "schema": "seamline.session/9"}, {}, [], None):
        with pytest.raises(ConfigError, match="line 1: `schema` is") as caught:
            list(replay([line]))
        assert "seamline.session/2" in (caught.value.hint or "")


def test_an_empty_recording_is_refused():
    with pytest.raises(ConfigError, match="empty"):
        list(replay([]))


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ({"at_s": 1.0}, "line 2: neither an event nor a decision"),
        ({"at_s": 1.0, "event": {"kind": "Tock"}}, "line 2: there is no 'Tock'"),
        ({"event": {"kind": "Tick"}}, "line 2: None is no number"),
        ({"at_s": 1.0, "decision": {"kind": "Tick"}}, "line 2: Tick is no decision"),
        ({"at_s": 1.0, "decision": {"kind": "Decided", "plan": None, "reason": "", "predicted_s": None}}, "line 2: a"),
    ],
)
def test_a_line_that_cannot_be_is_refused_by_its_number(line, words, make_spec):
    with pytest.raises(ConfigError) as caught:
        list(replay([header(make_spec(), MADE_BY), line]))
    assert words in str(caught.value)


# -- replay ------------------------------------------------------------------------------------------------------------

worlds = st.lists(
    st.sampled_from(("frames", "kill", "revive", "fall", "rise", "slow", "switch", "unpin", "objective", "refuse")),
    max_size=12,
)


def happens(driver, what: str, number: int) -> None:
    match what:
        case "frames":
            driver.frames(12, every_s=0.1)
        case "kill":
            driver.kill(driver.plan.nodes[-1] if not driver.plan.is_local else FOG)
        case "revive":
            driver.revive(FOG)
        case "fall" | "rise":
            for target in (FOG, CLOUD):
                driver.link(target, 0.2e6 if what == "fall" else 200e6)
        case "slow":
            driver.slowdown[CLOUD] = 20.0
        case "switch":
            driver.handle(ev.SwitchAsked(number, SPLIT, None, "asked for"))
        case "unpin":
            driver.handle(ev.UnpinAsked(number, "spawn"))
        case "objective":
            driver.handle(ev.ObjectiveAsked(number, Weights(latency_s=1.0, energy_j=0.1)))
        case "refuse":
            driver.refusals[FOG] = 1
    driver.run(1.5)


@settings(max_examples=settings.default.max_examples // 2, phases=(Phase.explicit, Phase.generate))
@given(world=worlds, strategy=st.sampled_from(sorted(STRATEGIES)))
def test_a_recorded_session_decides_the_same_again(world, strategy, make_spec, session_of, driver_kind):
    spec = make_spec(strategy=strategy)
    driver, tape = taped(spec, session_of, driver_kind)
    for number, what in enumerate(world):
        happens(driver, what, number)
    driver.handle(ev.StopAsked())
    steps = list(replay(through_json(tape)))
    assert [step.recorded for step in steps] == [step.replayed for step in steps]
    assert all(step.is_same for step in steps)
    decided = [one for one in driver.commands if isinstance(one, cmd.Decided | cmd.SwitchBegun | cmd.SwitchDone)]
    assert [step.recorded for step in steps] == decided


@pytest.fixture
def tape(make_spec, session_of, driver_kind) -> list[dict]:
    """A first plan, a link that falls, and another plan."""
    driver, lines = taped(make_spec(), session_of, driver_kind)
    driver.run(1.0)
    driver.link(CLOUD, 0.2e6)
    driver.run(1.0)
    return through_json(lines)


def test_where_the_code_of_today_keeps_the_plan_the_step_says_so(tape):
    steps = list(replay(tape, decides=lambda view, policy: Keep("I would not")))
    different = [step for step in steps if not step.is_same]
    assert {reason_of(step.replayed) for step in different} <= {"I would not", ""}
    assert any(step.replayed is None for step in different)


def test_where_the_code_of_today_chooses_another_plan_both_reasons_are_there(tape):
    steps = list(replay(tape, decides=lambda view, policy: Switch(SPLIT, "I like it")))
    (decided, *_) = [step for step in steps if isinstance(step.recorded, cmd.Decided)]
    assert not decided.is_same
    assert (plan_of(decided.replayed), reason_of(decided.replayed)) == (SPLIT, "I like it")
    assert reason_of(decided.recorded).startswith("first plan: ")


def test_other_words_for_the_same_plan_are_the_same_decision(tape):
    at = next(at for at, line in enumerate(tape) if "decision" in line)
    tape[at]["decision"]["reason"] = "in the words of an older version"
    step = next(iter(replay(tape)))
    assert step.is_same
    assert step.recorded != step.replayed
