"""Health of a source: what could not be read, was out or stood still, counted and said once each.

Words go to the log, so that they reach stderr whatever stdout carries; the figures end in the run's summary.
"""

from __future__ import annotations

import logging
import threading
from dataclasses import dataclass, fields, replace
from typing import Annotated

log = logging.getLogger(__name__)

MOST_DAMAGES = 10
"""Damaged parts of one source that get words of their own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceFigures:
    """What a source has given, and what went wrong with it."""

    name: Annotated[str, "name of the source; passwords are left out"]
    read: Annotated[int, "frames or pictures that could be read, used or not"] = 0
    unreadable: Annotated[int, "frames or pictures that were there, or by the time line should be, and are not"] = 0
    overtaken: Annotated[int, "frames of a camera that a newer one replaced before they were converted"] = 0
    reconnects: Annotated[int, "times that a lost source came back"] = 0
    stalls: Annotated[int, "times that nothing came for five seconds though the source was there"] = 0
    out_s: Annotated[float, "seconds without frames while it was lost or stood still"] = 0.0
    ended_early: Annotated[bool, "whether a file or address ended before its container's promise"] = False

    def __add__(self, other: SourceFigures) -> SourceFigures:
        """Both together, by the name of the first."""
        counts = [each.name for each in fields(self) if each.name not in ("name", "ended_early")]
        return replace(
            self,
            ended_early=self.ended_early or other.ended_early,
            **{count: getattr(self, count) + getattr(other, count) for count in counts},
        )


def trouble_text(figures: SourceFigures) -> str:
    """What went wrong with a source, in one line for the end of a run; empty when nothing did."""
    parts = [
        f"{figures.unreadable} unreadable" if figures.unreadable else "",
        f"{figures.reconnects} reconnects" if figures.reconnects else "",
        f"{figures.stalls} stalls" if figures.stalls else "",
        f"{figures.out_s:.1f} s without frames" if figures.out_s else "",
        "ended early" if figures.ended_early else "",
    ]
    found = ", ".join(part for part in parts if part)
    return f"source `{figures.name}`: {figures.read} frames read, {found}" if found else ""


class SourceHealth:
    """Owner of a source's figures; every method is safe from any thread."""

    def __init__(self, name: str) -> None:
        self._figures = SourceFigures(name=name)
        self._damages: set[str] = set()
        self._lock = threading.Lock()

    @property
    def name(self) -> str:
        return self._figures.name

    def figures(self) -> SourceFigures:
        with self._lock:
            return self._figures

    def count(
        self,
        *,
        read: int = 0,
        unreadable: int = 0,
        overtaken: int = 0,
        reconnects: int = 0,
        stalls: int = 0,
        out_s: float = 0.0,
        ended_early: bool = False,
    ) -> None:
        """Add to the figures."""
        with self._lock:
            now = self._figures
            self._figures = replace(
                now,
                read=now.read + read,
                unreadable=now.unreadable + unreadable,
                overtaken=now.overtaken + overtaken,
                reconnects=now.reconnects + reconnects,
                stalls=now.stalls + stalls,
                out_s=now.out_s + out_s,
                ended_early=now.ended_early or ended_early,
            )

    def say(self, words: str) -> None:
        """Words to the log."""
        log.warning("`%s` %s", self.name, words)

    def say_damage(self, words: str) -> None:
        """Words about a damaged part, never the same twice (what is played in a loop has its faults in every round) and
        only so many: a source that is broken all over says so, and counts."""
        with self._lock:
            if words in self._damages or len(self._damages) > MOST_DAMAGES:
                return
            self._damages.add(words)
            is_last = len(self._damages) > MOST_DAMAGES
        self.say("has more damage; from here on it is counted only" if is_last else words)
