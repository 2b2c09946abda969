"""The dispatcher of a node: finds the handler of every message that arrives, and no bad message ends the node.

What frames and link measurements wait for is handled at once, on the fabric's thread, and only enqueues: waking one
more thread takes about 0.3 ms there and back again when the node was idle. All else waits in the inbox for the
dispatcher's thread, which serves the senders in turn: so much of each waits and no more. Which message has which
handler is the table in `handlers.py`, who may send it `rights.py`; nothing here knows them.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from seamline.core.vocabulary.errors import PeerLost, SeamlineError, WireError, WireVersion
from seamline.core.vocabulary.nodes import NodeId
from seamline.core.vocabulary.ports import Array
from seamline.fabric.fair_queue import FairQueue
from seamline.fabric.messages import Message
from seamline.fabric.peer_log import PeerLog
from seamline.fabric.wire import unpack

log = logging.getLogger(__name__)

_OWN = NodeId("this-node")
"""In the log of complaints and in the inbox, for work that no peer asked for."""

MAX_WAITING_PER_SOURCE = 1024
MAX_WAITING = 16384
"""Messages in the inbox; a node that takes its time for each sends some ten a second."""

Handler = Callable[[NodeId, Any, list[Array]], None]
"""Called with the sender, the header (of the type it stands for) and the tensors behind it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Handlers:
    """Handlers by the type of message: those called `at_once` must not block, those called `in_turn` may for a moment.

    A message in neither table is ignored. why_not: asked of every message before, with its sender and type: why that
    one may not send it, None when it may.
    """

    why_not: Callable[[NodeId, type[Message]], str | None] = lambda source, kind: None
    at_once: Mapping[type[Message], Handler] = field(default_factory=dict)
    in_turn: Mapping[type[Message], Handler] = field(default_factory=dict)


MAX_FOREIGN = 64
"""So many are told apart."""


class Dispatcher:
    """Owner of a node's inbox and of the thread that empties it. n_refused: messages that were not handled: damaged,
    senseless, not theirs to send, or more of one sender than may wait. foreign: in words, of peers with another
    wire version."""

    def __init__(self) -> None:
        self.n_refused = 0
        self.foreign: dict[NodeId, str] = {}
        self._handlers = Handlers()
        self._peer_log = PeerLog(log)
        self._inbox: FairQueue[Callable[[], None]] = FairQueue(
            max_per_source=MAX_WAITING_PER_SOURCE, max_in_all=MAX_WAITING
        )
        self._has_work = threading.Condition()
        self._ending = False
        self._thread = threading.Thread(target=self._dispatch, name="dispatch", daemon=True)
        self._leaving = False

    def start(self, handlers: Handlers) -> None:
        """Handle messages by `handlers` from now on."""
        self._handlers = handlers
        self._thread.start()

    def leave(self) -> None:
        """From now on what fails does so because the node is leaving, and that is no news."""
        self._leaving = True

    def close(self) -> None:
        """Handle what is in the inbox already, then end the thread."""
        with self._has_work:
            self._ending = True
            self._has_work.notify()
        if self._thread.is_alive():
            self._thread.join(timeout=0.5)

    def put(self, work: Callable[[], None], about: NodeId = _OWN) -> None:
        """Do `work` on the dispatcher's thread, behind what `about` has sent: with it, and never refused."""
        self._put(about, partial(self._guarded, about, work), is_kept=True)

    def on_message(self, source: NodeId, data: memoryview) -> None:
        """A message has arrived, on the fabric's thread."""
        self._guarded(source, partial(self._sort, source, data))

    def _sort(self, source: NodeId, data: memoryview) -> None:
        try:
            header, tensors = unpack(data)
        except WireError as error:
            if isinstance(error, WireVersion) and len(self.foreign) < MAX_FOREIGN:
                self.foreign[source] = error.message
            raise WireError(f"a message of `{source}` is refused: {error}") from error
        kind = type(header)
        if (why_not := self._handlers.why_not(source, kind)) is not None:
            raise WireError(f"`{source}` sent a {kind.__name__}, which is not its to send: {why_not}")
        if (handler := self._handlers.at_once.get(kind)) is not None:
            handler(source, header, tensors)
        elif (handler := self._handlers.in_turn.get(kind)) is not None:
            work = partial(self._guarded, source, partial(handler, source, header, tensors))
            if not self._put(source, work):
                raise WireError(
                    f"more messages of `{source}` wait than one node may have: a {kind.__name__} is dropped"
                )

    def _put(self, source: NodeId, work: Callable[[], None], *, is_kept: bool = False) -> bool:
        with self._has_work:
            is_in = self._inbox.put(source, work, is_kept=is_kept)
            self._has_work.notify()
        return is_in

    def _dispatch(self) -> None:
        while (work := self._next()) is not None:
            work()

    def _next(self) -> Callable[[], None] | None:
        with self._has_work:
            self._has_work.wait_for(lambda: self._inbox or self._ending)
            return self._inbox.take() if self._inbox else None

    def _guarded(self, source: NodeId, work: Callable[[], None]) -> None:
        """Do `work` for `source`; one bad message must not end the node, nor many of them fill its log."""
        try:
            work()
        except PeerLost as error:  # it asked and went away; those who wait for it are told when it is seen to be gone
            log.debug("%s", error)
        except SeamlineError as error:
            self.n_refused += 1
            if self._leaving:
                log.debug("%s", error)
            else:
                self._peer_log.warn(source, str(error))
        except Exception:
            self.n_refused += 1
            self._peer_log.fault(source, f"a message of `{source}` could not be handled")
