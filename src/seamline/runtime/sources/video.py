"""A video as a source: a file, a camera, a pipe or an address; opened once, on first use, read on a thread."""

from __future__ import annotations

import threading
import time
import weakref
from collections.abc import Callable, Generator
from contextlib import closing

from seamline.core.vocabulary.errors import UsageError
from seamline.runtime.shared.clock import now_s
from seamline.runtime.sources.devices import Device, Kind
from seamline.runtime.sources.frames import SourceFrame, StampedSource
from seamline.runtime.sources.handover import EndOfSource, Handover
from seamline.runtime.sources.healing import Clocks, HealingReader
from seamline.runtime.sources.health import SourceFigures, SourceHealth
from seamline.runtime.sources.timeline import Pick

POLL_S = 0.2
"""How long `read` waits for a frame before it lets the reader look around."""

STALL_S = 5.0
"""Silence of a source that is there, from which on it is said and counted."""

CLOSE_S = 1.0
"""How long leaving a source waits for its device."""


class VideoSource(StampedSource):
    """A video file or pipe, played at its own pace, a camera, or what is at an address.

    make_device: makes the device anew for each reading. It is opened by whoever first asks for something of it, and
    stays open until it was read to its end, or `close`.
    """

    def __init__(self, name: str, kind: Kind, make_device: Callable[[], Device], *, loop: bool = False) -> None:
        self._kind = kind
        self._make_device = make_device
        self._loop = loop
        self._health = SourceHealth(name)
        self._reading: _Reading | None = None

    @property
    def name(self) -> str:
        return self._health.name

    @property
    def is_live(self) -> bool:
        """Always: what is recorded is played as if it were a camera."""
        return True

    @property
    def comes_by_itself(self) -> bool:
        return self._latest().is_endless

    @property
    def fps(self) -> float | None:
        """What the container claims, where that can be a rate; frames come by their timestamps all the same."""
        return self._latest().claimed_fps

    def first(self) -> SourceFrame | None:
        return self._latest().first

    def read(self, fps: float | None = None, *, drop: bool = True) -> Generator[SourceFrame | None, None, None]:
        reading = self._latest()
        if reading.has_begun:
            reading = self._anew()
        reading.begin(fps, newest_only=drop and reading.is_endless)
        silent_since_s = now_s()
        is_stalled = False
        try:
            while True:
                try:
                    frame = reading.handover.take(POLL_S)
                except EndOfSource:
                    return
                silent_s = now_s() - silent_since_s
                if frame is None:
                    if reading.is_lost:  # which is said and counted where it is reopened
                        self._health.count(out_s=silent_s if is_stalled else 0.0)
                        is_stalled, silent_since_s = False, now_s()
                    elif not is_stalled and silent_s >= STALL_S:
                        is_stalled = True
                        self._health.count(stalls=1)
                        self._health.say(f"stands still: no frame for {silent_s:.0f} s")
                elif is_stalled:
                    is_stalled = False
                    self._health.count(out_s=silent_s)
                    self._health.say(f"goes on after {silent_s:.1f} s")
                yield frame
                if frame is not None:
                    silent_since_s = now_s()
        finally:
            reading.close()

    def figures(self) -> SourceFigures:
        return self._health.figures()

    def close(self) -> None:
        """Give the device back, whoever reads it."""
        if self._reading is not None:
            self._reading.close()

    def _latest(self) -> _Reading:
        """The latest reading, begun or not: its device is open, its first frame is there or its end was reached.

        Raises `SeamlineError` when it cannot be opened.
        """
        if self._reading is None:
            return self._anew()
        self._reading.wait_first()
        return self._reading

    def _anew(self) -> _Reading:
        """Open the device for another reading."""
        if self._kind is Kind.PIPE and self._reading is not None:
            raise UsageError(f"`{self.name}` is a pipe, which can be read only once")
        self._reading = _Reading(self._make_device(), self._kind, self._health, loop=self._loop)
        weakref.finalize(self, self._reading.close)
        self._reading.wait_first()
        return self._reading


class _Reading:
    """A device being read on a thread of its own, which stops behind the first frame of what ends until `begin`."""

    def __init__(self, device: Device, kind: Kind, health: SourceHealth, *, loop: bool) -> None:
        self._health = health
        self._pick = Pick(None)
        self._newest_only: bool | None = None
        self._has_begun = threading.Event()
        self.handover = Handover(self._is_newest_only, self._overtaken)
        clocks = Clocks(now_s=now_s, unix_s=time.time, wait=self.handover.wait)
        self._reader = HealingReader(device, kind, health, clocks, loop=loop, wants=self._wants)
        self.first: SourceFrame | None = None
        self._thread = threading.Thread(target=self._pump, name=f"read {health.name}", daemon=True)
        self._thread.start()

    @property
    def has_begun(self) -> bool:
        return self._has_begun.is_set()

    @property
    def is_lost(self) -> bool:
        return self._reader.is_lost

    @property
    def is_endless(self) -> bool:
        return self._reader.opened is not None and self._reader.opened.is_endless

    @property
    def claimed_fps(self) -> float | None:
        return None if self._reader.opened is None else self._reader.opened.claimed_fps

    def begin(self, fps: float | None, *, newest_only: bool) -> None:
        """Frames are taken from now on, at most `fps` a second."""
        if fps is not None and not (self.claimed_fps and fps >= self.claimed_fps):
            pick = Pick(fps)
            if not self.is_endless:
                pick.wants(0.0)  # the first frame, which is here
            self._pick = pick
        self._newest_only = newest_only
        self._has_begun.set()

    def wait_first(self) -> None:
        """Until there is a frame, or an end. Raises what ended the reading before its first frame."""
        since_s, is_said = now_s(), False
        while self.first is None:
            try:
                self.first = self.handover.first(POLL_S)
            except EndOfSource:
                return
            if self.first is None and not is_said and now_s() - since_s >= STALL_S:
                is_said = True
                self._health.say("has no frame yet; waiting")

    def close(self) -> None:
        """Stop reading. A device that hangs keeps its thread, which ends with it, for as long as it does."""
        self.handover.close()
        self._has_begun.set()
        if self._thread is not threading.current_thread():
            self._thread.join(CLOSE_S)

    def _is_newest_only(self) -> bool:
        return self.is_endless if self._newest_only is None else self._newest_only

    def _overtaken(self) -> None:
        if self.has_begun:  # before, there is nobody to miss a frame
            self._health.count(overtaken=1)

    def _wants(self, number: int, at_s: float) -> bool:
        if number and not self.is_endless:
            self._has_begun.wait()
        return self._pick.wants(at_s)

    def _pump(self) -> None:
        frames = self._reader.frames()
        with closing(frames):
            self.handover.pump(frames)
