"""Videos one after the other as one source: those of a folder, or of a pattern."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path

from seamline.core.vocabulary.errors import SeamlineError, SourceError
from seamline.runtime.sources.frames import SourceFrame, StampedSource
from seamline.runtime.sources.health import SourceFigures, SourceHealth
from seamline.runtime.sources.video import VideoSource


class Playlist(StampedSource):
    """`files` in the order given, on one time line, each opened when it is its turn; the stamps say of which file.

    One that cannot be read, or ends early, is said, and the next is played; at the end of the list it is an error.
    open_one: makes the video of a file.
    """

    def __init__(
        self, name: str, files: Sequence[Path], open_one: Callable[[Path], VideoSource], *, loop: bool
    ) -> None:
        self._files = tuple(files)
        self._open_one = open_one
        self._loop = loop
        self._health = SourceHealth(name)
        self._played = SourceFigures(name=name)
        self._playing: VideoSource | None = None
        self._next: VideoSource | None = None

    @property
    def name(self) -> str:
        return self._health.name

    @property
    def is_live(self) -> bool:
        return True

    def first(self) -> SourceFrame | None:
        """The first frame of the first file, which must be one that can be read."""
        self._next = self._next or self._open_one(self._files[0])
        return self._next.first()

    def read(self, fps: float | None = None, *, drop: bool = True) -> Generator[SourceFrame | None, None, None]:
        failed: SeamlineError | None = None
        number, at_s, interval_s = 0, 0.0, 0.0
        while True:
            n_before = number
            for path in self._files:
                video, self._next = self._next or self._open_one(path), None
                self._playing = video
                from_number, from_s = number, at_s
                try:
                    with closing(video), closing(video.read(fps, drop=drop)) as frames:
                        for frame in frames:
                            if frame is None:
                                yield None
                                continue
                            before_s, at_s = at_s, from_s + (frame.stamp.at_s or 0.0)
                            interval_s = at_s - before_s or interval_s
                            number = from_number + frame.stamp.number + 1
                            stamp = replace(frame.stamp, source=self.name, number=number - 1, at_s=at_s, file=str(path))
                            yield SourceFrame(data=frame.data, stamp=stamp)
                except SeamlineError as error:
                    failed = failed or error
                    self._health.say_damage(f"goes on with the next video: {error.message}")
                finally:
                    self._played, self._playing = self._played + video.figures(), None
                at_s += interval_s
            if not self._loop or number == n_before:
                break
        if failed is not None:
            raise SourceError(failed.message, hint="the other videos have been played")

    def figures(self) -> SourceFigures:
        playing = self._playing
        return self._played if playing is None else self._played + playing.figures()

    def close(self) -> None:
        if self._next is not None:
            self._next.close()
            self._next = None
