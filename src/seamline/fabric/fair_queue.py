"""Queue that serves its sources in turn, one item of each: a flood makes only its own sender wait.

Items of one source keep their order. What waits is limited, of one source and of all; not thread-safe.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Generic, TypeVar

_Item = TypeVar("_Item")


class FairQueue(Generic[_Item]):
    """Items by the name of their source. Limits are in what `size` gives for an item, by default 1."""

    def __init__(self, *, max_per_source: int, max_in_all: int, size: Callable[[_Item], int] = lambda _: 1) -> None:
        self._max_per_source, self._max_in_all = max_per_source, max_in_all
        self._size = size
        self._waiting: dict[str, deque[_Item]] = {}
        self._sizes: dict[str, int] = {}
        self._turns: deque[str] = deque()
        self.size_in_all = 0

    def __bool__(self) -> bool:
        return bool(self._turns)

    def put(self, source: str, item: _Item, *, is_kept: bool = False) -> bool:
        """Add `item` behind those of its source; False when there is no room. is_kept: it counts, and is never refused.

        An item goes in whatever its size when nothing of its source waits and all together have room.
        """
        size, own = self._size(item), self._sizes.get(source, 0)
        if not is_kept and ((own and own + size > self._max_per_source) or self.size_in_all + size > self._max_in_all):
            return False
        if source not in self._waiting:
            self._waiting[source] = deque()
            self._turns.append(source)
        self._waiting[source].append(item)
        self._sizes[source] = own + size
        self.size_in_all += size
        return True

    def take(self) -> _Item:
        """The oldest item of the source whose turn it is. Raises `IndexError` when nothing waits."""
        source = self._turns.popleft()
        waiting = self._waiting[source]
        item = waiting.popleft()
        size = self._size(item)
        self.size_in_all -= size
        if waiting:
            self._sizes[source] -= size
            self._turns.append(source)
        else:
            del self._waiting[source], self._sizes[source]
        return item

    def clear(self) -> None:
        self._waiting.clear()
        self._sizes.clear()
        self._turns.clear()
        self.size_in_all = 0
