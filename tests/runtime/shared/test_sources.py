"""Sources that cannot be read are refused in our words alone: what decoders mutter stays off stderr."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import seamline

pytest.importorskip("cv2", reason="reading video needs seamline[video]")

VIDEO = Path(seamline.__file__).parent / "data" / "bigbuckbunny.mp4"
OURS = """
from seamline.core.vocabulary.errors import UsageError
from seamline.runtime.shared.sources import open_source
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


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="elsewhere a level that FFmpeg has read stays")
def test_it_is_so_after_another_part_of_the_program_has_opened_videos(noise):
    before = "import cv2; cv2.VideoCapture(video); cv2.VideoCapture(noise); print('ours:', file=sys.stderr)"
    lines = said_on_stderr(f"{before}\n{OURS}", VIDEO, noise)
    ours = lines.index("ours:")
    assert "moov atom not found" in "".join(lines[:ours])  # it does speak where nobody stops it
    (line,) = lines[ours + 1 :]
    assert "cannot be read as video" in line
