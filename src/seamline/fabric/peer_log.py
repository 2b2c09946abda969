"""Log of complaints about peers: warnings whose number and length no peer decides."""

from __future__ import annotations

import logging
import threading
import time

from seamline.core.vocabulary.complaints import MAX_QUOTED, Complaints, quoted, with_unsaid
from seamline.core.vocabulary.nodes import NodeId

_MAX_LINE = 2 * MAX_QUOTED


class PeerLog:
    """Writer of warnings about peers, one per peer in a while; safe from any thread. n_unsaid: lines left out."""

    def __init__(self, log: logging.Logger) -> None:
        self._log = log
        self._complaints = Complaints()
        self._lock = threading.Lock()
        self.n_unsaid = 0

    def warn(self, peer: NodeId, words: str) -> None:
        """Write `words`, cut to a line, unless there was one about `peer` just now."""
        if (n_unsaid := self._due(peer)) is not None:
            self._log.warning("%s", with_unsaid(quoted(words, _MAX_LINE), n_unsaid))

    def fault(self, peer: NodeId, words: str) -> None:
        """The same with the exception that is being handled: what `peer` sent met a fault of ours."""
        if (n_unsaid := self._due(peer)) is not None:
            self._log.exception("%s", with_unsaid(quoted(words, _MAX_LINE), n_unsaid))

    def _due(self, peer: NodeId) -> int | None:
        with self._lock:
            n_unsaid = self._complaints.due(peer, time.monotonic())
            self.n_unsaid += n_unsaid is None
        return n_unsaid
