"""Plain ONNX Runtime in one process: models one after another on each frame, no wire."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
from stage import Stage


class Chain:
    """Each of `models` takes what the one before it gave; the first takes the frame."""

    def __init__(self, *models: str) -> None:
        self._stages = [Stage(model) for model in models]

    def answers(self, frames: Iterable[np.ndarray], n_in_flight: int) -> Iterator[list[np.ndarray]]:
        for frame in frames:
            tensors = [frame]
            for stage in self._stages:
                tensors = stage.run(tensors)
            yield tensors

    def close(self) -> None:
        self._stages.clear()
