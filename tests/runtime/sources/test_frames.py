"""Anything a caller iterates becomes a source whose frames have a stamp."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from seamline.runtime.sources.frames import stamped
from seamline.runtime.sources.pictures import ImageFolder


class Own:
    """A caller's own source, as documented."""

    name, fps, is_live = "own", 12.0, True

    def frames(self) -> Iterator[np.ndarray]:
        yield from (np.full((2, 2, 3), number, np.uint8) for number in range(3))


def test_a_source_with_stamps_stays_as_it_is():
    folder = ImageFolder(name="folder", images=(), loop=False)
    assert stamped(folder) is folder


def test_any_iterable_is_a_source_without_a_time_line():
    source = stamped([1, 2, 3])
    frames = list(source.read(fps=1.0))
    assert (source.name, source.fps, source.is_live, source.comes_by_itself) == ("frames", None, False, False)
    assert [(frame.data, frame.stamp.number, frame.stamp.at_s) for frame in frames] == [
        (1, 0, None), (2, 1, None), (3, 2, None),
    ]  # fmt: skip
    assert source.figures().read == 3


def test_a_callers_own_source_keeps_its_name_and_pace():
    source = stamped(Own())
    assert (source.name, source.fps, source.is_live) == ("own", 12.0, True)
    assert [frame.stamp.source for frame in source.read()] == ["own"] * 3
    assert [int(data[0, 0, 0]) for data in source.frames()] == [0, 1, 2]
