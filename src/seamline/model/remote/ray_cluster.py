"""Engine that hands segments to actors on a Ray cluster: `n_replicas` of them, spread over its machines.

Theory of operation. Every actor (`ray_worker.py`) can run every segment; the next run goes to the one with the fewest
under way. A model's files are put into Ray's object store once, from where each machine takes them once. An actor that
dies is started again by Ray, wherever there is room; meanwhile, and when its machine is gone, the run is repeated on
another, until `TIMEOUT_S`; then the frame fails here, and its origin runs it elsewhere.

Ray's processes trust each other and pickle what they exchange: a cluster of it is one trust domain, this node included.
"""

from __future__ import annotations

import logging
import signal
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import onnxruntime as ort
import ray

from seamline.core.vocabulary.errors import ModelError
from seamline.core.vocabulary.plans import Segment
from seamline.core.vocabulary.ports import Array
from seamline.core.vocabulary.providers import RAY
from seamline.model.engine.runnable import CheckedSegment, made_outputs
from seamline.model.remote.ray_worker import SegmentWorker
from seamline.model.store.models import ModelStore
from seamline.model.store.stored import PARTS, StoredModel

log = logging.getLogger(__name__)

NAMESPACE = "seamline"
TIMEOUT_S = 5.0
"""For a run, with all that is tried: Ray notices a machine that is gone only after a while."""

ATTEMPT_S = 1.5
"""For one actor, which may hang, before another is asked."""

PREPARE_S = 60.0
START_S = 60.0
PAUSE_S = 0.02


class RayEngine:
    """Makes segments runnable on the Ray cluster at `address`; implements `core.vocabulary.ports.Engine`.

    n_threads: of each actor, which asks Ray for as many processors. Raises `ModelError` when the cluster does not
    answer, or has no room for the actors.
    """

    def __init__(self, store: ModelStore, address: str, n_replicas: int, *, n_threads: int = 1) -> None:
        self.store = store
        try:
            with _own_signals():
                ray.init(address=address, namespace=NAMESPACE, log_to_driver=False, logging_level=logging.ERROR)
        except (ConnectionError, ValueError, RuntimeError, TimeoutError) as error:
            raise ModelError(
                f"no Ray cluster answers at `{address}`: {error}", hint="`ray start --head` prints its address"
            ) from error
        actor: Any = ray.remote(SegmentWorker)
        made = actor.options(num_cpus=n_threads, max_restarts=-1, scheduling_strategy="SPREAD")
        self._workers: list[Any] = [made.remote(n_threads) for _ in range(n_replicas)]
        self._n_threads = n_threads
        self._lock = threading.Lock()
        self._n_running: Counter[int] = Counter()
        self._files: dict[str, Any] = {}
        self._is_closed = False
        try:
            ray.get([worker.place.remote() for worker in self._workers], timeout=START_S)
        except ray.exceptions.RayError as error:
            self.interrupt()
            raise ModelError(
                f"{n_replicas} actors do not start on the Ray cluster: {error}",
                hint="has it as many free processors, and this release of seamline on every machine?",
            ) from error

    @property
    def name(self) -> str:
        return f"ray {ray.__version__}, {len(self._workers)} x onnxruntime {ort.__version__}"

    @property
    def provider(self) -> str:
        return RAY

    @property
    def computes_on_caller(self) -> bool:
        return False

    def places(self) -> list[tuple[str, int]]:
        """(machine of the cluster, process) of each actor. Raises Ray's errors for one that is away."""
        found: list[tuple[str, int]] = ray.get([worker.place.remote() for worker in self._workers], timeout=START_S)
        return found

    def prepare(self, model_id: str, segment: Segment) -> CheckedSegment:
        """`segment`, ready on every actor that is there. Raises `ModelError` when none can run it."""
        model = self.store.get_sound(model_id)
        part = model.segment(segment)
        if part.model is None:
            return CheckedSegment(part)
        files = [self._files_of(model)]
        asked = [worker.run.remote(model_id, *segment_ends(segment), files, None) for worker in self._workers]
        ready, _ = ray.wait(asked, num_returns=len(asked), timeout=PREPARE_S)
        errors = [error for each in ready if (error := _error_of(each)) is not None]
        if len(errors) == len(ready):
            raise ModelError(f"no actor could prepare {segment}: {errors[0] if errors else 'none answers'}")
        fetches = made_outputs(part)
        needed = [value.name for value in part.model.graph.input]
        by_name = {spec.name: spec for spec in part.inputs}

        def compute(feed: dict[str, Array]) -> dict[str, Array]:
            tensors = {name if name in by_name else part.inputs[0].name: array for name, array in feed.items()}
            outputs = self._run(model_id, segment, files, tensors)
            return {name: outputs[name] for name in fetches}

        return CheckedSegment(part, needed, compute)

    def interrupt(self) -> None:
        """Leave the cluster; the actors end with it."""
        with self._lock:
            if self._is_closed:
                return
            self._is_closed = True
        ray.shutdown()

    def _run(self, model_id: str, segment: Segment, files: list[Any], tensors: dict[str, Array]) -> dict[str, Array]:
        until_s, reason = time.monotonic() + TIMEOUT_S, "no time was left"
        tried: set[int] = set()
        while (left_s := until_s - time.monotonic()) > 0.0 and not self._is_closed:
            number = self._take(tried)
            try:
                asked = self._workers[number].run.remote(model_id, *segment_ends(segment), files, tensors)
                outputs: dict[str, Array] = ray.get(asked, timeout=min(left_s, ATTEMPT_S))
            except ray.exceptions.RayTaskError as error:
                raise ModelError(f"an actor refused {segment}: {error.cause}") from error
            except (ray.exceptions.RayError, TimeoutError) as error:  # it died, is being started again, or hangs
                reason = f"{type(error).__name__}"
                log.info("actor %d of the Ray cluster is asked no more for this frame: %s", number, reason)
                tried.add(number)
                if len(tried) == len(self._workers):
                    tried.clear()
                    time.sleep(PAUSE_S)
            else:
                return outputs
            finally:
                with self._lock:
                    self._n_running[number] -= 1
        raise ModelError(f"no actor of the Ray cluster answered within {TIMEOUT_S:g} s: {reason}")

    def _take(self, tried: set[int]) -> int:
        """The actor with the fewest runs under way that was not tried."""
        with self._lock:
            left = [number for number in range(len(self._workers)) if number not in tried]
            number = min(left, key=lambda each: self._n_running[each])
            self._n_running[number] += 1
            return number

    def _files_of(self, model: StoredModel) -> Any:
        """Reference to the files of `model` in Ray's object store."""
        with self._lock:
            if model.model_id not in self._files:
                parts = {part: np.fromfile(model.folder / file, np.uint8) for part, file in PARTS.items()}
                self._files[model.model_id] = ray.put(parts)
            return self._files[model.model_id]


@contextmanager
def _own_signals() -> Iterator[None]:
    """SIGTERM stays whose it is: Ray takes it, and ends the process with a code of its own."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def segment_ends(segment: Segment) -> tuple[int, int]:
    return segment.start, segment.stop


def _error_of(reference: Any) -> Exception | None:
    try:
        ray.get(reference)
    except ray.exceptions.RayError as error:
        return Exception(str(error).splitlines()[-1])
    return None
