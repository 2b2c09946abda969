"""Pictures as a source: those of a folder, of a pattern, or one. None is dropped; one that cannot be read is passed."""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from seamline.core.vocabulary.errors import UsageError
from seamline.core.vocabulary.stamps import FrameStamp
from seamline.runtime.inputs.pictures import Unreadable, read_picture
from seamline.runtime.sources.frames import SourceFrame, StampedSource
from seamline.runtime.sources.health import SourceFigures, SourceHealth


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageFolder(StampedSource):
    """Pictures in the order given; they have no time line, and wait until there is room for them."""

    name: str
    images: tuple[Path, ...]
    loop: bool
    _health: SourceHealth = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_health", SourceHealth(self.name))

    def first(self) -> SourceFrame | None:
        """The first that can be read. Raises `UsageError` when none can."""
        return next(self._pass(0, SourceHealth(self.name), is_quiet=True), None)

    def read(self, fps: float | None = None, *, drop: bool = True) -> Generator[SourceFrame | None, None, None]:
        """All that can be read. Raises `UsageError` when none can."""
        del fps, drop  # the stream paces them
        number = 0
        while True:
            for frame in self._pass(number, self._health):
                number = frame.stamp.number + 1
                yield frame
            if not self.loop or not number:
                return

    def figures(self) -> SourceFigures:
        return self._health.figures()

    def _pass(self, number: int, health: SourceHealth, *, is_quiet: bool = False) -> Iterator[SourceFrame]:
        """Every picture once, numbered from `number`. Those that are none are said once it is clear that one is."""
        unreadable: list[Unreadable] = []
        n_read = 0
        for at, path in enumerate(self.images):
            data = None
            try:
                data = read_picture(path)
            except Unreadable as error:
                health.count(unreadable=1)
                unreadable.append(error)
            if unreadable and (n_read or data is not None) and not is_quiet:
                for each in unreadable:
                    health.say_damage(f"holds `{each.path.name}`, which {each.reason}; it is left out")
                unreadable.clear()
            if data is not None:
                n_read += 1
                health.count(read=1)
                stamp = FrameStamp(source=self.name, number=number + at, at_s=None, unix_s=time.time(), file=str(path))
                yield SourceFrame(data=data, stamp=stamp)
        if self.images and not n_read:
            first, n_others = unreadable[0], len(self.images) - 1
            others = f", nor can the {n_others} others be read" if n_others else ""
            raise UsageError(f"`{first.path}` {first.reason}{others}", hint=first.hint)
