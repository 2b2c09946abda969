"""Stage of the peers' pipelines: a model run by plain ONNX Runtime on raw bytes, one thread."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import onnxruntime as ort

DTYPES = {"tensor(float)": np.float32, "tensor(float16)": np.float16, "tensor(uint8)": np.uint8}


class Stage:
    def __init__(self, model: str) -> None:
        options = ort.SessionOptions()
        options.intra_op_num_threads = 1
        self._session = ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        self._inputs = [(value.name, DTYPES[value.type], value.shape) for value in self._session.get_inputs()]

    def run(self, tensors: Iterable[Any]) -> list[np.ndarray]:
        """Outputs for inputs in the model's order, each an array or the bytes of one."""
        feeds = {
            name: np.frombuffer(tensor, dtype).reshape(shape)
            for (name, dtype, shape), tensor in zip(self._inputs, tensors, strict=True)
        }
        return self._session.run(None, feeds)
