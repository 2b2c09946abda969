"""The private-weights engine: reads the model file, cuts it, and loads the part with weights of its own.

That is how a program without this project does it, and what `pause-resume`, `spawn` and `standby` are compared by:
ONNX's own extractor, a session from the extracted bytes, the runtime's default options. Nothing is shared with other
segments and nothing comes from `model.onnx.segments`, which does it in milliseconds; see the first two decisions of the
architecture for what that saves.

It is not made slower than need be: the graph is cut first and only the weights of the part are read. Reading all of
them and cutting then took VGG-19's second half 8.3 s of processor instead of 3, and held the interpreter lock for 4 s
at a time, after which peers sometimes took the node for lost.
"""

from __future__ import annotations

from typing import Any

import onnx
import onnxruntime as ort
from onnx import ModelProto
from onnx.external_data_helper import load_external_data_for_model
from onnx.utils import Extractor

from seamline.config.cgroup import memory_total_bytes
from seamline.core.vocabulary.plans import Segment
from seamline.core.vocabulary.providers import CPU
from seamline.model import ModelStore
from seamline.model.engine.ort import ort_segment
from seamline.model.engine.runnable import CheckedSegment
from seamline.model.onnx.prepending import prepend
from seamline.model.onnx.session import translated
from seamline.model.store.stored import GRAPH, StoredModel


class PrivateWeightsEngine:
    """Engine of the baseline, where every segment holds weights of its own; a `core.vocabulary.ports.Engine`."""

    def __init__(self, store: ModelStore, n_threads: int, memory_bytes: int | None = None) -> None:
        self.store = store
        self.memory_bytes = memory_bytes or memory_total_bytes()
        self.n_threads = n_threads

    @property
    def name(self) -> str:
        return f"onnxruntime {ort.__version__}, private weights"

    @property
    def provider(self) -> str:
        return CPU

    @property
    def computes_on_caller(self) -> bool:
        return self.n_threads == 1

    def prepare(self, model_id: str, segment: Segment) -> CheckedSegment:
        """`segment` of a model with its own copy of the weights. Raises `ModelError`: unknown or damaged model, no such
        cut.

        Reading and cutting hold the interpreter lock, so that this process answers nothing for a part of the time: that
        is what such a program does.
        """
        stored = self.store.get_sound(model_id)
        part = stored.segment(segment)  # names and shapes of what crosses the cuts
        part.check_fits(self.memory_bytes)
        if part.model is None:
            return CheckedSegment(part)
        with translated(f"`{stored.name}` cannot be cut at {segment}"):
            data = _extracted(stored, segment).SerializeToString()  # the graph is gone before the session copies all
            return ort_segment(part, self._session(data))

    def _session(self, data: bytes) -> Any:
        options = ort.SessionOptions()
        options.intra_op_num_threads = self.n_threads
        return ort.InferenceSession(data, options, providers=["CPUExecutionProvider"])


def _extracted(stored: StoredModel, segment: Segment) -> ModelProto:
    """The part between two cuts by ONNX's own means, its weights inside."""
    whole = onnx.load(stored.folder / GRAPH, load_external_data=False)
    inputs = [spec.name for spec in stored.cuts[segment.start].tensors]
    outputs = [spec.name for spec in stored.cuts[segment.stop].tensors]
    passed = set(inputs) & set(outputs)
    part = Extractor(whole).extract_model(inputs, [name for name in outputs if name not in passed])
    load_external_data_for_model(part, str(stored.folder))
    if segment.start == 0 and stored.preprocess is not None:
        prepend(part.graph, stored.preprocess, stored.preprocess.target(stored.graph.input_specs).name)
    return part
