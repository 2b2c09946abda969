"""The compute thread of a node: decodes what arrives, runs the stage, encodes what leaves.

One thread, because the engine already uses the cores that the node was given; streams share it in order of arrival.
It knows segments and codecs, and nothing about who sends or receives: a finished stage goes to `Done`, a failed one to
`Failed`. What it spent is reported with every frame.
"""

from __future__ import annotations

import itertools
import logging
import queue
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from seamline import codec
from seamline.core.speed.load import observe_job, queue_s
from seamline.core.vocabulary.errors import FrameRefused, ModelError, SeamlineError
from seamline.core.vocabulary.nodes import NodeId
from seamline.core.vocabulary.plans import Stage
from seamline.core.vocabulary.ports import Array, RunnableSegment
from seamline.fabric.messages import StageReport
from seamline.runtime.shared.clock import now_s
from seamline.runtime.shared.energy import EnergyAccount, StageEnergy

log = logging.getLogger(__name__)

END, URGENT, NORMAL = -1, 0, 1
CLOSE_S = 0.5


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


class StageWorker:
    """Runs stage jobs one after the other on a thread of its own; urgent ones first."""

    def __init__(self, node: NodeId, energy: EnergyAccount | None = None) -> None:
        self._node = node
        self._energy = energy or EnergyAccount()
        self._jobs: queue.PriorityQueue[tuple[int, int, StageJob | Callable[[], None] | None]] = queue.PriorityQueue()
        self._numbers = itertools.count()
        self._mean_job_s = 0.0
        self._is_left = False
        self._thread = threading.Thread(target=self._work, name="stages", daemon=True)
        self._thread.start()

    @property
    def queue_s(self) -> float:
        """How long a job put now would wait, judged by the jobs before it."""
        return queue_s(self._jobs.qsize(), self._mean_job_s)

    def put(
        self,
        stage: Stage,
        segment: RunnableSegment | None,
        arrival: Arrival,
        *,
        done: Callable[[Finished], None],
        failed: Callable[[SeamlineError], None],
        urgent: bool = False,
        claim: Callable[[], bool] = always,
    ) -> None:
        """Queue one stage; on the compute thread `done` is called, or `failed`: also when `done` raises. Neither is
        when `claim`, asked there as its turn comes, says no."""
        priority = URGENT if urgent else NORMAL
        job = StageJob(stage, segment, arrival, now_s(), done, failed, claim)
        self._jobs.put((priority, next(self._numbers), job))

    def after_waiting(self, action: Callable[[], None]) -> None:
        """Call `action` on the compute thread once it is through what waits: never, when that hangs."""
        self._jobs.put((NORMAL, next(self._numbers), action))

    def close(self) -> None:
        """Begin no job more; one that hangs is left to end with the process."""
        self._jobs.put((END, next(self._numbers), None))
        self._thread.join(timeout=CLOSE_S)
        self._is_left = True

    def _work(self) -> None:
        while (job := self._jobs.get()[2]) is not None:
            try:
                if not isinstance(job, StageJob):
                    job()
                elif job.claim():
                    self._answer(job)
            except Exception:  # nobody can be told; the frames behind this one must be run all the same
                log.exception("what became of %s could not be told", job.stage if isinstance(job, StageJob) else job)
            del job  # let go of the frame before waiting for the next one

    def _answer(self, job: StageJob) -> None:
        try:
            job.done(self._run(job))
        except Exception as error:  # a stage must answer, whatever an engine or codec throws
            if self._is_left:
                return  # it was broken off, and its node is gone
            if not isinstance(error, SeamlineError):
                log.exception("stage %s failed", job.stage)
                error = ModelError(f"stage {job.stage} failed: {error}")
            job.failed(error)

    def _run(self, job: StageJob) -> Finished:
        with self._energy.stage() as spent:
            return self._timed(job, spent)

    def _timed(self, job: StageJob, spent: StageEnergy) -> Finished:
        started_s = now_s()
        tensors = job.arrival.open()
        decoded_s = now_s()
        outputs = _computed(job.segment, tensors) if job.segment is not None else tensors
        computed_s = now_s()
        encoded = None
        if job.stage.codec is not None:
            encoded = codec.encode(outputs, job.stage.codec, exact=_exact(job, outputs))
        encoded_s = now_s()
        self._mean_job_s = observe_job(self._mean_job_s, encoded_s - started_s)
        report = StageReport(
            node=self._node,
            queue_s=started_s - job.arrived_s,
            decode_s=decoded_s - started_s,
            compute_s=computed_s - decoded_s if job.segment is not None else 0.0,
            encode_s=encoded_s - computed_s,
            sent_bytes=encoded.n_bytes if encoded is not None else 0,
            energy_j=spent.drawn_j(
                n_sent=_leaving_bytes(job, outputs, encoded), n_received=_bytes(job.arrival.buffers)
            ),
            energy_source=self._energy.source,
        )
        return Finished(outputs=outputs, encoded=encoded, report=report)


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
