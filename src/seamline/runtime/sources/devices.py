"""Devices: how a video, camera, pipe or address is opened and read. Keeping them going is `healing.py`'s business.

OpenCV reads all of them, with FFmpeg and Video4Linux in its wheel. It does not say why something cannot be opened; for
addresses `address.py` asks the server itself.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any, Protocol, cast

from seamline.codec.opencv import require_opencv
from seamline.core.vocabulary.errors import SeamlineError, UsageError
from seamline.core.vocabulary.ports import FrameArray
from seamline.runtime.shared.clock import now_s
from seamline.runtime.sources.timeline import plausible_fps

MOST_FRAMES = 2**40
"""A larger count is FFmpeg's way of saying that it does not know."""


PATIENT_MS = 2**31 - 1
"""A pipe is waited for as long as its writer likes. (Tried by FFmpeg alone: the next backend would open it again.)"""


class Kind(Enum):
    """What a device is, as far as reading it on goes.

    FILE ends, and is the same when it is opened again. ADDRESS may be either; what it answers tells. CAMERA goes on
    until it is left. PIPE ends, and can be opened only once.
    """

    FILE = auto()
    ADDRESS = auto()
    CAMERA = auto()
    PIPE = auto()


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """What a container says of itself. claimed_fps: None when it cannot be a rate.

    n_promised, promised_s: how many frames and seconds it holds, None when it does not say. is_endless: it goes on
    until it is left; what ends is lost and will be tried again.
    """

    claimed_fps: float | None
    n_promised: int | None
    promised_s: float | None
    is_endless: bool


class Device(Protocol):
    """One thing to read frames from. `open` after `close` opens it anew."""

    def open(self) -> Opened:
        """Raises `SeamlineError` saying why it cannot be read."""
        ...

    def grab(self) -> float | None:
        """Seconds of the next frame's timestamp, nan when it has none; None when no frame came."""
        ...

    def picture(self) -> FrameArray | None:
        """The grabbed frame as uint8[H, W, 3] RGB; None when it cannot be decoded."""
        ...

    def close(self) -> None: ...


class OpenCvDevice:
    """What `cv2.VideoCapture` reads: `target` is a path, an address, ``pipe:0`` or the index of a camera.

    limits_ms: how long to wait for it to open and for a frame, by FFmpeg alone; None for OpenCV's choice. refused:
    makes the error for what cannot be opened. is_endless: whether what was opened goes on for ever, given whether it
    says how long it is. An error inside OpenCV is a grab that gave nothing, or a frame that cannot be decoded.

    Once FFmpeg has given up waiting, a capture never recovers: each grab waits as long again, gives what the decoder
    still held, and fails even when the server sends again. So it is not asked any more.
    """

    def __init__(
        self,
        target: str | int,
        *,
        limits_ms: tuple[int, int] | None = None,
        refused: Callable[[], SeamlineError],
        is_endless: Callable[[bool], bool],
    ) -> None:
        self._target = target
        self._limits_ms = limits_ms
        self._refused = refused
        self._is_endless = is_endless
        self._capture: Any = None
        self._gave_up = False

    def open(self) -> Opened:
        cv2 = require_opencv()
        self._gave_up = False
        arguments: list[Any] = [self._target]
        if self._limits_ms is not None:
            open_ms, read_ms = self._limits_ms
            limits = [cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, open_ms, cv2.CAP_PROP_READ_TIMEOUT_MSEC, read_ms]
            arguments += [cv2.CAP_FFMPEG, limits]
        try:
            capture = cv2.VideoCapture(*arguments)
        except cv2.error as exc:
            raise self._refused() from exc
        if not capture.isOpened():
            raise self._refused()
        self._capture = capture
        claimed_fps, n_frames = float(capture.get(cv2.CAP_PROP_FPS)), float(capture.get(cv2.CAP_PROP_FRAME_COUNT))
        n_promised = int(n_frames) if math.isfinite(n_frames) and 0 < n_frames < MOST_FRAMES else None
        # FFmpeg's backend makes up the count as duration x claimed rate where the container has none, so that their
        # ratio is the duration even where the claim is a time base
        is_known = n_promised is not None and math.isfinite(claimed_fps) and claimed_fps > 0
        fps = plausible_fps(claimed_fps)
        return Opened(
            claimed_fps=fps,
            n_promised=n_promised if fps else None,
            promised_s=n_promised / claimed_fps if n_promised is not None and is_known else None,
            is_endless=self._is_endless(n_promised is not None),
        )

    def grab(self) -> float | None:
        if self._gave_up:
            return None
        asked_s = now_s()
        try:
            is_there = self._capture.grab()
        except require_opencv().error:
            return None
        self._gave_up = self._limits_ms is not None and now_s() - asked_s >= self._limits_ms[1] / 1000.0
        if not is_there or self._gave_up:
            return None
        position_ms = float(self._capture.get(require_opencv().CAP_PROP_POS_MSEC))
        return position_ms / 1000.0 if math.isfinite(position_ms) else math.nan

    def picture(self) -> FrameArray | None:
        cv2 = require_opencv()
        try:
            found, frame = self._capture.retrieve()
            if not found or frame is None:
                return None
            from_colours = cv2.COLOR_GRAY2RGB if frame.ndim == 2 else cv2.COLOR_BGR2RGB
            return cast(FrameArray, cv2.cvtColor(frame, from_colours))
        except cv2.error:
            return None

    def close(self) -> None:
        if self._capture is not None:
            self._capture.release()
            self._capture = None


def file_device(path: str, shown: str) -> Device:
    """A video file at `path`."""

    def refused() -> UsageError:
        hint = "is it one, complete, and its codec a common one? An MP4 that was cut short has lost its index"
        return UsageError(f"`{shown}` cannot be read as video", hint=hint)

    return OpenCvDevice(path, refused=refused, is_endless=lambda _: False)


def camera_device(target: str | int, shown: str) -> Device:
    """A camera: its index, or its device file."""

    def refused() -> UsageError:
        hint = "0 is the first; is it plugged in, free, and may you read it (group video)?"
        return UsageError(f"there is no {shown}", hint=hint)

    return OpenCvDevice(target, refused=refused, is_endless=lambda _: True)


def pipe_device(target: str, shown: str) -> Device:
    """A pipe: a named one, or standard input."""

    def refused() -> UsageError:
        hint = "send a container that needs no seeking: MPEG-TS, Matroska, AVI, MJPEG"
        return UsageError(f"what comes through {shown} cannot be read as video", hint=hint)

    return OpenCvDevice(target, limits_ms=(PATIENT_MS, PATIENT_MS), refused=refused, is_endless=lambda _: False)
