"""What a node's streams are asked by users, of this node or of others: another plan or setting, and what is to be seen.

Every question is a future here. Answers to other nodes leave by `reply`, those to this node are `peer_client.py`'s.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from typing import TypeVar

import zstandard

from seamline.core.vocabulary.errors import FabricError, SeamlineError, UsageError, WireError
from seamline.core.vocabulary.nodes import NodeId
from seamline.fabric import messages as msg
from seamline.runtime.shared.listeners import Listener, Listeners
from seamline.runtime.shared.worker import Worker

MAX_LOOKS = 256
"""Questions of those who look that may wait here."""

MAX_FOUND_BYTES = 1 << 23
"""Of one answer to those who look, unpacked."""

_Found = TypeVar("_Found")
_Answer = TypeVar("_Answer")


class StreamRequests:
    """Passes requests on to the stream that they are about, or answers that there is none.

    What is to be seen is put together on a thread of its own, which begins with the first who looks.
    """

    def __init__(self, listeners: Listeners, reply: Callable[[NodeId, msg.Message], None]) -> None:
        self._listeners = listeners
        self._reply = reply
        self._looking = Worker("looking")
        self._lock = threading.Lock()
        self._n_looks = 0

    def close(self) -> None:
        self._looking.close()

    # -- as futures ----------------------------------------------------------------------------------------------------

    def switch_plan(self, source: NodeId, ask: msg.SwitchPlan) -> Future[bytes]:
        """Settles with the switch's record as JSON."""
        return self._asked(ask.stream, lambda listener: listener.switch_plan(source, ask))

    def set(self, source: NodeId, ask: msg.SetObjective) -> Future[str]:
        """Settles with what was set before."""
        return self._asked(ask.stream, lambda listener: listener.set(source, ask))

    def look(self, ask: msg.LookAt) -> Future[bytes]:
        """Settles with JSON of `runtime.api.stream_state`: an array of all streams in brief, one stream, a preview."""
        with self._lock:
            if self._n_looks >= MAX_LOOKS:
                return failed(FabricError("too many look at this node at once", hint="look again in a moment"))
            self._n_looks += 1
        future = self._looking.submit(self._look, ask)
        future.add_done_callback(lambda _: self._looked())
        return future

    def _look(self, ask: msg.LookAt) -> bytes:
        if not ask.stream:
            return b"[" + b",".join(listener.brief() for listener in self._listeners.all()) + b"]"
        return self._listener(ask.stream).look(ask)

    def _looked(self) -> None:
        with self._lock:
            self._n_looks -= 1

    def _asked(self, stream: str, question: Callable[[Listener], Future[_Found]]) -> Future[_Found]:
        try:
            return question(self._listener(stream))
        except SeamlineError as error:
            return failed(error)

    def _listener(self, stream: str) -> Listener:
        listener = self._listeners.of(stream)
        if listener is None:
            streams = ", ".join(self._listeners.streams()) or "none"
            raise UsageError(
                f"no stream `{stream[:80]}` starts here", hint=f"`seamline nodes` lists them, here: {streams}"
            )
        return listener

    # -- of other nodes ------------------------------------------------------------------------------------------------

    def on_switch_plan(self, source: NodeId, ask: msg.SwitchPlan) -> None:
        self._answer(source, self.switch_plan(source, ask), lambda record, error: msg.PlanSwitched(
            ask.request_id, record=record, error=error
        ))  # fmt: skip

    def on_set(self, source: NodeId, ask: msg.SetObjective) -> None:
        self._answer(source, self.set(source, ask), lambda before, error: msg.ObjectiveChanged(
            ask.request_id, before=before, error=error
        ))  # fmt: skip

    def on_look(self, source: NodeId, ask: msg.LookAt) -> None:
        self._answer(source, self.look(ask), lambda found, error: msg.LookedAt(
            ask.request_id, found=None if found is None else zstandard.compress(found, 1), error=error
        ))  # fmt: skip

    def _answer(
        self, source: NodeId, asked: Future[_Found], message: Callable[[_Found | None, str | None], msg.Message]
    ) -> None:
        def reply(done: Future[_Found]) -> None:
            error = done.exception()
            answer = message(done.result(), None) if error is None else message(None, str(error))
            self._reply(source, answer)

        asked.add_done_callback(reply)


def unpacked(found: bytes) -> bytes:
    """What `LookedAt` has in it. Raises `WireError` for what is no such thing, or larger than it may be."""
    try:
        if not 0 <= zstandard.get_frame_parameters(found).content_size <= MAX_FOUND_BYTES:
            raise WireError(f"what was seen is larger than {MAX_FOUND_BYTES} bytes, or does not say its size")
        return zstandard.ZstdDecompressor().decompress(found)
    except zstandard.ZstdError as error:
        raise WireError(f"what was seen is damaged: {error}") from error


def failed(error: Exception) -> Future[_Found]:
    """A future that is settled with `error` already."""
    future: Future[_Found] = Future()
    future.set_exception(error)
    return future


def then(asked: Future[_Found], follows: Callable[[_Found], _Answer]) -> Future[_Answer]:
    """What `follows` makes of what `asked` settles with; its error is passed on."""
    future: Future[_Answer] = Future()

    def settle(done: Future[_Found]) -> None:
        with suppress(InvalidStateError):  # it was cancelled by whoever asked
            error = done.exception()
            if error is None:
                future.set_result(follows(done.result()))
            else:
                future.set_exception(error)

    asked.add_done_callback(settle)
    return future
