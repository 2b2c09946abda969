"""How a long-running command waits for its end: Ctrl-C, SIGTERM, or the death of the process that started it.

The end itself is `seamline.cli.ending`'s."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

PARENT_CHECK_S = 0.25
DRAIN_S = 0.8
"""Answers that are due when a signal comes are waited for so long: a command ends within `ending.END_WITHIN_S`."""


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
def wait_for_end(parent_pid: int | None = None) -> Iterator[Callable[[], int]]:
    """Within it, signals to end are caught; the function it yields waits for one and returns its number.

    parent_pid: also end when that process is gone, with 0. Use it in the main thread.
    """
    ended = threading.Event()
    came = 0

    def end(number: int, frame: FrameType | None) -> None:
        nonlocal came
        came = number
        ended.set()

    def wait() -> int:
        while not ended.wait(None if parent_pid is None else PARENT_CHECK_S):
            if parent_pid is not None and not is_alive(parent_pid):
                break
        return came

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
