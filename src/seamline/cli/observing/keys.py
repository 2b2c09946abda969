"""Keys of a terminal, one at a time, without Enter; the terminal is as before when they are no longer read."""

from __future__ import annotations

import os
import select
import sys
import termios
import tty
from collections.abc import Callable, Iterator
from contextlib import contextmanager

UP, DOWN, ESCAPE = "up", "down", "\x1b"
_ARROWS = {"[A": UP, "[B": DOWN, "OA": UP, "OB": DOWN}
_SEQUENCE_S = 0.02
"""What follows an Escape within that is the rest of one key."""


@contextmanager
def reading_keys() -> Iterator[Callable[[float], str | None]]:
    """Within it, the function it yields waits so many seconds for a key: a letter, `UP` or `DOWN`, None for no key.

    Ctrl-C stays a signal. The end of the input is read as ``q``.
    """
    descriptor = sys.stdin.fileno()
    before = termios.tcgetattr(descriptor)
    tty.setcbreak(descriptor)
    try:
        yield lambda wait_s: _key(descriptor, wait_s)
    finally:
        termios.tcsetattr(descriptor, termios.TCSADRAIN, before)


def _key(descriptor: int, wait_s: float) -> str | None:
    if not _has_more(descriptor, wait_s):
        return None
    key = os.read(descriptor, 1).decode("ascii", "replace")
    if key != ESCAPE:
        return key or "q"
    rest = ""
    while len(rest) < 8 and _has_more(descriptor, _SEQUENCE_S):
        rest += os.read(descriptor, 1).decode("ascii", "replace")
        if "@" <= rest[-1] <= "~" and rest not in ("[", "O"):  # the final byte of a control sequence (ECMA-48)
            break
    return _ARROWS.get(rest)


def _has_more(descriptor: int, wait_s: float) -> bool:
    return bool(select.select([descriptor], [], [], wait_s)[0])
