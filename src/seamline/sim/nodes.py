"""Node model: one compute queue, one host, and what can befall a machine.

A node runs one stage after the other, in the order of `core.hosting.compute_queue`, and answers for nothing else: whose
frames they are, and where results go, is `driver.py`'s. A death loses the queue, and what comes back is another
incarnation. A hang stops the queue and loses nothing.

What a node prepares and holds is decided by the same `core.hosting` as on a real one. Every machine has the model, so
obtaining it takes no time; preparing takes what the scene says. A process that ends loses its host.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from seamline.core.cost.loads import SegmentLoad, StageLoad
from seamline.core.hosting import commands as cmd
from seamline.core.hosting import events as ev
from seamline.core.hosting.compute_queue import ComputeQueue
from seamline.core.hosting.host import ORPHAN_S, Host
from seamline.core.hosting.load_meter import LoadMeter
from seamline.core.speed import load
from seamline.core.vocabulary.nodes import NodeId, Tier
from seamline.core.vocabulary.plans import Plan
from seamline.core.vocabulary.profiles import Cut
from seamline.sim.network import Schedule
from seamline.sim.stage_work import StageWork

MODEL = "model"
"""The only one of a run."""

REPORT_S = 0.1
"""A node adds its load up at most so often: all who ask at a moment are told the same."""

Replied = Callable[[cmd.Reply], None]


@dataclass(slots=True)
class Spent:
    """Report of one stage; see `core.session.events.StageSpent`."""

    node: NodeId
    queue_s: float
    compute_s: float
    sent_bytes: int


@dataclass(slots=True)
class Attempt:
    """One attempt of a frame on its way. offered: the frame's number at the source. stage_works: its stages.

    wanted_until_s: when its origin wants the answer.
    """

    stream: str
    frame: int
    attempt: int
    generation: int
    plan: Plan
    stage_works: Sequence[StageWork]
    offered: int
    wanted_until_s: float = math.inf
    reports: list[Spent] = field(default_factory=list)


@dataclass(slots=True)
class StageJob:
    """Stage number `at` of an attempt, in a node's queue since `arrived_s`. took_s, compute_s: known once it runs.

    starts: asked as its turn comes, how long it takes; None when it is not wanted. done: told when it is through.
    """

    way: Attempt
    at: int
    arrived_s: float
    starts: Callable[[StageJob], float | None]
    done: Callable[[StageJob], None]
    began_s: float = 0.0
    took_s: float = 0.0
    compute_s: float = 0.0


@dataclass(slots=True)
class Chore:
    """What a node computes besides frames. done: told when it is through."""

    took_s: float
    done: Callable[[], None]


class SimNode:
    """A machine, which several runs may share. is_out_of_memory: whether preparing fails now.

    busy_s: compute and codec time.
    """

    def __init__(self, name: NodeId, schedule: Schedule) -> None:
        self.name = name
        self.tier = Tier(name)
        self._schedule = schedule
        self.life = 1
        self.is_alive = True
        self.is_out_of_memory = False
        self.busy_s = 0.0
        self._queue: ComputeQueue[StageJob | Chore] = ComputeQueue()
        self._running: StageJob | Chore | None = None
        self._until_s = 0.0
        self._hang_until_s = 0.0
        self._mean_job_s = 0.0
        self.meter = LoadMeter()
        self._reported: tuple[float, tuple[SegmentLoad, ...]] = (-math.inf, ())

    # -- computing -----------------------------------------------------------------------------------------------------

    @property
    def queue_s(self) -> float:
        """How long a stage put now would wait, as a node says it."""
        return load.queue_s(len(self._queue), self._mean_job_s)

    def loads(self) -> tuple[SegmentLoad, ...]:
        """What streams bring, as the node reports it."""
        now_s = self._schedule.now_s
        if now_s - self._reported[0] >= REPORT_S:
            self._reported = now_s, self.meter.report(now_s)
        return self._reported[1]

    def put(self, job: StageJob, *, urgent: bool = False) -> None:
        """Queue one stage, and run it as soon as its turn comes."""
        way = job.way
        self.meter.arrived(way.stream, way.generation, MODEL, way.plan.stages[job.at].segment, job.arrived_s)
        self._queue.put(job, job.arrived_s, urgent=urgent, left_s=way.wanted_until_s - job.arrived_s, stream=way.stream)
        if self._running is None:
            self._next()

    def occupy(self, seconds: float, done: Callable[[], None] = lambda: None) -> None:
        """The node is busy with something else than frames, in its turn; then `done` is called."""
        self._queue.put(Chore(seconds, done), self._schedule.now_s)
        if self._running is None:
            self._next()

    def _next(self) -> None:
        while self._running is None and len(self._queue):
            now_s = self._schedule.now_s
            (job,) = self._queue.take(now_s)
            self._running = job
            if isinstance(job, Chore):
                took_s = job.took_s
            else:
                wanted_s = job.starts(job)
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
            self.meter.computed(job.way.stream, job.way.generation, job.began_s - job.arrived_s, job.took_s)
            job.done(job)  # what this brings waits behind what is here already
        elif isinstance(job, Chore):
            job.done()
        self._running = None
        self._next()

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
        """The process ends, with its queue."""
        self.is_alive = False
        self.life += 1
        self._queue.drop_all()
        self._running = None
        self._hang_until_s = self._mean_job_s = 0.0
        self.meter, self._reported = LoadMeter(), (-math.inf, ())

    def restart(self) -> None:
        """Another process begins."""
        self.life += 1
        self.is_alive = True

    @property
    def incarnation(self) -> str:
        """Of the process that runs, or ran last."""
        return f"{self.life}"


class SimHost:
    """The host of one machine for one stream. machine: where it runs. takes_s: asked at each preparation of a
    generation how long it takes from now; None when there is no memory for it. replied: hears every answer."""

    def __init__(
        self,
        machine: SimNode,
        stream: str,
        schedule: Schedule,
        cuts: tuple[Cut, ...],
        *,
        takes_s: Callable[[int], float | None],
        replied: Replied,
        usable_memory_bytes: int | None = None,
    ) -> None:
        self._machine, self._stream, self._schedule, self._cuts = machine, stream, schedule, cuts
        self._takes_s, self._replied = takes_s, replied
        self._usable_memory_bytes = usable_memory_bytes
        self.restart()

    def restart(self) -> None:
        """Another process, which holds nothing."""
        self.host = Host(self._machine.name)
        if self._usable_memory_bytes is not None:
            self.hear(ev.MemoryMeasured(self._usable_memory_bytes))

    def holds(self, generation: int) -> bool:
        """Whether the segments of `generation` can run here."""
        return self.host.holds(self._stream, generation)

    def prepare(self, origin: NodeId, request: int, generation: int, plan: Plan, load: StageLoad) -> None:
        """The origin asks for a generation of its stream."""
        self.hear(
            ev.PrepareAsked(
                origin=origin,
                request=request,
                stream=self._stream,
                generation=generation,
                model_id=MODEL,
                source=origin,
                plan=plan,
                load=load,
            )
        )

    def release(self, origin: NodeId, generation: int) -> None:
        """The origin lets a generation go."""
        self.hear(ev.ReleaseAsked(origin, self._stream, generation))

    def peer(self, node: NodeId, is_alive: bool) -> None:
        """Another machine was lost, or is seen again."""
        self.hear(ev.PeerChanged(node, is_alive))
        if not is_alive:
            self._later(ORPHAN_S, ev.Tick())

    def hear(self, event: ev.Event) -> None:
        """Let the host take `event`, and carry out what it commands."""
        for command in self.host.handle(event, self._schedule.now_s):
            match command:
                case cmd.Obtain(model_id):
                    self.hear(ev.ModelObtained(model_id, self._cuts))
                case cmd.PrepareSegments():
                    self._prepare(command)
                case cmd.ReleaseSegments(_, generation):
                    self._machine.meter.released(self._stream, generation)
                case cmd.Reply():
                    self._replied(command)

    def _prepare(self, wanted: cmd.PrepareSegments) -> None:
        generation, segment = wanted.generation, wanted.plan.stages[wanted.stages[0]].segment
        self._machine.meter.expect(self._stream, generation, MODEL, segment, wanted.load, self._schedule.now_s)
        took_s = self._takes_s(generation)
        if took_s is None:
            self._machine.meter.released(self._stream, generation)
            self.hear(ev.PrepareFailed(self._stream, generation, "out of memory"))
        else:
            self._later(took_s, ev.SegmentsPrepared(self._stream, generation, took_s))

    def _later(self, seconds: float, event: ev.Event) -> None:
        if seconds <= 0.0:
            self.hear(event)
        else:
            self._schedule.at(self._schedule.now_s + seconds, self._hear_of, self.host, event)

    def _hear_of(self, host: Any, event: ev.Event) -> None:
        if host is self.host:  # the process has not ended meanwhile
            self.hear(event)
