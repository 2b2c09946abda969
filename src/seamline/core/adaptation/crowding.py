"""Crowding: streams that share nodes and know nothing of each other must not all flee to the same idle node.

Two streams that wait on one node see another idle, move there together, wait there, and move back. Each move is right
by what was known, and what was known is void as soon as both have moved. So moves whose only reason is waiting on nodes
(`Switch.is_by_load`) back off as stations on a shared medium do: the first is free, and after each one the plan stays
for a random time that grows fourfold. Whose time ends first moves alone, the others see less waiting and stay. Moves
for any other reason are free.
"""

from __future__ import annotations

import math
import zlib
from dataclasses import dataclass

FIRST_S = 4.0
GROWTH = 4.0
MOST_S = 256.0
FORGET_RATIO = 4.0
"""A plan that stayed for so many times its term has shown that the crowd has settled."""


@dataclass(frozen=True, slots=True)
class Crowding:
    """Since when a plan that was chosen by load serves, and how long it stays before the next move by load."""

    since_s: float = -math.inf
    term_s: float = 0.0

    def is_over(self, now_s: float) -> bool:
        """Whether the plan may be left because of waiting."""
        return now_s - self.since_s >= self.term_s


def after_move(known: Crowding, who: str, now_s: float) -> Crowding:
    """`known` after a move by load. who: what differs between streams, of which the random part is made."""
    is_settled = now_s - known.since_s >= FORGET_RATIO * known.term_s
    whole_s = FIRST_S if is_settled else min(GROWTH * known.term_s, MOST_S)
    share = zlib.crc32(f"{who} {now_s!r}".encode()) / 2**32
    return Crowding(now_s, whole_s * (0.5 + share))
