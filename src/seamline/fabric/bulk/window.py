"""Flow-control window of one target: bulk bytes that may be in flight, reopened by the target's credits.

Zenoh blocks a put when its queue to a neighbour is full, and while it does, *nothing else* in the session moves: other
peers' messages, liveliness, even the lease that would end the wait. So bulk waits here, before Zenoh, where a lost peer
ends the wait at once. How large the window is follows the path, see `path.py`.
"""

from __future__ import annotations

import struct
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from seamline.core.vocabulary.errors import WireError
from seamline.fabric.bulk.path import Path

STALL_TIMEOUT_S = 10.0

Position = tuple[int, int]
"""(message number, end of the chunk in it): grows with every chunk sent to one target."""

_CREDIT = struct.Struct("<QQQ")


@dataclass(frozen=True, slots=True)
class _Chunk:
    """A chunk on its way. before_bytes: in flight with it when it left, its own included."""

    position: Position
    n_bytes: int
    before_bytes: int
    sent_s: float


class Window:
    """The bytes on their way to one target. Thread-safe; one thread at a time sends."""

    def __init__(
        self, *, stall_timeout_s: float = STALL_TIMEOUT_S, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._stall_timeout_s = stall_timeout_s
        self._clock = clock
        self._path = Path()
        self._in_flight: deque[_Chunk] = deque()
        self._in_flight_bytes = 0
        self._changed = threading.Condition(threading.Lock())

    @property
    def in_flight_bytes(self) -> int:
        return self._in_flight_bytes

    @property
    def limit_bytes(self) -> int:
        """What may be in flight now."""
        return self._path.window_bytes

    @property
    def chunk_bytes(self) -> int:
        """How long a piece of a message should be now."""
        return self._path.chunk_bytes

    def has_room(self, n_bytes: int) -> bool:
        """Whether `n_bytes` more may be sent now: into an empty window always."""
        if not self._in_flight:
            return True
        return self._in_flight_bytes + n_bytes <= self._path.window_bytes and not self._path.is_stale(self._clock())

    def wait_room(self, n_bytes: int, is_lost: Callable[[], bool]) -> bool:
        """Return True when `n_bytes` more may be sent (an empty window takes a chunk of any size).

        False when `is_lost()` becomes true, looked at after every `wake`, or no credit came for `stall_timeout_s`.
        """
        with self._changed:
            while not is_lost():
                if self.has_room(n_bytes):
                    return True
                oldest = self._in_flight[0]
                deadline_s = time.monotonic() + self._stall_timeout_s
                while not is_lost() and self._in_flight and self._in_flight[0] is oldest:
                    if not self._changed.wait(deadline_s - time.monotonic()):
                        return False
            return False

    def sent(self, position: Position, n_bytes: int) -> None:
        with self._changed:
            self._in_flight_bytes += n_bytes
            self._in_flight.append(_Chunk(position, n_bytes, self._in_flight_bytes, self._clock()))

    def credit(self, position: Position) -> None:
        """The target has taken the chunk at `position`, and will not see any before it again."""
        with self._changed:
            newest = None
            while self._in_flight and self._in_flight[0].position <= position:
                newest = self._in_flight.popleft()
                self._in_flight_bytes -= newest.n_bytes
            if newest is not None:
                now_s = self._clock()
                self._path.credited(newest.n_bytes, newest.before_bytes, now_s - newest.sent_s, now_s)
            self._changed.notify_all()

    def reset(self) -> None:
        """Forget what was in flight, which is lost, and what was known of the path."""
        with self._changed:
            self._in_flight.clear()
            self._in_flight_bytes = 0
            self._path = Path()
            self._changed.notify_all()

    def wake(self) -> None:
        """Have a waiter look at `is_lost` again."""
        with self._changed:
            self._changed.notify_all()


def pack_credit(incarnation: int, position: Position) -> bytes:
    """The message that credits `position` to the run `incarnation` of a sender."""
    return _CREDIT.pack(incarnation, *position)


def unpack_credit(payload: bytes) -> tuple[int, Position]:
    """(incarnation, position). Raises `WireError` for anything but a credit."""
    if len(payload) != _CREDIT.size:
        raise WireError(f"{len(payload)} bytes are not a credit")
    incarnation, number, end = _CREDIT.unpack(payload)
    return incarnation, (number, end)
