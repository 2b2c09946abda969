"""Stalls: nodes that were missed for longer than a lease and are back as the same process, and what to do about it.

A link that stalls (Wi-Fi, mobile networks) or is so slow that one batch takes longer than the lease looks like a death.
The same process coming back proves that it was none, and how long the lease would have to be.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

LONGEST_STALL_S = 15.0
"""A node that was away for longer had an outage, which no lease should hide."""

LEASE_PER_STALL = 2.0

MAX_REMEMBERED = 4096
"""Names are whatever peers say; beyond that the longest remembered are forgotten."""


@dataclass(frozen=True, slots=True)
class Stall:
    """A node was silent for `silent_s` and is back."""

    node: str
    silent_s: float
    lease_s: float

    def __str__(self) -> str:
        advised_s = math.ceil(LEASE_PER_STALL * self.silent_s)
        return (
            f"`{self.node}` was silent for {self.silent_s:.1f} s and is back: its link stalls or is slow, or its "
            f"machine is busy; it counts as gone after {self.lease_s:g} s; "
            f"hint: start all nodes with --lease {advised_s}"
        )


class Stalls:
    """Watches tokens come and go. lease_s: after so much silence a token goes."""

    def __init__(self, lease_s: float) -> None:
        self._lease_s = lease_s
        self._went_s: dict[tuple[str, str], float] = {}
        self._told_s: dict[str, float] = {}

    def token(self, node: str, incarnation: str, alive: bool, now_s: float) -> Stall | None:
        """A token came or went; the stall that has ended with it, unless one as long was told of before."""
        if not alive:
            self._went_s.pop((node, incarnation), None)
            self._went_s[node, incarnation] = now_s
            self._forget(now_s)
            return None
        went_s = self._went_s.pop((node, incarnation), -math.inf)
        silent_s = now_s - went_s + self._lease_s
        if silent_s > LONGEST_STALL_S or silent_s <= 1.5 * self._told_s.get(node, 0.0):
            return None
        self._told_s[node] = silent_s
        if len(self._told_s) > MAX_REMEMBERED:
            del self._told_s[next(iter(self._told_s))]
        return Stall(node, silent_s, self._lease_s)

    def _forget(self, now_s: float) -> None:
        """Of tokens that went, oldest first: those too long ago, and those too many."""
        while self._went_s:
            oldest, went_s = next(iter(self._went_s.items()))
            if now_s - went_s <= LONGEST_STALL_S and len(self._went_s) <= MAX_REMEMBERED:
                return
            del self._went_s[oldest]
