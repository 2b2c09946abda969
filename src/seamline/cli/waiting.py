"""How a long-running command ends: Ctrl-C, SIGTERM, or the death of the process that started it."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

PARENT_CHECK_S = 0.25


@contextmanager
def wait_for_end(parent_pid: int | None = None) -> Iterator[Callable[[], None]]:
    """Within it, signals to end are caught; the function it yields waits for one, and returns.

    parent_pid: also end when that process is gone. Use it in the main thread.
    """
    ended = threading.Event()

    def end(number: int, frame: FrameType | None) -> None:
        ended.set()

    def wait() -> None:
        while not ended.wait(PARENT_CHECK_S):
            if parent_pid is not None and not is_alive(parent_pid):
                return

    signals = (signal.SIGINT, signal.SIGTERM)
    before = {number: signal.signal(number, end) for number in signals}
    try:
        yield wait
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def is_alive(pid: int) -> bool:
    """Whether a process of that id exists."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
