"""A slow engine takes a multiple of the time and computes the same."""

import itertools

import numpy as np
import pytest

from seamline.core.vocabulary.errors import UsageError
from seamline.core.vocabulary.plans import Segment
from seamline.core.vocabulary.ports import Array, Tensors
from seamline.core.vocabulary.profiles import TensorSpec
from seamline.testbed.slowdown import SPIN_S, Slowdown, SlowEngine


class Time:
    """A clock that only moves by computing, sleeping and, a little, by being read."""

    def __init__(self) -> None:
        self.at_s = 100.0
        self.slept_s: list[float] = []

    def now_s(self) -> float:
        self.at_s += 1e-6
        return self.at_s

    def sleep(self, duration_s: float) -> None:
        self.slept_s.append(duration_s)
        self.at_s += duration_s


class Doubling:
    """An engine whose runs take `run_s`."""

    name = "doubling 1"
    inputs = (TensorSpec(name="x", dtype="float32", shape=(2,)),)
    outputs = (TensorSpec(name="y", dtype="float32", shape=(2,)),)

    def __init__(self, time: Time, run_s: float) -> None:
        self._time, self._run_s = time, run_s

    def prepare(self, model_id: str, segment: Segment) -> "Doubling":
        return self

    def run(self, tensors: Tensors) -> dict[str, Array]:
        self._time.at_s += self._run_s
        return {"y": tensors["x"] * 2}


@pytest.mark.parametrize(("run_s", "slowdown"), list(itertools.product([0.00001, 0.001, 0.3], [1.0, 3.0, 8.0])))
def test_a_run_takes_the_set_multiple_and_hardly_any_of_it_awake(run_s: float, slowdown: float) -> None:
    time = Time()
    segment = SlowEngine(Doubling(time, run_s), slowdown, now_s=time.now_s, sleep_s=time.sleep).prepare(
        "m", Segment(0, 1)
    )
    begin_s = time.at_s
    result = segment.run({"x": np.array([1.0, 2.0], np.float32)})
    # Reading the clock costs 1 us in this test: twice while it counts as computing, a few times around it.
    assert time.at_s - begin_s == pytest.approx(run_s * slowdown, abs=(slowdown + 2) * 3e-6)
    assert sum(time.slept_s) >= (slowdown - 1.0) * run_s - SPIN_S - 3e-6
    assert result["y"].tolist() == [2.0, 4.0]


def test_it_passes_for_the_engine_it_wraps() -> None:
    engine = Doubling(Time(), 0.0)
    slow = SlowEngine(engine, 2.0)
    assert slow.name == "doubling 1"
    assert (slow.prepare("m", Segment(0, 1)).inputs, slow.prepare("m", Segment(0, 1)).outputs) == (
        engine.inputs,
        engine.outputs,
    )


def test_what_happens_on_this_computer_is_not_multiplied_where_a_profile_says_what_is_usual() -> None:
    """The first run lays out memory, the next ones find the computer clocked down, the last one takes too long."""
    time, runs = Time(), iter([0.05, 0.013, 0.013, 0.3])
    asked: list[tuple[str, Segment]] = []

    class Disturbed(Doubling):
        def run(self, tensors: Tensors) -> dict[str, Array]:
            self._run_s = next(runs)
            return super().run(tensors)

    def usual_s(model_id: str, segment: Segment) -> float:
        asked.append((model_id, segment))
        return 0.01

    slow = SlowEngine(Disturbed(time, 0.0), 20.0, usual_s=usual_s, now_s=time.now_s, sleep_s=time.sleep)
    segment = slow.prepare("m", Segment(2, 5))
    took_s = []
    for _ in range(4):
        begin_s = time.at_s
        segment.run({"x": np.array([1.0, 2.0], np.float32)})
        took_s.append(time.at_s - begin_s)
    assert took_s == pytest.approx([0.2, 0.2, 0.2, 0.3], abs=1e-4)
    assert set(asked) == {("m", Segment(2, 5))}


def test_a_slowdown_that_changes_counts_from_the_next_run_on() -> None:
    time, slowdown = Time(), Slowdown(2.0)
    segment = SlowEngine(Doubling(time, 0.1), slowdown, now_s=time.now_s, sleep_s=time.sleep).prepare(
        "m", Segment(0, 1)
    )
    took_s = []
    for factor in (2.0, 8.0, 1.0):
        slowdown.set(factor)
        begin_s = time.at_s
        segment.run({"x": np.array([1.0, 2.0], np.float32)})
        took_s.append(time.at_s - begin_s)
    assert took_s == pytest.approx([0.2, 0.8, 0.1], abs=1e-4)


def test_a_machine_cannot_be_imitated_faster() -> None:
    with pytest.raises(UsageError, match=r"slowdown 0.5 is below 1"):
        SlowEngine(Doubling(Time(), 0.0), 0.5)
