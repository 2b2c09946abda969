"""Pictures as a source: those of a folder, of a pattern, or one. None is dropped; one that cannot be read is passed."""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

from seamline.codec.opencv import require_opencv
from seamline.core.vocabulary.errors import UsageError
from seamline.core.vocabulary.ports import FrameArray
from seamline.core.vocabulary.stamps import FrameStamp
from seamline.runtime.sources.frames import SourceFrame, StampedSource
from seamline.runtime.sources.health import SourceFigures, SourceHealth

IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff"})


def read_picture(path: Path) -> FrameArray | None:
    """The picture at `path` as uint8[H, W, 3] RGB; None when it is none."""
    cv2 = require_opencv()
    try:
        picture = cv2.imread(str(path), cv2.IMREAD_COLOR)
    except cv2.error:  # of more pixels than OpenCV takes
        return None
    return None if picture is None else cast(FrameArray, cv2.cvtColor(picture, cv2.COLOR_BGR2RGB))


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageFolder(StampedSource):
    """Pictures in the order given; they have no time line, and wait until there is room for them."""

    name: str
    images: tuple[Path, ...]
    loop: bool
    _health: SourceHealth = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_health", SourceHealth(self.name))

    @property
    def fps(self) -> float | None:
        return None

    @property
    def is_live(self) -> bool:
        return False

    @property
    def comes_by_itself(self) -> bool:
        return False

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

    def close(self) -> None:
        """There is nothing to give back."""

    def _pass(self, number: int, health: SourceHealth, *, is_quiet: bool = False) -> Iterator[SourceFrame]:
        """Every picture once, numbered from `number`. Those that are none are said once it is clear that one is."""
        unreadable: list[str] = []
        n_read = 0
        for at, path in enumerate(self.images):
            data = read_picture(path)
            if data is None:
                health.count(unreadable=1)
                unreadable.append(path.name)
            if unreadable and (n_read or data is not None) and not is_quiet:
                for name in unreadable:
                    health.say_damage(f"holds `{name}`, which is not an image; it is left out")
                unreadable.clear()
            if data is not None:
                n_read += 1
                health.count(read=1)
                stamp = FrameStamp(source=self.name, number=number + at, at_s=None, unix_s=time.time(), file=str(path))
                yield SourceFrame(data=data, stamp=stamp)
        if self.images and not n_read:
            n_others = len(self.images) - 1
            others = f", nor are the {n_others} others" if n_others else ""
            raise UsageError(
                f"`{self.images[0]}` is not an image{others}", hint="remove it from the folder, or convert it"
            )
