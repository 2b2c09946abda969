"""Questions to other nodes: each is sent with a request id, and its future is settled by the answer or by an error.

A question to a node that dies is answered with `PeerLost` at once, so that nobody waits for a ghost.
"""

from __future__ import annotations

import itertools
import secrets
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

from seamline.core.vocabulary.errors import PeerLost, SeamlineError
from seamline.core.vocabulary.nodes import NodeId
from seamline.fabric.messages import Message
from seamline.runtime.shared.worker import shutting_down


class Requests:
    """Sends questions and settles the futures behind them; safe from any thread. send: raises `SeamlineError`."""

    def __init__(self, send: Callable[[NodeId, Message], None]) -> None:
        self._send = send
        self._lock = threading.Lock()
        self._ids = itertools.count(secrets.randbits(48))  # an answer is to a question that its sender has seen
        self._waiting: dict[int, tuple[NodeId, Future[Any]]] = {}
        self._closed = False

    def ask(self, target: NodeId, question: Callable[[int], Message]) -> Future[Any]:
        """Send the message that `question` makes of a fresh request id; the future is settled by `settle`.

        It is settled with the error of sending when that fails, with `PeerLost` when `target` goes and after `close`.
        """
        answer: Future[Any] = Future()
        with self._lock:
            request_id, is_closed = next(self._ids), self._closed
            if not is_closed:
                self._waiting[request_id] = (target, answer)
        if is_closed:
            _finish(answer, shutting_down())
            return answer
        try:
            self._send(target, question(request_id))
        except SeamlineError as error:
            self._fail(request_id, error)
        return answer

    def settle(self, request_id: int, source: NodeId, answer: object) -> None:
        """Deliver `answer`; one that nobody waits for, or from another node than was asked, is ignored."""
        with self._lock:
            waiting = self._waiting.get(request_id)
            if waiting is None or waiting[0] != source:
                return
            del self._waiting[request_id]
        _finish(waiting[1], answer)

    def on_peer(self, node: NodeId, alive: bool) -> None:
        """A node came or went; whatever was asked of one that went is answered with `PeerLost`."""
        if alive:
            return
        with self._lock:
            ids = [request_id for request_id, (target, _) in self._waiting.items() if target == node]
        for request_id in ids:
            self._fail(request_id, PeerLost(f"node `{node}` went away before it answered"))

    def close(self) -> None:
        """Answer everything with `PeerLost`, now and from now on."""
        with self._lock:
            self._closed = True
            ids = list(self._waiting)
        for request_id in ids:
            self._fail(request_id, shutting_down())

    def _fail(self, request_id: int, error: Exception) -> None:
        with self._lock:
            waiting = self._waiting.pop(request_id, None)
        if waiting is not None:
            _finish(waiting[1], error)


def _finish(future: Future[Any], answer: object) -> None:
    if not future.set_running_or_notify_cancel():
        return
    if isinstance(answer, Exception):
        future.set_exception(answer)
    else:
        future.set_result(answer)
