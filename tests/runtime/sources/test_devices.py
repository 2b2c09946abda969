"""What OpenCV says of a capture, and what is made of it: claims that cannot be true, errors instead of frames."""

from __future__ import annotations

import math
from typing import Any

import cv2
import numpy as np
import pytest

from seamline.core.vocabulary.errors import UsageError
from seamline.runtime.sources import healing
from seamline.runtime.sources.address import READ_LIMIT_MS, address_device
from seamline.runtime.sources.devices import camera_device, file_device
from seamline.runtime.sources.opening import open_source


class StandIn:
    """A `cv2.VideoCapture` that claims and gives what its class says."""

    fps, n_frames, positions = 30.0, 0.0, (0.0,)
    picture: Any = np.zeros((2, 2, 3), np.uint8)
    opens = True

    def __init__(self, target: object, *_: object) -> None:
        self.at = -1

    def isOpened(self) -> bool:  # noqa: N802 # OpenCV's name
        return self.opens

    def get(self, what: int) -> float:
        if what == cv2.CAP_PROP_POS_MSEC:
            return float(self.positions[min(self.at, len(self.positions) - 1)])
        return {cv2.CAP_PROP_FPS: self.fps, cv2.CAP_PROP_FRAME_COUNT: self.n_frames}[what]

    def grab(self) -> bool:
        self.at += 1
        return True

    def retrieve(self) -> tuple[bool, Any]:
        if isinstance(self.picture, Exception):
            raise self.picture
        return self.picture is not None, self.picture

    def release(self) -> None:
        pass


@pytest.fixture
def stand_in(monkeypatch: pytest.MonkeyPatch) -> type[StandIn]:
    made = type("Made", (StandIn,), {})
    monkeypatch.setattr(cv2, "VideoCapture", made)
    return made


@pytest.mark.parametrize(
    ("fps", "n_frames", "expected"),
    [
        (25.0, 132.0, (25.0, 132, 5.28)),
        (2000.0, 10_560.0, (None, None, 5.28)),  # a time base: the length is right all the same
        (90_000.0, 0.0, (None, None, None)),
        (25.0, -2.0e15, (25.0, None, None)),  # FFmpeg's way to say that it does not know
        (25.0, 1e300, (25.0, None, None)),
        (0.0, 100.0, (None, None, None)),
        (math.nan, math.nan, (None, None, None)),
        (-30.0, 100.0, (None, None, None)),
    ],
)
def test_only_claims_that_can_be_true_are_taken(stand_in, fps, n_frames, expected):
    stand_in.fps, stand_in.n_frames = fps, n_frames
    opened = file_device("v.webm", "v.webm").open()
    assert (opened.claimed_fps, opened.n_promised) == expected[:2]
    assert opened.promised_s == (None if expected[2] is None else pytest.approx(expected[2]))


def test_a_timestamp_that_is_none_is_said_to_be_none(stand_in):
    stand_in.positions = (40.0, math.nan, math.inf)
    device = file_device("v", "v")
    device.open()
    found = [device.grab() for _ in range(3)]
    assert found[0] == pytest.approx(0.04)
    assert all(position is not None and math.isnan(position) for position in found[1:])


@pytest.mark.parametrize("picture", [None, cv2.error("inside OpenCV"), np.zeros((2, 2, 7), np.uint8)])
def test_what_cannot_be_made_a_picture_is_none(stand_in, picture):
    stand_in.picture = picture
    device = file_device("v", "v")
    device.open()
    assert device.grab() is not None
    assert device.picture() is None


def test_a_stream_that_ffmpeg_has_given_up_is_not_asked_again_until_it_is_reopened(stand_in, monkeypatch):
    device = address_device("rtsp://127.0.0.1/cam")
    device.open()
    assert device.grab() is not None
    seconds = iter([0.0, READ_LIMIT_MS / 1000])
    monkeypatch.setattr("seamline.runtime.sources.devices.now_s", lambda: next(seconds))
    assert device.grab() is None  # it took as long as FFmpeg waits: what came is old
    assert device.grab() is None  # the clock is not looked at any more
    monkeypatch.undo()
    monkeypatch.setattr(cv2, "VideoCapture", stand_in)
    device.open()
    assert device.grab() is not None


def test_grey_cameras_give_colours_too(stand_in):
    stand_in.picture = np.full((2, 3), 9, np.uint8)
    device = camera_device(0, "camera 0")
    assert device.open().is_endless
    device.grab()
    picture = device.picture()
    assert picture is not None
    assert (picture.shape, picture.min()) == ((2, 3, 3), 9)


def test_a_camera_that_raises_and_is_gone_for_a_while_comes_back(stand_in, monkeypatch, caplog):
    monkeypatch.setattr(healing, "FIRST_BACKOFF_S", 0.001)
    monkeypatch.setattr(healing, "GRAB_PAUSE_S", 0.0)
    n_opened = 0

    def open_(self: StandIn) -> bool:
        nonlocal n_opened
        n_opened += 1
        return n_opened not in (2, 3)

    def grab(self: StandIn) -> bool:
        self.at += 1
        if n_opened == 1 and self.at >= 5:
            raise cv2.error("the cable")
        return True

    stand_in.isOpened, stand_in.grab = open_, grab
    source = open_source("0")
    frames = source.frames()
    assert len([frame for frame, _ in zip(frames, range(12), strict=False)]) == 12
    frames.close()
    assert (source.figures().reconnects, n_opened) == (1, 4)
    assert "is back" in caplog.text


@pytest.mark.parametrize("raises", [False, True])
def test_a_camera_that_is_not_there_is_refused_with_what_to_look_at(stand_in, monkeypatch, raises):
    def failing(*_: object) -> None:
        raise cv2.error("no such index")

    stand_in.opens = False
    if raises:
        monkeypatch.setattr(cv2, "VideoCapture", failing)
    with pytest.raises(UsageError, match=r"there is no camera 3; hint: .*plugged in"):
        open_source("3").first()
