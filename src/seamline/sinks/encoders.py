"""Encoders of video files: H.264 by PyAV where that is installed, else what OpenCV's packages can write.

PyAV is an extra and stays one: its wheels bring libx264, so that whoever passes them on does so under the GPL.
"""

from __future__ import annotations

import logging
from fractions import Fraction
from importlib.util import find_spec
from pathlib import Path
from types import MappingProxyType
from typing import Any, Protocol

import numpy as np

from seamline.codec.opencv import require_opencv
from seamline.core.vocabulary.ports import FrameArray
from seamline.sinks.sink import SinkError

log = logging.getLogger(__name__)

FOURCC = MappingProxyType({".mp4": "mp4v", ".mkv": "mp4v", ".avi": "MJPG", ".webm": "VP80"})
"""Codecs that OpenCV's packages can write; H.264 is not among them. Browsers play only .webm of these."""

H264_SUFFIXES = (".mp4", ".mkv")
H264_OPTIONS = MappingProxyType({"preset": "veryfast", "crf": "23"})
"""One thread encodes: the others compute frames."""


class Encoder(Protocol):
    """Writes one video file. Pictures are uint8[H, W, 3], RGB, all of one even size."""

    def add(self, picture: FrameArray) -> None:
        """Raises `SinkError` when the file cannot be written any more."""
        ...

    def close(self) -> None: ...


def open_encoder(path: Path, size: tuple[int, int], fps: float) -> Encoder:
    """Encoder for the container that `path` names. size: height and width. Raises `SinkError`."""
    if path.suffix.lower() in H264_SUFFIXES and find_spec("av") is not None:
        import av

        if _has_encoder(av):
            return H264Encoder(path, size, fps)
        log.info("PyAV is here, but its FFmpeg has no encoder for H.264")
    return OpenCVEncoder(path, size, fps)


class H264Encoder:
    """Writes H.264, which browsers and every player show."""

    def __init__(self, path: Path, size: tuple[int, int], fps: float) -> None:
        import av

        self._av: Any = av
        try:
            self._file = av.open(str(path), "w")
            self._stream: Any = self._file.add_stream("h264", rate=Fraction(fps).limit_denominator(1001))
            self._stream.height, self._stream.width = size
            self._stream.pix_fmt = "yuv420p"
            self._stream.codec_context.thread_count = 1
            self._stream.codec_context.options = dict(H264_OPTIONS)
            self._file.start_encoding()
        except OSError as exc:
            raise SinkError(f"PyAV cannot write it: {exc.strerror or exc}", hint="may this folder be written?") from exc
        self._has_failed = False

    def add(self, picture: FrameArray) -> None:
        self._mux(self._av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24"))

    def close(self) -> None:
        try:
            if not self._has_failed:
                self._mux(None)  # what the encoder holds back
        finally:
            try:
                self._file.close()
            except OSError as exc:
                raise _unwritten(exc) from exc

    def _mux(self, frame: Any) -> None:
        try:
            self._file.mux(self._stream.encode(frame))
        except OSError as exc:  # FFmpeg's errors of the disk are OSErrors too
            self._has_failed = True
            raise _unwritten(exc) from exc


class OpenCVEncoder:
    """Writes what OpenCV's packages can."""

    def __init__(self, path: Path, size: tuple[int, int], fps: float) -> None:
        cv2 = require_opencv()
        fourcc = cv2.VideoWriter_fourcc(*FOURCC[path.suffix.lower()])
        self._writer = cv2.VideoWriter(str(path), fourcc, fps, size[::-1])
        if not self._writer.isOpened():
            raise SinkError("OpenCV cannot write it", hint=f"one of {', '.join(FOURCC)}, in a folder that is there")

    def add(self, picture: FrameArray) -> None:
        self._writer.write(picture[:, :, ::-1])

    def close(self) -> None:
        self._writer.release()


def _has_encoder(av: Any) -> bool:
    """Distributions build FFmpeg without any."""
    try:
        av.codec.Codec("h264", "w")
    except ValueError:
        return False
    return True


def _unwritten(error: OSError) -> SinkError:
    return SinkError(f"the video cannot be written on: {error.strerror or error}", hint="is there room on the disk?")
