"""What a sink is: something that takes answered frames one after the other on one thread."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

from seamline.core.vocabulary.errors import SeamlineError
from seamline.sinks.answered import AnsweredFrame


class SinkError(SeamlineError):
    """An answer could not be written. is_final: nor can any later one."""

    def __init__(self, message: str, *, hint: str | None = None, is_final: bool = True) -> None:
        super().__init__(message, hint=hint)
        self.is_final = is_final


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamFacts:
    """What a sink may know of the stream before its first answer. fps: pace of the source, None when it has none."""

    source: str
    model: str
    fps: float | None = None


class Sink(ABC):
    """Where answers go. Every method is called on one thread, `open` first and `close` once, also after an error.

    name: as the user gave it, without passwords. draws: pictures are needed. keeps_outputs: tensors are.
    """

    name: str
    draws = False
    keeps_outputs = False

    def open(self, facts: StreamFacts) -> None:  # noqa: B027 # some have nothing to open
        """Raises `SinkError` when nothing can be written there."""

    @abstractmethod
    def write(self, answered: AnsweredFrame) -> None:
        """Raises `SinkError`, or `OSError` when nothing can be written there any more."""

    def close(self) -> None:  # noqa: B027 # nor to write at the end
        """Write what is left and let go. Raises like `write`."""
