"""Pictures of a folder: in order, none dropped, those that are none named and counted."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from seamline.core.vocabulary.errors import UsageError
from seamline.runtime.sources.opening import open_source
from seamline.runtime.sources.pictures import read_picture


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three pictures; between them what macOS leaves, an empty file, a cut one and words."""
    path = tmp_path / "pictures"
    path.mkdir()
    rng = np.random.default_rng(2)
    for name in ("1.png", "2.jpg", "9.bmp"):
        cv2.imwrite(str(path / name), rng.integers(0, 255, (6, 8, 3), dtype=np.uint8))
    (path / "._1.png").write_bytes(b"\0\5\x16\7\0\2\0\0Mac OS X")
    (path / "2b.png").touch()
    (path / "3.jpg").write_bytes((path / "2.jpg").read_bytes()[:20])
    (path / "readme.txt").write_text("not looked at")
    return path


def test_bad_pictures_are_named_counted_and_passed(folder, caplog):
    source = open_source(str(folder))
    frames = list(source.read())
    assert [Path(frame.stamp.file or "").name for frame in frames] == ["1.png", "2.jpg", "9.bmp"]
    assert [frame.stamp.number for frame in frames] == [1, 2, 5]
    assert all(frame.stamp.at_s is None for frame in frames)
    assert (source.figures().read, source.figures().unreadable) == (3, 3)
    assert [name for name in ("._1.png", "2b.png", "3.jpg") if f"`{name}`" in "".join(caplog.messages)] == [
        "._1.png", "2b.png", "3.jpg",
    ]  # fmt: skip


def test_words_about_bad_pictures_are_said_once_however_often_the_folder_is_played(folder, caplog):
    source = open_source(str(folder), loop=True)
    numbers = [frame.stamp.number for frame, _ in zip(source.read(), range(7), strict=False)]
    assert numbers == sorted(set(numbers))
    assert len(caplog.messages) == 3


def test_the_first_picture_is_the_first_that_can_be_read_and_is_read_again(folder, caplog):
    source = open_source(str(folder))
    first = source.first()
    assert first is not None
    assert (first.stamp.file, caplog.messages, source.figures().unreadable) == (str(folder / "1.png"), [], 0)
    assert np.array_equal(next(source.frames()), first.data)


@pytest.mark.parametrize("names", [("a.png",), ("a.png", "b.jpg")])
def test_when_none_is_a_picture_it_is_an_error_without_other_words(tmp_path, caplog, names):
    for name in names:
        (tmp_path / name).write_bytes(b"no picture")
    source = open_source(str(tmp_path))
    for read in (source.first, lambda: list(source.read())):
        with pytest.raises(UsageError, match=r"a\.png` is not an image"):
            read()
    assert caplog.messages == []


def test_a_single_picture_is_one_frame_even_if_its_name_has_a_number(folder):
    cv2.imwrite(str(folder / "img_1.png"), np.zeros((2, 2, 3), np.uint8))
    cv2.imwrite(str(folder / "img_2.png"), np.zeros((2, 2, 3), np.uint8))
    assert len(list(open_source(str(folder / "img_1.png")).frames())) == 1


def test_a_pattern_takes_what_it_matches_in_order(folder):
    names = [Path(frame.stamp.file or "").name for frame in open_source(str(folder / "*.??g")).read()]
    assert names == ["1.png", "2.jpg"]
    deep = open_source(str(folder.parent / "**" / "*.bmp"))
    assert len(list(deep.frames())) == 1


def test_colours_are_red_green_blue(tmp_path):
    red = np.zeros((2, 2, 3), np.uint8)
    red[..., 2] = 255
    cv2.imwrite(str(tmp_path / "red.png"), red)
    picture = read_picture(tmp_path / "red.png")
    assert picture is not None
    assert picture[0, 0].tolist() == [255, 0, 0]
