"""The streams that start at a node, as listeners: who hears of peers, links and frames."""

from __future__ import annotations

import threading
from concurrent.futures import Future
from typing import Protocol

from seamline.core.vocabulary.links import LinkEstimate
from seamline.core.vocabulary.nodes import NodeId
from seamline.core.vocabulary.ports import Array
from seamline.fabric import messages as msg


class Listener(Protocol):
    """A stream that hears of peers, links and frames; called on the node's threads: enqueue and return."""

    def on_peer(self, node: NodeId, alive: bool) -> None: ...

    def on_status(self, node: NodeId, status: msg.Status) -> None: ...

    def on_link(self, estimate: LinkEstimate) -> None: ...

    def on_result(self, source: NodeId, result: msg.ResultData, outputs: dict[str, Array]) -> None: ...

    def on_frame_failed(self, source: NodeId, failure: msg.FrameFailed) -> None: ...

    def switch_plan(self, source: NodeId, ask: msg.SwitchPlan) -> Future[bytes]: ...

    def set(self, source: NodeId, ask: msg.SetObjective) -> Future[str]: ...

    def brief(self) -> bytes: ...

    def look(self, ask: msg.LookAt) -> bytes: ...


class Listeners:
    """Listeners by the name of their stream; safe from any thread, and read without a lock."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._by_stream: dict[str, Listener] = {}  # replaced as a whole, never changed

    def add(self, stream: str, listener: Listener) -> None:
        with self._lock:
            self._by_stream = {**self._by_stream, stream: listener}

    def remove(self, stream: str) -> None:
        with self._lock:
            self._by_stream = {name: listener for name, listener in self._by_stream.items() if name != stream}

    def of(self, stream: str) -> Listener | None:
        """Return who hears of the frames of `stream`, if it starts here."""
        return self._by_stream.get(stream)

    def all(self) -> tuple[Listener, ...]:
        return tuple(self._by_stream.values())

    def streams(self) -> tuple[str, ...]:
        """Return the names of the streams that start here."""
        return tuple(self._by_stream)
