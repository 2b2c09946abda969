"""A video read on a thread: what is taken, dropped or waited for, and that it can always be left."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from seamline.core.vocabulary.errors import SourceError, UsageError
from seamline.core.vocabulary.ports import FrameArray
from seamline.runtime.sources import healing, video
from seamline.runtime.sources.devices import Kind, Opened
from seamline.runtime.sources.video import VideoSource

LIMIT_S = 20.0


class Steered:
    """A device whose frames come when a test says so. Frame n is filled with n."""

    def __init__(self, *, is_endless: bool, n_frames: int | None = None) -> None:
        self._opened = Opened(claimed_fps=10.0, n_promised=None, promised_s=None, is_endless=is_endless)
        self._n_frames = n_frames
        self._may_come = threading.Semaphore(0)
        self._number = -1
        self.hangs = True
        self.closed = threading.Event()

    def let_come(self, n_frames: int) -> None:
        self._may_come.release(n_frames)

    def open(self) -> Opened:
        return self._opened

    def grab(self) -> float | None:
        if self._number + 1 == self._n_frames:
            return None
        while not self._may_come.acquire(timeout=0.01):
            if not self.hangs:
                return None
        self._number += 1
        return self._number / 10

    def picture(self) -> FrameArray | None:
        return np.full((1, 1, 3), self._number, np.uint8)

    def close(self) -> None:
        self.closed.set()


@pytest.fixture
def steered() -> Iterator[Callable[..., Steered]]:
    """Makes devices that wait for the test; at its end they wait no more."""
    made: list[Steered] = []

    def make(**how: Any) -> Steered:
        made.append(Steered(**how))
        return made[-1]

    yield make
    for device in made:
        device.hangs = False


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(video, "POLL_S", 0.01)
    monkeypatch.setattr(video, "STALL_S", 0.05)
    monkeypatch.setattr(video, "CLOSE_S", 0.01)


def next_frame(frames: Iterator) -> int:
    """The value of the next frame that comes."""
    return next(int(frame.data[0, 0, 0]) for frame in frames if frame is not None)


def source_of(device: Steered) -> VideoSource:
    kind = Kind.CAMERA if device._opened.is_endless else Kind.FILE
    return VideoSource("it", kind, lambda: device)


def test_silence_is_given_as_nothing_so_that_a_reader_may_leave(steered):
    device = steered(is_endless=True)
    device.let_come(1)
    frames = source_of(device).read()
    assert next_frame(frames) == 0
    assert next(frames) is None
    frames.close()


def test_a_stall_is_said_and_counted_once_and_so_is_its_end(steered, caplog):
    device = steered(is_endless=True)
    device.let_come(1)
    source = source_of(device)
    frames = source.read()
    assert next_frame(frames) == 0
    while source.figures().stalls == 0:
        assert next(frames) is None
    assert next(frames) is None
    device.let_come(1)
    assert next_frame(frames) == 1
    figures = source.figures()
    assert (figures.stalls, figures.out_s >= 0.05) == (1, True)
    assert [words.split("` ")[1].split()[0] for words in caplog.messages] == ["stands", "goes"]
    frames.close()


def test_a_stall_that_ends_in_a_loss_is_not_said_to_go_on(steered, caplog, monkeypatch):
    monkeypatch.setattr(healing, "FIRST_BACKOFF_S", 0.1)
    monkeypatch.setattr(healing, "GRAB_PAUSE_S", 0.0)
    device = steered(is_endless=True)
    device.let_come(1)
    source = source_of(device)
    frames = source.read()
    assert next_frame(frames) == 0
    while source.figures().stalls == 0:
        next(frames)
    device.hangs = False  # from now on grabs fail at once
    while source.figures().out_s == 0:
        next(frames)
    device.hangs = True
    device.let_come(2)
    assert next_frame(frames) > 0
    frames.close()
    assert (source.figures().stalls, source.figures().reconnects) == (1, 1)
    assert [words.split("` ")[1].split(" ")[1] for words in caplog.messages[:2]] == ["still:", "lost:"]
    assert "goes on" not in caplog.text


def test_of_a_camera_the_newest_frame_is_kept_while_nobody_takes_one(steered):
    device = steered(is_endless=True)
    device.let_come(1)
    source = source_of(device)
    first = source.first()
    assert first is not None
    device.let_come(8)
    while source.figures().read < 9:
        time.sleep(0.001)
    frames = source.read()
    assert next_frame(frames) == 8
    assert source.figures().overtaken == 0  # before the reading began, nobody missed them
    device.let_come(5)
    while source.figures().read < 14:
        time.sleep(0.001)
    assert next_frame(frames) == 13
    assert source.figures().overtaken == 4
    frames.close()


def test_of_a_recording_and_of_a_camera_that_must_drop_none_every_frame_comes(steered):
    for is_endless in (False, True):
        device = steered(is_endless=is_endless, n_frames=None if is_endless else 12)
        device.let_come(1)
        source = source_of(device)
        frames = source.read(drop=False)
        assert next_frame(frames) == 0
        device.let_come(11)
        assert [next_frame(frames) for _ in range(11)] == list(range(1, 12))
        frames.close()


def test_a_rate_holds_from_the_first_frame_on(steered):
    device = steered(is_endless=False, n_frames=20)
    device.let_come(20)
    source = source_of(device)
    assert source.first() is not None
    assert [int(frame.data[0, 0, 0]) for frame in source.read(fps=2.5) if frame is not None] == [0, 4, 8, 12, 16]


def test_facts_and_first_frame_are_known_while_it_is_read_without_opening_it_again(steered):
    opened = []

    def make() -> Steered:
        opened.append(steered(is_endless=True))
        opened[-1].let_come(1)
        return opened[-1]

    source = VideoSource("it", Kind.PIPE, make)
    frames = source.read()
    assert next_frame(frames) == 0
    first = source.first()
    assert first is not None
    assert (source.fps, source.comes_by_itself, first.stamp.number, len(opened)) == (10.0, True, 0, 1)
    with pytest.raises(UsageError, match="only once"):
        next(source.read())
    frames.close()


def test_leaving_gives_the_device_back_as_soon_as_it_lets_go(steered):
    for leave in ("generator", "source", "garbage"):
        device = steered(is_endless=True)
        device.let_come(3)
        source = source_of(device)
        assert source.first() is not None
        if leave == "generator":
            frames = source.read()
            assert next_frame(frames) >= 0
            frames.close()
        elif leave == "source":
            source.close()
        del source
        device.hangs = False  # until it lets go, its thread stays
        assert device.closed.wait(LIMIT_S), leave


def test_an_error_before_the_first_frame_is_raised_by_whoever_asks_first():
    class Refused(Steered):
        def open(self) -> Opened:
            raise SourceError("`it` cannot be reached")

    for ask in (VideoSource.first, lambda source: source.fps, lambda source: list(source.read())):
        with pytest.raises(SourceError, match="cannot be reached"):
            ask(source_of(Refused(is_endless=True)))
