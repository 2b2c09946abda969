"""Virtual link, one direction of it, modelled as fluid: time in, arrivals out; no clock and no thread.

Messages cross one after the other at the rate of the moment, then spend the delay. Control overtakes bulk that has not
left yet, as with priorities and small send buffers on a real link. `memory.py` puts nodes at the ends.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from seamline.core.vocabulary.ports import Lane

T = TypeVar("T")

SAME_TIME_S = 1e-9
"""Rounding of sums of times: what is due within this is due."""


@dataclass(slots=True)
class VirtualLink(Generic[T]):
    """Queue of a link with what is crossing it, head first, as of `at_s`: (bits left, message) per lane."""

    at_s: float
    rate_bps: float = math.inf
    delay_s: float = 0.0
    last_arrival_s: float = -math.inf
    lanes: dict[Lane, deque[tuple[float, T]]] = field(default_factory=lambda: {lane: deque() for lane in Lane})

    def add(self, lane: Lane, n_bits: float, message: T) -> None:
        """`message` waits behind those of its lane. Call `flow` first, or the link was idle since `at_s`."""
        self.lanes[lane].append((n_bits, message))

    @property
    def waiting_bits(self) -> float:
        """Bulk that has not left yet."""
        return sum(bits for bits, _ in self.lanes[Lane.DATA])

    def next_end_s(self) -> float:
        """Time at which the message at the head has left, at the present rate; `math.inf` when nothing waits."""
        lane = self._head()
        return math.inf if lane is None else self.at_s + self.lanes[lane][0][0] / self.rate_bps

    def flow(self, now_s: float) -> list[tuple[float, T]]:
        """Carry until `now_s`; (time of arrival, message) of what left meanwhile. Arrivals keep their order."""
        arrived = []
        while (lane := self._head()) is not None and (end_s := self.next_end_s()) <= now_s + SAME_TIME_S:
            _, message = self.lanes[lane].popleft()
            self.at_s = end_s
            self.last_arrival_s = max(self.last_arrival_s, end_s + self.delay_s)
            arrived.append((self.last_arrival_s, message))
        if lane is not None and now_s > self.at_s:
            bits, message = self.lanes[lane][0]
            self.lanes[lane][0] = (bits - (now_s - self.at_s) * self.rate_bps, message)
        self.at_s = max(self.at_s, now_s)
        return arrived

    def clear(self) -> None:
        """Lose everything that has not left yet."""
        for waiting in self.lanes.values():
            waiting.clear()

    def _head(self) -> Lane | None:
        return next((lane for lane in (Lane.CONTROL, Lane.DATA) if self.lanes[lane]), None)
