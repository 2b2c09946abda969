"""What another node reads of a frame's outputs for this origin: the question to it, and the check of what it says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from seamline.core.vocabulary.ports import Array
from seamline.fabric.messages import HeadAsk
from seamline.heads.reduced import ReducingHead


@dataclass(frozen=True, slots=True)
class AnswerReading:
    """One head, as the origin reads with it and as it asks others to."""

    head: ReducingHead
    ask: HeadAsk

    @property
    def expected_bytes(self) -> int:
        """Of an answer, for the planner."""
        return self.head.expected_bytes

    def fault(self, reduced: Mapping[str, Array]) -> str | None:
        """What shows that `reduced` is nothing that this head reads, in words; None when nothing does."""
        return self.head.fault(reduced)
