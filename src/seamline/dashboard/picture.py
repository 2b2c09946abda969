"""Picture of the page: the newest answered frame, small, with what was found drawn in; made when it is asked for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from seamline.codec.jpeg import encode_frame
from seamline.codec.opencv import require_opencv
from seamline.sinks.answered import AnsweredFrame
from seamline.sinks.drawing import drawn

MAX_SIDE = 960
"""Pixels: what the page shows at most."""

Newest = Callable[[], AnsweredFrame | None]


class Picture:
    """The picture of one stream. newest: the frame to draw, None before there is one. Not for two threads at once."""

    def __init__(self, newest: Newest) -> None:
        self._newest = newest
        self._made: tuple[int, bytes] = (-1, b"")

    def jpeg(self) -> bytes | None:
        """A JPEG file; None before the first frame, and for frames that are no pictures."""
        answered = self._newest()
        if answered is None or answered.picture is None:
            return None
        if self._made[0] != answered.number:
            picture = drawn(answered.picture, answered.answer, answered.error)
            self._made = (answered.number, encode_frame(_small(picture)).tobytes())
        return self._made[1]


def _small(picture: Any) -> Any:
    ratio = MAX_SIDE / max(picture.shape[:2])
    if ratio >= 1.0:
        return picture
    cv2 = require_opencv()
    return cv2.resize(picture, None, fx=ratio, fy=ratio, interpolation=cv2.INTER_AREA)
