"""Questions to other nodes that are still unanswered: request id -> future.

A question to a node that dies is answered with `PeerLost` at once, so that nobody waits for a ghost.
"""

from __future__ import annotations

import itertools
import threading
from concurrent.futures import Future
from typing import Any

from seamline.core.vocabulary.errors import PeerLost
from seamline.core.vocabulary.nodes import NodeId


class Requests:
    """Hands out request ids and settles the futures behind them; safe from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._ids = itertools.count(1)
        self._waiting: dict[int, tuple[NodeId, Future[Any]]] = {}
        self._closed = False

    def open(self, target: NodeId) -> tuple[int, Future[Any]]:
        """A fresh id and the future that its answer will settle; it is settled with `PeerLost` after `close`."""
        future: Future[Any] = Future()
        with self._lock:
            request_id = next(self._ids)
            if not self._closed:
                self._waiting[request_id] = (target, future)
                return request_id, future
        _finish(future, PeerLost("this node is shutting down"))
        return request_id, future

    def settle(self, request_id: int, source: NodeId, answer: object) -> None:
        """Deliver `answer`; one that nobody waits for, or from another node than was asked, is ignored."""
        with self._lock:
            waiting = self._waiting.get(request_id)
            if waiting is None or waiting[0] != source:
                return
            del self._waiting[request_id]
        _finish(waiting[1], answer)

    def fail(self, request_id: int, error: Exception) -> None:
        """Settle one question with `error` (it could not be sent, or took too long)."""
        with self._lock:
            waiting = self._waiting.pop(request_id, None)
        if waiting is not None:
            _finish(waiting[1], error)

    def peer_lost(self, node: NodeId) -> None:
        """Answer everything that was asked of `node` with `PeerLost`."""
        with self._lock:
            ids = [request_id for request_id, (target, _) in self._waiting.items() if target == node]
        for request_id in ids:
            self.fail(request_id, PeerLost(f"node `{node}` went away before it answered"))

    def close(self) -> None:
        with self._lock:
            self._closed = True
            ids = list(self._waiting)
        for request_id in ids:
            self.fail(request_id, PeerLost("this node is shutting down"))


def _finish(future: Future[Any], answer: object) -> None:
    if not future.set_running_or_notify_cancel():
        return
    if isinstance(answer, Exception):
        future.set_exception(answer)
    else:
        future.set_result(answer)
