"""Facts about a model that a head is chosen by, without the model: outputs, input size, metadata, class names."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from seamline.core.vocabulary.profiles import DTYPE_BYTES, TensorSpec
from seamline.heads.names import NO_NAMES, ClassNames

DETECTION_TASKS = frozenset({"detect", "segment", "pose", "obb"})
"""Values of Ultralytics' ``task`` for networks whose outputs are objects; ``segment`` finds objects with masks."""


NUMBERS = DTYPE_BYTES.keys() - {"bool"}


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelFacts:
    """What is known of a model. outputs: in its order. height, width: of the picture it takes, 0 when it takes none.

    last_ops: the operator that makes each output. metadata: of the file.
    """

    outputs: tuple[TensorSpec, ...]
    height: int = 0
    width: int = 0
    last_ops: Mapping[str, str] = field(default_factory=dict)
    metadata: Mapping[str, str] = field(default_factory=dict)
    names: ClassNames = NO_NAMES

    @property
    def size(self) -> tuple[int, int]:
        return self.height, self.width

    @property
    def task(self) -> str:
        """The task that the file names, in Ultralytics' words; empty when it names none."""
        return self.metadata.get("seamline.task", self.metadata.get("task", "")).strip().lower()

    @property
    def point_shape(self) -> tuple[int, int]:
        """Key points of an object and numbers for each; (0, 0) when it has none."""
        shape = literal(self.metadata.get("kpt_shape", ""))
        if isinstance(shape, list | tuple) and len(shape) == 2 and all(isinstance(n, int) and n > 0 for n in shape):
            return int(shape[0]), int(shape[1])
        return 0, 0


def is_vector(spec: TensorSpec) -> bool:
    """Whether `spec` is one row of numbers, more than one, whose count no frame decides."""
    return not spec.is_open and spec.dtype in NUMBERS and max(spec.shape, default=1) == spec.n_elements > 1


def literal(text: str) -> Any:
    """A Python literal in metadata; None when it is none."""
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return None
