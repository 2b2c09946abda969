"""JPEG codec of the camera frame: uint8[H, W, 3] RGB in and out, through OpenCV.

The size in a JPEG's own header is read and compared before anything is decoded, because a few bytes can claim a
picture of gigabytes. OpenCV is loaded in `opencv.py`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from seamline.codec.opencv import load_opencv
from seamline.core.vocabulary.errors import CodecError
from seamline.core.vocabulary.ports import Array, FrameArray

JPEG_TENSOR = "frame"
"""The only tensor that may be sent as JPEG."""

JPEG_QUALITY = 85
MAX_FRAME_PIXELS = 64 * 1024 * 1024

_START_OF_FRAME = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_WITHOUT_LENGTH = frozenset({0x01, *range(0xD0, 0xD8)})


def is_available() -> bool:
    """Whether OpenCV is installed."""
    try:
        _cv2()
    except CodecError:
        return False
    return True


def encode_frame(frame: FrameArray) -> npt.NDArray[np.uint8]:
    """The bytes of a baseline JPEG of `frame` (uint8[H, W, 3] RGB), as uint8[n].

    Raises `CodecError` without OpenCV or for a frame of another shape, dtype or with more than 65535 a side.
    """
    check_frame_shape(frame.shape)
    if frame.dtype != np.uint8:
        raise CodecError(f"a frame of {frame.dtype} cannot be a JPEG", hint="JPEG takes uint8[H, W, 3] RGB")
    cv2 = _cv2()
    swapped = cv2.cvtColor(np.ascontiguousarray(frame), cv2.COLOR_RGB2BGR)
    ok, data = cv2.imencode(".jpg", swapped, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    if not ok:
        raise CodecError(f"OpenCV could not make a JPEG of a frame {list(frame.shape)}")
    encoded: npt.NDArray[np.uint8] = data.reshape(-1)
    return encoded


def decode_frame(data: Array, shape: tuple[int, ...]) -> FrameArray:
    """The frame (uint8[H, W, 3] RGB) in `data` (uint8[n]), which must have `shape`.

    Raises `CodecError` when the header claims another size (before decoding), or the picture is damaged.
    """
    check_frame_shape(shape)
    claimed = claimed_shape(data.tobytes() if data.size < 65536 else data[:65536].tobytes())
    if claimed != shape:
        raise CodecError(f"a JPEG claims to be {list(claimed)} where {list(shape)} was announced")
    cv2 = _cv2()
    try:
        # a camera's orientation tag must not turn the frame: it was taken for what its pixels are
        pixels = cv2.imdecode(np.ascontiguousarray(data), cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)
    except cv2.error as exc:
        raise CodecError("a JPEG cannot be decoded") from exc
    if pixels is None or pixels.shape != shape:
        raise CodecError("a JPEG cannot be decoded", hint="it is damaged or truncated")
    frame: FrameArray = cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB)
    return frame


def check_frame_shape(shape: tuple[int, ...]) -> None:
    """Raises `CodecError` unless `shape` is [H, W, 3] with sides of 1-65535 and at most `MAX_FRAME_PIXELS`."""
    sides = shape[:2]
    if len(shape) != 3 or shape[2] != 3 or not all(0 < side < 65536 for side in sides):
        raise CodecError(f"a tensor {list(shape)} cannot be a JPEG", hint="JPEG takes uint8[H, W, 3] RGB")
    if sides[0] * sides[1] > MAX_FRAME_PIXELS:
        raise CodecError(f"a frame of {sides[0]}x{sides[1]} exceeds {MAX_FRAME_PIXELS} pixels")


def claimed_shape(data: bytes) -> tuple[int, int, int]:
    """(H, W, 3) as the JPEG header in `data` states it. Raises `CodecError` when there is none.

    Source: ITU-T T.81, annex B.1.1.4 (marker segments) and B.2.2 (frame header).
    """
    if data[:2] != b"\xff\xd8":
        raise CodecError("the bytes of a frame are not a JPEG")
    at = 2
    while at + 4 <= len(data):
        if data[at] != 0xFF:
            break
        marker = data[at + 1]
        if marker == 0xFF:
            at += 1  # fill byte
        elif marker in _WITHOUT_LENGTH:
            at += 2
        elif marker in _START_OF_FRAME and at + 10 <= len(data):
            height, width = int.from_bytes(data[at + 5 : at + 7], "big"), int.from_bytes(data[at + 7 : at + 9], "big")
            if data[at + 9] != 3:
                raise CodecError(f"a JPEG has {data[at + 9]} colours where 3 were announced")
            return height, width, 3
        else:
            at += 2 + max(2, int.from_bytes(data[at + 2 : at + 4], "big"))
    raise CodecError("a JPEG has no frame header")


def _cv2() -> Any:
    try:
        return load_opencv()
    except ImportError as exc:
        raise CodecError(
            "JPEG needs OpenCV, which is not installed", hint="pip install opencv-python-headless"
        ) from exc
