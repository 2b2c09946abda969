"""The compute thread and the sending threads: one that throws at what it is given would silence the node for good."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

import numpy as np
import pytest

from seamline.core.vocabulary.errors import FabricError, FrameRefused, ModelError, PeerLost, SeamlineError, WireError
from seamline.core.vocabulary.nodes import NodeId
from seamline.core.vocabulary.plans import Plan
from seamline.core.vocabulary.ports import Lane
from seamline.runtime.node.stages import Arrival, Finished, StageWorker, Turn
from seamline.runtime.shared.outbox import Outbox, Outgoing

EDGE, FOG = NodeId("edge"), NodeId("fog")
(STAGE,) = Plan.parse("edge[0:4]").stages
FRAME = Arrival(tensors={"x": np.arange(3, dtype=np.float32)})


@pytest.fixture
def stages() -> Iterator[StageWorker]:
    worker = StageWorker(EDGE)
    yield worker
    worker.close()


def run(stages: StageWorker, segment, done: Callable[[Finished], None] = lambda finished: None) -> SeamlineError | None:
    """Put one frame through `segment`; with what it failed, None when it did not."""
    ended = threading.Event()
    failures: list[SeamlineError] = []

    def succeeded(finished: Finished) -> None:
        done(finished)
        ended.set()

    def failed(error: SeamlineError) -> None:
        failures.append(error)
        ended.set()

    stages.put(STAGE, segment, FRAME, done=succeeded, failed=failed)
    assert ended.wait(10)
    return failures[0] if failures else None


class Double:
    def run(self, tensors):
        return {name: 2 * value for name, value in tensors.items()}


class Throwing:
    def run(self, tensors):
        raise ZeroDivisionError("of its own")


def throw(error: Exception) -> Callable[[object], None]:
    def do(_: object) -> None:
        raise error

    return do


def test_a_finished_stage_brings_its_outputs_and_what_it_took(stages):
    finished: list[Finished] = []
    assert run(stages, Double(), finished.append) is None
    np.testing.assert_array_equal(finished[0].outputs["x"], [0.0, 2.0, 4.0])
    assert finished[0].report.node == EDGE
    assert finished[0].report.compute_s >= 0.0


def test_whatever_an_engine_throws_is_the_frames_answer(stages):
    error = run(stages, Throwing())
    assert isinstance(error, FrameRefused)
    assert "of its own" in str(error)
    assert run(stages, Double()) is None


class Refusing:
    def run(self, tensors):
        raise ModelError("indices element out of data bounds")


def test_what_a_segment_refuses_is_told_from_what_a_stage_cannot_do(stages):
    assert isinstance(run(stages, Refusing()), FrameRefused)
    assert not isinstance(run(stages, Double(), throw(ModelError("no such thing"))), FrameRefused)


@pytest.mark.parametrize("error", [WireError("a tensor int4[2] cannot be sent"), ZeroDivisionError("of its own")])
def test_a_result_that_cannot_go_on_is_a_failure_and_the_next_frame_runs(stages, error):
    assert str(error) in str(run(stages, Double(), throw(error)))
    assert run(stages, Double()) is None


def test_a_failure_that_nobody_can_be_told_of_does_not_end_the_thread(stages):
    stages.put(STAGE, Throwing(), FRAME, done=throw(ModelError("not called")), failed=throw(PeerLost("closed")))
    assert run(stages, Double()) is None


def test_a_stage_that_nobody_wants_any_more_when_its_turn_comes_is_left_out(stages):
    ran: list[Finished] = []
    stages.put(STAGE, Double(), FRAME, done=ran.append, failed=throw(ModelError("not called")), claim=lambda: False)
    assert run(stages, Double()) is None
    assert ran == []


class DoubleTogether(Double):
    """Runs frames as one, unless one of them has a negative number. sizes: of what was run together."""

    n_most = 8

    def __init__(self) -> None:
        self.sizes: list[int] = []

    def run(self, tensors):
        if tensors["x"][0] < 0:
            raise ModelError("negative")
        return super().run(tensors)

    def run_many(self, frames):
        self.sizes.append(len(frames))
        return [self.run(tensors) for tensors in frames]


class Holding:
    """Keeps a compute thread busy until it is let go."""

    def __init__(self) -> None:
        self.began, self.ends = threading.Event(), threading.Event()

    def run(self, tensors):
        self.began.set()
        self.ends.wait(10)
        return dict(tensors)


def ran_behind(stages: StageWorker, segment, numbers: list[float]) -> list[float | str]:
    """What became of frames of as many streams that waited while something else was computed."""
    holding, found, all_in = Holding(), dict[int, float | str](), threading.Semaphore(0)

    def end(number: int, value: float | str) -> None:
        found[number] = value
        all_in.release()

    stages.put(STAGE, holding, FRAME, done=lambda _: None, failed=lambda _: None)
    assert holding.began.wait(10)
    for number, value in enumerate(numbers):
        stages.put(
            STAGE,
            segment,
            Arrival(tensors={"x": np.array([value], np.float32)}),
            done=lambda finished, number=number: end(number, float(finished.outputs["x"][0])),
            failed=lambda error, number=number: end(number, str(error)),
            turn=Turn(stream=f"s{number}"),
        )
    holding.ends.set()
    for _ in numbers:
        assert all_in.acquire(timeout=10)
    return [found[number] for number in range(len(numbers))]


@pytest.fixture
def batching() -> Iterator[StageWorker]:
    worker = StageWorker(EDGE, batch_wait_s=0.002)
    yield worker
    worker.close()


def test_frames_of_several_streams_run_as_one_and_each_gets_its_own_answer(batching):
    segment = DoubleTogether()
    assert ran_behind(batching, segment, [1.0, 2.0, 3.0]) == [2.0, 4.0, 6.0]
    assert segment.sizes == [3]


def test_frame_that_cannot_be_computed_fails_alone(batching):
    segment = DoubleTogether()
    one, bad, other = ran_behind(batching, segment, [1.0, -1.0, 3.0])
    assert (one, other) == (2.0, 6.0)
    assert "negative" in bad


def test_without_batches_frames_run_one_by_one(stages):
    segment = DoubleTogether()
    assert ran_behind(stages, segment, [1.0, 2.0]) == [2.0, 4.0]
    assert segment.sizes == []


def test_two_workers_compute_at_once():
    worker, holding = StageWorker(EDGE, n_workers=2), Holding()
    try:
        worker.put(STAGE, holding, FRAME, done=lambda _: None, failed=lambda _: None)
        assert holding.began.wait(10)
        assert run(worker, Double()) is None
    finally:
        holding.ends.set()
        worker.close()


class Wire:
    """A fabric that does what the message says: raises one of two errors, or keeps it.

    is_free: whether one may leave at once.
    """

    def __init__(self, *, is_free: bool = False) -> None:
        self.sent: list[bytes] = []
        self.came = threading.Event()
        self.is_free_now = is_free

    def is_free(self, target: NodeId, n_bytes: int) -> bool:
        return self.is_free_now

    def send(self, target: NodeId, message: tuple[bytes, ...], lane: Lane) -> None:
        if message == (b"lost",):
            raise PeerLost("gone")
        if message == (b"broken",):
            raise ZeroDivisionError("of its own")
        self.sent.append(b"".join(message))
        self.came.set()


def test_one_message_that_cannot_leave_holds_up_none_behind_it():
    wire = Wire()
    outbox = Outbox(wire)  # type: ignore[arg-type] # a stand-in
    failures: list[FabricError] = []
    outbox.put(FOG, Outgoing(message=(b"lost",), failed=failures.append))
    outbox.put(FOG, Outgoing(message=(b"broken",), failed=failures.append))
    outbox.put(FOG, Outgoing(message=(b"lost",), failed=throw(ZeroDivisionError("of its own"))))
    outbox.put(FOG, Outgoing(message=(b"good",)))
    assert wire.came.wait(10)
    outbox.close()
    assert wire.sent == [b"good"]
    assert [type(failure) for failure in failures] == [PeerLost]


def test_what_need_not_wait_leaves_on_the_thread_of_whoever_puts_it():
    wire = Wire(is_free=True)
    outbox = Outbox(wire)  # type: ignore[arg-type] # a stand-in
    failures: list[FabricError] = []
    senders: list[int] = []
    outbox.put(FOG, Outgoing(message=(b"good",), before_send=lambda: senders.append(threading.get_ident())))
    outbox.put(FOG, Outgoing(message=(b"lost",), failed=failures.append))
    outbox.put(FOG, Outgoing(message=(b"broken",), failed=failures.append))
    assert (wire.sent, senders) == ([b"good"], [threading.get_ident()])
    assert [type(failure) for failure in failures] == [PeerLost]
    assert not any(thread.name == "send-fog" for thread in threading.enumerate())
    outbox.close()


def test_where_there_is_no_memory_for_a_thread_whoever_puts_a_message_sends_it(monkeypatch):
    wire = Wire()
    outbox = Outbox(wire)  # type: ignore[arg-type] # a stand-in

    def start(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as short:
        short.setattr(threading.Thread, "start", start)
        outbox.put(FOG, Outgoing(message=(b"first",)))
    assert wire.sent == [b"first"]
    wire.came.clear()
    outbox.put(FOG, Outgoing(message=(b"second",)))
    assert wire.came.wait(10), "and a thread of its own sends what comes later"
    outbox.close()


def test_nothing_overtakes_what_waits(wait_until):
    wire, began, go_on = Wire(), threading.Event(), threading.Event()

    def wait() -> None:
        began.set()
        assert go_on.wait(10)

    outbox = Outbox(wire)  # type: ignore[arg-type] # a stand-in
    outbox.put(FOG, Outgoing(message=(b"first",), before_send=wait))
    assert began.wait(10)
    wire.is_free_now = True
    outbox.put(FOG, Outgoing(message=(b"second",)))
    assert wire.sent == []
    go_on.set()
    wait_until(lambda: len(wire.sent) == 2)
    assert wire.sent == [b"first", b"second"]
    outbox.close()


def test_a_peer_that_is_gone_keeps_no_thread(wait_until):
    outbox = Outbox(Wire())  # type: ignore[arg-type] # a stand-in
    for number in range(3):
        outbox.put(NodeId(f"guest-{number}"), Outgoing(message=(b"good",)))
    for number in range(3):
        outbox.forget(NodeId(f"guest-{number}"))
    outbox.forget(FOG)  # never written to
    wait_until(lambda: not any(thread.name.startswith("send-guest") for thread in threading.enumerate()))
    outbox.close()


def test_what_still_waits_when_the_node_closes_fails_and_nothing_is_taken_any_more(wait_until):
    wire, began, go_on = Wire(), threading.Event(), threading.Event()

    def wait() -> None:
        began.set()
        assert go_on.wait(10)

    outbox = Outbox(wire)  # type: ignore[arg-type] # a stand-in
    failures: list[FabricError] = []
    outbox.put(FOG, Outgoing(message=(b"first",), before_send=wait))
    outbox.put(FOG, Outgoing(message=(b"second",), failed=failures.append))
    assert began.wait(10)
    closing = threading.Thread(target=outbox.close)
    closing.start()
    wait_until(lambda: outbox._closed)
    go_on.set()
    closing.join(10)
    assert wire.sent == [b"first"]
    assert [type(failure) for failure in failures] == [PeerLost]
    with pytest.raises(PeerLost, match="shutting down"):
        outbox.put(FOG, Outgoing(message=(b"late",)))
