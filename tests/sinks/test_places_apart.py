"""No place of `--save` destroys what is read."""

from __future__ import annotations

from pathlib import Path

import pytest

from seamline.core.vocabulary.errors import UsageError
from seamline.sinks.opening import require_apart


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pictures").mkdir()
    for name in ("street.mp4", "frames.npz", "lines.jsonl", "pictures/a.jpg"):
        (tmp_path / name).write_bytes(b"x")
    (tmp_path / "link.mp4").symlink_to("street.mp4")
    return tmp_path


@pytest.mark.parametrize(
    ("place", "source"),
    [
        ("street.mp4", "street.mp4"),
        ("./street.mp4", "street.mp4"),
        ("link.mp4", "street.mp4"),
        ("street.mp4", "*.mp4"),
        ("frames.npz", "frames.npz"),
        ("lines.jsonl", "lines.jsonl"),
        ("pictures/", "pictures"),
        ("pictures", "./pictures/"),
        ("pictures/", "pictures/*.jpg"),
        ("pictures/", "pictures/a.jpg"),
    ],
)
def test_a_place_that_is_read_is_refused(folder: Path, place: str, source: str):
    with pytest.raises(UsageError, match="would overwrite"):
        require_apart(["fine.csv", place], ["0", source])


@pytest.mark.parametrize(
    ("place", "source"),
    [
        ("out.mp4", "street.mp4"),
        ("out/", "pictures"),
        ("pictures/", "street.mp4"),
        (".", "street.mp4"),
        ("-", "-"),
        ("http://host/street.mp4", "http://host/street.mp4"),
        ("out.csv", "no-such.mp4"),
    ],
)
def test_another_place_is_let_be(folder: Path, place: str, source: str):
    require_apart([place], [source])
