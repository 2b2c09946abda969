"""Claims about a node's compute queue: earliest deadline first, and who waits for whom."""

from __future__ import annotations

import random

import pytest

from seamline.core.hosting.compute_queue import MOST_KEYS, ComputeQueue

TAIL = ("m", 3, 9)


def emptied(queue: ComputeQueue[str], now_s: float) -> list[list[str]]:
    found = []
    while batch := queue.take(now_s):
        found.append(batch)
    return found


def test_earliest_deadline_is_first_and_urgent_ones_before_all():
    queue: ComputeQueue[str] = ComputeQueue()
    queue.put("late", 0.0, left_s=0.9)
    queue.put("usual", 0.0)
    queue.put("soon", 0.1, left_s=0.1)
    queue.put("urgent", 0.2, urgent=True, left_s=9.0)
    assert emptied(queue, 1.0) == [["urgent"], ["soon"], ["usual"], ["late"]]


def test_of_one_deadline_who_came_first_is_first():
    queue: ComputeQueue[str] = ComputeQueue()
    for name in "abc":
        queue.put(name, 0.0)
    assert emptied(queue, 0.0) == [["a"], ["b"], ["c"]]


def test_frames_of_one_stream_stay_in_order():
    queue: ComputeQueue[str] = ComputeQueue()
    queue.put("a1", 0.0, left_s=2.0, stream="a")
    queue.put("b", 0.1, left_s=1.0, stream="b")
    queue.put("a2", 0.2, left_s=0.1, stream="a")  # its origin expects less by now
    assert emptied(queue, 1.0) == [["b"], ["a1"], ["a2"]]
    queue.put("a3", 1.1, left_s=0.1, stream="a")
    queue.put("b2", 1.1, left_s=0.2, stream="b")
    assert emptied(queue, 1.2) == [["a3"], ["b2"]]


def test_priority_shortens_the_wait_and_starves_nobody():
    queue: ComputeQueue[str] = ComputeQueue()
    queue.put("low", 0.0, left_s=0.4, priority=-1)
    for number in range(100):
        queue.put(f"high-{number}", 0.01 * number, left_s=0.4, priority=3)
    order = [batch[0] for batch in emptied(queue, 1.0)]
    assert 70 < order.index("low") < 80  # its turn comes when those that came 0.75 s later want theirs


def test_what_waits_anyway_and_has_the_same_key_runs_as_one():
    queue: ComputeQueue[str] = ComputeQueue(batch_wait_s=0.002, most=3)
    for number in range(4):
        queue.put(f"a{number}", 0.0, stream=f"s{number}", key=TAIL)
    queue.put("b", 0.0, key=("m", 0, 3))
    queue.put("c", 0.0)
    assert emptied(queue, 0.0) == [["a0", "a1", "a2"], ["a3"], ["b"], ["c"]]


def test_frame_waits_for_those_of_other_streams_but_not_for_long():
    queue: ComputeQueue[str] = ComputeQueue(batch_wait_s=0.002, most=8)
    queue.put("a", 0.0, stream="a", key=TAIL)
    assert queue.take(0.0) == ["a"]  # nobody else brings such frames
    queue.put("b", 0.1, stream="b", key=TAIL)
    assert queue.take(0.1) == []
    assert queue.due_s(0.1) == pytest.approx(0.102)
    queue.put("a2", 0.101, stream="a", key=TAIL)
    assert queue.take(0.101) == ["b", "a2"]  # all who bring them are here
    queue.put("b2", 0.2, stream="b", key=TAIL)
    assert queue.take(0.2021) == ["b2"]


def test_nothing_waits_while_something_else_could_run():
    queue: ComputeQueue[str] = ComputeQueue(batch_wait_s=0.002, most=8)
    queue.put("old", 0.0, stream="a", key=TAIL)
    assert queue.take(0.0) == ["old"]
    queue.put("b", 0.1, stream="b", key=TAIL)
    queue.put("other", 0.1)
    assert queue.take(0.1) == ["b"]


def test_deadline_bounds_the_wait():
    queue: ComputeQueue[str] = ComputeQueue(batch_wait_s=0.5, most=8)
    queue.put("a", 0.0, stream="a", key=TAIL)
    queue.take(0.6)
    queue.put("b", 0.9, stream="b", key=TAIL, left_s=0.02)
    assert queue.due_s(0.9) == pytest.approx(0.91)


@pytest.mark.parametrize("seed", range(5))
def test_everything_runs_once_whatever_comes(seed):
    rng, queue, now_s, ran = random.Random(seed), ComputeQueue[int](batch_wait_s=0.002, most=4), 0.0, list[int]()
    for number in range(300):
        now_s += rng.expovariate(1000.0)
        key = rng.choice((None, "x", "y"))
        queue.put(number, now_s, stream=rng.choice("abc"), key=key, urgent=rng.random() < 0.05, left_s=rng.random())
        if rng.random() < 0.5:
            batch = queue.take(now_s)
            assert len(batch) <= 4
            ran += batch
    while len(queue):
        now_s = max(now_s, queue.due_s(now_s))
        ran += queue.take(now_s)
    assert sorted(ran) == list(range(300))


def test_keys_that_nobody_uses_any_more_are_forgotten():
    queue: ComputeQueue[int] = ComputeQueue(batch_wait_s=0.002, most=4)
    for number in range(1000):
        queue.put(number, float(number), stream="a", key=f"segment {number}")
        queue.take(number + 0.5)
    assert len(vars(queue)["_seen_s"]) <= MOST_KEYS


def test_streams_that_have_gone_are_forgotten_though_nobody_ever_waited_for_them():
    queue: ComputeQueue[int] = ComputeQueue(batch_wait_s=0.002, most=4)
    queue.put(-1, 0.0, left_s=60.0)  # while something else waits, the rivals of a frame are not looked for
    for number in range(500):
        queue.put(number, 0.1 * number, stream=f"stream {number}", key=TAIL)
        assert queue.take(0.1 * number) == [number]
    assert len(vars(queue)["_seen_s"][TAIL]) <= 11
