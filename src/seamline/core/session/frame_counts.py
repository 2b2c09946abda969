"""Counts of a stream's frames by what became of them, as the ledger and its readers exchange them."""

from __future__ import annotations

from dataclasses import dataclass, fields


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameCounts:
    """Counts of frames so far, by outcome. duplicated, out_of_order: always 0, counted all the same.

    strange_answers: answers and failures from a node that has no such part in the attempt, or of no attempt; dropped.
    """

    accepted: int = 0
    answered: int = 0
    dropped_before_acceptance: int = 0
    retried: int = 0
    late_answers: int = 0
    strange_answers: int = 0
    duplicated: int = 0
    out_of_order: int = 0

    @property
    def lost(self) -> int:
        """Accepted and not answered; counts only once the stream has ended."""
        return self.accepted - self.answered

    def since(self, before: FrameCounts) -> FrameCounts:
        """Counts of the frames after `before` was counted."""
        return FrameCounts(
            **{each.name: getattr(self, each.name) - getattr(before, each.name) for each in fields(self)}
        )
