"""Adapter of OpenCV, which reads and resizes pictures: loaded on first use, and quiet.

OpenCV and the FFmpeg in it write to the process's stderr what they think of a broken file; whoever reads the file says
so in our words instead. (libpng and libjpeg know no such switch: a damaged image may still cost a line.)
"""

from __future__ import annotations

import ctypes
import os
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any, cast

import numpy as np

from seamline.core.vocabulary.errors import UsageError
from seamline.core.vocabulary.pictures import PictureTransform, PixelBox
from seamline.core.vocabulary.ports import FrameArray

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


def placed(picture: FrameArray, transform: PictureTransform, *, resample: str = "area", pad: int = 0) -> FrameArray:
    """`picture` as `transform` maps it: uint8[height, width, 3] RGB, the grey level `pad` around it.

    resample: ``area`` (linear where it grows), ``linear``, ``cubic`` or ``nearest``.
    """
    source, target = transform.source, transform.target
    part = picture[source.top : source.top + source.height, source.left : source.left + source.width]
    pixels = _resized(part, target, resample)
    if (target.height, target.width) == (transform.height, transform.width):
        return np.ascontiguousarray(pixels)
    frame = np.full((transform.height, transform.width, 3), pad, np.uint8)
    frame[target.top : target.top + target.height, target.left : target.left + target.width] = pixels
    return frame


def _resized(pixels: FrameArray, target: PixelBox, resample: str) -> FrameArray:
    rows, columns = pixels.shape[:2]
    if (rows, columns) == (target.height, target.width):
        return pixels
    cv2 = require_opencv()
    methods = {"linear": cv2.INTER_LINEAR, "cubic": cv2.INTER_CUBIC, "nearest": cv2.INTER_NEAREST}
    shrinks = rows >= target.height and columns >= target.width
    method = methods.get(resample, cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)
    return cast(FrameArray, cv2.resize(pixels, (target.width, target.height), interpolation=method))


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
