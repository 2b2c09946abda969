"""How many bytes a path takes: window and chunk by what its credits say, a delay-based congestion control.

A chunk that left with n bytes in flight, itself included, and is credited after t seconds has crossed at n / t at
least. The window is aimed at what keeps `QUEUE_S` seconds of the path queued, and no more (FAST TCP, Wei et al. 2006,
eq. 3):

    window = n (shortest + QUEUE_S) / t

where `shortest` is the shortest t lately. It grows by half a round trip at the least while less than half of that is
queued, and shrinks as soon as two credits in a row say so: one may only have waited for a processor. A path in constant
use never shows its shortest time, so now and then it is left to drain (as BBR does).

A chunk is a quarter of `QUEUE_S` long: the first credit comes while the others are on their way, and what is urgent
waits behind little. On a fast path that is a whole frame.
"""

from __future__ import annotations

import math

QUEUE_S = 0.015
"""Of the path, that may wait: behind it a control message takes 20 ms both ways at 5 to 50 Mbit/s."""

FIRST_WINDOW_BYTES = 32 * 1024
LEAST_CHUNK_BYTES = 4 * 1024
LEAST_WINDOW_BYTES = 3 * LEAST_CHUNK_BYTES
MOST_CHUNK_BYTES = 2 << 20
MOST_WINDOW_BYTES = 8 << 20
"""1 Gbit/s over 50 ms."""

_GROWTH = 1.5
_LEAST_S = 1e-6
_SHORTEST_FOR_S = 10.0
"""How long a shortest time counts, and half of it at least."""


class Path:
    """Estimate of the path to one target, by its credits. Not thread-safe; has no clock."""

    def __init__(self) -> None:
        self.window_bytes = FIRST_WINDOW_BYTES
        self._shortest_s = math.inf
        self._since_s, self._newer_s = -math.inf, math.inf  # the shortest since then, which becomes the shortest of all
        self._alone_at_s = math.inf
        self._last_s = math.inf

    @property
    def chunk_bytes(self) -> int:
        """How long a chunk should be."""
        shortest_s = 0.0 if math.isinf(self._shortest_s) else self._shortest_s
        wanted = self.window_bytes * QUEUE_S / (4.0 * (shortest_s + QUEUE_S))
        return int(min(max(wanted, LEAST_CHUNK_BYTES), MOST_CHUNK_BYTES))

    def is_stale(self, now_s: float) -> bool:
        """Whether nothing should be sent before all is credited, so that the next chunk shows the shortest time."""
        return now_s - self._alone_at_s > _SHORTEST_FOR_S

    def credited(self, in_flight_bytes: int, took_s: float, now_s: float, *, is_alone: bool) -> None:
        """A chunk that left with so many bytes in flight, its own included, was credited after `took_s`.

        is_alone: they were all its own, so that it has waited behind none.
        """
        self._shorten(took_s, now_s, is_alone)
        likely_s, self._last_s = max(min(took_s, self._last_s), _LEAST_S), took_s
        ratio = (self._shortest_s + QUEUE_S) / likely_s
        if took_s - self._shortest_s <= QUEUE_S / 2.0:
            ratio = max(ratio, _GROWTH)
        wanted = min(max(int(in_flight_bytes * ratio), LEAST_WINDOW_BYTES), MOST_WINDOW_BYTES)
        self.window_bytes = max(self.window_bytes, wanted) if ratio >= 1.0 else min(self.window_bytes, wanted)

    def _shorten(self, took_s: float, now_s: float, is_alone: bool) -> None:
        if is_alone:
            self._alone_at_s = now_s
            self._newer_s = min(self._newer_s, took_s)
            if now_s - self._since_s > _SHORTEST_FOR_S / 2.0:
                self._shortest_s, self._newer_s, self._since_s = self._newer_s, math.inf, now_s
        self._shortest_s = min(self._shortest_s, took_s)
