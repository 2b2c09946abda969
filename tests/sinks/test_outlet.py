"""Claims about slow, broken and stuck sinks: nothing is lost unseen, nothing is held up unseen, all are closed."""

from __future__ import annotations

import threading

import pytest

from seamline.core.vocabulary.errors import UsageError
from seamline.sinks.outlet import Outlet
from seamline.sinks.sink import SinkError, StreamFacts
from seamline.sinks.sinks import Sinks, figures_words

FACTS = StreamFacts(source="door", model="tiny")


class Gated:
    """A sink that writes when it is let: `go` is a semaphore. errors: what the next writes raise."""

    draws = keeps_outputs = False

    def __init__(
        self, name: str = "gated", *, errors=(), opens: Exception | None = None, closes: Exception | None = None
    ):
        self.name = name
        self.go = threading.Semaphore(0)
        self.is_writing = threading.Semaphore(0)
        self.numbers: list[int] = []
        self.n_closed = 0
        self._errors, self._opens, self._closes = list(errors), opens, closes

    def open(self, facts) -> None:
        if self._opens is not None:
            raise self._opens

    def write(self, answered) -> None:
        self.is_writing.release()
        assert self.go.acquire(timeout=10)
        if self._errors and (error := self._errors.pop(0)) is not None:
            raise error
        self.numbers.append(answered.number)

    def close(self) -> None:
        self.n_closed += 1
        if self._closes is not None:
            raise self._closes

    def let(self, n: int) -> None:
        for _ in range(n):
            self.go.release()


def outlet(sink, *, waits=False, n_waiting=3, said=None) -> Outlet:
    made = Outlet(sink, FACTS, waits=waits, trouble=[].append if said is None else said.append, n_waiting=n_waiting)
    made.open()
    return made


def test_of_a_live_source_the_oldest_answers_go_and_are_counted(answers):
    sink = Gated()
    out = outlet(sink)
    out.put(answers.boxes())
    assert sink.is_writing.acquire(timeout=10)  # the first is being written, the queue is empty
    for _ in range(5):
        out.put(answers.boxes())
    sink.let(10)
    out.end()
    assert out.wait_closed(10)
    assert sink.numbers == [0, 3, 4, 5]
    figures = out.figures()
    assert (figures.written, figures.dropped, figures.error) == (4, 2, None)
    assert figures_words(figures) == "gated: 4 answers, 2 dropped because it was too slow or had failed"


def test_of_files_every_answer_waits_for_room_and_the_wait_is_counted(answers):
    sink = Gated()
    out = outlet(sink, waits=True)
    writer = threading.Thread(target=lambda: [out.put(answers.boxes()) for _ in range(9)])
    writer.start()
    assert sink.is_writing.acquire(timeout=10)
    sink.let(9)
    writer.join(10)
    out.end()
    assert out.wait_closed(10)
    assert sink.numbers == list(range(9))
    assert out.figures().dropped == 0


def test_who_waits_is_let_go_when_somebody_wants_an_end(answers):
    sink = Gated()
    out = outlet(sink, waits=True)
    for _ in range(4):
        out.put(answers.boxes())
    writer = threading.Thread(target=lambda: out.put(answers.boxes()))
    writer.start()
    out.hurry()
    writer.join(10)
    assert not writer.is_alive()
    sink.let(9)
    out.end()
    assert out.wait_closed(10)
    assert out.figures().written + out.figures().dropped == 5
    assert out.figures().dropped >= 1


def test_pictures_that_wait_are_bounded_in_bytes_too(answers, monkeypatch):
    answered = [answers.boxes() for _ in range(4)]
    monkeypatch.setattr("seamline.sinks.outlet.WAITING_BYTES", 2 * answered[0].n_bytes)
    sink = Gated()
    out = outlet(sink, n_waiting=99)
    out.put(answered[0])
    assert sink.is_writing.acquire(timeout=10)
    for each in answered[1:]:
        out.put(each)
    assert out.figures().dropped == 1
    sink.let(9)
    out.end()
    assert out.wait_closed(10)
    assert sink.numbers == [0, 2, 3]


def test_one_answer_that_cannot_be_written_is_counted_and_the_rest_goes_on(answers):
    said: list[str] = []
    trouble = SinkError("no answer from there", is_final=False)
    sink = Gated(errors=[None, trouble, trouble, None])
    out = outlet(sink, waits=True, said=said)
    sink.let(9)
    for _ in range(4):
        out.put(answers.boxes())
    out.end()
    assert out.wait_closed(10)
    assert sink.numbers == [0, 3]
    assert (out.figures().failed, out.figures().error) == (2, None)
    assert said == ["`gated`: no answer from there"]


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), ZeroDivisionError("a fault of ours")])
def test_a_sink_that_is_broken_is_said_at_once_and_holds_nobody_up(answers, error):
    said: list[str] = []
    broken, whole = Gated("broken", errors=[None, error]), Gated("whole")
    sinks = Sinks([broken, whole], FACTS, waits=True, trouble=said.append)
    broken.let(99), whole.let(999)
    with sinks:
        for _ in range(300):
            sinks.put(answers.boxes())
    first, second = sinks.figures()
    assert (first.written, first.failed, first.dropped) == (1, 1, 298)
    assert first.error
    assert second.written == 300
    assert len(said) == 1
    assert str(error.args[-1]) in said[0]
    assert (broken.n_closed, whole.n_closed) == (1, 1)


def test_all_are_closed_when_one_cannot_be_opened():
    first, second, third = Gated("a"), Gated("b", opens=UsageError("no such place")), Gated("c")
    with pytest.raises(UsageError, match="no such place"), Sinks([first, second, third], FACTS, waits=False):
        pytest.fail("it must not be entered")
    assert (first.n_closed, second.n_closed, third.n_closed) == (1, 1, 0)


@pytest.mark.parametrize("error", [KeyboardInterrupt(), ValueError("the stream failed")])
def test_all_are_closed_and_written_to_the_end_whatever_breaks_the_stream_off(answers, error):
    first, second = Gated("a"), Gated("b")
    first.let(9), second.let(9)
    sinks = Sinks([first, second], FACTS, waits=False)

    def stream() -> None:
        with sinks:
            sinks.put(answers.boxes())
            raise error

    with pytest.raises(type(error)):
        stream()
    assert (first.n_closed, second.n_closed) == (1, 1)
    assert (first.numbers, second.numbers) == ([0], [0])


def test_a_sink_that_is_stuck_is_left_behind_in_the_end_and_said(answers, monkeypatch):
    monkeypatch.setattr("seamline.sinks.sinks.CLOSE_TIMEOUT_S", 0.05)
    stuck = Gated("stuck")
    with Sinks([stuck], FACTS, waits=False) as sinks:
        for _ in range(5):
            sinks.put(answers.boxes())
    (figures,) = sinks.figures()
    assert figures.written == 0
    assert figures.dropped == 5
    assert figures.error == "it did not come to its end in time"
    stuck.let(9)


def test_a_file_that_cannot_be_finished_is_said(answers):
    said: list[str] = []
    sink = Gated(closes=OSError(28, "No space left on device"))
    sink.let(9)
    with Sinks([sink], FACTS, waits=False, trouble=said.append) as sinks:
        sinks.put(answers.boxes())
    assert "No space left on device" in str(sinks.figures()[0].error)
    assert len(said) == 1
