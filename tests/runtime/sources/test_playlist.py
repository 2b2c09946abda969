"""Videos of a folder or a pattern, one after the other as one."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from seamline.core.vocabulary.errors import SourceError, UsageError
from seamline.runtime.sources.opening import open_source


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two clips of noise, 5 and 10 frames a second, 5 and 10 frames long, and words beside them."""
    path = tmp_path / "clips"
    path.mkdir()
    rng = np.random.default_rng(8)
    for name, fps in (("a.avi", 5), ("b.avi", 10)):
        out = cv2.VideoWriter(str(path / name), cv2.VideoWriter_fourcc(*"MJPG"), fps, (64, 64))
        for _ in range(fps):
            out.write(rng.integers(0, 255, (64, 64, 3), dtype=np.uint8))
        out.release()
    (path / "notes.txt").touch()
    return path


def test_they_are_one_after_the_other_on_one_time_line(folder):
    for text in (str(folder), str(folder / "*.avi")):
        source = open_source(text)
        first = source.first()
        frames = [frame for frame in source.read() if frame is not None]
        assert first is not None
        assert np.array_equal(first.data, frames[0].data)
        assert [frame.stamp.number for frame in frames] == list(range(15))
        assert [Path(frame.stamp.file or "").name for frame in frames] == ["a.avi"] * 5 + ["b.avi"] * 10
        at_s = [frame.stamp.at_s for frame in frames]
        assert at_s == pytest.approx([n / 5 for n in range(5)] + [1 + n / 10 for n in range(10)])
        assert (source.figures().read, source.figures().name) == (15, source.name)


def test_a_pattern_that_matches_one_video_is_that_video(folder):
    source = open_source(str(folder / "b*"))
    assert (source.name, len(list(source.frames()))) == ("b.avi", 10)


def test_a_rate_holds_across_them(folder):
    frames = [frame for frame in open_source(str(folder)).read(fps=2.5) if frame is not None]
    assert [frame.stamp.number for frame in frames] == [0, 2, 4, 5, 9, 13]


def test_one_that_is_damaged_is_said_and_the_others_are_played(folder, caplog):
    (folder / "a2.avi").write_bytes(bytes(range(256)) * 8)
    whole = (folder / "b.avi").read_bytes()
    (folder / "a3.avi").write_bytes(whole[: len(whole) // 2])
    source, read = open_source(str(folder)), []
    with pytest.raises(SourceError, match=r"a2\.avi` cannot be read as video"):
        read.extend(source.frames())
    figures = source.figures()
    assert (figures.read, figures.ended_early) == (len(read), True)
    assert len(read) > 15
    assert ["a2.avi" in caplog.messages[0], "a3.avi` ended early" in caplog.messages[1]] == [True, True]


def test_the_first_must_be_one_that_can_be_read(tmp_path):
    for name in ("a.mp4", "b.mp4"):
        (tmp_path / name).write_bytes(b"no video")
    with pytest.raises(UsageError, match="cannot be read as video"):
        open_source(str(tmp_path)).first()


def test_a_loop_starts_over_and_goes_on_counting(folder):
    source = open_source(str(folder), loop=True)
    reading = source.read()
    frames = [frame for frame, _ in zip(reading, range(40), strict=False) if frame is not None]
    read = source.figures().read
    reading.close()
    assert len(frames) <= read <= source.figures().read
    numbers = [frame.stamp.number for frame in frames]
    at_s = [frame.stamp.at_s for frame in frames]
    assert numbers == list(range(len(numbers)))
    assert len(numbers) > 20
    assert at_s == sorted(at_s)
