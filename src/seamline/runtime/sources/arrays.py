"""Arrays as a source: what `runtime.inputs` reads, each frame with its stamp, as the model's inputs want it."""

from __future__ import annotations

import time
from collections.abc import Generator

from seamline.core.vocabulary.profiles import TensorSpec
from seamline.core.vocabulary.stamps import FrameStamp
from seamline.runtime.inputs.source import ArraySource
from seamline.runtime.sources.frames import SourceFrame, StampedSource
from seamline.runtime.sources.health import SourceFigures


class ArrayFrames(StampedSource):
    """Frames of `arrays` for `inputs`; None while these are not known, and frames as they lie there.

    They have no time line, and wait until there is room for them.
    """

    def __init__(self, arrays: ArraySource, inputs: tuple[TensorSpec, ...] | None = None) -> None:
        self._arrays = arrays
        self._inputs = inputs
        self._n_read = 0

    @property
    def name(self) -> str:
        return self._arrays.name

    @property
    def fps(self) -> None:
        return None

    @property
    def is_live(self) -> bool:
        return False

    @property
    def comes_by_itself(self) -> bool:
        return False

    def of(self, inputs: tuple[TensorSpec, ...]) -> ArrayFrames:
        """The same frames, as tensors for `inputs`."""
        return ArrayFrames(self._arrays, inputs)

    def first(self) -> SourceFrame:
        """Raises `UsageError` when there is none."""
        return SourceFrame(data=self._arrays.first(), stamp=self._stamp(0))

    def read(self, fps: float | None = None, *, drop: bool = True) -> Generator[SourceFrame | None, None, None]:
        """Raises `UsageError` for what cannot become the inputs."""
        del fps, drop  # the stream paces frames without a time line, and none is left out
        found = self._arrays.frames() if self._inputs is None else self._arrays.of(self._inputs)
        for data in found:
            if data is None:
                yield None
                continue
            self._n_read += 1
            yield SourceFrame(data=data, stamp=self._stamp(self._n_read - 1))

    def figures(self) -> SourceFigures:
        return SourceFigures(name=self.name, read=self._n_read)

    def close(self) -> None:
        """Files are open only while they are read."""

    def _stamp(self, number: int) -> FrameStamp:
        return FrameStamp(source=self.name, number=number, at_s=None, unix_s=time.time())
