"""How many bytes a path takes: window and chunk by what its credits say, a delay-based congestion control.

A chunk that left with n bytes in flight, itself included, and is credited after t seconds has crossed at n / t at
least. The window is aimed at what keeps `QUEUE_S` seconds of the path queued, and no more (FAST TCP, Wei et al. 2006,
eq. 3):

    window = n (shortest + QUEUE_S) / t

where `shortest` is the least t of those that left alone lately, or shorter. It grows by half a round trip at the least
while less than half of that is queued. A single t says little, since a radio or a busy processor delays a chunk as a
queue does; but behind a queue all wait. So the window shrinks by the shortest t of a whole interval (as CoDel judges
queues). A path in constant use never shows its shortest time, so now and then it is left to drain (as BBR does).

A chunk is a quarter of `QUEUE_S` long: the first credit comes while the others are on their way, and what is urgent
waits behind little. On a fast path that is a whole frame.
"""

from __future__ import annotations

import math
from collections import deque

from seamline.core.vocabulary.ports import LEAST_CHUNK_BYTES, QUEUE_S

FIRST_WINDOW_BYTES = 32 * 1024
LEAST_WINDOW_BYTES = 3 * LEAST_CHUNK_BYTES
MOST_CHUNK_BYTES = 2 << 20
MOST_WINDOW_BYTES = 8 << 20
"""1 Gbit/s over 50 ms."""

_GROWTH = 1.5
_LEAST_S = 1e-6
_SHORTEST_FOR_S = 10.0
"""How long the time of a chunk that was alone counts."""

_SHORT_BYTES, _N_ALONE = 64 * 1024, 3
"""Chunks up to this size that were alone say how long the path is: the shortest of the last few."""

_INTERVAL_S, _LONG_INTERVAL_S, _N_OF_INTERVAL = 0.1, 0.5, 4
"""An interval ends after so long with so many credits, and after the longer time with any."""


class Path:
    """Estimate of the path to one target, by its credits. Not thread-safe; has no clock."""

    def __init__(self) -> None:
        self.window_bytes = FIRST_WINDOW_BYTES
        self._shortest_s = math.inf
        self._alone_at_s = math.inf
        self._alone: deque[float] = deque(maxlen=_N_ALONE)
        self._interval = _Interval(0.0)

    @property
    def chunk_bytes(self) -> int:
        """How long a chunk should be."""
        shortest_s = 0.0 if math.isinf(self._shortest_s) else self._shortest_s
        wanted = self.window_bytes * QUEUE_S / (4.0 * (shortest_s + QUEUE_S))
        return int(min(max(wanted, LEAST_CHUNK_BYTES), MOST_CHUNK_BYTES))

    def is_stale(self, now_s: float) -> bool:
        """Whether nothing should be sent before all is credited, so that the next chunk shows the shortest time."""
        return now_s - self._alone_at_s > _SHORTEST_FOR_S

    def credited(self, n_bytes: int, in_flight_bytes: int, took_s: float, now_s: float) -> None:
        """A chunk that left with so many bytes in flight, its own `n_bytes` included, was credited after `took_s`."""
        if n_bytes == in_flight_bytes:  # it has waited behind none
            self._alone_at_s = now_s
            if n_bytes <= _SHORT_BYTES:
                self._alone.append(took_s)
                self._shortest_s = min(self._alone)
        self._shortest_s = min(self._shortest_s, took_s)
        if took_s - self._shortest_s <= QUEUE_S / 2.0:
            self.window_bytes = max(self.window_bytes, self._wanted(in_flight_bytes, took_s, _GROWTH))
        elif took_s - self._shortest_s <= QUEUE_S:
            self.window_bytes = max(self.window_bytes, self._wanted(in_flight_bytes, took_s))
        interval = self._interval
        interval.credited(in_flight_bytes, took_s)
        if interval.is_over(now_s, self._shortest_s):
            if interval.shortest_s - self._shortest_s > QUEUE_S:
                wanted = self._wanted(interval.in_flight_bytes, interval.shortest_s)
                self.window_bytes = min(self.window_bytes, wanted)
            self._interval = _Interval(now_s)

    def _wanted(self, in_flight_bytes: int, took_s: float, least_ratio: float = 0.0) -> int:
        ratio = max((self._shortest_s + QUEUE_S) / max(took_s, _LEAST_S), least_ratio)
        return min(max(int(in_flight_bytes * ratio), LEAST_WINDOW_BYTES), MOST_WINDOW_BYTES)


class _Interval:
    """Credits since `begin_s`: the shortest time of them, and the bytes that were in flight then."""

    __slots__ = ("begin_s", "in_flight_bytes", "n_credits", "shortest_s")

    def __init__(self, begin_s: float) -> None:
        self.begin_s = begin_s
        self.shortest_s, self.in_flight_bytes, self.n_credits = math.inf, 0, 0

    def credited(self, in_flight_bytes: int, took_s: float) -> None:
        self.n_credits += 1
        if took_s < self.shortest_s:
            self.shortest_s, self.in_flight_bytes = took_s, in_flight_bytes

    def is_over(self, now_s: float, round_trip_s: float) -> bool:
        lasted_s = now_s - self.begin_s - round_trip_s
        return lasted_s >= _LONG_INTERVAL_S or (lasted_s >= _INTERVAL_S and self.n_credits >= _N_OF_INTERVAL)
