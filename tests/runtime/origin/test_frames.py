"""A stream's frames: accepted ones are answered once and in order, whatever the nodes do."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from seamline.core.vocabulary.nodes import NodeId
from seamline.core.vocabulary.plans import Plan
from seamline.fabric import messages as msg
from seamline.runtime.origin.frames import (
    LOCAL_GENERATION,
    MAX_ATTEMPTS,
    STUCK_RATIO,
    Route,
    StreamFrames,
    deadline_s,
)
from seamline.runtime.origin.results import Result
from seamline.runtime.shared.energy import EnergyAccount

LOCAL = Plan.parse("edge[0:4]")
SPLIT = Plan.parse("edge[0:2]f16 > fog[2:4]")
OTHER = Plan.parse("edge[0:1]u8 > cloud[1:4]")


class RecordingNode:
    """Takes frames and keeps their headers: what a node would do with them is up to the test."""

    def __init__(self) -> None:
        self.begun: list[tuple[msg.FrameData, Plan, bool]] = []
        self.claims: list[Callable[[], bool]] = []
        self.energy = EnergyAccount()

    @property
    def frames(self) -> RecordingNode:
        return self

    def begin(self, header, plan, tensors, *, urgent=False, claim) -> None:
        self.begun.append((header, plan, urgent))
        self.claims.append(claim)


@pytest.fixture
def node() -> RecordingNode:
    return RecordingNode()


@pytest.fixture
def drained() -> list[int]:
    return []


@pytest.fixture
def given_up() -> list[Result]:
    return []


@pytest.fixture
def frames(node, drained, given_up) -> StreamFrames:
    return StreamFrames(node, "s", "m" * 64, LOCAL, drained=drained.append, gave_up=given_up.append)


def frame() -> dict[str, np.ndarray]:
    return {"frame": np.zeros((2, 2, 3), np.uint8)}


def answer(frames: StreamFrames, number: int, *, attempt: int = 0, generation: int = 1):
    result = msg.ResultData(
        stream="s", frame=number, attempt=attempt, generation=generation, outputs=("y",), reports=()
    )
    return frames.answer(result, {"y": np.full(1, number)})


def delivered(frames: StreamFrames) -> list[int]:
    numbers = []
    while not frames.results.empty():
        numbers.append(frames.results.get().frame)
    return numbers


def test_answers_are_delivered_in_order_of_acceptance(frames):
    frames.set_route(Route(generation=1, plan=SPLIT, n_window=3))
    for _ in range(3):
        frames.offer(frame())
    answer(frames, 2)
    answer(frames, 0)
    assert delivered(frames) == [0]
    answer(frames, 1)
    assert delivered(frames) == [1, 2]
    assert frames.counts().out_of_order == frames.counts().duplicated == 0


def test_the_newest_frame_wins_while_there_is_no_room(frames, node):
    frames.set_route(Route(generation=1, plan=SPLIT, n_window=1))
    for number in range(4):
        frames.offer({"frame": np.full((1, 1, 3), number, np.uint8)})
    assert len(node.begun) == 1
    assert frames.counts().dropped_before_acceptance == 2
    answer(frames, 0)
    assert len(node.begun) == 2
    assert frames.counts().accepted == 2


def test_no_frame_is_sent_after_one_that_is_stuck_until_another_plan_serves(frames, node, monkeypatch):
    route = Route(generation=1, plan=SPLIT, n_window=2, expected_s=0.2)
    clock_s = [100.0]
    monkeypatch.setattr("seamline.runtime.origin.frames.now_s", lambda: clock_s[0])
    frames.set_route(route)
    frames.offer(frame())
    clock_s[0] += STUCK_RATIO * deadline_s(route) + 0.01
    frames.offer(frame())
    assert len(node.begun) == 1
    frames.set_route(Route(generation=2, plan=OTHER, n_window=2, expected_s=0.2))
    assert [header.generation for header, _, _ in node.begun] == [1, 2]


def test_the_pace_of_a_live_source_is_known_from_its_frames_and_a_pause_is_none(frames, monkeypatch):
    clock_s = [100.0]
    monkeypatch.setattr("seamline.runtime.origin.frames.now_s", lambda: clock_s[0])
    frames.put(frame())
    assert frames.period_s == 0.0
    for gap_s in (0.1,) * 20 + (30.0,) + (0.1,) * 5:
        frames.offer(frame())
        clock_s[0] += gap_s
    assert frames.period_s == pytest.approx(0.1)


def test_a_second_answer_to_a_frame_is_counted_and_dropped(frames):
    frames.set_route(Route(generation=1, plan=SPLIT, n_window=1))
    frames.offer(frame())
    assert answer(frames, 0) is not None
    assert answer(frames, 0) is None
    assert delivered(frames) == [0]
    assert frames.counts().late_answers == 1


def test_frames_in_flight_finish_under_their_own_generation_and_the_last_one_drains_it(frames, node, drained):
    frames.set_route(Route(generation=1, plan=SPLIT, n_window=4))
    frames.offer(frame())
    frames.offer(frame())
    frames.set_route(Route(generation=2, plan=OTHER, n_window=4))
    frames.offer(frame())
    assert [header.generation for header, _, _ in node.begun] == [1, 1, 2]
    answer(frames, 0)
    assert drained == []
    answer(frames, 1)
    assert drained == [1]


def test_a_frame_whose_node_died_is_run_again_on_the_origin(frames, node):
    frames.set_route(Route(generation=1, plan=SPLIT, n_window=2))
    frames.offer(frame())
    frames.peer(NodeId("fog"), False)
    assert frames.stranded() == [0]
    frames.retry(0)
    header, plan, urgent = node.begun[-1]
    assert (plan, header.generation, header.attempt, urgent) == (LOCAL, LOCAL_GENERATION, 1, True)
    assert frames.stranded() == []


def test_a_frame_whose_node_died_is_run_again_on_the_new_route_when_that_avoids_it(frames, node):
    frames.set_route(Route(generation=1, plan=SPLIT, n_window=2))
    frames.offer(frame())
    frames.peer(NodeId("fog"), False)
    frames.set_route(Route(generation=2, plan=OTHER, n_window=2))
    frames.retry(0)
    assert node.begun[-1][1] == OTHER


def test_the_first_answer_wins_even_when_the_frame_was_run_again(frames):
    frames.set_route(Route(generation=1, plan=SPLIT, n_window=2))
    frames.offer(frame())
    frames.peer(NodeId("fog"), False)
    frames.retry(0)
    late = answer(frames, 0, attempt=0)
    assert late is not None
    assert late.plan == SPLIT
    assert answer(frames, 0, attempt=1, generation=LOCAL_GENERATION) is None
    assert frames.counts().answered == 1


@pytest.mark.parametrize("ending", ["answered", "unclaimed", "failed"])
def test_no_frame_is_accepted_while_one_that_was_late_runs_again_at_home(frames, node, ending):
    frames.set_route(Route(generation=1, plan=SPLIT, n_window=2))
    frames.offer(frame())
    frames.retry(0)
    frames.offer(frame())
    answer(frames, 0)  # the first way was only late; the second one still has the processor
    assert len(node.begun) == 2
    assert not frames.put(frame(), timeout_s=0.0)
    if ending == "answered":
        answer(frames, 0, attempt=1, generation=LOCAL_GENERATION)
    elif ending == "unclaimed":
        assert not node.claims[1]()
    else:
        frames.retry(0, attempt=1, reason="out of memory")
    assert [header.frame for header, _, _ in node.begun] == [0, 0, 1]
    assert frames.put(frame(), timeout_s=0.0)


def test_a_second_way_at_home_that_fails_is_followed_by_the_next_and_holds_frames_back_still(frames, node):
    frames.set_route(Route(generation=1, plan=SPLIT, n_window=2))
    frames.offer(frame())
    frames.retry(0)
    frames.retry(0, attempt=1)
    assert node.claims[2]()
    frames.offer(frame())
    assert len(node.begun) == 3
    answer(frames, 0, attempt=2, generation=LOCAL_GENERATION)
    assert len(node.begun) == 4


def test_a_refusal_of_an_earlier_try_is_old_news(frames, node):
    frames.set_route(Route(generation=1, plan=SPLIT, n_window=1))
    frames.offer(frame())
    frames.retry(0, attempt=0)
    n_begun = len(node.begun)
    frames.retry(0, attempt=0)
    assert len(node.begun) == n_begun


def test_a_frame_that_cannot_be_run_anywhere_is_answered_with_the_error(frames, given_up):
    frames.set_route(Route(generation=1, plan=SPLIT, n_window=1))
    frames.offer(frame())
    for attempt in range(MAX_ATTEMPTS):
        frames.retry(0, attempt=attempt, reason="out of memory")
    result = frames.results.get_nowait()
    assert result.error is not None
    assert "out of memory" in result.error
    assert given_up == [result]
    assert frames.counts().lost == 0


def test_put_waits_for_room_and_says_when_there_is_none(frames):
    frames.set_route(Route(generation=1, plan=SPLIT, n_window=1))
    assert frames.put(frame(), timeout_s=0.0)
    assert not frames.put(frame(), timeout_s=0.0)
    answer(frames, 0)
    assert frames.put(frame(), timeout_s=0.0)
