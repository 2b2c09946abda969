"""News of a node in words, for whoever runs it: who joined and left, which streams began and ended, what failed.

They go to the logger ``seamline.news``, which `seamline node` shows; elsewhere nobody listens, and they are silent.
Everything else that is logged is for whoever looks for a fault.
"""

from __future__ import annotations

import logging
import threading
from collections import Counter

from seamline.core.vocabulary.complaints import quoted, with_unsaid
from seamline.core.vocabulary.nodes import NodeId
from seamline.core.vocabulary.plans import Plan
from seamline.fabric import messages as msg

LOGGER = logging.getLogger("seamline.news")

MAX_WORDS = 300
MAX_REASONS = 256
"""Of so many different failures repetitions are counted; the count begins anew when there are more."""

MAX_LINES, SPAN_S = 50, 10.0
"""Peers cause most lines, and can invent what they are about: no more than so many are written in that span."""


class Bounded(logging.Filter):
    """Lets `MAX_LINES` lines of a span pass; the first line of the next one says how many did not."""

    def __init__(self) -> None:
        super().__init__()
        self._since_s = 0.0
        self._n = 0

    def filter(self, record: logging.LogRecord) -> bool:
        if not 0.0 <= record.created - self._since_s < SPAN_S:  # the clock of the wall may be set back
            n_unsaid, self._since_s, self._n = max(0, self._n - MAX_LINES), record.created, 0
            record.msg, record.args = with_unsaid(record.getMessage(), n_unsaid), ()
        self._n += 1
        return self._n <= MAX_LINES


class News:
    """Says what happens to one node, and nothing twice; safe from any thread. node: its name."""

    def __init__(self, node: NodeId) -> None:
        self.node = node
        self._lock = threading.Lock()
        self._n_failures: Counter[tuple[str, str]] = Counter()

    def joined(self, peer: NodeId, status: msg.Status) -> None:
        """Another node is here and has said what it is."""
        threads = f"{status.threads} thread{'s' if status.threads != 1 else ''}"
        LOGGER.info("%s joined (%s, %s, %s)", peer, quoted(status.tier, 40), quoted(status.engine, 80), threads)

    def left(self, peer: NodeId) -> None:
        """Another node has left, died or fallen silent."""
        LOGGER.info("%s is gone", peer)

    def fetching(self, model_id: str, source: NodeId) -> None:
        LOGGER.info("model %s is fetched from %s", quoted(model_id[:12]), quoted(source, 80))

    def fetched(self, name: str, n_bytes: int) -> None:
        LOGGER.info("model %s is here (%.1f MB of weights)", quoted(name, 80), n_bytes / 1e6)

    def stream_began(self, stream: str, origin: NodeId, plan: Plan) -> None:
        """The first plan of a stream is ready here."""
        LOGGER.info("stream %s of %s began: %s", quoted(stream, 80), origin, quoted(str(plan)))

    def plan_ready(self, stream: str, plan: Plan) -> None:
        """Another plan of a stream is ready here."""
        LOGGER.info("stream %s: ready for %s", quoted(stream, 80), quoted(str(plan)))

    def stream_ended(self, stream: str) -> None:
        LOGGER.info("stream %s ended", quoted(stream, 80))

    def failed(self, what: str, stream: str, reason: object) -> None:
        """Something asked for by a stream could not be done; of repetitions the 10th, the 100th and so on are said."""
        words = quoted(" ".join(str(reason).split()), MAX_WORDS)
        with self._lock:
            if len(self._n_failures) > MAX_REASONS:
                self._n_failures.clear()
            self._n_failures[stream, words] += 1
            n_times = self._n_failures[stream, words]
        if str(n_times).strip("0") == "1":
            times = "" if n_times == 1 else f" ({n_times} times so far)"
            LOGGER.info("%s of %s failed on %s%s: %s", quoted(what), quoted(stream, 80), self.node, times, words)
