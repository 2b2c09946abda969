"""Adapter of OpenCV, which reads videos, images and JPEG: loaded on first use, and quiet.

OpenCV and the FFmpeg in it write to the process's stderr what they think of a broken file; whoever reads the file says
so in our words instead. (libpng and libjpeg know no such switch: a damaged image may still cost a line.)
"""

from __future__ import annotations

import ctypes
import os
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

from seamline.core.vocabulary.errors import UsageError

FFMPEG_QUIET = "-8"
"""AV_LOG_QUIET of FFmpeg: not a word."""


def load_opencv() -> Any:
    """The module `cv2`. Raises `ImportError` when it is not installed.

    A program that wants to hear FFmpeg sets the environment variable ``OPENCV_FFMPEG_LOGLEVEL`` itself.
    """
    ffmpeg_level = os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", FFMPEG_QUIET)
    os.environ.setdefault("OPENCV_LOG_LEVEL", "SILENT")
    import cv2

    _quieten(cv2, ffmpeg_level)
    return cv2


def require_opencv() -> Any:
    """The module `cv2`. Raises `UsageError` when it cannot be imported."""
    try:
        return load_opencv()
    except ImportError as exc:
        raise UsageError(
            f"reading pictures needs OpenCV, which cannot be imported: {exc}",
            hint="install it with: pip install opencv-python-headless",
        ) from exc


@cache
def _quieten(cv2: Any, ffmpeg_level: str) -> None:
    """The environment alone is not enough: OpenCV 5 keeps its own level, and FFmpeg's is read only once.

    That once is when this process opens its first video, which another part of it may have done before us.
    """
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    for library in _loaded("libavutil"):
        with suppress(OSError, AttributeError, ValueError):  # loudness is not worth failing for
            ctypes.CDLL(library).av_log_set_level(int(ffmpeg_level))


def _loaded(name: str) -> set[str]:
    """Paths of the shared libraries of this process whose file is called `name`...; none where there is no /proc."""
    try:
        lines = Path("/proc/self/maps").read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    except OSError:
        return set()
    paths = {line.split(maxsplit=5)[5] for line in lines if "/" in line}
    return {path for path in paths if Path(path).name.startswith(name)}
