"""Plans given by hand: held until they fail or are given back, and whoever asked gets exactly one answer."""

from __future__ import annotations

from concurrent.futures import Future

import pytest

from seamline.core.adaptation.policy import Adaptive, Fixed
from seamline.core.vocabulary.errors import SwitchError
from seamline.core.vocabulary.plans import Plan
from seamline.runtime.origin.manual_override import ByHand
from seamline.runtime.origin.record import SwitchRecord

EARLY, LATE, LOCAL = (Plan.parse(text) for text in ("edge[0:2]u8 > fog[2:9]", "edge[0:5]u8 > fog[5:9]", "edge[0:9]"))


@pytest.fixture
def by_hand() -> ByHand:
    return ByHand(Adaptive())


def record_to(plan: Plan) -> SwitchRecord:
    return SwitchRecord(at_s=1.0, from_plan=LOCAL, to_plan=plan, reason="asked for", prepare_s=0.1, switch_s=0.0)


def asked(by_hand: ByHand, plan: Plan) -> Future[SwitchRecord]:
    answer: Future[SwitchRecord] = Future()
    by_hand.hold(plan, answer)
    return answer


def why_not(answer: Future[SwitchRecord]) -> str:
    error = answer.exception(timeout=0)
    assert isinstance(error, SwitchError)
    return str(error)


def test_a_plan_that_serves_is_held_and_its_record_is_the_answer(by_hand):
    answer = asked(by_hand, EARLY)
    by_hand.serves(LATE, record_to(LATE))
    assert not answer.done()
    by_hand.serves(EARLY, record_to(EARLY))
    assert answer.result(timeout=0) == record_to(EARLY)
    assert by_hand.policy == Fixed(EARLY)
    assert by_hand.is_held
    by_hand.serves(EARLY, record_to(EARLY))  # back after its node was away: nobody waits any more


def test_a_plan_that_fails_gives_the_decision_back_to_who_had_it(by_hand):
    first = asked(by_hand, EARLY)
    by_hand.serves(EARLY, record_to(EARLY))
    second = asked(by_hand, LATE)
    by_hand.fails(LATE, "no memory left")
    assert "no memory left" in why_not(second)
    assert by_hand.policy == Fixed(EARLY)
    assert first.exception(timeout=0) is None


def test_the_policy_of_the_start_is_back_after_a_release_whatever_was_held(by_hand):
    for plan in (EARLY, LATE):
        asked(by_hand, plan)
        by_hand.serves(plan, record_to(plan))
    by_hand.release()
    assert by_hand.policy == Adaptive()
    assert not by_hand.is_held


def test_of_two_who_ask_the_later_one_wins_and_a_failure_leads_back_behind_both(by_hand):
    first, second = asked(by_hand, EARLY), asked(by_hand, LATE)
    assert "another switch was asked for" in why_not(first)
    by_hand.fails(EARLY, "too late to matter")
    assert by_hand.policy == Fixed(LATE)
    by_hand.fails(LATE, "gone")
    assert "gone" in why_not(second)
    assert by_hand.policy == Adaptive()


def test_a_decision_for_the_plan_that_was_asked_for_does_not_overrule_it(by_hand):
    answer = asked(by_hand, EARLY)
    by_hand.overruled(EARLY, "it is possible again")
    assert not answer.done()
    by_hand.overruled(LOCAL, "`fog` is not there")
    assert "`fog` is not there" in why_not(answer)
    assert by_hand.policy == Adaptive()


def test_whoever_waits_when_the_stream_ends_is_told(by_hand):
    by_hand.end()
    answer = asked(by_hand, EARLY)
    by_hand.end()
    assert "the stream has ended" in why_not(answer)
