"""Flow-control window of one target: bulk bytes that may be in flight, reopened by the target's credits.

Zenoh blocks a put when its queue to a neighbour is full, and while it does, *nothing else* in the session moves: other
peers' messages, liveliness, even the lease that would end the wait (measured: one put to a stopped process froze all
of it for the whole `wait_before_close`). So bulk waits here, before Zenoh, where a lost peer ends the wait at once.
"""

from __future__ import annotations

import struct
import threading
import time
from collections import deque
from collections.abc import Callable

from seamline.core.vocabulary.errors import WireError

WINDOW_BYTES = 384 * 1024
"""Six chunks. Zenoh's queue per neighbour takes 512 KiB and the kernel's buffer some more.

What fits in crosses at the link's rate: a frame of 60 kB needs no more on any link. A longer message gets a window per
round trip: 31 Mbit/s over 100 ms, whatever the link carries (100 Mbit/s over 100 ms would need 1.25 MB).
Probes stay below it, so an estimate may be above what such messages get until two of them have crossed. A larger window
would have to wait in Zenoh's queue when the link falls, where a put blocks the whole session."""

STALL_TIMEOUT_S = 10.0

Position = tuple[int, int]
"""(message number, end of the chunk in it): grows with every chunk sent to one target."""

_CREDIT = struct.Struct("<QQQ")


class Window:
    """The bytes on their way to one target. Thread-safe; one thread at a time sends."""

    def __init__(self, *, limit_bytes: int = WINDOW_BYTES, stall_timeout_s: float = STALL_TIMEOUT_S) -> None:
        self._limit_bytes = limit_bytes
        self._stall_timeout_s = stall_timeout_s
        self._in_flight: deque[tuple[Position, int]] = deque()
        self._in_flight_bytes = 0
        self._changed = threading.Condition()

    @property
    def in_flight_bytes(self) -> int:
        return self._in_flight_bytes

    def wait_room(self, n_bytes: int, is_lost: Callable[[], bool]) -> bool:
        """Return True when `n_bytes` more may be sent (an empty window takes a chunk of any size).

        False when `is_lost()` becomes true, looked at after every `wake`, or no credit came for `stall_timeout_s`.
        """
        with self._changed:
            while not is_lost():
                if not self._in_flight or self._in_flight_bytes + n_bytes <= self._limit_bytes:
                    return True
                oldest = self._in_flight[0]
                deadline_s = time.monotonic() + self._stall_timeout_s
                while not is_lost() and self._in_flight and self._in_flight[0] == oldest:
                    if not self._changed.wait(deadline_s - time.monotonic()):
                        return False
            return False

    def sent(self, position: Position, n_bytes: int) -> None:
        with self._changed:
            self._in_flight.append((position, n_bytes))
            self._in_flight_bytes += n_bytes

    def credit(self, position: Position) -> None:
        """The target has taken the chunk at `position`, and will not see any before it again."""
        with self._changed:
            while self._in_flight and self._in_flight[0][0] <= position:
                self._in_flight_bytes -= self._in_flight.popleft()[1]
            self._changed.notify_all()

    def reset(self) -> None:
        """Forget what was in flight: it is lost."""
        with self._changed:
            self._in_flight.clear()
            self._in_flight_bytes = 0
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
