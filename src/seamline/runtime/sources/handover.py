"""Hands frames from the thread that reads a device to the thread that wants them.

A device may block for seconds where nobody can reach it (a camera that hangs, a pipe without a writer); the taker never
does. Of a camera the newest frame is kept, also while nobody takes any; of everything else the reader waits.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator

from seamline.runtime.sources.frames import SourceFrame

DEPTH = 2
"""Frames read ahead of what is not live: the next one is decoded while one is used."""


class Handover:
    """A short queue with one writer and one reader. `depth` frames fit.

    newest_only: asked at every frame; whether one that does not fit replaces the oldest. overtaken: told of each that
    was replaced.
    """

    def __init__(self, newest_only: Callable[[], bool], overtaken: Callable[[], None]) -> None:
        self._newest_only = newest_only
        self._overtaken = overtaken
        self._changed = threading.Condition()
        self._frames: deque[SourceFrame] = deque()
        self._is_closed = threading.Event()
        self._is_over = False
        self._error: BaseException | None = None

    # -- the thread that reads -----------------------------------------------------------------------------------------

    def pump(self, frames: Iterator[SourceFrame]) -> None:
        """Hand over all `frames`, then their end or the error that ended them."""
        error: BaseException | None = None
        try:
            for frame in frames:
                if not self._put(frame):
                    break
        except BaseException as exc:  # it is raised again where the frames are taken
            error = exc
        with self._changed:
            self._error, self._is_over = error, True
            self._changed.notify_all()

    def wait(self, seconds: float) -> bool:
        """Wait so long, or until nobody wants frames any more; whether that is so."""
        return self._is_closed.wait(seconds) if seconds else self._is_closed.is_set()

    def _put(self, frame: SourceFrame) -> bool:
        with self._changed:
            if self._newest_only():
                while self._frames:
                    self._frames.popleft()
                    self._overtaken()
            self._changed.wait_for(lambda: len(self._frames) < DEPTH or self._is_closed.is_set())
            self._frames.append(frame)
            self._changed.notify_all()
        return not self._is_closed.is_set()

    # -- the thread that takes -----------------------------------------------------------------------------------------

    def take(self, timeout_s: float) -> SourceFrame | None:
        """The next frame; None when none came in time. Raises `EndOfSource` at the end, or what ended the frames."""
        with self._changed:
            if self._wait_frame_locked(timeout_s) is None:
                return None
            frame = self._frames.popleft()
            self._changed.notify_all()
            return frame

    def first(self, timeout_s: float) -> SourceFrame | None:
        """The frame that `take` would give, which stays; the rest as `take`."""
        with self._changed:
            return self._wait_frame_locked(timeout_s)

    def close(self) -> None:
        """Want no more; the thread that reads ends as soon as its device lets it."""
        self._is_closed.set()
        with self._changed:
            self._changed.notify_all()

    def _wait_frame_locked(self, timeout_s: float) -> SourceFrame | None:
        self._changed.wait_for(lambda: self._frames or self._is_over, timeout_s)
        if self._frames:
            return self._frames[0]
        if self._error is not None:
            raise self._error
        if self._is_over:
            raise EndOfSource
        return None


class EndOfSource(Exception):
    """There are no more frames."""
