"""What names a source and what it gives: read once, cut short, damaged, by a pipe; refused in our words alone."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

import seamline
from seamline.core.vocabulary.errors import SourceError, UsageError
from seamline.runtime.sources.opening import open_source

VIDEO = Path(seamline.__file__).parent / "data" / "bigbuckbunny.mp4"
OURS = """
from seamline.core.vocabulary.errors import UsageError
from seamline.runtime.sources.opening import open_source
try:
    next(open_source(noise).frames())
except UsageError as error:
    print(error, file=sys.stderr)
"""


@pytest.fixture
def noise(tmp_path: Path) -> Path:
    path = tmp_path / "noise.mp4"
    path.write_bytes(bytes(range(256)) * 20)
    return path


def said_on_stderr(code: str, *arguments: Path) -> list[str]:
    """The lines on stderr of a fresh process; FFmpeg reads how loud it shall be only once in each."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("OPENCV")}
    program = f"import sys; video, noise = sys.argv[1:]\n{code}"
    process = subprocess.run(
        [sys.executable, "-c", program, *map(str, arguments)],
        capture_output=True, text=True, check=True, timeout=60, env=environment,
    )  # fmt: skip
    return process.stderr.splitlines()


def test_a_file_that_is_no_video_is_refused_in_one_line_whoever_imported_opencv_first(noise):
    (line,) = said_on_stderr(f"import cv2\n{OURS}", VIDEO, noise)
    assert "cannot be read as video" in line


@pytest.mark.needs("linux")  # elsewhere a log level that FFmpeg has read stays
def test_it_is_so_after_another_part_of_the_program_has_opened_videos(noise):
    before = "import cv2; cv2.VideoCapture(video); cv2.VideoCapture(noise); print('ours:', file=sys.stderr)"
    lines = said_on_stderr(f"{before}\n{OURS}", VIDEO, noise)
    ours = lines.index("ours:")
    assert "moov atom not found" in "".join(lines[:ours])  # it does speak where nobody stops it
    (line,) = lines[ours + 1 :]
    assert "cannot be read as video" in line


@pytest.mark.parametrize(
    ("text", "fact"),
    [
        ("missing.mp4", "no video, folder or camera `missing.mp4`"),
        ("no/such/*.png", "no video, folder or camera `no/such/\\*.png`"),
        ("gopher://host/x", "`gopher://` is not a kind of address"),
        ("rtsp:///cam", "names no host"),
        ("rtsp://host:port/cam", "is not an address"),
        ("http://host:99999/", "is not an address"),
    ],
)
def test_what_names_no_source_is_refused_before_anything_is_opened(text, fact):
    with pytest.raises(UsageError, match=fact):
        open_source(text)


def test_pictures_and_videos_together_are_refused(tmp_path):
    for name in ("a.png", "b.mp4"):
        (tmp_path / name).touch()
    for text in (str(tmp_path), str(tmp_path / "*")):
        with pytest.raises(UsageError, match=r"a\.png` and `b\.mp4"):
            open_source(text)


def test_nothing_is_opened_before_it_is_needed():
    source = open_source("rtsp://127.0.0.1:9/cam")
    assert (source.name, source.is_live, source.figures().read) == ("rtsp://127.0.0.1:9/cam", True, 0)


def make_avi(path: Path, n_frames: int, *, fps: float = 30.0, side: int = 64) -> bytes:
    rng = np.random.default_rng(n_frames)
    out = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), fps, (side, side))
    for _ in range(n_frames):
        out.write(rng.integers(0, 255, (side, side, 3), dtype=np.uint8))
    out.release()
    return path.read_bytes()


def test_a_video_is_read_with_its_timestamps_at_any_rate(tmp_path):
    make_avi(tmp_path / "v.avi", 50, fps=25.0)
    source = open_source((tmp_path / "v.avi").as_uri())
    assert (source.fps, source.comes_by_itself) == (25.0, False)
    frames = [frame for frame in source.read(fps=5.0) if frame is not None]
    assert [frame.stamp.number for frame in frames] == list(range(0, 50, 5))
    assert [frame.stamp.at_s for frame in frames] == pytest.approx([number / 5 for number in range(10)])
    assert source.figures().read == 50


def test_a_video_is_opened_once_for_its_rate_first_frame_and_frames(tmp_path, monkeypatch):
    make_avi(tmp_path / "v.avi", 10)
    opened = []
    real = cv2.VideoCapture
    monkeypatch.setattr(cv2, "VideoCapture", lambda *target: opened.append(target) or real(*target))
    source = open_source(str(tmp_path / "v.avi"))
    first = source.first()
    assert first is not None
    assert source.fps == 30.0
    frames = source.frames()
    assert np.array_equal(next(frames), first.data)
    frames.close()
    assert len(opened) == 1
    assert len(list(source.frames())) == 10
    assert len(opened) == 2  # a file may be read again


@pytest.mark.parametrize("kept_ratio", [0.3, 0.6, 0.8])
def test_a_video_that_was_cut_short_ends_with_an_error_that_counts(tmp_path, kept_ratio):
    data = make_avi(tmp_path / "whole.avi", 60)
    assert len(list(open_source(str(tmp_path / "whole.avi")).frames())) == 60
    (tmp_path / "cut.avi").write_bytes(data[: int(kept_ratio * len(data))])
    source, read = open_source(str(tmp_path / "cut.avi")), []
    with pytest.raises(SourceError, match=r"ended early, after \d+ of 60 frames"):
        read.extend(source.frames())  # what came before the error is kept
    figures = source.figures()
    assert (figures.read, figures.ended_early) == (len(read), True)
    assert abs(len(read) - 60 * kept_ratio) <= 2


def test_noise_in_a_video_is_passed_and_counted(tmp_path, caplog):
    data = bytearray(VIDEO.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 20_480] = np.random.default_rng(0).integers(0, 256, 20_480, dtype=np.uint8).tobytes()
    (tmp_path / "noisy.mp4").write_bytes(data)
    source = open_source(str(tmp_path / "noisy.mp4"))
    assert len([frame for frame in source.read(fps=1.0) if frame is not None]) == 6
    figures = source.figures()
    assert 100 < figures.read < 132
    assert figures.read + figures.unreadable == 132
    assert "unreadable or missing" in caplog.text


def test_a_named_pipe_is_opened_once_and_read_to_its_end(tmp_path):
    data = make_avi(tmp_path / "v.avi", 30)
    pipe = tmp_path / "cam.avi"
    os.mkfifo(pipe)
    with subprocess.Popen(["sh", "-c", 'cat "$0" > "$1"', str(tmp_path / "v.avi"), str(pipe)]) as writer:
        source = open_source(str(pipe))
        assert source.first() is not None
        assert len(list(source.frames())) == 30
    assert (writer.returncode, len(data) > 0) == (0, True)
    with pytest.raises(UsageError, match="only once"):
        next(source.frames())


def test_standard_input_is_read_as_video(tmp_path):
    make_avi(tmp_path / "v.avi", 12)
    code = "from seamline import open_source; print(len(list(open_source('-').frames())))"
    with (tmp_path / "v.avi").open("rb") as video:
        done = subprocess.run([sys.executable, "-c", code], stdin=video, capture_output=True, text=True, timeout=60)
    assert (done.stdout.strip(), done.stderr) == ("12", "")
