"""A background worker for slow work: calls queued up, a future for each, and an end that does not wait for them.

One thread runs them one after the other; several where calls mostly wait, as for another node. A thread begins when a
call finds none idle.

`concurrent.futures` joins its threads when the interpreter ends, so that Ctrl-C during a long profile would hang.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, TypeVar

from seamline.core.vocabulary.errors import FabricError, PeerLost
from seamline.runtime.shared.clock import now_s

_Result = TypeVar("_Result")
_Call = tuple[Future[Any], Callable[[], Any]]


class Worker:
    """Runs calls in turn, on at most `n_threads` threads. `close` drops what has not begun, the rest ends by itself."""

    def __init__(self, name: str, n_threads: int = 1) -> None:
        self._calls: queue.SimpleQueue[_Call | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._closed = False
        self._name, self._n_threads = name, n_threads
        self._n_outstanding = 0
        self._threads: list[threading.Thread] = []

    def submit(self, function: Callable[..., _Result], *arguments: Any) -> Future[_Result]:
        """Call `function` soon; its result, or what it raises, settles the future: `PeerLost` after `close`, another
        `FabricError` where there is no memory for a first thread."""
        future: Future[_Result] = Future()
        with self._lock:
            try:
                if self._closed:
                    raise shutting_down()
                self._require_thread()
                self._calls.put((future, lambda: function(*arguments)))
                self._n_outstanding += 1
            except FabricError as error:
                future.set_exception(error)
        return future

    def _require_thread(self) -> None:
        """One more thread where another call needs it. Raises `FabricError` when none can be started and none is."""
        if len(self._threads) >= min(self._n_threads, self._n_outstanding + 1):
            return
        thread = threading.Thread(target=self._work, name=self._name, daemon=True)
        try:
            thread.start()
        except RuntimeError as error:
            if not self._threads:
                raise FabricError(f"`{self._name}` cannot work: {error}", hint="is memory short?") from error
            return
        self._threads.append(thread)

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
            self._call(future, function)
            del call, future, function

    def _call(self, future: Future[Any], function: Callable[[], Any]) -> None:
        result, failure = None, None
        try:
            result = function()
        except BaseException as error:  # whoever asked is told, whatever it was
            failure = error
        with self._lock:  # before anybody can have seen the result
            self._n_outstanding -= 1
        if failure is None:
            future.set_result(result)
        else:
            future.set_exception(failure)


def shutting_down() -> PeerLost:
    """The answer to whoever asks for something after the end."""
    return PeerLost("this node is shutting down")
