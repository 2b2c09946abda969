"""Compute queue of a node: whose stage is next, and which wait for each other to be run as one.

Order: urgent stages, then the others by deadline, the earliest first; of one deadline the one that came first. A
deadline is when the frame's origin wants its answer, so frames that have lost time on the way catch up, and what is
small beside its deadline goes before what is large; a frame without one is taken to want it after `USUAL_S`. A higher
priority halves the time that is left, so nobody starves. Frames of one stream stay in the order in which they came.

Batches: stages of one `key` may be run as one. The first in order takes those of its key along that wait anyway, up to
`most`. Only when nothing else waits and other streams bring frames of that key does it wait for them, `batch_wait_s` at
most and never into the last half of its time. Every job has its own answer; a batch that fails is run again singly by
whoever runs it.

The queue only says what runs; it is driven by `runtime.node.stages` with threads and by `sim.nodes` in virtual time.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Hashable
from dataclasses import dataclass
from heapq import heapify, heappop, heappush
from typing import Generic, TypeVar

Job = TypeVar("Job")

USUAL_S = 0.5
MOST_LEFT_S = 60.0
MOST_PRIORITY = 4
RIVAL_S = 1.0
"""A stream that has brought no frame of a key for so long is not waited for."""
MOST_KEYS = 64
"""Keys known at once: with another one, those that nobody has used lately are forgotten."""


@dataclass(frozen=True, slots=True, order=True)
class _Entry(Generic[Job]):
    rank: int
    deadline_s: float
    number: int
    arrived_s: float
    stream: str
    key: Hashable
    job: Job


class ComputeQueue(Generic[Job]):
    """Owner of what waits to be computed. batch_wait_s: 0.0 for no waiting; most: jobs of a batch, 1 for none."""

    def __init__(self, *, batch_wait_s: float = 0.0, most: int = 1) -> None:
        self._batch_wait_s, self._most = batch_wait_s, most
        self._entries: list[_Entry[Job]] = []
        self._numbers = itertools.count()
        self._of_stream: dict[str, tuple[int, float]] = {}  # how many wait, and the latest deadline of these
        self._seen_s: dict[Hashable, dict[str, float]] = {}

    def __len__(self) -> int:
        return len(self._entries)

    def put(
        self,
        job: Job,
        now_s: float,
        *,
        urgent: bool = False,
        left_s: float | None = None,
        priority: int = 0,
        stream: str = "",
        key: Hashable = None,
    ) -> None:
        """Let `job` wait. left_s: until its origin wants the answer. key: of what may be run as one, None for alone."""
        left_s = min(MOST_LEFT_S, max(0.0, USUAL_S if left_s is None else left_s))
        left_s /= 2.0 ** max(-MOST_PRIORITY, min(MOST_PRIORITY, priority))
        if key is not None and self._batch_wait_s:
            if key not in self._seen_s and len(self._seen_s) >= MOST_KEYS:
                self._seen_s = {known: by for known, by in self._seen_s.items() if now_s - max(by.values()) < RIVAL_S}
            if stream not in self._seen_s.get(key, ()):
                self._rivals(key, now_s)  # which forgets those that have gone
            self._seen_s.setdefault(key, {})[stream] = now_s
        deadline_s = now_s + left_s
        if stream and not urgent:
            n_before, last_s = self._of_stream.get(stream, (0, deadline_s))
            deadline_s = max(deadline_s, last_s)
            self._of_stream[stream] = n_before + 1, deadline_s
        number = next(self._numbers)
        heappush(self._entries, _Entry(0 if urgent else 1, deadline_s, number, now_s, stream, key, job))

    def take(self, now_s: float) -> list[Job]:
        """What is to be run now, as one; nothing while nothing waits, or the first waits for its batch."""
        if not self._entries or now_s < self.due_s(now_s):
            return []
        first = heappop(self._entries)
        if first.key is None or self._most <= 1:
            self._gone(first)
            return [first.job]
        along = sorted(entry for entry in self._entries if entry.key == first.key)[: self._most - 1]
        if along:
            taken = {entry.number for entry in along}
            self._entries = [entry for entry in self._entries if entry.number not in taken]
            heapify(self._entries)
        for entry in (first, *along):
            self._gone(entry)
        return [first.job, *(entry.job for entry in along)]

    def due_s(self, now_s: float) -> float:
        """Before this `take` finds nothing, should nothing more come; inf when nothing waits."""
        if not self._entries:
            return math.inf
        first = self._entries[0]
        if first.key is None or not self._batch_wait_s or first.rank == 0:
            return first.arrived_s
        mates = {entry.stream for entry in self._entries if entry.key == first.key}
        if len(mates) < len(self._entries) or len(self._entries) >= self._most:
            return first.arrived_s  # something else waits too, or the batch is full
        if not self._rivals(first.key, now_s) - mates:
            return first.arrived_s
        half_s = first.arrived_s + 0.5 * (first.deadline_s - first.arrived_s)
        return min(first.arrived_s + self._batch_wait_s, half_s)

    def drop_all(self) -> list[Job]:
        """Take everything out."""
        jobs = [entry.job for entry in sorted(self._entries)]
        self._entries.clear()
        self._of_stream.clear()
        return jobs

    def _gone(self, entry: _Entry[Job]) -> None:
        """An entry waits no more."""
        if entry.stream and entry.rank:
            n_waiting, last_s = self._of_stream[entry.stream]
            if n_waiting > 1:
                self._of_stream[entry.stream] = n_waiting - 1, last_s
            else:
                del self._of_stream[entry.stream]

    def _rivals(self, key: Hashable, now_s: float) -> set[str]:
        """Streams that have brought frames of `key` lately; others are forgotten."""
        seen = {stream: at_s for stream, at_s in self._seen_s.get(key, {}).items() if now_s - at_s < RIVAL_S}
        if seen:
            self._seen_s[key] = seen
        else:
            self._seen_s.pop(key, None)
        return set(seen)
