"""Orders of a testbed to a process of its own, lines on that process's standard input.

    slowdown 8     computing takes eight times as long from now on
    begin          the frames may begin, where the process was told to wait for this

`NodeProcesses` writes them, `orders_from` follows them. Whatever else comes is logged and changes nothing.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Iterator

from seamline.core.vocabulary.errors import UsageError
from seamline.testbed.slowdown import Slowdown

BEGIN_LINE = "begin\n"
MAX_LINE_BYTES = 80
log = logging.getLogger(__name__)


class Orders:
    """What a testbed said so far. pace: the slowdown now. begun: set when frames may begin, or nobody will say so."""

    def __init__(self, slowdown: float) -> None:
        self.pace = Slowdown(slowdown)
        self.begun = threading.Event()


def slowdown_line(factor: float) -> str:
    """Line that `orders_from` parses."""
    return f"slowdown {factor:g}\n"


def orders_from(file_number: int, slowdown: float) -> Orders:
    """Orders that a thread takes from a pipe until it ends with the other side; `slowdown` at first.

    The pipe is read without Python's buffer: its lock would be held at the interpreter's end.
    """
    orders = Orders(slowdown)

    def follow() -> None:
        for line in _lines(file_number):
            _obey(orders, line)
        orders.begun.set()

    threading.Thread(target=follow, name="orders", daemon=True).start()
    return orders


def _lines(file_number: int) -> Iterator[str]:
    """Whole lines as they come; a longer one than anything meant for us is dropped, not kept."""
    unread = b""
    while chunk := os.read(file_number, 4096):
        *complete, unread = (unread + chunk).split(b"\n")
        unread = unread[:MAX_LINE_BYTES]
        for line in complete:
            yield line.decode("ascii", errors="replace")


def _obey(orders: Orders, line: str) -> None:
    word, _, value = line.partition(" ")
    try:
        if line == BEGIN_LINE.strip():
            orders.begun.set()
        elif word == "slowdown":
            orders.pace.set(float(value))
        else:
            raise ValueError(word)
    except (ValueError, UsageError) as exc:
        log.warning("`%s` is no order: %s", line[:MAX_LINE_BYTES], exc)
