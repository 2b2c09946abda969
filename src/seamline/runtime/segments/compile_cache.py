"""The background compile cache of a node: optimised artefacts of its segments, for the next time they are prepared.

    python -m seamline.runtime.segments.compile_cache STORE MODEL_ID START-STOP ...

Compiling an artefact takes as long as preparing a segment and twice its memory, so a process of its own does it, once
for each segment, processor and release of the runtime, with what time the others leave over: it runs as idle, and is
the first to go when memory is short; of a quota of processor time that was given to the node and all it starts, it
takes what frames leave. What an artefact holds, and where it is stored: `model.engine.optimised`. Nobody waits for it:
until then, and where it fails (a store that is read-only, say), segments are prepared the longer way.
"""

from __future__ import annotations

import logging
import os
import queue
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path

from seamline.core.vocabulary.errors import SeamlineError
from seamline.core.vocabulary.plans import Segment
from seamline.model import ModelStore, OrtEngine

log = logging.getLogger(__name__)

QUICK_S = 0.005
"""A segment that is prepared sooner is not worth a process."""

DELAY_S = 1.0
"""A switch asks for several segments, and is over by then."""

_Request = tuple[str, Segment]
"""(model id, segment) to be compiled."""


class BackgroundCompileCache:
    """Owner of the compiling process, one model at a time; `on_prepared` may be called from any thread."""

    def __init__(self, engine: OrtEngine, *, delay_s: float = DELAY_S) -> None:
        self._engine = engine
        self._delay_s = delay_s
        self._requests: queue.SimpleQueue[_Request | None] = queue.SimpleQueue()
        self._requested: set[_Request] = set()
        self._lock = threading.Lock()
        self._closing = threading.Event()
        self._process: subprocess.Popen[bytes] | None = None
        self._thread: threading.Thread | None = None

    def on_prepared(self, model_id: str, segment: Segment, took_s: float) -> None:
        """`segment` was prepared, which took `took_s`: compile it soon, unless it was quick or there is an artefact."""
        with self._lock:
            if took_s < QUICK_S or (model_id, segment) in self._requested or self._closing.is_set():
                return
            self._thread = self._thread or self._started()
            if self._thread is None:
                return
            self._requested.add((model_id, segment))
        self._requests.put((model_id, segment))

    def close(self) -> None:
        """End; an artefact being compiled is given up."""
        self._closing.set()
        self._requests.put(None)
        with self._lock:
            process, thread = self._process, self._thread
        if process is not None:
            process.kill()
        if thread is not None:
            thread.join(timeout=0.5)

    def _started(self) -> threading.Thread | None:
        """The thread that compiles; None where there is no memory for one: the segment runs without an artefact."""
        thread = threading.Thread(target=self._work, name="compile", daemon=True)
        try:
            thread.start()
        except RuntimeError as error:
            log.debug("segments are not compiled: %s", error)
            return None
        return thread

    def _work(self) -> None:
        while (request := self._requests.get()) is not None and not self._closing.wait(self._delay_s):
            requests = [request]
            while not self._requests.empty():
                if (more := self._requests.get()) is None:
                    return
                requests.append(more)
            for model_id in dict.fromkeys(model_id for model_id, _ in requests):
                self._compile(model_id, [segment for of, segment in requests if of == model_id])

    def _compile(self, model_id: str, segments: list[Segment]) -> None:
        try:
            missing = [segment for segment in segments if not self._engine.is_kept(model_id, segment)]
        except SeamlineError as error:
            log.debug("segments are not compiled: %s", error)
            return
        if not missing:
            return
        spans = [f"{segment.start}-{segment.stop}" for segment in missing]
        command = [sys.executable, "-m", __name__, str(self._engine.store.root), model_id, *spans]
        with self._lock:
            if self._closing.is_set():
                return
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                start_new_session=True,  # the terminal's Ctrl-C is the node's, which ends it
            )
        if exit_code := self._process.wait():
            log.debug("segments were not compiled: exit code %d", exit_code)


def compile_segments(root: Path, model_id: str, segments: list[Segment]) -> None:
    """Store the optimised artefacts of `segments`, in this process. Raises `ModelError`."""
    engine = OrtEngine(ModelStore(root), 1)
    for segment in segments:
        if not engine.is_kept(model_id, segment):
            engine.keep(model_id, segment)


def _yield_to_others() -> None:
    """Take processor time that nobody wants, and be the one to end when memory runs out; where the system lets us."""
    with suppress(OSError, AttributeError):
        os.nice(19)
        os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000", encoding="ascii")


def _main(root: str, model_id: str, *spans: str) -> int:
    _yield_to_others()
    pairs = [span.split("-") for span in spans]
    try:
        compile_segments(Path(root), model_id, [Segment(int(start), int(stop)) for start, stop in pairs])
    except SeamlineError as error:
        log.debug("%s", error)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(_main(*sys.argv[1:]))
