"""What a source of arrays is: like a source of pictures, but that it learns of the model's inputs before it is read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Protocol, runtime_checkable

from seamline.core.vocabulary.ports import Array
from seamline.core.vocabulary.profiles import TensorSpec

Given = Array | Mapping[str, Array]
"""One array of the only input, or arrays by name."""


@runtime_checkable
class ArraySource(Protocol):
    """A named sequence of arrays as a model takes them, at no pace of its own; none is dropped."""

    @property
    def name(self) -> str: ...

    @property
    def fps(self) -> None: ...

    @property
    def is_live(self) -> bool: ...

    def first(self) -> Given:
        """The first frame, for what is open in the model's inputs; it comes again. Raises `UsageError` without one."""
        ...

    def frames(self, stride: float = 1.0) -> Iterator[Any]:
        """Frames as they lie there, to the end; `of` gives what a model takes."""
        ...

    def of(self, inputs: tuple[TensorSpec, ...]) -> Iterator[Mapping[str, Array] | None]:
        """Frames as tensors for `inputs`; None whenever nothing has come for a while, so that the reader may leave.

        Raises `UsageError` for what cannot become them.
        """
        ...
