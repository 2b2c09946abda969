"""Lanes: which waiting work begins, so that no origin's work waits for another's.

Each origin has a lane of its own, first in, first out, of which so many jobs run at once. Lanes take turns, and all
together run no more than the node can bear. A job that several origins want waits in the lane of each and begins once.
"""

from __future__ import annotations

from collections import deque
from typing import Generic, TypeVar

from seamline.core.vocabulary.nodes import NodeId

Job = TypeVar("Job")


class Lanes(Generic[Job]):
    """Waiting and running jobs by origin. per_origin, in_all: how many run at once."""

    def __init__(self, *, per_origin: int, in_all: int) -> None:
        self._per_origin, self._in_all = per_origin, in_all
        self._waiting: dict[NodeId, deque[Job]] = {}
        self._running: dict[NodeId, list[tuple[Job, float]]] = {}

    @property
    def n_running(self) -> int:
        return sum(len(jobs) for jobs in self._running.values())

    def n_waiting(self, origin: NodeId) -> int:
        return len(self._waiting.get(origin, ()))

    def put(self, origin: NodeId, job: Job) -> None:
        """Let `job` wait for its turn."""
        self._waiting.setdefault(origin, deque()).append(job)

    def begin(self, now_s: float, *, most: int | None = None) -> list[Job]:
        """The jobs that begin now. most: run no more than so many at once, of all origins."""
        begun: list[Job] = []
        limit = self._in_all if most is None else min(most, self._in_all)
        n_running = self.n_running
        for origin in list(self._waiting):
            if n_running >= limit:
                break
            if len(self._running.get(origin, ())) >= self._per_origin:
                continue
            if origin not in self._waiting:
                continue  # all that it wanted has just begun in another lane
            jobs = self._waiting.pop(origin)
            job = jobs.popleft()
            if jobs:
                self._waiting[origin] = jobs  # behind the other lanes
            self.drop(job)
            self._running.setdefault(origin, []).append((job, now_s))
            begun.append(job)
            n_running += 1
        return begun + (self.begin(now_s, most=most) if begun else [])

    def done(self, job: Job) -> None:
        """`job` has ended; one that does not run is ignored."""
        for origin, jobs in list(self._running.items()):
            left = [running for running in jobs if running[0] != job]
            if left:
                self._running[origin] = left
            else:
                del self._running[origin]

    def drop(self, job: Job) -> None:
        """Take `job` out of every lane in which it waits."""
        for origin, jobs in list(self._waiting.items()):
            kept = deque(one for one in jobs if one != job)
            if kept:
                self._waiting[origin] = kept
            else:
                del self._waiting[origin]

    def drop_lane(self, origin: NodeId) -> list[Job]:
        """Take everything of one origin out that waits."""
        return list(self._waiting.pop(origin, ()))

    def begun_s(self) -> list[tuple[Job, float]]:
        """What runs, and since when."""
        return [running for jobs in self._running.values() for running in jobs]
