"""What a source of frames is, and a frame with its stamp; any source or iterable of arrays becomes a stamped one.

FrameSource     what a caller may write: a name, a pace, arrays one after the other
StampedSource   what a stream reads: the same frames, each with where it came from and when
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Generator, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from seamline.core.vocabulary.ports import FrameArray
from seamline.core.vocabulary.stamps import FrameStamp
from seamline.runtime.sources.health import SourceFigures


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceFrame:
    """A frame as its source gave it: uint8[H, W, 3] RGB, or from a caller an array or a dict of them."""

    data: Any
    stamp: FrameStamp


@runtime_checkable
class FrameSource(Protocol):
    """A named sequence of frames. fps: the pace they were recorded at, None when they have none (images).

    is_live: frames come at their own pace and the newest matters (a camera, or a video played as one).
    """

    @property
    def name(self) -> str: ...

    @property
    def fps(self) -> float | None: ...

    @property
    def is_live(self) -> bool: ...

    def frames(self) -> Iterator[FrameArray]:
        """uint8[H, W, 3] RGB, any size; ends with the source."""
        ...


class StampedSource(ABC):
    """A source whose frames say where they came from and when. A `FrameSource`, too."""

    @property
    @abstractmethod
    def name(self) -> str: ...

    @property
    def fps(self) -> float | None:
        """See `FrameSource`; of what is opened on first use, asking opens it."""
        return None

    @property
    def is_live(self) -> bool:
        return False

    @property
    def comes_by_itself(self) -> bool:
        """Whether frames arrive when they are taken, as from a camera, so that nobody paces them."""
        return False

    @abstractmethod
    def first(self) -> SourceFrame | None:
        """The first frame, which `read` gives again; opens the source. None when it has no frame."""

    @abstractmethod
    def read(self, fps: float | None = None, *, drop: bool = True) -> Generator[SourceFrame | None, None, None]:
        """Frames to the end of the source; None whenever nothing has come for a while, so that the reader may leave.

        fps: at most so many a second, chosen by the source's time line. drop: a camera's newest frame replaces one that
        nobody has taken yet. Raises `SourceError` when the source ends before its time.
        """

    @abstractmethod
    def figures(self) -> SourceFigures:
        """What has happened so far."""

    def close(self) -> None:  # noqa: B027 # most have nothing to give back
        """Give back what was opened and is not being read."""

    def frames(self) -> Iterator[Any]:
        """Every frame that can be read, as fast as it is taken; of a camera each one that comes."""
        with closing(self.read(drop=False)) as frames:  # a camera is given back at once
            for frame in frames:
                if frame is not None:
                    yield frame.data


def stamped(frames: FrameSource | Iterable[Any]) -> StampedSource:
    """`frames` as a source with stamps: itself when it has them, else numbered as they come."""
    return frames if isinstance(frames, StampedSource) else _Own(frames)


class UntimedSource(StampedSource):
    """A source without a time line: a frame's stamp says its number and when it was read."""

    def __init__(self) -> None:
        self._n_read = 0

    def figures(self) -> SourceFigures:
        return SourceFigures(name=self.name, read=self._n_read)

    def _next(self, data: Any) -> SourceFrame:
        """`data` as the next frame."""
        self._n_read += 1
        return self._numbered(data, self._n_read - 1)

    def _numbered(self, data: Any, number: int) -> SourceFrame:
        stamp = FrameStamp(source=self.name, number=number, at_s=None, unix_s=time.time())
        return SourceFrame(data=data, stamp=stamp)


class _Own(UntimedSource):
    """A caller's own source or iterable, which stays the caller's to close."""

    def __init__(self, frames: FrameSource | Iterable[Any]) -> None:
        super().__init__()
        self._frames = frames

    @property
    def name(self) -> str:
        return self._frames.name if isinstance(self._frames, FrameSource) else "frames"

    @property
    def fps(self) -> float | None:
        return self._frames.fps if isinstance(self._frames, FrameSource) else None

    @property
    def is_live(self) -> bool:
        return isinstance(self._frames, FrameSource) and self._frames.is_live

    def first(self) -> SourceFrame | None:
        raise TypeError("a caller's own frames can be read only once")

    def read(self, fps: float | None = None, *, drop: bool = True) -> Generator[SourceFrame | None, None, None]:
        del fps, drop  # the stream paces frames without a time line, and none is left out
        for data in self._frames.frames() if isinstance(self._frames, FrameSource) else self._frames:
            yield self._next(data)
