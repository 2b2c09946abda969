"""Stamp of a frame: which source it is from, which of its frames, and when. Made where frames are read."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameStamp:
    """Where a frame came from; it stays with the frame until its answer (`Result.stamp`).

    source: name of the source. number: of the frame in its source, from 0; those that are skipped or dropped have
    theirs too. at_s: seconds on the source's own time line
    since its first frame, without the claim of any container; None for pictures and arrays, which have no time.
    unix_s: when it was read, seconds since 1970. file: name of the picture's file; None for frames of a video.
    """

    source: str
    number: int
    at_s: float | None
    unix_s: float
    file: str | None = None
