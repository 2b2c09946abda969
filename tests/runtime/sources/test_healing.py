"""The loop that keeps a device going: what is read on, what is lost and comes back, what has ended early.

A device does what a script says; the reader around it has no clock, thread or pause of its own.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import pytest

from seamline.core.vocabulary.errors import SourceError
from seamline.core.vocabulary.ports import FrameArray
from seamline.runtime.sources.devices import Kind, Opened
from seamline.runtime.sources.frames import SourceFrame
from seamline.runtime.sources.healing import (
    ADDRESS_TRIES,
    MOST_BACKOFF_S,
    MOST_FAILED_GRABS,
    Clocks,
    HealingReader,
    backoff_s,
)
from seamline.runtime.sources.health import MOST_DAMAGES, SourceHealth, trouble_text

REFUSED = None
"""In place of a script: the device cannot be opened."""

FAILS = -1.0
"""In a script: a grab that gives nothing. Any other number is a timestamp in seconds, nan for none."""

UNDECODABLE = 1e9
"""Added to a timestamp: there is a frame, and it cannot be decoded."""


@dataclass
class ScriptedDevice:
    """Plays one script for each time it is opened, then fails; the picture of a frame is filled with its place."""

    scripts: list[Sequence[float] | None]
    opened: Opened
    n_opened: int = 0
    is_open: bool = False
    _left: list[float] = field(default_factory=list)
    _value: float = 0.0
    _at: int = -1

    def open(self) -> Opened:
        assert not self.is_open, "opened twice"
        self.n_opened += 1
        script = self.scripts.pop(0) if self.scripts else REFUSED
        if script is REFUSED:
            raise SourceError("`it` cannot be reached: nobody is there", hint="ask somebody")
        self.is_open, self._left, self._at = True, list(script), -1
        return self.opened

    def grab(self) -> float | None:
        assert self.is_open
        value = self._left.pop(0) if self._left else FAILS
        if value == FAILS:
            return None
        self._value, self._at = value, self._at + 1
        return value % UNDECODABLE if math.isfinite(value) else math.nan

    def picture(self) -> FrameArray | None:
        return None if self._value >= UNDECODABLE else np.full((2, 2, 3), self._at % 256, np.uint8)

    def close(self) -> None:
        self.is_open = False


@dataclass
class Played:
    """What a device gave: frames, then the error that ended them, the pauses, words and figures of it."""

    device: ScriptedDevice
    health: SourceHealth
    frames: list[SourceFrame] = field(default_factory=list)
    error: Exception | None = None
    pauses_s: list[float] = field(default_factory=list)

    @property
    def numbers(self) -> list[int]:
        return [frame.stamp.number for frame in self.frames]

    @property
    def at_s(self) -> list[float]:
        return [round(frame.stamp.at_s or 0.0, 6) for frame in self.frames]


@pytest.fixture
def play() -> Callable[..., Played]:
    """Read a device by its scripts to the end, or until `n_frames` came; every grab takes 0.1 s of a clock."""

    def play(
        *scripts: Sequence[float] | None,
        kind: Kind = Kind.FILE,
        fps: float | None = 10.0,
        promised: int | None = None,
        loop: bool = False,
        n_frames: int = 10_000,
        wants: Callable[[int, float], bool] = lambda number, at_s: True,
    ) -> Played:
        is_endless = kind is Kind.CAMERA
        opened = Opened(
            claimed_fps=fps,
            n_promised=promised,
            promised_s=promised / fps if promised and fps else None,
            is_endless=is_endless,
        )
        played = Played(ScriptedDevice(list(scripts), opened), SourceHealth("it"))
        time_s = 0.0

        def wait(seconds: float) -> bool:
            nonlocal time_s
            time_s += seconds
            if seconds:
                played.pauses_s.append(seconds)
            return len(played.frames) >= n_frames or len(played.pauses_s) > 50

        def now_s() -> float:
            nonlocal time_s
            time_s += 0.1
            return time_s

        clocks = Clocks(now_s=now_s, unix_s=lambda: 1e9, wait=wait)
        reader = HealingReader(played.device, kind, played.health, clocks, loop=loop, wants=wants)
        try:
            for frame in reader.frames():
                played.frames.append(frame)
                if len(played.frames) >= n_frames:
                    break
        except Exception as error:
            played.error = error
        return played

    return play


TWENTY = [number / 10 for number in range(20)]
TEN = TWENTY[:10]


def test_a_whole_file_is_given_frame_by_frame_without_a_word(play, caplog):
    played = play(TEN, promised=10)
    assert (played.numbers, played.at_s, played.error, caplog.messages) == (list(range(10)), TEN, None, [])
    assert (played.health.figures().read, played.device.is_open) == (10, False)


def test_a_damaged_part_is_passed_said_and_counted_once(play, caplog):
    damaged = [*TEN[:4], FAILS, FAILS, FAILS, *TEN[7:]]
    played = play(damaged, promised=10)
    assert played.at_s == TEN[:4] + TEN[7:]
    assert played.health.figures().unreadable == 3
    assert caplog.messages == ["`it` is damaged: about 3 frames before 0.70 s are unreadable or missing"]


def test_frames_that_cannot_be_decoded_are_passed_too(play, caplog):
    played = play([0.0, 0.1 + UNDECODABLE, 0.2], promised=3)
    assert (played.numbers, played.health.figures().unreadable) == ([0, 2], 1)
    assert "frame 1 cannot be decoded" in caplog.messages[0]


def test_a_hole_in_an_even_time_line_is_counted_in_frames(play, caplog):
    played = play([*TEN, *(5.0 + at_s for at_s in TEN)])
    assert played.health.figures().unreadable == 40
    assert "about 40 frames before 5.00 s" in caplog.messages[0]


@pytest.mark.parametrize(("n_there", "is_early"), [(20, False), (18, False), (17, False), (16, True), (1, True)])
def test_a_file_that_keeps_less_than_it_promised_says_so_and_ends_with_an_error_if_much_is_missing(
    play, caplog, n_there, is_early
):
    played = play(TWENTY[:n_there], promised=20)
    words = f"ended early, after {n_there} of 20 frames: at {TWENTY[n_there - 1]:.1f} s of 2.0 s"
    figures = played.health.figures()
    if is_early:
        assert isinstance(played.error, SourceError)
        assert words in str(played.error)
        assert (figures.ended_early, figures.read) == (True, n_there)
    else:
        assert (played.error, figures.ended_early) == (None, False)
        assert caplog.messages == ([] if n_there >= 18 else [f"`it` {words}"])


def test_a_file_without_a_promise_may_end_anywhere(play, caplog):
    played = play(TEN[:3], promised=None)
    assert (played.numbers, played.error, caplog.messages) == ([0, 1, 2], None, [])


def test_a_file_without_a_single_frame_is_an_error(play):
    for promised in (None, 10):
        played = play([FAILS] * 5, promised=promised)
        assert isinstance(played.error, SourceError)
        assert ("no frame" if promised is None else "after 0 of 10 frames") in str(played.error)


def test_a_source_that_is_broken_all_over_says_so_in_a_few_lines(play, caplog):
    for kind in (Kind.FILE, Kind.CAMERA):
        caplog.clear()
        played = play([0.0, *[number / 10 + UNDECODABLE for number in range(1, 500)], 50.0], kind=kind, n_frames=2)
        assert (len(played.frames), played.health.figures().unreadable) == (2, 499)
        assert len(caplog.messages) == MOST_DAMAGES + 1
        assert "counted only" in caplog.messages[-1]


def test_the_end_is_tried_only_so_often(play):
    played = play([0.0, *[FAILS] * (MOST_FAILED_GRABS + 1), 0.1])
    assert played.numbers == [0]
    assert play([0.0, *[FAILS] * MOST_FAILED_GRABS, 0.1]).numbers == [0, 1]


def test_a_loop_goes_on_counting_frames_and_seconds_and_repeats_no_words(play, caplog):
    damaged = [0.0, 0.1, FAILS, 0.3]
    played = play(damaged, damaged, damaged, loop=True, n_frames=9)
    assert played.numbers == list(range(9))
    assert played.at_s == [0.0, 0.1, 0.3, 0.4, 0.5, 0.7, 0.8, 0.9, 1.1]
    assert (len(caplog.messages), played.health.figures().unreadable) == (3, 3)  # each round's second is another one


def test_an_address_that_breaks_off_is_read_on_from_where_it_was(play, caplog):
    played = play(TEN[:4], REFUSED, TEN[:7], TEN, kind=Kind.ADDRESS, promised=10)
    assert played.numbers == list(range(10))
    assert [int(frame.data[0, 0, 0]) for frame in played.frames] == list(range(10))
    assert (played.error, played.health.figures().reconnects) == (None, 2)
    assert played.at_s == pytest.approx(TEN)
    assert "broke off at 0.3 s" in caplog.messages[0]


def test_an_address_that_does_not_come_back_has_ended_early(play):
    played = play(TEN[:4], *[REFUSED] * 20, kind=Kind.ADDRESS, promised=10)
    assert isinstance(played.error, SourceError)
    assert len(played.pauses_s) == ADDRESS_TRIES


def test_what_cannot_be_opened_at_first_is_an_error_at_once(play):
    for kind in Kind:
        played = play(REFUSED, kind=kind)
        assert "nobody is there" in str(played.error)
        assert played.pauses_s == []


def test_a_camera_that_fails_a_grab_or_two_is_not_lost(play, caplog):
    played = play([0.0, FAILS, FAILS, 0.1], kind=Kind.CAMERA, n_frames=2)
    assert (played.numbers, played.device.n_opened, caplog.messages) == ([0, 1], 1, [])


def test_a_lost_camera_is_reopened_until_it_is_back(play, caplog):
    played = play([0.0, 0.0], REFUSED, [], REFUSED, [0.0, 0.0], kind=Kind.CAMERA, n_frames=4)
    figures = played.health.figures()
    assert (played.numbers, figures.reconnects, played.device.n_opened) == ([0, 1, 2, 3], 1, 5)
    waits_s = [pause_s for pause_s in played.pauses_s if pause_s >= 0.5]
    assert waits_s == [backoff_s(n_try) for n_try in (1, 2, 3, 4)]
    assert figures.out_s == pytest.approx(sum(waits_s), abs=0.5)
    assert figures.out_s < played.at_s[2]  # the time line goes on by the clock
    assert [words.split(" ", 1)[1].split(":")[0] for words in caplog.messages] == [
        "is lost", "cannot be reached", f"is back after {figures.out_s:.1f} s",
    ]  # fmt: skip


def test_a_camera_that_stays_away_is_tried_on_at_long_intervals_until_reading_is_over(play, caplog):
    played = play([0.0], *[REFUSED] * 60, kind=Kind.CAMERA)
    assert (played.numbers, played.error) == ([0], None)
    assert played.pauses_s[-1] == MOST_BACKOFF_S
    assert len(caplog.messages) == 3  # lost, why, and why again half a minute of tries later


def test_a_camera_that_never_had_a_frame_is_an_error(play):
    played = play(*[[]] * 10, kind=Kind.CAMERA)
    assert isinstance(played.error, SourceError)
    assert "no frame comes from it" in str(played.error)


def test_frames_that_are_not_wanted_are_not_converted_but_counted(play):
    played = play([0.0, 0.1 + UNDECODABLE, 0.2, 0.3], wants=lambda number, at_s: number % 2 == 0)
    assert (played.numbers, played.health.figures().read) == ([0, 2], 4)
    assert played.health.figures().unreadable == 0


def test_a_video_without_timestamps_has_an_even_time_line(play):
    for nowhere in (0.0, math.nan):
        assert play([nowhere] * 4, fps=None).at_s == pytest.approx([0, 1 / 30, 2 / 30, 3 / 30], abs=1e-6)
        assert play([nowhere] * 3, fps=20.0).at_s == pytest.approx([0, 0.05, 0.1])


def test_pauses_grow_up_to_the_longest():
    assert [backoff_s(n) for n in (1, 2, 3, 6, 7, 1000)] == [0.5, 0.75, 1.125, 3.796875, 5.0, 5.0]


def test_pictures_are_those_of_the_device(play):
    frame = play([0.0, 0.1]).frames[1]
    assert np.array_equal(frame.data, np.ones((2, 2, 3), np.uint8))
    assert (frame.stamp.source, frame.stamp.file) == ("it", None)
    assert frame.stamp.unix_s == 1e9


def test_trouble_is_summed_up_in_a_line_and_no_trouble_in_none(play):
    assert trouble_text(play(TEN, promised=10).health.figures()) == ""
    assert trouble_text(play([0.0, 0.1, FAILS, FAILS, 0.4], promised=20).health.figures()) == (
        "source `it`: 3 frames read, 2 unreadable, ended early"
    )
    lost = play([0.0], [0.0], kind=Kind.CAMERA, n_frames=2).health.figures()
    assert trouble_text(lost) == f"source `it`: 2 frames read, 1 reconnects, {lost.out_s:.1f} s without frames"
