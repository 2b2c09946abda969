"""Pictures with the answers drawn in: a video, or a folder with one file for each answer."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from seamline.codec.opencv import placed, require_opencv
from seamline.core.vocabulary.pictures import Fit, picture_transform
from seamline.core.vocabulary.ports import FrameArray
from seamline.sinks.answered import AnsweredFrame
from seamline.sinks.drawing import drawn
from seamline.sinks.encoders import Encoder, open_encoder
from seamline.sinks.sink import Sink, SinkError, StreamFacts

STILLS_FPS = 2.0
UNKNOWN_FPS = 25.0
LONGEST_HOLD_S = 10.0
"""A longer gap between two frames (a camera that was away) is cut to this."""

JPEG_QUALITY = 92
LATE_SHARE = 0.98
"""A frame so late in a video must be there for it to be whole; how many it holds, containers only claim."""


class Video(Sink):
    """Writes a video that keeps the source's time: a frame that was dropped leaves the one before it standing.

    A picture of another size than the first is fitted into it, with bars.
    """

    draws = True

    def __init__(self, path: Path) -> None:
        self.name = str(path)
        self._path = path
        self._encoder: Encoder | None = None
        self._size = (0, 0)
        self._facts = StreamFacts(source="", model="")
        self._fps = UNKNOWN_FPS
        self._first_s: float | None = None
        self._n_written = 0
        self._last: FrameArray | None = None

    def open(self, facts: StreamFacts) -> None:
        require_opencv()
        self._facts = facts

    def write(self, answered: AnsweredFrame) -> None:
        if answered.picture is None:
            raise SinkError("the frames are no pictures, so nothing can be drawn into them")
        if self._encoder is None:
            self._encoder = self._begun(answered)
        n_missed = self._n_missed(answered)
        if n_missed < -1:
            return  # frames come faster than the video shows them: this one's place is taken
        picture = self._fitted(drawn(answered.picture, answered.answer, answered.error))
        for _ in range(n_missed):
            self._add(self._encoder, picture if self._last is None else self._last)
        self._add(self._encoder, picture)
        self._last = picture

    def close(self) -> None:
        if self._encoder is None:
            return
        self._encoder.close()
        if self._n_written and not self._is_whole():
            raise SinkError("the video is not whole", hint="is there room on the disk?")

    def _is_whole(self) -> bool:
        """Whether a frame near the end of the file can be read: OpenCV says nothing of a disk that was full."""
        cv2 = require_opencv()
        capture = cv2.VideoCapture(str(self._path))
        try:
            n_late = max(1, int(self._n_written * LATE_SHARE))
            n_claimed = capture.get(cv2.CAP_PROP_FRAME_COUNT)  # none by an AVI without its index
            capture.set(cv2.CAP_PROP_POS_FRAMES, n_late - 1)
            return bool(capture.isOpened() and n_claimed >= 0.9 * n_late and capture.grab())
        finally:
            capture.release()

    def _begun(self, answered: AnsweredFrame) -> Encoder:
        """The encoder, opened for pictures like the first."""
        assert answered.picture is not None
        stamp = answered.stamp
        self._fps = self._facts.fps or (STILLS_FPS if stamp.at_s is None else UNKNOWN_FPS)
        self._first_s = stamp.at_s
        rows, columns = answered.picture.shape[:2]
        self._size = (max(2, rows - rows % 2), max(2, columns - columns % 2))  # codecs halve the colours' resolution
        return open_encoder(self._path, self._size, self._fps)

    def _n_missed(self, answered: AnsweredFrame) -> int:
        """Frames of the video between the last one and this one, by the source's time; below 0 when it is ahead."""
        at_s = answered.stamp.at_s
        if at_s is None or self._first_s is None:
            return 0
        n_missed = round((at_s - self._first_s) * self._fps) - self._n_written
        n_held = min(n_missed, round(LONGEST_HOLD_S * self._fps))
        self._first_s += (n_missed - n_held) / self._fps  # what was cut out is not missed again
        return n_held

    def _add(self, encoder: Encoder, picture: FrameArray) -> None:
        encoder.add(picture)
        self._n_written += 1

    def _fitted(self, picture: FrameArray) -> FrameArray:
        rows, columns = picture.shape[:2]
        height, width = self._size
        if (rows - rows % 2, columns - columns % 2) == self._size:
            return np.ascontiguousarray(picture[:height, :width])
        return placed(picture, picture_transform(Fit.LETTERBOX, (rows, columns), self._size))


class Folder(Sink):
    """Writes one JPEG for each answer: under the picture's own name, or as ``frame_000012.jpg``."""

    draws = True

    def __init__(self, path: Path) -> None:
        self.name = f"{path}/"
        self._path = path
        self._names: set[str] = set()

    def open(self, facts: StreamFacts) -> None:
        require_opencv()
        try:
            self._path.mkdir(parents=True, exist_ok=True)
        except OSError as exc:
            raise SinkError(f"`{self._path}` cannot be made: {exc.strerror}") from exc

    def write(self, answered: AnsweredFrame) -> None:
        if answered.picture is None:
            raise SinkError("the frames are no pictures, so nothing can be drawn into them")
        cv2 = require_opencv()
        picture = drawn(answered.picture, answered.answer, answered.error)
        quality = [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY]
        ok, data = cv2.imencode(".jpg", np.ascontiguousarray(picture[:, :, ::-1]), quality)
        if not ok:
            raise SinkError("OpenCV cannot encode the picture", is_final=False)
        (self._path / self._name_of(answered)).write_bytes(data.tobytes())

    def _name_of(self, answered: AnsweredFrame) -> str:
        """A name that no other answer of this stream has: a second round through a folder overwrites nothing."""
        stamp = answered.stamp
        is_picture = stamp.file is not None and stamp.at_s is None  # else the file is one of several videos
        stem = Path(stamp.file).stem if is_picture and stamp.file else f"frame_{stamp.number:06d}"
        name = f"{stem}.jpg" if f"{stem}.jpg" not in self._names else f"{stem}_{answered.number:06d}.jpg"
        self._names.add(name)
        return name
