"""Engine that runs segments with ONNX Runtime on the processor. Others stand beside it behind
`core.vocabulary.ports.Engine`: `accelerated.py`, `openvino.py`; `providers.py` chooses.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnxruntime as ort
from onnx import ModelProto

from seamline.config.cgroup import memory_total_bytes, n_usable_cores
from seamline.core.vocabulary.errors import ModelError
from seamline.core.vocabulary.plans import Segment
from seamline.core.vocabulary.ports import Array
from seamline.core.vocabulary.providers import CPU
from seamline.model.engine import optimised
from seamline.model.engine.runnable import CheckedSegment, made_outputs
from seamline.model.onnx.prepacking import keep_mapped
from seamline.model.onnx.segments import SegmentModel
from seamline.model.onnx.session import open_bytes, translated
from seamline.model.store.models import ModelStore
from seamline.model.store.stored import StoredModel

log = logging.getLogger(__name__)

OpenSession = Callable[[ModelProto], Any]


class OrtEngine:
    """Makes segments of the store's models runnable; implements `core.vocabulary.ports.Engine`. Safe from several
    threads.

    store: where the models are. n_threads: per run of a segment; all processors this process may use when None.
    takes_kept: whether optimised forms are taken where they are kept; without, every segment is made as the first time.
    memory_bytes: what cannot run in so much is refused before it is tried; what this process may use when None.
    """

    def __init__(
        self,
        store: ModelStore,
        n_threads: int | None = None,
        *,
        takes_kept: bool = True,
        memory_bytes: int | None = None,
    ) -> None:
        self.store = store
        self._takes_kept = takes_kept
        self.n_threads = n_threads or n_usable_cores()
        self.memory_bytes = memory_bytes or memory_total_bytes()
        self._run_options = ort.RunOptions()

    @property
    def name(self) -> str:
        return f"onnxruntime {ort.__version__}"

    @property
    def provider(self) -> str:
        return CPU

    @property
    def computes_on_caller(self) -> bool:
        return self.n_threads == 1

    def prepare(self, model_id: str, segment: Segment) -> CheckedSegment:
        """`segment` of a model, ready to run. Raises `ModelError`: unknown model, damaged weights, no such
        cut, or ORT refuses.

        Takes its optimised form when that is kept (`optimised`), which is faster and needs less memory. Releases the
        interpreter lock while it works, so frames keep flowing meanwhile.
        """
        model = self.store.get_sound(model_id)
        part = model.segment(segment)
        part.check_fits(self.memory_bytes)
        if part.model is None:
            return CheckedSegment(part)
        return ort_segment(part, self._session(part.model, model), self._run_options)

    def opened(self, model_id: str, segment: Segment, n_together: int) -> tuple[SegmentModel, OpenSession]:
        """`segment` as a model, and what makes a session of another form of it, for `n_together` frames at once.

        Raises `ModelError` when so many do not fit.
        """
        stored = self.store.get(model_id)
        part = stored.segment(segment)
        part.check_fits(self.memory_bytes // n_together)
        return part, lambda model: self._made(model, stored.folder, f"`{model.graph.name}`")

    def interrupt(self) -> None:
        """Break off every run of this engine's segments, now and from now on, with `ModelError`.

        A thread inside the runtime would otherwise come back to an interpreter that has ended, which aborts the
        process.
        """
        self._run_options.terminate = True

    def is_kept(self, model_id: str, segment: Segment) -> bool:
        """Whether keeping the optimised form of `segment` would bring nothing new. Raises `ModelError`."""
        model = self.store.get(model_id)
        part = model.segment(segment)
        return part.model is None or optimised.is_kept(graph_bytes(part.model), model.folder)

    def keep(self, model_id: str, segment: Segment) -> None:
        """Keep the optimised form of `segment` for later preparations. Raises `ModelError`."""
        model = self.store.get(model_id)
        part = model.segment(segment)
        part.check_fits(self.memory_bytes)
        if part.model is not None:
            optimised.keep(graph_bytes(part.model), model.folder, model.files)

    def _session(self, model: ModelProto, stored: StoredModel) -> Any:
        graph, what, folder = graph_bytes(model), f"`{model.graph.name}`", stored.folder
        form = optimised.find(graph, folder, stored.files) if self._takes_kept else None
        if form is None:
            return self._made(model, folder, what)
        try:
            return open_bytes(form, folder, what=what, n_threads=self.n_threads, optimised=False, prepacked=True)
        except ModelError as error:
            session = self._made(model, folder, what)
            optimised.forget(graph, folder)  # it was to blame: without it there is no lack of memory or files
            log.warning("the optimised form of %s is dropped: %s", what, error)
            return session

    def _made(self, model: ModelProto, folder: Path, what: str) -> Any:
        """A session made as the first time; its kernels pack their weights, but for those that gain nothing by it."""
        keep_mapped(model)
        data = model.SerializeToString()
        return open_bytes(data, folder, what=what, n_threads=self.n_threads, prepacked=True)


def ort_segment(part: SegmentModel, session: Any, run_options: Any = None) -> CheckedSegment:
    """`part` as `session` runs it on arrays of the host."""
    fetches = made_outputs(part)

    def compute(feed: dict[str, Array]) -> dict[str, Array]:
        with translated("the segment failed"):
            return dict(zip(fetches, session.run(fetches, feed, run_options), strict=True))

    return CheckedSegment(part, [value.name for value in session.get_inputs()], compute)


def graph_bytes(model: ModelProto) -> bytes:
    """The same bytes for the same segment, so that its optimised form is found by them."""
    data: bytes = model.SerializeToString(deterministic=True)
    return data
