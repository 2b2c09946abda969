"""Manual override: a plan is pinned until it fails or is unpinned, and every request gets exactly one answer."""

from __future__ import annotations

import pytest

from seamline.core.adaptation.policy import Adaptive, Fixed
from seamline.core.session import commands as cmd
from seamline.core.session.manual_override import ManualOverride
from seamline.core.vocabulary.errors import SwitchError
from seamline.core.vocabulary.plans import Plan

EARLY, LATE, LOCAL = (Plan.parse(text) for text in ("edge[0:2]u8 > fog[2:9]", "edge[0:5]u8 > fog[5:9]", "edge[0:9]"))
FIRST, SECOND = 1, 2


@pytest.fixture
def out() -> list[cmd.PilotOutput]:
    return []


@pytest.fixture
def override(out) -> ManualOverride:
    return ManualOverride(Adaptive(), out)


def record_to(plan: Plan) -> cmd.SwitchRecord:
    return cmd.SwitchRecord(
        at_s=1.0, from_plan=LOCAL, to_plan=plan, reason="asked for", prepare_s=0.1, switch_s=0.0, strategy="live"
    )


def why_not(command: cmd.PilotOutput, request: int) -> str:
    assert isinstance(command, cmd.Reject)
    assert command.request == request
    assert isinstance(command.error, SwitchError)
    return str(command.error)


def test_a_plan_that_serves_is_pinned_and_its_record_is_the_answer(override, out):
    override.pin(EARLY, FIRST)
    override.serves(LATE, record_to(LATE))
    assert out == []
    override.serves(EARLY, record_to(EARLY))
    assert out == [cmd.Settle(FIRST, record_to(EARLY))]
    assert override.policy == Fixed(EARLY)
    assert override.is_pinned
    override.serves(EARLY, record_to(EARLY))  # back after its node was away: nobody waits any more
    assert len(out) == 1


def test_a_plan_that_fails_gives_the_decision_back_to_who_had_it(override, out):
    override.pin(EARLY, FIRST)
    override.serves(EARLY, record_to(EARLY))
    override.pin(LATE, SECOND)
    override.fails(LATE, "no memory left")
    assert "no memory left" in why_not(out[-1], SECOND)
    assert override.policy == Fixed(EARLY)
    assert len(out) == 2


def test_the_policy_of_the_start_is_back_after_an_unpin_whatever_was_pinned(override):
    for request, plan in enumerate((EARLY, LATE)):
        override.pin(plan, request)
        override.serves(plan, record_to(plan))
    override.unpin()
    assert override.policy == Adaptive()
    assert not override.is_pinned


@pytest.mark.parametrize("end", ["fails", "superseded", "serves"])
def test_after_an_unpin_no_plan_is_pinned_again_by_how_an_earlier_request_ends(override, out, end):
    override.pin(EARLY, FIRST)
    override.serves(EARLY, record_to(EARLY))
    override.pin(LATE, SECOND)
    override.unpin()
    if end == "serves":
        override.serves(LATE, record_to(LATE))
    elif end == "fails":
        override.fails(LATE, "gone")
    else:
        override.superseded(LOCAL, "gone")
    assert override.policy == Adaptive()
    assert len(out) == 2


def test_of_two_who_ask_the_later_one_wins_and_a_failure_leads_back_behind_both(override, out):
    override.pin(EARLY, FIRST)
    override.pin(LATE, SECOND)
    assert "another switch was asked for" in why_not(out[-1], FIRST)
    override.fails(EARLY, "too late to matter")
    assert override.policy == Fixed(LATE)
    override.fails(LATE, "gone")
    assert "gone" in why_not(out[-1], SECOND)
    assert override.policy == Adaptive()


def test_a_decision_for_the_plan_that_was_asked_for_does_not_overrule_it(override, out):
    override.pin(EARLY, FIRST)
    override.superseded(EARLY, "it is possible again")
    assert out == []
    override.superseded(LOCAL, "`fog` is not there")
    assert "`fog` is not there" in why_not(out[-1], FIRST)
    assert override.policy == Adaptive()


def test_whoever_waits_when_the_stream_ends_is_told(override, out):
    override.end()
    override.pin(EARLY, FIRST)
    override.end()
    assert "the stream has ended" in why_not(out[-1], FIRST)
    assert len(out) == 1
