"""Requests of many callers through one stream: each is a frame with a deadline, answered as soon as it is computed.

Theory of operation. A stream delivers answers in order, which is right for a camera; of independent requests none
should wait for another's answer. So each frame carries its own future, and only the way in is shared: requests wait
here, the one with the earliest deadline first, until the stream has room for a frame. One that could not be answered in
time, judged by the pace of the answers before it, is refused at once: the caller may go elsewhere while that helps. One
whose deadline passes while it waits is never computed.
"""

from __future__ import annotations

import heapq
import itertools
import threading
from collections.abc import Mapping
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from dataclasses import dataclass, field

from seamline.core.vocabulary.errors import SeamlineError, UsageError
from seamline.core.vocabulary.ports import Array, Tensors
from seamline.runtime.api.stream import Stream
from seamline.runtime.origin.input_adapter import InputAdapter
from seamline.runtime.origin.results import Result
from seamline.runtime.shared.clock import now_s

LOOK_S = 0.2
"""Between two looks at deadlines while the stream has no room."""

PACE_SHARE = 0.1
"""Of the newest interval between two answers, in the average of them."""


class Overloaded(SeamlineError):
    """More is asked than can be answered in time. retry_after_s: when there may be room again."""

    def __init__(self, message: str, retry_after_s: float) -> None:
        super().__init__(message, hint="ask again later, or less often")
        self.retry_after_s = retry_after_s


class DeadlineExceeded(SeamlineError):
    """The deadline of a request passed before its answer was there."""


class Ending(SeamlineError):
    """No request is taken any more."""


@dataclass(order=True, slots=True)
class _Request:
    deadline_s: float
    number: int
    tensors: Tensors = field(compare=False)
    answer: Future[Result] = field(compare=False)


class RequestQueue:
    """Takes requests for `stream`, whose `run` nobody calls meanwhile; safe from any thread.

    most_waiting: requests beyond those in flight; one more is refused.
    """

    def __init__(self, stream: Stream, *, most_waiting: int) -> None:
        self.stream = stream
        self._most_waiting = most_waiting
        self._adapter = InputAdapter(stream.model)
        self._numbers = itertools.count()
        self._changed = threading.Condition(threading.Lock())
        self._waiting: list[_Request] = []
        self._unanswered: dict[int, _Request] = {}
        self._is_closed = False
        self._pace_s = 0.0
        self._answered_s = 0.0
        self._showing = threading.Lock()
        self._thread = threading.Thread(target=self._feed, name=f"requests {stream.name}", daemon=True)
        self._thread.start()

    def submit(self, frame: Array | Mapping[str, Array], timeout_s: float) -> Future[Result]:
        """The answer to `frame`, to come within `timeout_s`, or `DeadlineExceeded`.

        Raises `UsageError` for what does not fit the model, `Overloaded` when it cannot be answered in time, and
        `Ending` after `close`.
        """
        if not timeout_s > 0.0:
            raise UsageError(f"a timeout of {timeout_s:g} s leaves no time", hint="give more, or none")
        tensors = self._adapter(frame)
        with self._changed:
            if self._is_closed:
                raise Ending("this server is ending", hint="ask another one")
            wait_s = self._pace_s * len(self._waiting)
            if len(self._waiting) >= self._most_waiting or wait_s > timeout_s:
                words = f"{len(self._waiting)} requests for `{self.stream.model.name}` wait, about {wait_s:.2f} s"
                raise Overloaded(words, retry_after_s=wait_s)
            request = _Request(now_s() + timeout_s, next(self._numbers), tensors, Future())
            if not self._unanswered:
                self._answered_s = now_s()  # an idle time is nobody's pace
            self._unanswered[request.number] = request
            heapq.heappush(self._waiting, request)
            self._changed.notify_all()
        return request.answer

    def end(self) -> None:
        """Take no more; does not wait for what was accepted, unlike `close`."""
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()

    def close(self, within_s: float) -> None:
        """Take no more; those accepted are answered, after `within_s` by `Ending`. Idempotent."""
        self.end()
        with self._changed:
            self._changed.wait_for(lambda: not self._unanswered, within_s)
            self._waiting.clear()
            left = tuple(self._unanswered.values())
        for request in left:
            self._fail(request, Ending("this server ended before there was an answer", hint="ask another one"))
        self._thread.join(LOOK_S * 2)

    # -- on its thread -------------------------------------------------------------------------------------------------

    def _feed(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._is_closed)
                if not self._waiting:
                    return
            has_room = self.stream.frames.wait_room(LOOK_S)
            for request in self._late():
                self._fail(request, DeadlineExceeded("the deadline passed before the request's turn came"))
            if has_room and (earliest := self._next()) is not None:
                self._begin(earliest)

    def _late(self) -> list[_Request]:
        """Requests that wait in vain, no longer; the earliest deadline is first."""
        late, now = [], now_s()
        with self._changed:
            while self._waiting and self._waiting[0].deadline_s <= now:
                late.append(heapq.heappop(self._waiting))
        return late

    def _next(self) -> _Request | None:
        with self._changed:
            return heapq.heappop(self._waiting) if self._waiting else None

    def _begin(self, request: _Request) -> None:
        def settle(result: Result) -> None:
            with self._showing:
                self._observe_pace()
                self.stream.show(result)
            self._over(request)
            with suppress(InvalidStateError):  # its caller has gone
                request.answer.set_result(result)

        while not request.answer.done() and now_s() < request.deadline_s:
            if self.stream.frames.put(request.tensors, timeout_s=LOOK_S, settle=settle):
                return
        self._fail(request, DeadlineExceeded("the deadline passed before there was room"))  # or its caller has gone

    def _fail(self, request: _Request, error: SeamlineError) -> None:
        self._over(request)
        with suppress(InvalidStateError):
            request.answer.set_exception(error)

    def _over(self, request: _Request) -> None:
        with self._changed:
            self._unanswered.pop(request.number, None)
            self._changed.notify_all()

    def _observe_pace(self) -> None:
        """An answer is here: how long after the one before, while there was something to do."""
        with self._changed:
            now = now_s()
            took_s, self._answered_s = now - self._answered_s, now
            self._pace_s += (took_s - self._pace_s) * (PACE_SHARE if self._pace_s else 1.0)
