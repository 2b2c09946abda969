"""Feeds a source's frames into a stream at their pace, on a thread of its own.

A live source is played in real time and its newest frame wins; any other waits for room and drops nothing.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

from seamline.core.session.events import SourceEnded
from seamline.core.vocabulary.ports import FrameArray, Tensors
from seamline.runtime.origin.frames import StreamFrames
from seamline.runtime.shared.clock import now_s
from seamline.runtime.shared.sources import FrameSource

Shape = Callable[[FrameArray], Tensors]


class Feeder:
    """Reads `source` until it ends, `n_frames` were fed, `seconds` have passed, or `stop` is called.

    fps: pace of a live source, its own when None. shape: turns a frame into the tensors of the model's first segment;
    wait_ready: whether it can within so many seconds.
    ended: called once, with the error that ended the source early or None.
    """

    def __init__(
        self,
        source: FrameSource,
        frames: StreamFrames,
        shape: Shape,
        *,
        wait_ready: Callable[[float], bool] = lambda timeout_s: True,
        fps: float | None = None,
        n_frames: int | None = None,
        seconds: float | None = None,
        ended: Callable[[BaseException | None], None],
    ) -> None:
        self._source = source
        self._frames = frames
        self._shape = shape
        self._wait_ready = wait_ready
        self._own_fps = source.fps
        self._fps = fps or self._own_fps
        self._n_frames = n_frames
        self._seconds = seconds
        self._ended = ended
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._feed, name="feeder", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def end(self) -> None:
        """Read no more; does not wait for the thread, unlike `stop`."""
        self._stop.set()

    def stop(self) -> None:
        self.end()
        if self._thread.is_alive() and self._thread is not threading.current_thread():
            self._thread.join(timeout=5.0)

    def _feed(self) -> None:
        error: BaseException | None = None
        try:
            self._feed_all()
        except BaseException as exc:  # a caller's own source may raise anything, and the caller is to see it
            error = exc
        self._frames.handle(SourceEnded())
        self._ended(error)

    def _feed_all(self) -> None:
        started_s = now_s()
        stride = max(1.0, self._own_fps / self._fps) if self._own_fps and self._fps else 1.0
        n_fed = 0
        for frame in self._source.frames(stride):
            if self._stop.is_set():
                return
            if frame is not None and self._fps:
                self._stop.wait(max(0.0, started_s + n_fed / self._fps - now_s()))
            if self._seconds is not None and now_s() - started_s >= self._seconds:
                return
            if frame is None:  # nothing has come for a while
                continue
            while not self._wait_ready(0.2):
                if self._stop.is_set():
                    return
            tensors = self._shape(frame)
            if self._source.is_live:
                self._frames.offer(tensors)
            else:
                while not self._frames.put(tensors, timeout_s=0.2):
                    if self._stop.is_set():
                        return
            n_fed += 1
            if n_fed == self._n_frames:
                return
