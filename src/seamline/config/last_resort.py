"""What must not outlive this process even when it is ended before it could close: child processes, temporary folders.

Whoever opens such a thing registers how it is given up at once, and withdraws that once it is closed.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

_open: list[Callable[[], None]] = []


def register(give_up: Callable[[], None]) -> None:
    """Call `give_up` when the process is ended at once. It must be quick and wait for no lock."""
    _open.append(give_up)


def withdraw(give_up: Callable[[], None]) -> None:
    """There is nothing left to give up."""
    with suppress(ValueError):
        _open.remove(give_up)


def give_up_all() -> None:
    """Give up everything that is still open; what fails is left."""
    while _open:
        with suppress(Exception):
            _open.pop()()
