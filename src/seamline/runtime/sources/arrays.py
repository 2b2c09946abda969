"""Arrays as a source: what `runtime.inputs` reads, each frame with its stamp, as the model's inputs want it."""

from __future__ import annotations

from collections.abc import Generator

from seamline.core.vocabulary.profiles import TensorSpec
from seamline.runtime.inputs.source import ArraySource
from seamline.runtime.sources.frames import SourceFrame, UntimedSource


class ArrayFrames(UntimedSource):
    """Frames of `arrays` for `inputs`; None while these are not known, and frames as they lie there.

    They wait until there is room for them.
    """

    def __init__(self, arrays: ArraySource, inputs: tuple[TensorSpec, ...] | None = None) -> None:
        super().__init__()
        self._arrays = arrays
        self._inputs = inputs

    @property
    def name(self) -> str:
        return self._arrays.name

    def of(self, inputs: tuple[TensorSpec, ...]) -> ArrayFrames:
        """The same frames, as tensors for `inputs`."""
        return ArrayFrames(self._arrays, inputs)

    def first(self) -> SourceFrame:
        """Raises `UsageError` when there is none."""
        return self._numbered(self._arrays.first(), 0)

    def read(self, fps: float | None = None, *, drop: bool = True) -> Generator[SourceFrame | None, None, None]:
        """Raises `UsageError` for what cannot become the inputs."""
        del fps, drop  # the stream paces frames without a time line, and none is left out
        found = self._arrays.frames() if self._inputs is None else self._arrays.of(self._inputs)
        for data in found:
            yield None if data is None else self._next(data)
