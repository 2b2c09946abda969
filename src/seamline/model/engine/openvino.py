"""Engine that runs segments with OpenVINO on the processor (package `openvino`, extra ``seamline[openvino]``).

Segments are the same ONNX graphs as everywhere, their weights references into the store's file, which OpenVINO maps.
Float32 is computed in float32 (by default processors with bfloat16 would round). Large matrices that one row is
multiplied by are no constants of the graph but inputs that every segment is fed from the one mapped file; filters of
convolutions are re-ordered into each compiled segment's own memory, and nothing of that is kept on disk. Measured in
docs/decisions/0027.

A segment that OpenVINO does not take, or would compute in fewer bits than the file says (float64), runs on ONNX
Runtime, which is said once for each model.
"""

from __future__ import annotations

import logging
import tempfile
import weakref
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import openvino
from onnx import ModelProto, NodeProto, TensorProto

from seamline.config.cgroup import n_usable_cores
from seamline.core.vocabulary.errors import ModelError
from seamline.core.vocabulary.plans import Segment
from seamline.core.vocabulary.ports import Array
from seamline.core.vocabulary.providers import OPENVINO
from seamline.model.engine.ort import OrtEngine
from seamline.model.engine.runnable import CheckedSegment, made_outputs
from seamline.model.onnx.external import locate
from seamline.model.onnx.prepacking import mapped_weights
from seamline.model.onnx.segments import SegmentModel
from seamline.model.store.models import ModelStore
from seamline.model.store.stored import StoredModel

log = logging.getLogger(__name__)

_DEVICE = "CPU"
_ROUNDED_TYPES = frozenset({TensorProto.DOUBLE, TensorProto.COMPLEX64, TensorProto.COMPLEX128})

# What OpenVINO 2026.4 takes and gets wrong without a word, as the tests over all engines have found.
_MISREAD = frozenset({"DFT", "If", "Loop", "Scan"})
_IGNORED_ATTRIBUTES = frozenset({"keep_aspect_ratio_policy"})
_PEEPHOLES = 7
"""Place of an LSTM's last input, ignored."""


class OpenVinoEngine:
    """Makes segments of the store's models runnable; implements `core.vocabulary.ports.Engine`. Safe from several
    threads.

    n_threads: per run of a segment; all processors this process may use when None. memory_bytes: as of `OrtEngine`.
    """

    provider = OPENVINO

    def __init__(self, store: ModelStore, n_threads: int | None = None, *, memory_bytes: int | None = None) -> None:
        self.store = store
        self.n_threads = n_threads or n_usable_cores()
        self._runtime = OrtEngine(store, n_threads, memory_bytes=memory_bytes)
        self._core = openvino.Core()
        self._running: weakref.WeakSet[_Compiled] = weakref.WeakSet()
        self._is_interrupted = False
        self._refused: set[str] = set()

    @property
    def name(self) -> str:
        return f"openvino {openvino.__version__.partition('-')[0]}"

    @property
    def computes_on_caller(self) -> bool:
        return self.n_threads == 1

    def prepare(self, model_id: str, segment: Segment) -> CheckedSegment:
        """`segment` of a model, ready to run. Raises `ModelError`: unknown model, damaged weights, no such cut, or
        neither OpenVINO nor ONNX Runtime takes it."""
        model = self.store.get_sound(model_id)
        part = model.segment(segment)
        part.check_fits(self._runtime.memory_bytes)
        if part.model is None:
            return CheckedSegment(part)
        names = [value.name for value in part.model.graph.input]
        try:
            _require_sound(part)
            compiled = self._compiled(part.model, model, made_outputs(part))
        except ModelError as error:
            if model_id not in self._refused:
                self._refused.add(model_id)
                log.warning("%s: it runs on ONNX Runtime here", error)
            return self._runtime.prepare(model_id, segment)
        self._running.add(compiled)
        if self._is_interrupted:
            compiled.cancel()
        return CheckedSegment(part, names, compiled)

    def interrupt(self) -> None:
        """Break off every run of this engine's segments, now and from now on, with `ModelError`."""
        self._is_interrupted = True
        self._runtime.interrupt()
        for compiled in list(self._running):
            compiled.cancel()

    def _compiled(self, model: ModelProto, stored: StoredModel, fetches: list[str]) -> _Compiled:
        weights = _taken_out(model, stored.folder)
        options = {
            "INFERENCE_NUM_THREADS": self.n_threads,
            "NUM_STREAMS": 1,
            "PERFORMANCE_HINT": "LATENCY",
            "EXECUTION_MODE_HINT": "ACCURACY",
            "INFERENCE_PRECISION_HINT": "f32",
            "DYNAMIC_QUANTIZATION_GROUP_SIZE": "0",
            "ENABLE_CPU_PINNING": False,  # several nodes of a machine would be pinned to the same cores
        }
        with _translated(f"OpenVINO does not take `{model.graph.name}`"), _beside_weights(model, stored.folder) as path:
            compiled = self._core.compile_model(self._core.read_model(path), _DEVICE, options)
            return _Compiled(compiled, weights, fetches)


class _Compiled:
    """Runs one compiled segment. weights: inputs that are the same in every run, and must outlive it."""

    def __init__(self, compiled: Any, weights: Mapping[str, Array], fetches: list[str]) -> None:
        self._request = compiled.create_infer_request()
        self._taken = {name for port in compiled.inputs for name in port.names}  # an input that nothing reads is gone
        self._weights = weights
        self._fetches = fetches
        self._is_cancelled = False
        for name, values in weights.items():
            self._request.set_tensor(name, openvino.Tensor(values, shared_memory=True))

    def __call__(self, feed: dict[str, Array]) -> dict[str, Array]:
        if self._is_cancelled:
            raise ModelError("the segment failed: this node is leaving")
        with _translated("the segment failed"):
            taken = {name: array for name, array in feed.items() if name in self._taken}
            found = self._request.infer(taken, share_inputs=True, share_outputs=False)
            return {name: found[at] for at, name in enumerate(self._fetches)}

    def cancel(self) -> None:
        self._is_cancelled = True
        self._request.cancel()


def _require_sound(part: SegmentModel) -> None:
    """Raise `ModelError` where OpenVINO would compute in fewer bits than the model says, or something else."""
    assert part.model is not None
    graph = part.model.graph
    types = {value.type.tensor_type.elem_type for value in (*graph.input, *graph.output, *graph.value_info)}
    types.update(tensor.data_type for tensor in graph.initializer)
    if types & _ROUNDED_TYPES or any(spec.is_local for spec in (*part.inputs, *part.outputs)):
        raise ModelError(f"OpenVINO has no type for tensors of `{graph.name}`")
    for node in graph.node:
        if _is_misread(node):
            raise ModelError(f"OpenVINO does not compute {node.op_type} `{node.name}` as ONNX says")


def _is_misread(node: NodeProto) -> bool:
    if node.op_type == "LSTM" and len(node.input) > _PEEPHOLES:
        return True
    return node.op_type in _MISREAD or any(attribute.name in _IGNORED_ATTRIBUTES for attribute in node.attribute)


def _taken_out(model: ModelProto, folder: Path) -> dict[str, Array]:
    """Make inputs of the weights that need no other layout, in place; return their values, mapped from the store.

    Mapped pages are private to the process only once somebody writes to them, and nobody does.
    """
    names = set(mapped_weights(model.graph))
    taken: dict[str, Array] = {}
    left = []
    for tensor in model.graph.initializer:
        if tensor.name not in names or tensor.data_location != TensorProto.EXTERNAL:
            left.append(tensor)
            continue
        place = locate(tensor, folder)
        assert place.path is not None
        taken[tensor.name] = np.memmap(place.path, np.float32, "c", place.offset, tuple(tensor.dims))
        value = model.graph.input.add(name=tensor.name)
        value.type.tensor_type.elem_type = tensor.data_type
        for extent in tensor.dims:
            value.type.tensor_type.shape.dim.add(dim_value=extent)
    del model.graph.initializer[:]
    model.graph.initializer.extend(left)
    return taken


@contextmanager
def _beside_weights(model: ModelProto, folder: Path) -> Iterator[str]:
    """A file of `model` in `folder`, for as long as it is read: OpenVINO takes weights only from below its folder."""
    with tempfile.NamedTemporaryFile(prefix="openvino-", suffix=".onnx", dir=folder) as file:
        file.write(model.SerializeToString())
        file.flush()
        yield file.name


@contextmanager
def _translated(what: str) -> Iterator[None]:
    try:
        yield
    except (RuntimeError, ValueError, TypeError, OSError, MemoryError) as exc:
        raise ModelError(f"{what}: {_reason(exc)}") from exc


def _reason(exc: Exception) -> str:
    """The last line that says something: those before tell where in OpenVINO it was."""
    lines = [line.strip() for line in str(exc).splitlines() if line.strip()]
    return lines[-1][:400] if lines else type(exc).__name__
