"""A background worker for slow work: calls queued up, a future for each, and an end that does not wait for them.

One thread runs them one after the other; several where calls mostly wait, as for another node.

`concurrent.futures` joins its threads when the interpreter ends, so that Ctrl-C during a long profile would hang.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, TypeVar

from seamline.core.vocabulary.errors import PeerLost
from seamline.runtime.shared.clock import now_s

_Result = TypeVar("_Result")
_Call = tuple[Future[Any], Callable[[], Any]]


class Worker:
    """Runs calls in turn, on `n_threads` threads. `close` drops what has not begun; what has begun ends by itself."""

    def __init__(self, name: str, n_threads: int = 1) -> None:
        self._calls: queue.SimpleQueue[_Call | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._closed = False
        self._threads = [threading.Thread(target=self._work, name=name, daemon=True) for _ in range(n_threads)]
        for thread in self._threads:
            thread.start()

    def submit(self, function: Callable[..., _Result], *arguments: Any) -> Future[_Result]:
        """Call `function` soon; its result, or what it raises, settles the future: `PeerLost` after `close`."""
        future: Future[_Result] = Future()
        with self._lock:
            if not self._closed:
                self._calls.put((future, lambda: function(*arguments)))
                return future
        future.set_exception(shutting_down())
        return future

    def close(self, timeout_s: float = 0.3) -> None:
        """Begin nothing more; calls that wait are answered with `PeerLost`."""
        with self._lock:
            self._closed = True
        for _ in self._threads:
            self._calls.put(None)
        until_s = now_s() + timeout_s
        for thread in self._threads:
            if thread is not threading.current_thread():
                thread.join(max(0.0, until_s - now_s()))

    def _work(self) -> None:
        while (call := self._calls.get()) is not None:
            future, function = call
            if self._closed:
                future.set_exception(shutting_down())
                continue
            try:
                result = function()
            except BaseException as error:  # whoever asked is told, whatever it was
                future.set_exception(error)
            else:
                future.set_result(result)
            del call, future, function


def shutting_down() -> PeerLost:
    """The answer to whoever asks for something after the end."""
    return PeerLost("this node is shutting down")
