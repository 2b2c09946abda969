"""A stream's frames: accepted ones are answered once and in order, whatever the nodes do."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import replace

import pytest

from seamline.core.session import commands as cmd
from seamline.core.session import events as ev
from seamline.core.session import ledger as ledger_module
from seamline.core.session.events import LOCAL_GENERATION, Route
from seamline.core.session.ledger import (
    MAX_ATTEMPTS,
    MAX_DEADLINE_S,
    MAX_UNDELIVERED,
    MIN_DEADLINE_S,
    RETRY_DEADLINE_FACTOR,
    STUCK_RATIO,
    Ledger,
)
from seamline.core.session.stories import N_STORIES
from seamline.core.vocabulary.nodes import NodeId
from seamline.core.vocabulary.plans import Plan

EDGE, FOG, CLOUD = NodeId("edge"), NodeId("fog"), NodeId("cloud")
LOCAL = Plan.parse("edge[0:4]")
SPLIT = Plan.parse("edge[0:2]f16 > fog[2:4]")
OTHER = Plan.parse("edge[0:1]u8 > cloud[1:4]")


class Frames:
    """A ledger with a clock that stands still until a test moves it; keeps every command."""

    def __init__(self) -> None:
        self.ledger = Ledger(LOCAL)
        self.now_s = 100.0
        self.out: list[object] = []

    def handle(self, event: ev.FrameEvent) -> list[object]:
        found = list(self.ledger.handle(event, self.now_s))
        self.ledger.validate()
        self.out += found
        return found

    def offer(self, tensors: object = "pixels", *, is_live: bool = True) -> list[object]:
        return self.handle(ev.FrameOffered(tensors, is_live))

    def answer(self, frame: int, attempt: int = 0, generation: int = 1, node: NodeId | None = None) -> list[object]:
        """An answer; of the last node of that attempt unless `node` is given."""
        sender = node or self._last_node(frame, attempt)
        return self.handle(ev.AnswerArrived(frame, attempt, generation, sender, f"answer {frame}", ()))

    def _last_node(self, frame: int, attempt: int) -> NodeId:
        for run in self.of(cmd.RunFrame):
            if (run.frame, run.attempt) == (frame, attempt):
                return run.route.plan.stages[-1].node
        return FOG

    def fail(self, frame: int, attempt: int = 0, generation: int = 1, reason: str = "out of memory") -> list[object]:
        node = self._last_node(frame, attempt)
        return self.handle(ev.StageFailed(frame, attempt, generation, node, reason))

    def refuse(self, frame: int, attempt: int = 0, generation: int = 1, node: NodeId = FOG) -> list[object]:
        failure = ev.StageFailed(frame, attempt, generation, node, "index 20 is out of range", is_input=True)
        return self.handle(failure)

    def route(self, generation: int, plan: Plan, *, depth: int = 1, expected_s: float = 1.0) -> list[object]:
        """The route is swapped for one on which `depth` frames may be in flight."""
        route = Route(
            generation=generation,
            plan=plan,
            expected_s=expected_s,
            bottleneck_s=expected_s / depth if depth > 1 else None,
            wants_pace=depth > 1,
        )
        found = self.handle(ev.SetRoute(route, self.now_s))
        assert self.ledger.depth >= depth
        return found

    def of(self, kind: type) -> list:
        return [command for command in self.out if isinstance(command, kind)]

    @property
    def begun(self) -> list[tuple[int, int, int]]:
        """(frame, attempt, generation) of every attempt so far."""
        return [(run.frame, run.attempt, run.route.generation) for run in self.of(cmd.RunFrame)]

    @property
    def delivered(self) -> list[int]:
        return [command.frame for command in self.of(cmd.Deliver)]

    @property
    def drained(self) -> list[int]:
        return [command.generation for command in self.of(ev.Drained)]


@pytest.fixture
def frames() -> Frames:
    return Frames()


def table_rows(docstring: str) -> Iterator[str]:
    """First column of the table in a docstring."""
    lines = docstring.splitlines()
    first, *rest = (at for at, line in enumerate(lines) if re.fullmatch(r" +-+( +-+)+", line))
    assert not rest
    width = lines[first].index("  -", lines[first].index("-")) + 1
    for line in lines[first + 1 :]:
        if not line.startswith("    "):
            return
        if name := line[:width].strip():
            yield name


def test_the_table_lists_exactly_the_events_of_a_frame():
    rows = list(table_rows(ledger_module.__doc__ or ""))
    assert sorted(rows) == sorted(kind.__name__ for kind in ev.FRAME_EVENTS)


# -- order and number of answers ---------------------------------------------------------------------------------------


def test_answers_are_delivered_in_order_of_acceptance(frames):
    frames.route(1, SPLIT, depth=3)
    for _ in range(3):
        frames.offer()
    frames.answer(2)
    frames.answer(0)
    assert frames.delivered == [0]
    frames.answer(1)
    assert frames.delivered == [0, 1, 2]
    assert frames.ledger.counts.out_of_order == frames.ledger.counts.duplicated == 0
    assert frames.ledger.is_empty


def test_an_answer_says_how_long_the_frame_took_and_by_which_plan(frames):
    frames.route(1, SPLIT)
    frames.offer()
    frames.now_s += 0.25
    finished, deliver = frames.answer(0)
    assert (finished.plan, finished.generation, finished.latency_s, finished.n_attempts) == (SPLIT, 1, 0.25, 1)
    assert (finished.answer, finished.error) == ("answer 0", None)
    assert deliver == cmd.Deliver(0)


def test_a_second_answer_to_a_frame_is_counted_and_dropped(frames):
    frames.route(1, SPLIT)
    frames.offer()
    frames.answer(0)
    assert frames.answer(0) == []
    assert frames.delivered == [0]
    assert frames.ledger.counts.late_answers == 1


@pytest.mark.parametrize(
    ("frame", "attempt", "generation"), [(0, 0, 7), (0, 1, 1), (0, -1, 1), (1, 0, 1), (99, 0, 1), (-1, 0, 1)]
)
def test_an_answer_of_an_attempt_that_never_was_is_dropped_with_a_reason(frames, frame, attempt, generation):
    frames.route(1, SPLIT)
    frames.offer()
    (said,) = frames.answer(frame, attempt, generation)
    assert isinstance(said, cmd.Say)
    assert f"frame {frame} has no attempt {attempt} in generation {generation}" in said.words
    assert frames.ledger.n_in_flight(1) == 1
    assert frames.ledger.counts.late_answers == 0
    assert [number for number in range(-1, 100) if frames.ledger.story(number)] == [0]


# -- admission ---------------------------------------------------------------------------------------------------------


def test_the_newest_frame_wins_while_there_is_no_room(frames):
    frames.route(1, SPLIT)
    for number in range(4):
        frames.offer(number)
    assert frames.begun == [(0, 0, 1)]
    assert frames.ledger.counts.dropped_before_acceptance == 2
    frames.answer(0)
    assert frames.of(cmd.RunFrame)[-1].tensors == 3
    assert frames.ledger.counts.accepted == 2


def test_a_source_that_must_lose_nothing_is_told_whether_there_is_room(frames):
    frames.route(1, SPLIT)
    assert frames.ledger.has_room(frames.now_s)
    frames.offer()
    assert not frames.ledger.has_room(frames.now_s)
    frames.answer(0)
    assert frames.ledger.has_room(frames.now_s)


def test_a_pipeline_is_filled_by_frames_that_are_a_bottleneck_apart(frames):
    frames.handle(ev.SetRoute(Route(generation=1, plan=SPLIT, expected_s=0.08, bottleneck_s=0.048), frames.now_s))
    assert frames.ledger.depth == 1
    frames.offer(0, is_live=False)
    assert frames.ledger.room_in_s(frames.now_s) == pytest.approx(0.048)
    frames.now_s += 0.04
    assert not frames.ledger.has_room(frames.now_s)
    frames.now_s += 0.0081
    frames.offer(1, is_live=False)
    assert frames.begun == [(0, 0, 1), (1, 0, 1)]
    frames.now_s += 0.02
    assert frames.ledger.room_in_s(frames.now_s) == math.inf, "two fill it"
    frames.answer(0)
    assert frames.ledger.room_in_s(frames.now_s) == pytest.approx(0.028), "the one before has not left the bottleneck"
    frames.offer("of a camera")
    frames.now_s += 0.01
    frames.offer("the next")
    assert frames.ledger.room_in_s(frames.now_s) == math.inf, "of a live source the newest counts"


def test_a_frame_that_waits_when_the_source_ends_is_dropped_and_counted(frames):
    frames.route(1, SPLIT)
    frames.offer()
    frames.offer()
    assert frames.handle(ev.SourceEnded()) == []
    assert frames.ledger.counts.dropped_before_acceptance == 1
    frames.answer(0)
    assert frames.begun == [(0, 0, 1)]


def test_no_frame_is_accepted_while_nobody_takes_the_answers_and_one_more_for_each_that_is_taken(frames):
    for number in range(MAX_UNDELIVERED):
        frames.offer()
        frames.answer(number, generation=LOCAL_GENERATION)
    assert frames.offer() == []
    (run,) = frames.handle(ev.AnswerTaken())
    assert run.frame == MAX_UNDELIVERED


def test_no_frame_is_sent_after_one_that_is_stuck_until_another_plan_serves(frames):
    frames.route(1, SPLIT, depth=2, expected_s=0.2)
    frames.offer()
    frames.now_s += STUCK_RATIO * 4.0 * 0.2 + 0.01
    assert frames.offer() == []
    frames.route(2, OTHER, depth=2, expected_s=0.2)
    assert frames.begun == [(0, 0, 1), (1, 0, 2)]


def test_the_pace_of_a_live_source_is_known_from_its_frames_and_a_pause_is_none(frames):
    frames.offer(is_live=False)
    assert frames.ledger.period_s == 0.0
    for gap_s in (0.1,) * 20 + (30.0,) + (0.1,) * 5 + (-7.0,) + (0.1,) * 5:
        frames.offer()
        frames.now_s += gap_s
    assert frames.ledger.period_s == pytest.approx(0.1)


# -- routes ------------------------------------------------------------------------------------------------------------


def test_frames_accepted_before_the_first_route_run_on_the_origin(frames):
    (run,) = frames.offer()
    assert (run.route.plan, run.route.generation, run.is_urgent) == (LOCAL, LOCAL_GENERATION, False)


def test_a_swap_says_how_long_it_took_and_lets_the_waiting_frame_in(frames):
    frames.route(1, SPLIT)
    frames.offer()
    frames.offer()
    frames.handle(ev.PauseFrames(1))
    frames.answer(0)
    asked_s, frames.now_s = frames.now_s, frames.now_s + 0.002
    routed, run = frames.handle(ev.SetRoute(Route(generation=2, plan=OTHER), asked_s))
    assert routed.generation == 2
    assert routed.switch_s == pytest.approx(0.002)
    assert (run.frame, run.route.plan) == (1, OTHER)


def test_frames_in_flight_finish_under_their_own_generation_and_the_last_one_drains_it(frames):
    frames.route(1, SPLIT, depth=4)
    frames.offer()
    frames.offer()
    frames.route(2, OTHER, depth=4)
    frames.offer()
    assert frames.begun == [(0, 0, 1), (1, 0, 1), (2, 0, 2)]
    frames.answer(0)
    assert frames.drained == []
    frames.answer(1)
    assert frames.drained == [1]


def test_a_generation_without_frames_is_drained_as_soon_as_it_is_asked_for(frames):
    frames.route(1, SPLIT)
    frames.route(2, OTHER)
    assert frames.handle(ev.DrainWanted(1)) == [ev.Drained(1)]
    assert frames.handle(ev.DrainWanted(LOCAL_GENERATION)) == []  # it is never released


def test_nothing_is_accepted_in_a_pause_and_the_last_answer_drains_the_generation(frames):
    frames.route(1, SPLIT)
    frames.offer()
    assert frames.handle(ev.PauseFrames(1)) == []
    assert frames.offer() == []
    assert frames.answer(0)[-1] == ev.Drained(1)
    assert not frames.ledger.has_room(frames.now_s)
    (run,) = frames.handle(ev.ResumeFrames())
    assert (run.frame, run.route.generation) == (1, 1)


def test_a_pause_with_nothing_in_flight_is_drained_at_once(frames):
    frames.route(1, SPLIT)
    assert frames.handle(ev.PauseFrames(1)) == [ev.Drained(1)]


def test_fresh_expectations_count_for_the_plan_in_use_alone(frames):
    frames.route(1, SPLIT)
    frames.offer()
    frames.offer()
    deep = {"expected_s": 1.0, "bottleneck_s": 0.1, "wants_pace": True}
    assert frames.handle(ev.AdjustRoute(Route(generation=2, plan=OTHER, **deep))) == []
    (run,) = frames.handle(ev.AdjustRoute(Route(generation=1, plan=SPLIT, **deep)))
    assert run.frame == 1


# -- again -------------------------------------------------------------------------------------------------------------


def test_a_frame_whose_node_died_is_run_again_on_the_origin(frames):
    frames.route(1, SPLIT)
    frames.offer()
    assert frames.handle(ev.PeerChanged(FOG, False)) == []
    assert frames.ledger.overdue(frames.now_s) == [0]
    assert frames.ledger.due_s == -math.inf
    (run,) = frames.handle(ev.RetryOverdue())
    assert (run.route.plan, run.route.generation, run.attempt, run.is_urgent) == (LOCAL, LOCAL_GENERATION, 1, True)
    assert frames.ledger.overdue(frames.now_s) == []


def test_a_frame_whose_node_died_is_run_again_on_the_new_route_when_that_avoids_it(frames):
    frames.route(1, SPLIT, depth=2)
    frames.offer()
    frames.handle(ev.PeerChanged(FOG, False))
    frames.route(2, OTHER, depth=2)
    (run, drained) = frames.handle(ev.RetryOverdue())
    assert (run.frame, run.route.plan) == (0, OTHER)
    assert drained == ev.Drained(1)


def test_a_node_that_is_seen_again_strands_no_frame(frames):
    frames.route(1, SPLIT)
    frames.offer()
    frames.handle(ev.PeerChanged(FOG, False))
    frames.handle(ev.PeerChanged(FOG, True))
    assert frames.ledger.overdue(frames.now_s) == []


def test_a_frame_waits_while_a_node_of_the_route_is_gone_and_follows_the_next_route(frames):
    frames.route(1, SPLIT)
    frames.handle(ev.PeerChanged(FOG, False))
    assert frames.offer() == []
    assert not frames.ledger.has_room(frames.now_s)
    assert frames.ledger.due_s == -math.inf
    frames.route(2, OTHER)
    assert frames.begun == [(0, 0, 2)]


def test_a_frame_that_waits_runs_on_the_origin_when_no_route_comes_in_time(frames):
    frames.route(1, SPLIT, depth=3)
    frames.handle(ev.PeerChanged(FOG, False))
    frames.offer()
    (run,) = frames.handle(ev.RetryOverdue())
    assert (run.frame, run.attempt, run.route.plan) == (0, 0, LOCAL)
    assert frames.ledger.due_s == math.inf
    assert frames.offer() == []  # one at a time there
    frames.answer(0, generation=LOCAL_GENERATION)
    assert frames.begun == [(0, 0, 0), (1, 0, 0)]


def test_frames_to_a_silent_node_run_on_the_origin_beside_waiting_and_whoever_answers_first_counts(frames):
    frames.route(1, SPLIT, depth=2)
    frames.offer()
    assert frames.handle(ev.SilenceChanged(FOG, True)) == []
    assert frames.ledger.due_s == -math.inf
    (run,) = frames.handle(ev.RetryOverdue())
    assert (run.frame, run.attempt, run.route.plan) == (0, 1, LOCAL)
    frames.answer(0, attempt=0)
    assert frames.ledger.is_empty
    frames.handle(ev.AttemptDropped(0, 1))
    (run,) = frames.offer()  # while it is silent
    assert run.route.plan == LOCAL
    assert not any(isinstance(one, ev.DeadlineMissed) for one in frames.out)


def test_a_node_that_is_heard_again_gets_the_next_frame_at_once(frames):
    frames.route(1, SPLIT)
    frames.handle(ev.SilenceChanged(FOG, True))
    frames.offer()
    (run,) = frames.handle(ev.SilenceChanged(FOG, False))
    assert run.route.plan == SPLIT


def test_a_silent_node_that_is_lost_and_seen_again_is_still_silent_until_it_is_heard(frames):
    frames.route(1, SPLIT)
    for event in (ev.SilenceChanged(FOG, True), ev.PeerChanged(FOG, False), ev.PeerChanged(FOG, True)):
        frames.handle(event)
    assert frames.offer() == []
    (run,) = frames.handle(ev.SilenceChanged(FOG, False))
    assert run.route.plan == SPLIT


def test_a_frame_that_waits_follows_the_route_again_when_its_node_is_back(frames):
    frames.route(1, SPLIT)
    frames.handle(ev.PeerChanged(FOG, False))
    frames.offer()
    (run,) = frames.handle(ev.PeerChanged(FOG, True))
    assert run.route.plan == SPLIT
    assert frames.ledger.due_s == frames.now_s + 4.0


def test_a_frame_past_its_deadline_runs_again_and_gets_more_time(frames):
    frames.route(1, SPLIT, expected_s=0.05)
    frames.offer()
    assert frames.ledger.due_s == frames.now_s + MIN_DEADLINE_S
    frames.now_s += MIN_DEADLINE_S
    frames.route(2, OTHER, expected_s=0.05)
    (run, *_) = frames.handle(ev.RetryOverdue())
    assert run.route.plan == OTHER
    assert frames.ledger.due_s == frames.now_s + RETRY_DEADLINE_FACTOR * MIN_DEADLINE_S


@pytest.mark.parametrize(("expected_s", "took_s", "excess_s"), [(0.05, 0.3, 0.25), (0.3, 0.1, -0.2)])
def test_a_finished_frame_says_what_it_took_beyond_what_was_expected_of_its_first_route(
    frames, expected_s: float, took_s: float, excess_s: float
):
    frames.route(1, SPLIT, expected_s=expected_s)
    frames.offer()
    frames.now_s += took_s
    finished = next(one for one in frames.answer(0, generation=1) if isinstance(one, ev.FrameFinished))
    assert finished.excess_s == pytest.approx(excess_s)


def test_a_frame_that_never_left_the_origin_has_no_excess(frames):
    frames.offer()
    finished = next(one for one in frames.answer(0, generation=LOCAL_GENERATION) if isinstance(one, ev.FrameFinished))
    assert finished.excess_s is None


def test_a_frame_on_the_origin_alone_is_never_overdue(frames):
    frames.offer()
    frames.now_s += 1e6
    assert frames.ledger.due_s == math.inf
    assert frames.handle(ev.RetryOverdue()) == []


def test_without_deadlines_no_frame_is_overdue_and_one_of_a_lost_node_still_is():
    ledger = Ledger(LOCAL, has_deadlines=False)
    ledger.handle(ev.SetRoute(Route(generation=1, plan=SPLIT), 0.0), 0.0)
    ledger.handle(ev.FrameOffered("pixels"), 0.0)
    assert ledger.overdue(1e9) == []
    ledger.handle(ev.PeerChanged(FOG, False), 1.0)
    assert ledger.overdue(1.0) == [0]


def test_the_first_answer_wins_even_when_the_frame_was_run_again(frames):
    frames.route(1, SPLIT)
    frames.offer()
    frames.handle(ev.PeerChanged(FOG, False))
    frames.handle(ev.RetryOverdue())
    (finished, *_) = frames.answer(0)
    assert (finished.plan, finished.n_attempts) == (SPLIT, 2)
    assert frames.answer(0, attempt=1, generation=LOCAL_GENERATION) == []
    assert frames.ledger.counts.answered == 1


@pytest.mark.parametrize("ending", ["answered", "not wanted", "failed"])
def test_no_frame_is_accepted_while_one_that_was_late_runs_again_on_the_origin(frames, ending):
    frames.route(1, SPLIT, depth=2, expected_s=0.1)
    frames.offer()
    frames.now_s += 1.0
    frames.handle(ev.RetryOverdue())
    frames.offer()
    frames.answer(0)  # the first try was only late; the second one still has the processor
    assert len(frames.begun) == 2
    assert not frames.ledger.has_room(frames.now_s)
    if ending == "answered":
        frames.answer(0, attempt=1, generation=LOCAL_GENERATION)
    elif ending == "not wanted":
        assert not frames.ledger.is_wanted(0)
        frames.handle(ev.AttemptDropped(0, 1))
    else:
        frames.fail(0, attempt=1, generation=LOCAL_GENERATION)
    assert [frame for frame, _, _ in frames.begun] == [0, 0, 1]
    assert frames.ledger.has_room(frames.now_s)


def test_a_retry_on_the_origin_that_fails_is_followed_by_the_next_and_holds_frames_back_still(frames):
    frames.route(1, SPLIT, depth=2, expected_s=0.1)
    frames.offer()
    frames.now_s += 1.0
    frames.handle(ev.RetryOverdue())
    frames.fail(0, attempt=1, generation=LOCAL_GENERATION)
    assert frames.ledger.is_wanted(0)
    frames.offer()
    assert len(frames.begun) == 3
    frames.answer(0, attempt=2, generation=LOCAL_GENERATION)
    assert len(frames.begun) == 4


def test_a_refusal_of_an_earlier_attempt_is_no_news(frames):
    frames.route(1, SPLIT)
    frames.offer()
    (again,) = frames.fail(0)
    assert again.attempt == 1
    assert frames.fail(0) == []


def test_a_frame_that_cannot_be_run_anywhere_is_answered_with_the_error(frames):
    frames.route(1, SPLIT)
    frames.offer()
    for attempt in range(MAX_ATTEMPTS):
        frames.fail(0, attempt, generation=1 if attempt == 0 else LOCAL_GENERATION)
    (finished,) = frames.of(ev.FrameFinished)
    assert "out of memory" in finished.error
    assert (finished.answer, finished.n_attempts) == (None, MAX_ATTEMPTS)
    assert frames.delivered == [0]
    assert frames.ledger.counts.lost == 0


# -- an attempt that nobody needs ------------------------------------------------------------------------------------


def test_nodes_with_another_attempt_of_an_answered_frame_are_told(frames):
    frames.route(1, SPLIT)
    frames.offer()
    frames.now_s += 100.0
    frames.handle(ev.RetryOverdue())  # the fog may have it yet, and computes it on the origin meanwhile
    found = frames.answer(0, attempt=1, generation=LOCAL_GENERATION)
    assert cmd.CancelFrame(0, frozenset(SPLIT.nodes) - {EDGE}) in found


def test_nobody_is_told_of_an_attempt_that_failed_or_was_the_only_one(frames):
    frames.route(1, SPLIT)
    frames.offer()
    assert frames.answer(0)
    assert not frames.of(cmd.CancelFrame)
    frames.offer()
    frames.fail(1)
    frames.answer(1, attempt=1, generation=LOCAL_GENERATION)
    assert not frames.of(cmd.CancelFrame)


# -- a frame that a segment refuses ------------------------------------------------------------------------------------


def test_a_frame_that_the_origin_refuses_too_is_at_fault_itself(frames):
    frames.route(1, SPLIT)
    frames.offer()
    (run,) = frames.refuse(0)
    assert run.route.generation == LOCAL_GENERATION
    finished, delivered = frames.refuse(0, attempt=1, generation=LOCAL_GENERATION, node=EDGE)
    assert finished.error == "the model cannot compute this frame: index 20 is out of range"
    assert finished.refused is None
    assert delivered == cmd.Deliver(0)
    assert frames.ledger.has_room(frames.now_s)


def test_a_frame_that_the_origin_computes_blames_the_node_that_refused_it(frames):
    frames.route(1, SPLIT)
    frames.offer()
    frames.refuse(0)
    finished, _ = frames.answer(0, attempt=1, generation=LOCAL_GENERATION)
    assert (finished.error, finished.n_attempts) == (None, 2)
    assert (finished.refused.node, finished.refused.generation) == (FOG, 1)


def test_a_frame_that_the_origin_alone_refuses_ends_at_once(frames):
    frames.offer()
    finished, _ = frames.refuse(0, generation=LOCAL_GENERATION, node=EDGE)
    assert finished.n_attempts == 1
    assert "cannot compute" in finished.error


def test_a_refused_frame_runs_on_the_origin_even_when_the_route_has_changed(frames):
    frames.route(1, SPLIT)
    frames.offer()
    frames.route(2, OTHER)
    assert frames.refuse(0)[0].route.generation == LOCAL_GENERATION


def test_a_refusal_of_an_attempt_that_is_over_ends_no_frame(frames):
    frames.route(1, SPLIT)
    frames.offer()
    frames.handle(ev.PeerChanged(FOG, False))
    frames.handle(ev.RetryOverdue())
    assert frames.refuse(0) == []
    finished, _ = frames.answer(0, attempt=1, generation=LOCAL_GENERATION)
    assert finished.refused is None


def test_how_long_the_origin_takes_is_the_deadline_of_its_retries(frames):
    frames.handle(ev.SetLocalExpected(3.0))
    assert frames.ledger.local.expected_s == 3.0


# -- stories -----------------------------------------------------------------------------------------------------------


def test_the_story_of_a_frame_tells_every_attempt_and_its_end(frames):
    frames.route(1, SPLIT)
    frames.offer()
    frames.now_s += 1.0
    frames.fail(0)
    frames.answer(0, attempt=1, generation=LOCAL_GENERATION)
    frames.answer(0)
    words = [step.words for step in frames.ledger.story(0)]
    assert words == [
        f"attempt 0 begins by 1:`{SPLIT}`",
        "attempt 0 failed on fog: out of memory",
        f"attempt 1 begins by 0:`{LOCAL}`",
        "answered by 0",
        "attempt 0 answered late",
    ]
    assert [step.at_s for step in frames.ledger.story(0)] == [100.0, 101.0, 101.0, 101.0, 101.0]


def test_stories_of_old_frames_are_forgotten(frames):
    for number in range(N_STORIES + 1):
        frames.offer()
        frames.answer(number, generation=LOCAL_GENERATION)
        frames.handle(ev.AnswerTaken())
    assert frames.ledger.story(0) == ()
    assert frames.ledger.story(N_STORIES) != ()


# -- strangers and mistaken nodes -----------------------------------------------------------------------------------

CLOUD, EDGE = NodeId("cloud"), NodeId("edge")


@pytest.mark.parametrize(
    "strange",
    [
        {"node": NodeId("mallory")},
        {"node": CLOUD},  # of this cluster, and not in this plan
        {"node": EDGE},  # in the plan, and not its last
        {"attempt": 1, "node": FOG},
        {"attempt": -1, "node": FOG},
        {"generation": 2, "node": FOG},
        {"frame": 1, "node": FOG},
        {"frame": -1, "node": FOG},
    ],
)
def test_an_answer_of_no_last_stage_is_dropped_counted_and_said_once(frames, strange):
    frames.route(1, SPLIT)
    frames.offer()
    said = [frames.answer(**{"frame": 0, **strange}) for _ in range(100)]
    assert [len(out) for out in said] == [1] + [0] * 99
    assert "was dropped" in said[0][0].words
    assert frames.ledger.counts.strange_answers == 100
    assert frames.ledger.counts.answered == 0
    frames.answer(0)
    assert frames.ledger.counts.answered == 1


@pytest.mark.parametrize("strange", [{"node": CLOUD}, {"generation": 7}, {"attempt": 2}, {"node": NodeId("mallory")}])
@pytest.mark.parametrize("is_input", [False, True])
def test_a_failure_of_no_stage_makes_no_frame_run_again(frames, strange, is_input):
    frames.route(1, SPLIT)
    frames.offer()
    said = {"attempt": 0, "generation": 1, "node": FOG, **strange}
    for _ in range(10):
        frames.handle(ev.StageFailed(0, said["attempt"], said["generation"], said["node"], "boo", is_input=is_input))
    counts = frames.ledger.counts
    assert (counts.retried, counts.answered, counts.strange_answers) == (0, 0, 10)


def test_another_node_cannot_end_a_retry_that_runs_on_the_origin(frames):
    frames.route(1, SPLIT)
    frames.offer()
    frames.fail(0)
    frames.answer(0, attempt=0, node=FOG)  # it had computed it after all; the retry still runs here
    frames.offer("second")
    assert len(frames.of(cmd.RunFrame)) == 2
    frames.answer(0, attempt=1, generation=LOCAL_GENERATION, node=FOG)
    assert len(frames.of(cmd.RunFrame)) == 2
    frames.answer(0, attempt=1, generation=LOCAL_GENERATION, node=EDGE)
    assert len(frames.of(cmd.RunFrame)) == 3


def test_a_frame_accepted_while_something_absurd_was_believed_is_overdue_by_what_is_believed_since():
    """Found by the storm: a lie about a link made a deadline of 25 minutes, and the frame was lost on the way."""
    ledger = Ledger(Plan.parse("edge[0:2]"))
    absurd = Route(generation=1, plan=Plan.parse("edge[0:1]raw > fog[1:2]"), expected_s=380.0, bottleneck_s=1.0)
    ledger.handle(ev.SetRoute(absurd, 0.0), 0.0)
    ledger.handle(ev.FrameOffered("frame"), 0.0)
    assert ledger.due_s == MAX_DEADLINE_S
    ledger.handle(ev.AdjustRoute(replace(absurd, expected_s=0.2)), 1.0)
    assert ledger.due_s == 4.0 * 0.2
    ledger.handle(ev.AdjustRoute(absurd), 1.0)
    assert ledger.due_s == 4.0 * 0.2
    (again,) = [one for one in ledger.handle(ev.RetryOverdue(), 1.0) if isinstance(one, cmd.RunFrame)]
    assert again.route.plan.is_local


def test_a_frame_of_the_route_before_is_given_as_long_as_a_retry():
    ledger = Ledger(Plan.parse("edge[0:2]"))
    absurd = Route(generation=1, plan=Plan.parse("edge[0:1]raw > fog[1:2]"), expected_s=380.0, bottleneck_s=1.0)
    ledger.handle(ev.SetRoute(absurd, 0.0), 0.0)
    ledger.handle(ev.FrameOffered("frame"), 0.0)
    ledger.handle(ev.SetRoute(Route(generation=2, plan=Plan.parse("edge[0:2]"), expected_s=0.01), 1.0), 1.0)
    assert ledger.due_s == 1.0 + RETRY_DEADLINE_FACTOR * MIN_DEADLINE_S
