"""What a source of arrays is: like a source of pictures, but that it learns of the model's inputs before it is read."""

from __future__ import annotations

import itertools
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
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

    def first(self) -> Given:
        """The first frame, for what is open in the model's inputs; it comes again. Raises `UsageError` without one."""
        ...

    def frames(self) -> Iterator[Any]:
        """Frames as they lie there, to the end; `of` gives what a model takes."""
        ...

    def of(self, inputs: tuple[TensorSpec, ...]) -> Iterator[Mapping[str, Array] | None]:
        """Frames as tensors for `inputs`; None whenever nothing has come for a while, so that the reader may leave.

        Raises `UsageError` for what cannot become them.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class FramesInFiles(ABC):
    """Frames in files of one kind, in order; an `ArraySource`. loop: begin again at the end."""

    name: str
    files: tuple[Path, ...]
    loop: bool

    def first(self) -> Given:
        return self.content(self.files[0])

    def frames(self) -> Iterator[Any]:
        return map(self.content, self._in_turn())

    def of(self, inputs: tuple[TensorSpec, ...]) -> Iterator[Mapping[str, Array]]:
        for path in self._in_turn():
            yield from self.frames_of(path, inputs)

    @abstractmethod
    def content(self, path: Path) -> Given:
        """All that is in a file. Raises `UsageError` when it is no such file."""

    @abstractmethod
    def frames_of(self, path: Path, inputs: tuple[TensorSpec, ...]) -> Iterator[Mapping[str, Array]]:
        """The frames of a file, as `ArraySource.of`."""

    def _in_turn(self) -> Iterable[Path]:
        return itertools.cycle(self.files) if self.loop else self.files
