"""Stories of frames: what became of each attempt and when, for whoever asks why a frame took so long."""

from __future__ import annotations

from dataclasses import dataclass, field

N_STORIES = 256
"""Of so many frames the story is kept, the newest."""


@dataclass(frozen=True, slots=True)
class Step:
    """One line of a frame's story."""

    at_s: float
    words: str

    def __str__(self) -> str:
        return f"{self.at_s:12.6f}  {self.words}"


@dataclass(slots=True)
class Stories:
    """Stories by frame, oldest first."""

    _steps: dict[int, list[Step]] = field(default_factory=dict)

    def note(self, frame: int, at_s: float, words: str) -> None:
        """Add a line to the story of `frame`."""
        known = self._steps.get(frame)
        if known is None:
            known = self._steps[frame] = []
            if len(self._steps) > N_STORIES:
                del self._steps[next(iter(self._steps))]
        known.append(Step(at_s, words))

    def of(self, frame: int) -> tuple[Step, ...]:
        """Its lines, oldest first; empty where it is not kept any more."""
        return tuple(self._steps.get(frame, ()))
