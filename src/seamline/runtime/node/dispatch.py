"""The dispatcher of a node: finds the handler of every message that arrives, and no bad message ends the node.

What frames and link measurements wait for is handled at once, on the fabric's thread, and only enqueues: waking one
more thread takes about 0.3 ms there and back again when the node was idle. All else waits in the inbox for the
dispatcher's thread. Which message has which handler is the table in `handlers.py`; nothing here knows them.
"""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from seamline.core.vocabulary.errors import PeerLost, SeamlineError
from seamline.core.vocabulary.nodes import NodeId
from seamline.core.vocabulary.ports import Array
from seamline.fabric.messages import Message
from seamline.fabric.peer_log import PeerLog
from seamline.fabric.wire import unpack

log = logging.getLogger(__name__)

_OWN = NodeId("this-node")
"""In the log of complaints, for work that no peer asked for."""

Handler = Callable[[NodeId, Any, list[Array]], None]
"""Called with the sender, the header (of the type it stands for) and the tensors behind it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Handlers:
    """Handlers by the type of message: those called `at_once` must not block, those called `in_turn` may for a moment.

    A message in neither table is ignored.
    """

    at_once: Mapping[type[Message], Handler] = field(default_factory=dict)
    in_turn: Mapping[type[Message], Handler] = field(default_factory=dict)


class Dispatcher:
    """Owner of a node's inbox and of the thread that empties it."""

    def __init__(self) -> None:
        self._handlers = Handlers()
        self._peer_log = PeerLog(log)
        self._inbox: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
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
        self._inbox.put(None)
        if self._thread.is_alive():
            self._thread.join(timeout=3.0)

    def put(self, work: Callable[[], None]) -> None:
        """Do `work` on the dispatcher's thread, after what is in the inbox."""
        self._inbox.put(partial(self._guarded, _OWN, work))

    def on_message(self, source: NodeId, data: memoryview) -> None:
        """A message has arrived, on the fabric's thread."""
        self._guarded(source, partial(self._sort, source, data))

    def _sort(self, source: NodeId, data: memoryview) -> None:
        header, tensors = unpack(data)
        if (handler := self._handlers.at_once.get(type(header))) is not None:
            handler(source, header, tensors)
        elif (handler := self._handlers.in_turn.get(type(header))) is not None:
            self._inbox.put(partial(self._guarded, source, partial(handler, source, header, tensors)))

    def _dispatch(self) -> None:
        while (work := self._inbox.get()) is not None:
            work()

    def _guarded(self, source: NodeId, work: Callable[[], None]) -> None:
        """Do `work` for `source`; one bad message must not end the node, nor many of them fill its log."""
        try:
            work()
        except PeerLost as error:  # it asked and went away; those who wait for it are told when it is seen to be gone
            log.debug("%s", error)
        except SeamlineError as error:
            if self._leaving:
                log.debug("%s", error)
            else:
                self._peer_log.warn(source, str(error))
        except Exception:
            self._peer_log.fault(source, f"a message of `{source}` could not be handled")
