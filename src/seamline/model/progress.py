"""Progress of long work as a port: whoever waits for it brings a spinner and a bar, or nothing."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import Protocol, TypeVar

Item = TypeVar("Item")


class Progress(Protocol):
    """Tells a person how far work is. The work goes on the same when nobody looks."""

    def working(self, what: str) -> AbstractContextManager[object]:
        """Held while `what` goes on, whose end is not foreseen."""

    def track(self, items: Iterable[Item], n_items: int, what: str) -> Iterator[Item]:
        """Yields `items`; each counts as done when the next is asked for."""


class Silent:
    """Progress that is reported to nobody."""

    def working(self, what: str) -> AbstractContextManager[object]:
        return nullcontext(what)

    def track(self, items: Iterable[Item], n_items: int, what: str) -> Iterator[Item]:
        return iter(items)


SILENT = Silent()
