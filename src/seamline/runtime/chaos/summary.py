"""What `seamline chaos` found: every round, figures by kind of fault, the streams, and what was wrong."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Annotated

import numpy as np
import psutil

from seamline.runtime.origin.summary import FrameFigures


@dataclass(frozen=True, slots=True, kw_only=True)
class RoundFigures:
    """One round: what happened, and how the streams took it."""

    at_s: Annotated[float, "when its first fault began, seconds since the streams did"]
    faults: Annotated[tuple[str, ...], "its faults in words, at once when there are two"]
    kind: Annotated[str, "the kind of fault; `two-at-once` when there are two"]
    frames: Annotated[int, "answers of all streams from the first fault until they had recovered"]
    gaps_s: Annotated[tuple[float, ...], "for each stream the longest time without an answer"]
    lost: Annotated[int, "accepted frames that were not answered"]
    recovered_s: Annotated[
        float | None,
        "from the end of the last fault, when restarted nodes said they are ready, until all streams were back on "
        "their best plan; null when that took longer than was waited for",
    ]
    unrecovered: Annotated[str | None, "what was not as it should be at the end; null after a recovery"]


@dataclass(frozen=True, slots=True, kw_only=True)
class FaultFigures:
    """All rounds of one kind of fault."""

    kind: Annotated[str, "the kind of fault"]
    times: Annotated[int, "how often it happened"]
    frames: Annotated[int, "answers in those rounds"]
    gap_p50_s: Annotated[float, "median over rounds and streams of the longest time without an answer"]
    gap_p99_s: Annotated[float, "99th percentile of it; the longest when there are few"]
    lost: Annotated[int, "accepted frames that were not answered"]
    recovered_p50_s: Annotated[float | None, "median time to recover; null when no round did"]
    recovered_max_s: Annotated[float | None, "longest time to recover of those that did"]
    unrecovered: Annotated[int, "rounds after which the streams were not back within the limit"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ChaosStream:
    """One stream over the whole run."""

    model: Annotated[str, "name of its model"]
    plan: Annotated[str, "its plan at the end"]
    switches: Annotated[int, "how often its plan changed"]
    largest_deviation: Annotated[float, "of an answer from the unsplit model's, relative"]
    frames: FrameFigures


@dataclass(frozen=True, slots=True, kw_only=True)
class Footprint:
    """What the origin's process holds at one moment."""

    rss_bytes: Annotated[int, "resident memory"]
    threads: Annotated[int, "threads"]
    files: Annotated[int, "open files and sockets"]

    @staticmethod
    def now() -> Footprint:
        process = psutil.Process()
        return Footprint(rss_bytes=process.memory_info().rss, threads=process.num_threads(), files=process.num_fds())


@dataclass(frozen=True, slots=True, kw_only=True)
class ChaosSummary:
    """What `seamline chaos --json` prints."""

    seed: Annotated[int, "as given with --seed"]
    minutes: Annotated[float, "as given with --minutes"]
    passed: Annotated[bool, "whether nothing was wrong"]
    complaints: Annotated[tuple[str, ...], "what was wrong"]
    load: Annotated[float, "processes that wanted to run during the last minute, on average; the run's own among them"]
    cores: Annotated[int, "processor cores of this machine"]
    faults: Annotated[tuple[FaultFigures, ...], "one entry per kind of fault"]
    streams: Annotated[tuple[ChaosStream, ...], "one entry per stream"]
    before: Annotated[Footprint, "what the origin's process held before the first fault"]
    after: Annotated[Footprint, "and after the last recovery"]
    rounds: Annotated[tuple[RoundFigures, ...], "one entry per round, in order"]
    skipped: Annotated[tuple[str, ...], "faults that were not tried, and why"]


def by_kind(rounds: Iterable[RoundFigures]) -> tuple[FaultFigures, ...]:
    """Figures of every kind that happened, by name."""
    kinds: dict[str, list[RoundFigures]] = {}
    for each in rounds:
        kinds.setdefault(each.kind, []).append(each)
    return tuple(_figures(kind, kinds[kind]) for kind in sorted(kinds))


def _figures(kind: str, rounds: Sequence[RoundFigures]) -> FaultFigures:
    gaps_s = [gap_s for each in rounds for gap_s in each.gaps_s]
    recovered_s = [each.recovered_s for each in rounds if each.recovered_s is not None]
    return FaultFigures(
        kind=kind,
        times=len(rounds),
        frames=sum(each.frames for each in rounds),
        gap_p50_s=float(np.median(gaps_s)),
        gap_p99_s=float(np.percentile(gaps_s, 99, method="higher")),
        lost=sum(each.lost for each in rounds),
        recovered_p50_s=float(np.median(recovered_s)) if recovered_s else None,
        recovered_max_s=max(recovered_s, default=None),
        unrecovered=len(rounds) - len(recovered_s),
    )
