"""How frames get into a stream: at the source's own time, or as fast as there is room; and how that is left."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Generator
from typing import Any

import pytest

from seamline.core.session.events import SourceEnded
from seamline.core.vocabulary.errors import SourceError
from seamline.core.vocabulary.stamps import FrameStamp
from seamline.runtime.origin.feeder import MOST_PAUSE_S, Feeder, _Pace
from seamline.runtime.sources.frames import SourceFrame, StampedSource, stamped
from seamline.runtime.sources.health import SourceFigures

LIMIT_S = 20.0


def frame(number: int, at_s: float | None) -> SourceFrame:
    return SourceFrame(data=number, stamp=FrameStamp(source="it", number=number, at_s=at_s, unix_s=0.0))


class Scripted(StampedSource):
    """Frames at given seconds, then silence for as long as it is read, or an error, or the end."""

    name, fps, is_live, comes_by_itself = "it", 10.0, True, True  # type: ignore[assignment]

    def __init__(self, n_frames: int, then: Exception | str) -> None:
        self.n_frames, self.then, self.is_closed = n_frames, then, False
        self.asked: list[Any] = []

    def first(self) -> SourceFrame | None:
        return frame(0, 0.0)

    def read(self, fps: float | None = None, *, drop: bool = True) -> Generator[SourceFrame | None, None, None]:
        self.asked.append((fps, drop))
        try:
            for number in range(self.n_frames):
                yield frame(number, number / 10)
            if isinstance(self.then, Exception):
                raise self.then
            while self.then == "silence":
                time.sleep(0.001)
                yield None
        finally:
            self.is_closed = True

    def figures(self) -> SourceFigures:
        return SourceFigures(name="it")

    def close(self) -> None:
        self.is_closed = True


class Frames:
    """Takes what a stream takes. has_room: whether a frame that must not be dropped is accepted."""

    def __init__(self, has_room: bool = True) -> None:
        self.offered: list[int] = []
        self.put_: list[int] = []
        self.events: list[object] = []
        self.has_room = has_room
        self.came = threading.Event()

    def offer(self, tensors: Any, stamp: FrameStamp, seen: object = None) -> None:
        self.offered.append(stamp.number)
        self.came.set()

    def put(self, tensors: Any, stamp: FrameStamp, seen: object = None, *, timeout_s: float) -> bool:
        self.came.set()
        if self.has_room:
            self.put_.append(stamp.number)
        return self.has_room

    def handle(self, event: object) -> None:
        self.events.append(event)


class Fed:
    """A feeder run to its end."""

    def __init__(self, source: Any, frames: Frames, **options: Any) -> None:
        self.error: BaseException | None = None
        self.over = threading.Event()
        options.setdefault("is_live", True)
        self.feeder = Feeder(source, frames, lambda data: {"x": data}, ended=self._ended, **options)  # type: ignore[arg-type]
        self.feeder.start()

    def _ended(self, error: BaseException | None) -> None:
        self.error = error
        self.over.set()


def test_a_stream_ends_although_its_source_is_silent():
    for leave in ("stop", "seconds"):
        source, frames = Scripted(2, then="silence"), Frames()
        fed = Fed(source, frames, seconds=0.05 if leave == "seconds" else None)
        if leave == "stop":
            assert frames.came.wait(LIMIT_S)
            fed.feeder.stop()
        assert fed.over.wait(LIMIT_S)
        assert (fed.error, source.is_closed) == (None, True)
        assert frames.events == [SourceEnded()]


def test_what_ends_a_source_early_ends_the_stream_after_its_frames():
    source, frames = Scripted(3, then=SourceError("`it` ended early")), Frames()
    fed = Fed(source, frames)
    assert fed.over.wait(LIMIT_S)
    assert (frames.offered, str(fed.error), source.is_closed) == ([0, 1, 2], "`it` ended early", True)


def test_only_so_many_frames_are_read():
    source, frames = Scripted(9, then="silence"), Frames()
    assert Fed(source, frames, n_frames=4).over.wait(LIMIT_S)
    assert (frames.offered, source.is_closed) == ([0, 1, 2, 3], True)


def test_frames_that_must_not_be_dropped_wait_for_room_and_the_source_is_told():
    source, frames = Scripted(3, then="end"), Frames()
    assert Fed(source, frames, is_live=False, fps=5.0).over.wait(LIMIT_S)
    assert (frames.put_, frames.offered, source.asked) == ([0, 1, 2], [], [(5.0, False)])
    full = Frames(has_room=False)
    fed = Fed(Scripted(3, then="end"), full, is_live=False)
    assert full.came.wait(LIMIT_S)
    fed.feeder.stop()
    assert fed.over.wait(LIMIT_S)
    assert full.put_ == []


def test_a_callers_error_is_passed_on():
    def broken() -> Generator[int, None, None]:
        yield 1
        raise RuntimeError("the caller's own")

    frames = Frames()
    fed = Fed(stamped(broken()), frames)
    assert fed.over.wait(LIMIT_S)
    assert (frames.offered, str(fed.error)) == ([0], "the caller's own")


def due_s(pace: _Pace, at_s: list[float | None]) -> list[float]:
    return [round(pace.due_s(frame(number, at)), 6) for number, at in enumerate(at_s)]


@pytest.mark.parametrize(
    ("fps", "own_fps", "plays", "expected"),
    [
        (None, 10.0, True, [0.0, 0.1, 0.4]),  # by its timestamps
        (5.0, 10.0, True, [0.0, 0.1, 0.4]),  # the source leaves frames out; those that come keep their time
        (20.0, 10.0, True, [0.0, 0.05, 0.2]),  # played twice as fast
        (20.0, None, True, [0.0, 0.1, 0.4]),
        (None, 10.0, False, [0.0, 0.0, 0.0]),  # a camera, or every frame of a recording
    ],
)
def test_frames_with_a_time_line_are_fed_by_it(fps, own_fps, plays, expected):
    assert due_s(_Pace(fps, own_fps, plays=plays), [3.0, 3.1, 3.4]) == expected


def test_frames_without_a_time_line_are_fed_at_the_pace_asked_for():
    assert due_s(_Pace(4.0, None, plays=True), [None] * 3) == [0.0, 0.25, 0.5]
    assert due_s(_Pace(None, None, plays=True), [None] * 3) == [0.0] * 3


def test_a_recording_whose_clock_jumps_is_not_waited_for():
    found = due_s(_Pace(None, 10.0, plays=True), [0.0, 1.0, 95_000.0, 95_001.0])
    assert found == [0.0, 1.0, 1.0 + MOST_PAUSE_S, 2.0 + MOST_PAUSE_S]
    assert all(math.isfinite(due) for due in found)
