"""Pictures: a file into uint8[H, W, 3] RGB, and a picture of any size into the frame that a model takes.

A picture is decoded in one way, whether it is named, lies in a folder or comes as bytes: turned as its EXIF says, CMYK
and grey as RGB, 16 bits cut to the upper 8, transparency left out.
"""

from __future__ import annotations

from pathlib import Path
from typing import cast

import numpy as np

from seamline.codec.opencv import placed, require_opencv
from seamline.config.plain_files import read_plain
from seamline.core.vocabulary.errors import UsageError
from seamline.core.vocabulary.ports import FrameArray
from seamline.model import Preprocess

IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff"})

MAX_FILE_BYTES = 1 << 30

_JPEG, _PNG = b"\xff\xd8", b"\x89PNG\r\n\x1a\n"


class Unreadable(UsageError):
    """A file that is no picture. path: of it. reason: why, in words that follow its name."""

    def __init__(self, path: Path, reason: str) -> None:
        self.path = path
        self.reason = reason
        super().__init__(f"`{path}` {reason}", hint="remove it, or convert it to PNG or JPEG")


def read_picture(path: Path) -> FrameArray:
    """The picture in the file `path`: uint8[H, W, 3] RGB.

    Raises `Unreadable` saying what is wrong with it: empty, cut short, or no picture.
    """
    try:
        data = read_plain(path, MAX_FILE_BYTES)
    except OSError as exc:
        raise Unreadable(path, f"cannot be read: {exc.strerror}") from exc
    if not data:
        raise Unreadable(path, "is empty")
    if _is_cut_short(data):
        raise Unreadable(path, "is cut short: its last bytes are missing")
    cv2 = require_opencv()
    try:
        # from memory, not by name: OpenCV 5 reads no turned TIFF from a file
        pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    except cv2.error as exc:  # of more pixels than OpenCV takes
        raise Unreadable(path, "cannot be decoded") from exc
    if pixels is None or pixels.dtype != np.uint8 or pixels.ndim != 3:
        raise Unreadable(path, "is not an image that can be decoded")
    return cast(FrameArray, cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB))


def fitted(picture: FrameArray, preprocess: Preprocess) -> FrameArray:
    """The frame that a model takes, uint8[height, width, 3], from a picture of any size."""
    rows, columns = picture.shape[:2]
    return placed(picture, preprocess.transform(rows, columns), resample=preprocess.resample, pad=preprocess.pad)


def _is_cut_short(data: bytes) -> bool:
    """Whether a JPEG or PNG lacks its end, which OpenCV would fill with grey and say nothing."""
    if data.startswith(_JPEG):
        return data.rfind(b"\xff\xd9") < data.rfind(b"\xff\xda")  # no end of the image behind its last scan
    return data.startswith(_PNG) and b"IEND" not in data[-1024:] and b"IEND" not in data
