"""Runnable segment of any engine: checks what it is given, hands on what only passes, and leaves computing to a
function of the engine's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np

from seamline.core.vocabulary.errors import ModelError
from seamline.core.vocabulary.local_values import is_local
from seamline.core.vocabulary.ports import Array, Tensors, dtype_name
from seamline.model.onnx.segments import SegmentModel

Compute = Callable[[dict[str, Array]], dict[str, Array]]
"""Outputs of a segment's ONNX model by name, for its inputs by name. Raises `ModelError`."""

ComputeMany = Callable[[Sequence[Mapping[str, Array]]], list[dict[str, Array]]]
"""The same for several frames at once."""


class CheckedSegment:
    """A segment that can run; implements `core.vocabulary.ports.RunnableSegment`.

    names: of the inputs that `compute` takes; it is None where no layer runs in the segment. n_most: frames that it
    pays to run at once, 1 until `batch` says more.
    """

    n_most = 1
    _many: ComputeMany | None = None

    def __init__(self, part: SegmentModel, names: Iterable[str] = (), compute: Compute | None = None) -> None:
        self.inputs = part.inputs
        self.outputs = part.outputs
        self._compute = compute
        self._passed = part.passed
        known = {spec.name for spec in part.inputs}  # a frame may have another name in the model
        self._feeds = {name: name if name in known else part.inputs[0].name for name in names}

    def run(self, tensors: Tensors) -> dict[str, Array]:
        """Outputs by name. Raises `ModelError` when names, shapes or dtypes of `tensors` do not fit, or it fails."""
        self._check(tensors)
        made: dict[str, Array] = {}
        if self._compute is not None:
            made = self._compute(self.feed(tensors))
        return self._out(tensors, made)

    def batch(self, many: ComputeMany, n_most: int) -> None:
        """From now on `n_most` frames may be computed at once, by `many`."""
        self._many, self.n_most = many, n_most

    def run_many(self, frames: Sequence[Tensors]) -> list[dict[str, Array]]:
        """Outputs of each of `frames`, computed as one. Raises `ModelError` when that fails, whichever is to blame."""
        if self._many is None:
            return [self.run(tensors) for tensors in frames]
        for tensors in frames:
            self._check(tensors)
        found = self._many([self.feed(tensors) for tensors in frames])
        return [self._out(tensors, made) for tensors, made in zip(frames, found, strict=True)]

    def feed(self, tensors: Tensors) -> dict[str, Array]:
        """What the segment's ONNX model takes of `tensors`."""
        return {name: _plain(tensors[source]) for name, source in self._feeds.items()}

    def _out(self, tensors: Tensors, made: Mapping[str, Array]) -> dict[str, Array]:
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
                raise ModelError(
                    f"`{spec.name}` must be {spec.dtype}{list(spec.shape)}, it is {found.dtype.name}{list(found.shape)}"
                )


def made_outputs(part: SegmentModel) -> list[str]:
    """Names of the outputs that the ONNX model of `part` makes, in their order."""
    return [spec.name for spec in part.outputs if spec.name not in part.passed]


def _plain(array: Array) -> Array:
    """`array` as runtimes read it without looking twice: aligned, contiguous, native byte order; usually itself."""
    return array if is_local(array) else np.require(array, requirements=("C", "A"))
