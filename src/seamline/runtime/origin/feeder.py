"""Feeds a source's frames into a stream at their pace, on a thread of its own.

A live source is played in real time and its newest frame wins; any other waits for room and drops nothing.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import closing
from typing import Any

from seamline.core.session.events import SourceEnded
from seamline.core.vocabulary.ports import Tensors
from seamline.runtime.origin.frames import StreamFrames
from seamline.runtime.origin.seen import Seen
from seamline.runtime.shared.clock import now_s
from seamline.runtime.sources.frames import SourceFrame, StampedSource

Shape = Callable[[Any], Tensors]
See = Callable[[Any], Seen | None]

MOST_PAUSE_S = 10.0
"""Between two frames of a recording: one whose clock jumps by a day is not waited for."""


class Feeder:
    """Reads `source` until it ends, `n_frames` were fed, `seconds` have passed, or `stop` is called.

    is_live: the newest frame wins; otherwise none is dropped, and what is recorded is read as fast as there is room.
    fps: of a source with a time line, at most so many frames a second of it are used, and a recording with fewer is
    played faster; of other frames, the pace they are fed at. None: the source's own. shape: turns a frame into the
    tensors of the model's first segment; wait_ready: whether it can within so many seconds. see: tells what is seen of
    its picture. ended: called once, with the error that ended the source early or None.
    """

    def __init__(
        self,
        source: StampedSource,
        frames: StreamFrames,
        shape: Shape,
        *,
        wait_ready: Callable[[float], bool] = lambda timeout_s: True,
        see: See = lambda _: None,
        is_live: bool,
        fps: float | None = None,
        n_frames: int | None = None,
        seconds: float | None = None,
        ended: Callable[[BaseException | None], None],
    ) -> None:
        self._source = source
        self._frames = frames
        self._shape = shape
        self._wait_ready = wait_ready
        self._see = see
        self._is_live = is_live
        self._n_frames = n_frames
        self._seconds = seconds
        self._ended = ended
        self._fps = fps
        self._stop = threading.Event()
        self._pace = _Pace(fps, source.fps, plays=is_live and not source.comes_by_itself)
        self._thread = threading.Thread(target=self._feed, name="feeder", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def end(self) -> None:
        """Read no more; does not wait for the thread, unlike `stop`."""
        self._stop.set()

    def stop(self) -> None:
        self.end()
        if self._thread.is_alive() and self._thread is not threading.current_thread():
            self._thread.join(timeout=0.5)

    def _feed(self) -> None:
        error: BaseException | None = None
        try:
            self._feed_all()
        except BaseException as exc:  # a caller's own source may raise anything, and the caller is to see it
            error = exc
        self._frames.handle(SourceEnded())
        self._ended(error)

    def _feed_all(self) -> None:
        started_s, n_fed = now_s(), 0
        with closing(self._source.read(self._fps, drop=self._is_live)) as frames:
            for frame in frames:
                if self._stop.is_set() or self._is_late(started_s):
                    return
                if frame is None:
                    continue
                self._stop.wait(max(0.0, started_s + self._pace.due_s(frame) - now_s()))
                if self._stop.is_set() or self._is_late(started_s) or not self._is_fed(frame):
                    return
                n_fed += 1
                if n_fed == self._n_frames:
                    return

    def _is_late(self, started_s: float) -> bool:
        return self._seconds is not None and now_s() - started_s >= self._seconds

    def _is_fed(self, frame: SourceFrame) -> bool:
        """Whether the frame was offered, or accepted before `stop`."""
        while not self._wait_ready(0.2):
            if self._stop.is_set():
                return False
        tensors, seen = self._shape(frame.data), self._see(frame.data)
        if self._is_live:
            self._frames.offer(tensors, frame.stamp, seen)
            return True
        while not self._frames.put(tensors, frame.stamp, seen, timeout_s=0.2):
            if self._stop.is_set():
                return False
        return True


class _Pace:
    """When each frame is fed, in seconds since the first.

    fps: asked for; own_fps: of the source, where it says. plays: a recording with a time line is played by it.
    """

    def __init__(self, fps: float | None, own_fps: float | None, *, plays: bool) -> None:
        self._period_s = None if fps is None else 1.0 / fps
        self._plays = plays
        self._stretch = min(1.0, own_fps / fps) if fps and own_fps else 1.0
        self._first_s: float | None = None
        self._last_s = 0.0
        self._shift_s = 0.0
        self._n_frames = 0

    def due_s(self, frame: SourceFrame) -> float:
        """Asked once for each frame, in order."""
        at_s, self._n_frames = frame.stamp.at_s, self._n_frames + 1
        if at_s is None:
            return 0.0 if self._period_s is None else (self._n_frames - 1) * self._period_s
        if not self._plays:
            return 0.0
        self._first_s = at_s if self._first_s is None else self._first_s
        due_s = (at_s - self._first_s) * self._stretch - self._shift_s
        self._shift_s += max(0.0, due_s - self._last_s - MOST_PAUSE_S)
        self._last_s = min(due_s, self._last_s + MOST_PAUSE_S)
        return self._last_s
