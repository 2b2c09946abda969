"""The compute threads of a node: they decode what arrives, run the stage, encode what leaves.

Whose turn it is, and which stages run as one, is decided by `core.hosting.compute_queue`. Usually one thread does it,
because the engine already uses the cores that the node was given. It knows segments and codecs, and nothing about who
sends or receives: a finished stage goes to `Done`, a failed one to `Failed`. What it spent is reported with every
frame; of a batch, each frame's share. A batch that fails is run again singly, so a frame that cannot be computed fails
alone.
"""

from __future__ import annotations

import logging
import math
import threading
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from seamline import codec
from seamline.core.hosting.compute_queue import ComputeQueue
from seamline.core.speed.load import observe_job, queue_s
from seamline.core.vocabulary.errors import FrameRefused, ModelError, SeamlineError
from seamline.core.vocabulary.nodes import NodeId
from seamline.core.vocabulary.plans import Stage
from seamline.core.vocabulary.ports import Array, RunnableSegment
from seamline.fabric.messages import StageReport
from seamline.runtime.shared.clock import now_s
from seamline.runtime.shared.energy import EnergyAccount, StageEnergy

log = logging.getLogger(__name__)

CLOSE_S = 0.5
MOST_TOGETHER = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrival:
    """Input of a stage: tensors as they are, or encoded ones with the sidecar that decodes them."""

    tensors: Mapping[str, Array] | None = None
    encoding: bytes = b""
    buffers: Sequence[Array] = ()

    def open(self) -> Mapping[str, Array]:
        return self.tensors if self.tensors is not None else codec.decode(self.encoding, self.buffers)


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """The outcome of a stage: its outputs by name, encoded too when the stage has a codec."""

    outputs: Mapping[str, Array]
    encoded: codec.Encoded | None
    report: StageReport


@dataclass(frozen=True, slots=True)
class StageJob:
    """One stage of one frame. segment: None when the stage runs no layers (the origin of an offload plan).

    claim: asked when its turn has come; a stage that says no is left out.
    """

    stage: Stage
    segment: RunnableSegment | None
    arrival: Arrival
    arrived_s: float
    done: Callable[[Finished], None]
    failed: Callable[[SeamlineError], None]
    claim: Callable[[], bool]


def always() -> bool:
    """The claim of a stage that is run whatever happens meanwhile."""
    return True


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """What decides when a stage runs. left_s: until its origin wants the answer, None where it does not say; priority:
    of its stream. stream: whose it is."""

    is_urgent: bool = False
    left_s: float | None = None
    priority: int = 0
    stream: str = ""


ANY_TIME = Turn()


class StageWorker:
    """Runs stage jobs on threads of its own, as `ComputeQueue` orders them.

    n_workers: how many at once. batch_wait_s: how long a frame waits for those of other streams, 0.0 for no batches.
    """

    def __init__(
        self, node: NodeId, energy: EnergyAccount | None = None, *, n_workers: int = 1, batch_wait_s: float = 0.0
    ) -> None:
        self._node = node
        self._energy = energy or EnergyAccount()
        self.n_workers, self.has_batches = n_workers, batch_wait_s > 0.0
        most = MOST_TOGETHER if self.has_batches else 1
        self._queue: ComputeQueue[StageJob | Callable[[], None]] = ComputeQueue(batch_wait_s=batch_wait_s, most=most)
        self._changed = threading.Condition()
        self._mean_job_s = 0.0
        self._is_left = self._has_ended = False
        self._threads = [
            threading.Thread(target=self._work, name=f"stages-{number}", daemon=True) for number in range(n_workers)
        ]
        for thread in self._threads:
            thread.start()

    @property
    def queue_s(self) -> float:
        """How long a job put now would wait, judged by the jobs before it."""
        return queue_s(len(self._queue), self._mean_job_s) / self.n_workers

    def put(
        self,
        stage: Stage,
        segment: RunnableSegment | None,
        arrival: Arrival,
        *,
        done: Callable[[Finished], None],
        failed: Callable[[SeamlineError], None],
        turn: Turn = ANY_TIME,
        claim: Callable[[], bool] = always,
    ) -> None:
        """Queue one stage; on a compute thread `done` is called, or `failed`: also when `done` raises. Neither is when
        `claim`, asked there as its turn comes, says no."""
        arrived_s = now_s()
        job = StageJob(stage, segment, arrival, arrived_s, done, failed, claim)
        with self._changed:
            self._queue.put(
                job,
                arrived_s,
                urgent=turn.is_urgent,
                left_s=turn.left_s,
                priority=turn.priority,
                stream=turn.stream,
                key=_batch_key(segment),
            )
            self._changed.notify()

    def in_turn(self, action: Callable[[], None]) -> None:
        """Call `action` on a compute thread as if it were a stage: never, when these hang."""
        with self._changed:
            self._queue.put(action, now_s())
            self._changed.notify()

    def close(self) -> None:
        """Begin no job more; one that hangs is left to end with the process."""
        with self._changed:
            self._has_ended = True
            self._changed.notify_all()
        for thread in self._threads:
            thread.join(timeout=CLOSE_S)
        self._is_left = True

    def _work(self) -> None:
        while jobs := self._wait_next():
            wanted: list[StageJob] = []
            for job in jobs:
                try:
                    if not isinstance(job, StageJob):
                        job()
                    elif job.claim():
                        wanted.append(job)
                except Exception:  # nobody can be told; the frames behind this one must be run all the same
                    log.exception("what became of %s could not be told", job)
            if wanted:
                self._answer_all(wanted)
            del job, jobs, wanted  # let go of the frames before waiting for the next ones

    def _wait_next(self) -> list[StageJob | Callable[[], None]]:
        """The jobs that run now, as one; none when it is over."""
        with self._changed:
            while not self._has_ended:
                now = now_s()
                if jobs := self._queue.take(now):
                    return jobs
                due_s = self._queue.due_s(now)
                self._changed.wait(None if due_s == math.inf else max(0.0, due_s - now))
        return []

    def _answer_all(self, jobs: list[StageJob]) -> None:
        together = self._run_together(jobs) if len(jobs) > 1 else None
        for number, job in enumerate(jobs):
            self._answer(job, None if together is None else together[number])

    def _answer(self, job: StageJob, finished: Finished | None) -> None:
        try:
            job.done(self._run(job) if finished is None else finished)
        except Exception as error:  # a stage must answer, whatever an engine or codec throws
            if self._is_left:
                return  # it was broken off, and its node is gone
            if not isinstance(error, SeamlineError):
                log.exception("stage %s failed", job.stage)
                error = ModelError(f"stage {job.stage} failed: {error}")
            try:
                job.failed(error)
            except Exception:
                log.exception("what became of %s could not be told", job.stage)

    def _run(self, job: StageJob) -> Finished:
        with self._energy.stage() as spent:
            started_s = now_s()
            tensors = job.arrival.open()
            decoded_s = now_s()
            outputs = _computed(job.segment, tensors) if job.segment is not None else tensors
            computed_s = now_s()
            encoded = _encoded(job, outputs)
            encoded_s = now_s()
            times = _Times(
                queue_s=started_s - job.arrived_s,
                decode_s=decoded_s - started_s,
                compute_s=computed_s - decoded_s if job.segment is not None else 0.0,
                encode_s=encoded_s - computed_s,
            )
            return self._finished(job, outputs, encoded, times, spent, 1)

    def _run_together(self, jobs: list[StageJob]) -> list[Finished] | None:
        """All of `jobs`, of one segment, as one; None when that fails, whichever of them is to blame."""
        segment: Any = jobs[0].segment
        try:
            with self._energy.stage() as spent:
                started_s = now_s()
                tensors = [job.arrival.open() for job in jobs]
                decoded_s = now_s()
                outputs = segment.run_many(tensors)
                computed_s = now_s()
                encoded = [_encoded(job, each) for job, each in zip(jobs, outputs, strict=True)]
                encoded_s = now_s()
                times = [
                    _Times(
                        queue_s=started_s - job.arrived_s,
                        decode_s=(decoded_s - started_s) / len(jobs),
                        compute_s=(computed_s - decoded_s) / len(jobs),
                        encode_s=(encoded_s - computed_s) / len(jobs),
                    )
                    for job in jobs
                ]
                return [
                    self._finished(*each, spent, len(jobs)) for each in zip(jobs, outputs, encoded, times, strict=True)
                ]
        except Exception as error:  # then each has its own try
            log.debug("%d frames could not be computed together: %s", len(jobs), error)
            return None

    def _finished(
        self,
        job: StageJob,
        outputs: Mapping[str, Array],
        encoded: codec.Encoded | None,
        times: _Times,
        spent: StageEnergy,
        n_together: int,
    ) -> Finished:
        self._mean_job_s = observe_job(self._mean_job_s, times.decode_s + times.compute_s + times.encode_s)
        drawn_j = spent.drawn_j(n_sent=_leaving_bytes(job, outputs, encoded), n_received=_bytes(job.arrival.buffers))
        report = StageReport(
            node=self._node,
            queue_s=times.queue_s,
            decode_s=times.decode_s,
            compute_s=times.compute_s,
            encode_s=times.encode_s,
            sent_bytes=encoded.n_bytes if encoded is not None else 0,
            energy_j=None if drawn_j is None else drawn_j / n_together,
            energy_source=self._energy.source,
        )
        return Finished(outputs=outputs, encoded=encoded, report=report)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Times:
    """Seconds of one frame in one stage; of a batch, its share."""

    queue_s: float
    decode_s: float
    compute_s: float
    encode_s: float


def _batch_key(segment: RunnableSegment | None) -> Hashable:
    """What frames have in common that may run as one: their segment, if it can; most segments do not say so."""
    return id(segment) if getattr(segment, "n_most", 1) > 1 else None


def _encoded(job: StageJob, outputs: Mapping[str, Array]) -> codec.Encoded | None:
    return None if job.stage.codec is None else codec.encode(outputs, job.stage.codec, exact=_exact(job, outputs))


def _computed(segment: RunnableSegment, tensors: Mapping[str, Array]) -> Mapping[str, Array]:
    """Outputs of `segment`. Raises `FrameRefused`, whatever an engine throws: the origin finds out who is at fault."""
    try:
        return segment.run(tensors)
    except SeamlineError as error:
        raise FrameRefused(str(error)) from error
    except Exception as error:
        log.exception("a segment failed")
        raise FrameRefused(f"{type(error).__name__}: {error}") from error


def _exact(job: StageJob, outputs: Mapping[str, Array]) -> frozenset[str]:
    """Names of what must keep every bit: as the segment says; without one, all that the model is given."""
    if job.segment is not None:
        return frozenset(spec.name for spec in job.segment.outputs if spec.exact)
    return frozenset(outputs)


def _leaving_bytes(job: StageJob, outputs: Mapping[str, Array], encoded: codec.Encoded | None) -> int:
    """Bytes that the stage gives to the network: its boundary, or the answer of a frame that came from elsewhere."""
    if encoded is not None:
        return encoded.n_bytes
    return 0 if job.arrival.tensors is not None else _bytes(outputs.values())


def _bytes(arrays: Iterable[Array]) -> int:
    return sum(array.nbytes for array in arrays)
