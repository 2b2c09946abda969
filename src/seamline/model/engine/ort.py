"""Engine that runs segments with ONNX Runtime. Other engines stand beside it behind
`core.vocabulary.ports.Engine`.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
from onnx import ModelProto

from seamline.config.cgroup import memory_total_bytes, n_usable_cores
from seamline.core.vocabulary.errors import ModelError
from seamline.core.vocabulary.local_values import is_local
from seamline.core.vocabulary.plans import Segment
from seamline.core.vocabulary.ports import Array, Tensors, dtype_name
from seamline.model.engine import optimised
from seamline.model.onnx.prepacking import keep_mapped
from seamline.model.onnx.segments import SegmentModel
from seamline.model.onnx.session import open_bytes, translated
from seamline.model.store.models import ModelStore
from seamline.model.store.stored import StoredModel

log = logging.getLogger(__name__)


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

    def prepare(self, model_id: str, segment: Segment) -> OrtSegment:
        """`segment` of a model, ready to run. Raises `ModelError`: unknown model, damaged weights, no such
        cut, or ORT refuses.

        Takes its optimised form when that is kept (`optimised`), which is faster and needs less memory. Releases the
        interpreter lock while it works, so frames keep flowing meanwhile.
        """
        model = self.store.get_sound(model_id)
        part = model.segment(segment)
        part.check_fits(self.memory_bytes)
        session = None if part.model is None else self._session(part.model, model)
        return OrtSegment(part, session, self._run_options)

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
        return part.model is None or optimised.is_kept(_graph_bytes(part.model), model.folder)

    def keep(self, model_id: str, segment: Segment) -> None:
        """Keep the optimised form of `segment` for later preparations. Raises `ModelError`."""
        model = self.store.get(model_id)
        part = model.segment(segment)
        part.check_fits(self.memory_bytes)
        if part.model is not None:
            optimised.keep(_graph_bytes(part.model), model.folder, model.files)

    def _session(self, model: ModelProto, stored: StoredModel) -> Any:
        graph, what, folder = _graph_bytes(model), f"`{model.graph.name}`", stored.folder
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


class OrtSegment:
    """A segment that can run; implements `core.vocabulary.ports.RunnableSegment`. `run` may be called from any
    thread.
    """

    def __init__(self, part: SegmentModel, session: Any, run_options: Any = None) -> None:
        self.inputs = part.inputs
        self.outputs = part.outputs
        self._session = session
        self._run_options = run_options
        self._passed = part.passed
        names = [value.name for value in session.get_inputs()] if session else []
        known = {spec.name for spec in part.inputs}  # a frame may have another name in the session
        self._feeds = {name: name if name in known else part.inputs[0].name for name in names}
        self._fetches = [spec.name for spec in part.outputs if spec.name not in part.passed]

    def run(self, tensors: Tensors) -> dict[str, Array]:
        """Outputs by name. Raises `ModelError` when names, shapes or dtypes of `tensors` do not fit, or ORT fails."""
        self._check(tensors)
        made: dict[str, Array] = {}
        if self._session is not None:
            feed = {name: _plain(tensors[source]) for name, source in self._feeds.items()}
            with translated("the segment failed"):
                made = dict(zip(self._fetches, self._session.run(self._fetches, feed, self._run_options), strict=True))
        return {
            spec.name: tensors[spec.name] if spec.name in self._passed else made[spec.name] for spec in self.outputs
        }

    def _check(self, tensors: Tensors) -> None:
        if tensors.keys() != {spec.name for spec in self.inputs}:
            wanted = ", ".join(f"`{spec.name}`" for spec in self.inputs)
            raise ModelError(f"the segment takes {wanted}, it was given {sorted(tensors)}")
        for spec in self.inputs:
            found = tensors[spec.name]
            if spec.is_local:
                continue  # the runtime says itself what is wrong with strings, lists and dicts
            if (found.shape != spec.shape and not spec.is_open) or dtype_name(found.dtype) != spec.dtype:
                is_now = f"{found.dtype.name}{list(found.shape)}"
                raise ModelError(f"`{spec.name}` must be {spec.dtype}{list(spec.shape)}, it is {is_now}")


def _graph_bytes(model: ModelProto) -> bytes:
    """The same bytes for the same segment, so that its optimised form is found by them."""
    data: bytes = model.SerializeToString(deterministic=True)
    return data


def _plain(array: Array) -> Array:
    """`array` as ORT reads it without looking twice: aligned, contiguous, native byte order; usually itself."""
    return array if is_local(array) else np.require(array, requirements=("C", "A"))
