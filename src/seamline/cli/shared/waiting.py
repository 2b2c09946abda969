"""How a long-running command ends: Ctrl-C, SIGTERM, or the death of the process that started it."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

PARENT_CHECK_S = 0.25


def end_tidily() -> None:
    """From now on Ctrl-C and SIGTERM end the command the same way: once, through every `with` and `finally`.

    A second one while that goes on would break it off half-way (threads in C++ code, child processes), so it is only
    answered; the third ends the process at once. Use it in the main thread, first of all.
    """
    n_signals = 0

    def end(number: int, frame: FrameType | None) -> None:
        nonlocal n_signals
        n_signals += 1
        if n_signals > 2:
            os._exit(128 + number)
        if n_signals == 2:
            os.write(2, b"ending; once more ends it at once\n")  # print() is not safe within a signal handler
        elif number == signal.SIGINT:
            raise KeyboardInterrupt
        else:
            raise SystemExit(128 + number)

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, end)


@contextmanager
def draining(stop: Callable[[], None]) -> Iterator[Callable[[], int]]:
    """Within it, the first Ctrl-C or SIGTERM calls `stop` and lets the command go on to its end; a second one does not.

    Yields what tells the number of the signal that came, 0 for none. Use it in the main thread.
    """
    came = 0
    before: dict[int, Any] = {}

    def drain(number: int, frame: FrameType | None) -> None:
        nonlocal came
        came = number
        for each, handler in before.items():
            signal.signal(each, handler)
        stop()

    before = {number: signal.signal(number, drain) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: came
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


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
