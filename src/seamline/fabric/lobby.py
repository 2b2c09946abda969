"""Lobby: what comes from a name that has no token yet waits here, and is taken in once the token has come.

Messages can overtake the token of their sender. Without one nobody is heard: what waits takes little memory, a little
of each name, and is dropped after a moment. A sender of bulk waits meanwhile too, because nothing of it is credited.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from seamline.core.vocabulary.nodes import NodeId
from seamline.fabric.inbox import Arrival

WAIT_S = 2.0
MAX_BYTES = 8 << 20
MAX_BYTES_PER_NAME = 1 << 20
MAX_NAMES = 64

_ARRIVAL_BYTES = 256
"""Of one that is empty, roughly: so that a flood of them is bounded too."""


@dataclass(slots=True)
class _Waiting:
    """Arrivals of one run of a name. since_s: of the first."""

    since_s: float
    arrivals: deque[Arrival] = field(default_factory=deque)
    n_bytes: int = 0


class Lobby:
    """Owner of arrivals whose sender has no token; not thread-safe. n_dropped: those without room, or too long here."""

    def __init__(self) -> None:
        self.n_dropped = 0
        self._waiting: dict[tuple[NodeId, str], _Waiting] = {}  # the first that came first
        self._n_bytes = 0

    def put(self, incarnation: str, arrival: Arrival, now_s: float) -> bool:
        """Keep `arrival` for a moment; False when there is no room for it."""
        self._expire(now_s)
        n_bytes = _ARRIVAL_BYTES + len(arrival.payload)
        key = (arrival.source, incarnation)
        held = self._waiting.get(key)
        is_full = held is None and len(self._waiting) >= MAX_NAMES
        if (
            is_full
            or n_bytes + (held.n_bytes if held else 0) > MAX_BYTES_PER_NAME
            or self._n_bytes + n_bytes > MAX_BYTES
        ):
            self.n_dropped += 1
            return False
        if held is None:
            held = self._waiting[key] = _Waiting(now_s)
        held.arrivals.append(arrival)
        held.n_bytes += n_bytes
        self._n_bytes += n_bytes
        return True

    def admit(self, source: NodeId, incarnation: str, now_s: float) -> tuple[Arrival, ...]:
        """The token of that run of `source` has come: what waited for it, in order."""
        self._expire(now_s)
        held = self._waiting.pop((source, incarnation), None)
        if held is None:
            return ()
        self._n_bytes -= held.n_bytes
        return tuple(held.arrivals)

    def _expire(self, now_s: float) -> None:
        while self._waiting:
            key, held = next(iter(self._waiting.items()))
            if now_s - held.since_s < WAIT_S:
                return
            del self._waiting[key]
            self._n_bytes -= held.n_bytes
            self.n_dropped += len(held.arrivals)
