"""Node model: one compute queue, the segments held by generation, and what can befall a machine.

A node runs one stage after the other, urgent ones first, else in order of arrival, and answers for nothing else: whose
frames they are, and where results go, is `driver.py`'s. It holds segments by generation; a frame of one that it does
not hold cannot be run. A death loses the queue and all segments, and what comes back is another incarnation. A hang
stops the queue and loses nothing.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from seamline.core.session.events import LOCAL_GENERATION
from seamline.core.speed import load
from seamline.core.vocabulary.nodes import NodeId, Tier
from seamline.core.vocabulary.plans import Plan
from seamline.sim.network import Schedule
from seamline.sim.stage_work import StageWork


@dataclass(slots=True)
class Spent:
    """Report of one stage; see `core.session.events.StageSpent`."""

    node: NodeId
    queue_s: float
    compute_s: float
    sent_bytes: int


@dataclass(slots=True)
class Attempt:
    """One attempt of a frame on its way. offered: the frame's number at the source. stage_works: its stages."""

    frame: int
    attempt: int
    generation: int
    plan: Plan
    stage_works: Sequence[StageWork]
    offered: int
    reports: list[Spent] = field(default_factory=list)


@dataclass(slots=True)
class StageJob:
    """Stage number `at` of an attempt, in a node's queue since `arrived_s`. took_s, compute_s: known once it runs."""

    way: Attempt
    at: int
    arrived_s: float
    began_s: float = 0.0
    took_s: float = 0.0
    compute_s: float = 0.0


@dataclass(slots=True)
class Chore:
    """What a node computes besides frames. done: told when it is through."""

    took_s: float
    done: Callable[[], None]


class SimNode:
    """A machine of a run. starts: asked as the turn of a stage comes, how long it takes; None when it is not wanted.

    done: told of every stage that is through. is_out_of_memory: whether preparing fails now. busy_s: compute and
    codec time.
    """

    def __init__(
        self,
        name: NodeId,
        schedule: Schedule,
        starts: Callable[[StageJob], float | None],
        done: Callable[[StageJob], None],
    ) -> None:
        self.name = name
        self.tier = Tier(name)
        self._schedule = schedule
        self._starts = starts
        self._done = done
        self.life = 1
        self.is_alive = True
        self.is_out_of_memory = False
        self.held: set[int] = set()
        self.busy_s = 0.0
        self._released: set[int] = set()
        self._urgent: deque[StageJob] = deque()
        self._waiting: deque[StageJob | Chore] = deque()
        self._running: StageJob | Chore | None = None
        self._until_s = 0.0
        self._hang_until_s = 0.0
        self._mean_job_s = 0.0

    # -- computing -----------------------------------------------------------------------------------------------------

    @property
    def queue_s(self) -> float:
        """How long a stage put now would wait, as a node says it."""
        return load.queue_s(len(self._urgent) + len(self._waiting), self._mean_job_s)

    def put(self, job: StageJob, *, urgent: bool = False) -> None:
        """Queue one stage, and run it as soon as its turn comes."""
        (self._urgent if urgent else self._waiting).append(job)
        if self._running is None:
            self._next()

    def occupy(self, seconds: float, done: Callable[[], None] = lambda: None) -> None:
        """The node is busy with something else than frames, once it is through what waits; then `done` is called."""
        self._waiting.append(Chore(seconds, done))
        if self._running is None:
            self._next()

    def _next(self) -> None:
        while self._running is None and (self._urgent or self._waiting):
            job = self._running = self._urgent.popleft() if self._urgent else self._waiting.popleft()
            now_s = self._schedule.now_s
            if isinstance(job, Chore):
                took_s = job.took_s
            else:
                wanted_s = self._starts(job)
                if wanted_s is None:
                    self._running = None
                    continue
                took_s, job.began_s = wanted_s, now_s
                job.took_s = took_s
            self._until_s = max(now_s, self._hang_until_s) + took_s
            self._schedule.at(self._until_s, self._through, self.life)

    def _through(self, life: int) -> None:
        if life != self.life:  # the machine died meanwhile
            return
        if self._schedule.now_s < self._until_s:  # it hung meanwhile
            self._schedule.at(self._until_s, self._through, life)
            return
        job = self._running
        if isinstance(job, StageJob):
            self.busy_s += job.took_s
            self._mean_job_s = load.observe_job(self._mean_job_s, job.took_s)
            self._done(job)  # what this brings waits behind what is here already
        elif isinstance(job, Chore):
            job.done()
        self._running = None
        self._next()

    # -- segments ------------------------------------------------------------------------------------------------------

    def can_run(self, generation: int) -> bool:
        """Whether the segments of `generation` are here."""
        return generation == LOCAL_GENERATION or generation in self.held

    def prepare(self, generation: int) -> None:
        """The segments of `generation` are ready from now on; not when it was let go before that, nor for a request
        that comes a second time after it."""
        if generation not in self._released:
            self.held.add(generation)

    def release(self, generation: int) -> None:
        """Let go of `generation`, once and for all; one that is not here is let go before it comes."""
        self.held.discard(generation)
        self._released.add(generation)

    # -- what befalls it -----------------------------------------------------------------------------------------------

    def hang(self, seconds: float) -> None:
        """Nothing is computed for a while; what was goes on then."""
        now_s = self._schedule.now_s
        stopped_s = now_s + seconds - max(now_s, self._hang_until_s)
        if stopped_s <= 0.0:
            return
        self._hang_until_s = now_s + seconds
        if self._running is not None:
            self._until_s += stopped_s

    def die(self) -> None:
        """The process ends, with its queue and its segments."""
        self.is_alive = False
        self.life += 1
        self._urgent.clear()
        self._waiting.clear()
        self._running = None
        self._hang_until_s = self._mean_job_s = 0.0
        self.held.clear()
        self._released.clear()

    def restart(self) -> None:
        """Another process begins, which holds nothing."""
        self.life += 1
        self.is_alive = True

    @property
    def incarnation(self) -> str:
        """Of the process that runs, or ran last."""
        return f"{self.life}"
