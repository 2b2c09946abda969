"""Check of answers that come from other nodes: are these the outputs of this model at all?

What the origin computes itself is never refused, and teaches: files exist that declare another size than they give, and
such an output counts as open from then on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from seamline.core.vocabulary.ports import Array, dtype_name
from seamline.core.vocabulary.profiles import TensorSpec


class AnswerCheck:
    """Names, dtypes and shapes of a model's outputs; safe from any thread."""

    def __init__(self, specs: Sequence[TensorSpec]) -> None:
        self._specs = {spec.name: spec for spec in specs}
        self._misdeclared: frozenset[str] = frozenset()  # replaced as a whole, never changed

    def learn(self, outputs: Mapping[str, Array]) -> None:
        """`outputs` were computed here: what differs from its declaration is not held to it any more."""
        wrong = {
            name
            for name, spec in self._specs.items()
            if name not in self._misdeclared and name in outputs and _fault(spec, outputs[name]) is not None
        }
        if wrong:
            self._misdeclared |= wrong

    def fault(self, outputs: Mapping[str, Array]) -> str | None:
        """What shows that `outputs` are not this model's, in words; None when nothing does."""
        if outputs.keys() != self._specs.keys():
            return f"it has {len(outputs)} outputs, {len(outputs.keys() - self._specs.keys())} of them unknown"
        for name, spec in self._specs.items():
            if name not in self._misdeclared and (fault := _fault(spec, outputs[name])) is not None:
                return fault
        return None


def _fault(spec: TensorSpec, output: Array) -> str | None:
    if spec.is_local:
        return None
    if not isinstance(output, np.ndarray):
        return f"output `{spec.name}` is no tensor"
    if dtype_name(output.dtype) != spec.dtype:
        return f"output `{spec.name}` is {dtype_name(output.dtype)}, not {spec.dtype}"
    if spec.is_open:
        return None
    if output.shape != spec.shape:
        return f"output `{spec.name}` has {output.ndim} axes of {output.size} values, not {list(spec.shape)}"
    return None
