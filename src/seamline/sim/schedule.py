"""Virtual time: what happens next, in order of time and, at the same time, in the order it was planned."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass, field
from heapq import heappop, heappush
from typing import Any

Entry = tuple[float, int, Callable[..., None], tuple[Any, ...]]


@dataclass(slots=True)
class Schedule:
    """The clock of one simulated run."""

    now_s: float = 0.0
    _is_over: bool = False
    _entries: list[Entry] = field(default_factory=list)
    _numbers: itertools.count[int] = field(default_factory=itertools.count)

    def at(self, at_s: float, what: Callable[..., None], *arguments: Any) -> None:
        """`what(*arguments)` happens at `at_s`, or now if that has passed."""
        now_s = self.now_s
        heappush(self._entries, (at_s if at_s > now_s else now_s, next(self._numbers), what, arguments))

    def stop(self) -> None:
        """Nothing more happens."""
        self._is_over = True

    def run(self, until_s: float) -> None:
        """Let everything happen up to `until_s`, or until `stop`."""
        entries = self._entries
        while entries and entries[0][0] <= until_s and not self._is_over:
            self.now_s, _, what, arguments = heappop(entries)
            what(*arguments)
