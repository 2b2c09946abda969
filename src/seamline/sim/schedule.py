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
    _entries: list[Entry] = field(default_factory=list)
    _numbers: itertools.count[int] = field(default_factory=itertools.count)

    def at(self, at_s: float, what: Callable[..., None], *arguments: Any) -> None:
        """`what(*arguments)` happens at `at_s`, or now if that has passed."""
        now_s = self.now_s
        heappush(self._entries, (at_s if at_s > now_s else now_s, next(self._numbers), what, arguments))

    def stop(self) -> None:
        """Nothing of what was planned happens any more."""
        self._entries.clear()

    def run(self, until_s: float) -> None:
        """Let everything happen up to `until_s`, or until `stop`."""
        entries = self._entries
        while entries:
            entry = heappop(entries)
            at_s, _, what, arguments = entry
            if at_s > until_s:
                heappush(entries, entry)
                return
            self.now_s = at_s
            what(*arguments)
