"""Outlet: a sink on a thread of its own, behind a bounded queue, so that a slow one holds nothing up unseen.

Of a live source the oldest waiting answer goes when the queue is full, and is counted. Where no frame may be lost
(files, folders) whoever brings an answer waits for room, and the seconds are counted.

A sink that fails for good is said at once, and takes nothing any more; the stream and the other sinks go on.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated

from seamline.sinks.answered import AnsweredFrame
from seamline.sinks.sink import Sink, SinkError, StreamFacts

log = logging.getLogger(__name__)

N_WAITING = 128
WAITING_BYTES = 256 << 20
"""At most so many answers wait, and so many bytes of pictures and tensors: 40 pictures of 1080p."""

OPEN_TIMEOUT_S = 30.0
LOOK_S = 0.2


@dataclass(frozen=True, slots=True, kw_only=True)
class SinkFigures:
    """What became of a stream's answers at one sink."""

    name: Annotated[str, "where they went, without passwords"]
    written: Annotated[int, "answers that it took"]
    dropped: Annotated[int, "answers that it was too slow for, or that came after it had failed"]
    failed: Annotated[int, "answers that it could not write"]
    waited_s: Annotated[float, "seconds that frames of a file waited for it"]
    error: Annotated[str | None, "why it takes no more, null when it does"]


class Outlet:
    """Owner of one sink and its thread. `put` may be called by one thread at a time, `close` by any.

    waits: `put` waits for room instead of dropping. trouble: hears what went wrong, once for each kind.
    """

    def __init__(
        self, sink: Sink, facts: StreamFacts, *, waits: bool, trouble: Callable[[str], None], n_waiting: int = N_WAITING
    ) -> None:
        self.sink = sink
        self._facts = facts
        self._waits = waits
        self._trouble = trouble
        self._n_waiting = n_waiting
        self._queue: deque[AnsweredFrame] = deque()
        self._queued_bytes = 0
        self._changed = threading.Condition()
        self._opened = threading.Event()
        self._is_ending = self._is_hurried = self._is_writing = self._is_left = False
        self._open_error: BaseException | None = None
        self._n_written = self._n_dropped = self._n_failed = 0
        self._waited_s = 0.0
        self._error: str | None = None
        self._said: set[str] = set()
        self._thread = threading.Thread(target=self._run, name=f"sink {sink.name}", daemon=True)

    def open(self) -> None:
        """Start the thread and wait until the sink is open. Raises what its `open` raises."""
        self._thread.start()
        if not self._opened.wait(OPEN_TIMEOUT_S):
            raise SinkError(f"`{self.sink.name}` did not open within {OPEN_TIMEOUT_S:.0f} s")
        if self._open_error is not None:
            raise self._open_error

    def put(self, answered: AnsweredFrame) -> None:
        """Queue one answer. Never raises; see the module's docstring for what happens when there is no room."""
        with self._changed:
            if self._waits and not self._has_room(answered):
                began_s = time.monotonic()
                while not self._is_hurried and self._error is None and not self._has_room(answered):
                    self._changed.wait(LOOK_S)
                self._waited_s += time.monotonic() - began_s
            if self._error is not None:
                self._n_dropped += 1
                return
            while self._queue and not self._has_room(answered):
                self._queued_bytes -= self._queue.popleft().n_bytes
                self._n_dropped += 1
            self._queue.append(answered)
            self._queued_bytes += answered.n_bytes
            self._changed.notify_all()

    def hurry(self) -> None:
        """Let nobody wait for room any more. Safe in a signal handler: it takes no lock."""
        self._is_hurried = True

    def end(self) -> None:
        """No more answers come; those that wait are written, then the sink is closed, on its own thread."""
        with self._changed:
            self._is_ending = True
            self._changed.notify_all()

    def wait_closed(self, timeout_s: float) -> bool:
        """Whether the sink is closed within `timeout_s`; if not, what still waits is dropped."""
        self._thread.join(timeout_s)
        if not self._thread.is_alive():
            return True
        with self._changed:
            self._is_left = True
            self._n_dropped += len(self._queue) + self._is_writing
            self._queue.clear()
            self._queued_bytes = 0
            self._fail("it did not come to its end in time")
        return False

    def figures(self) -> SinkFigures:
        with self._changed:
            return SinkFigures(
                name=self.sink.name,
                written=self._n_written,
                dropped=self._n_dropped,
                failed=self._n_failed,
                waited_s=self._waited_s,
                error=self._error,
            )

    def _has_room(self, answered: AnsweredFrame) -> bool:
        """Always for one: a picture larger than all that may wait is written all the same."""
        n_bytes = self._queued_bytes + answered.n_bytes
        return not self._queue or (len(self._queue) < self._n_waiting and n_bytes <= WAITING_BYTES)

    # -- the sink's thread ----

    def _run(self) -> None:
        try:
            self.sink.open(self._facts)
        except BaseException as error:  # whoever opens it is to see it
            self._open_error = error
            self._opened.set()
            self._close()
            return
        self._opened.set()
        while (answered := self._next()) is not None:
            self._write(answered)
        self._close()

    def _next(self) -> AnsweredFrame | None:
        with self._changed:
            while not self._queue:
                if self._is_ending:
                    return None
                self._changed.wait()
            answered = self._queue.popleft()
            self._queued_bytes -= answered.n_bytes
            self._is_writing = True
            self._changed.notify_all()
            return answered

    def _write(self, answered: AnsweredFrame) -> None:
        try:
            self.sink.write(answered)
        except SinkError as error:
            self._failed(str(error), is_final=error.is_final)
        except OSError as error:
            self._failed(error.strerror or str(error), is_final=True)
        except Exception as error:  # a fault of ours ends this sink, not the stream
            log.exception("sink %s failed", self.sink.name)
            self._failed(f"{type(error).__name__}: {error}", is_final=True)
        else:
            with self._changed:
                self._n_written += not self._is_left
                self._is_writing = False

    def _failed(self, words: str, *, is_final: bool) -> None:
        with self._changed:
            self._n_failed += not self._is_left
            self._is_writing = False
            if is_final:
                self._n_dropped += len(self._queue)
                self._queue.clear()
                self._queued_bytes = 0
                self._fail(words)
                self._changed.notify_all()
        if words not in self._said:
            self._said.add(words)
            self._trouble(f"`{self.sink.name}`: {words}")

    def _fail(self, words: str) -> None:
        self._error = self._error or words

    def _close(self) -> None:
        try:
            self.sink.close()
        except (SinkError, OSError) as error:
            with self._changed:
                is_news = self._error is None
                self._fail(str(error))
            if is_news:
                self._trouble(f"`{self.sink.name}`: {error}")
        except Exception as error:
            log.exception("sink %s could not be closed", self.sink.name)
            with self._changed:
                self._fail(f"{type(error).__name__}: {error}")
