"""Plain ONNX Runtime in one process: models one after another on each frame, one thread, no wire."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import onnxruntime as ort


class Chain:
    """Each of `models` takes what the one before it gave; the first takes the frame."""

    def __init__(self, *models: str) -> None:
        options = ort.SessionOptions()
        options.intra_op_num_threads = 1
        self._sessions = [ort.InferenceSession(model, options, providers=["CPUExecutionProvider"]) for model in models]

    def answers(self, frames: Iterable[np.ndarray], n_in_flight: int) -> Iterator[list[np.ndarray]]:
        for frame in frames:
            tensors: list[Any] = [frame]
            for session in self._sessions:
                names = [value.name for value in session.get_inputs()]
                tensors = session.run(None, dict(zip(names, tensors, strict=True)))
            yield tensors

    def close(self) -> None:
        self._sessions.clear()
