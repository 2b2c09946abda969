"""Fits a picture to the size that the network takes: centre crop, then area resize."""

from __future__ import annotations

from typing import cast

from seamline.codec.opencv import require_opencv
from seamline.core.vocabulary.ports import FrameArray


def fit(frame: FrameArray, height: int, width: int) -> FrameArray:
    """`frame` cropped about its centre to the aspect of height x width, then resized: uint8[height, width, 3]."""
    rows, columns = frame.shape[:2]
    if (rows, columns) == (height, width):
        return frame
    cv2 = require_opencv()
    scale = min(rows / height, columns / width)
    crop_rows, crop_columns = min(rows, round(height * scale)), min(columns, round(width * scale))
    top, left = (rows - crop_rows) // 2, (columns - crop_columns) // 2
    crop = frame[top : top + crop_rows, left : left + crop_columns]
    method = cv2.INTER_AREA if scale >= 1 else cv2.INTER_LINEAR
    return cast(FrameArray, cv2.resize(crop, (width, height), interpolation=method))
