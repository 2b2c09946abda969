"""Sources of frames: a video file, a camera, an image or a folder of them; arrays are `runtime.inputs`.

Frames leave here as uint8[H, W, 3] RGB of any size. OpenCV reads them; it is imported on first use, so that a node
without a camera does not need it.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from seamline.core.vocabulary.errors import UsageError
from seamline.core.vocabulary.ports import FrameArray
from seamline.runtime.inputs.opening import open_arrays
from seamline.runtime.inputs.pictures import IMAGE_SUFFIXES, is_picture_name, read_picture, require_opencv
from seamline.runtime.inputs.source import ArraySource

log = logging.getLogger(__name__)


@runtime_checkable
class FrameSource(Protocol):
    """A named sequence of frames. fps: the pace they were recorded at, None when they have none (images).

    is_live: frames come at their own pace and the newest matters (a camera, or a video played as one).
    """

    @property
    def name(self) -> str: ...

    @property
    def fps(self) -> float | None: ...

    @property
    def is_live(self) -> bool: ...

    def frames(self, stride: float = 1.0) -> Iterator[FrameArray]:
        """uint8[H, W, 3] RGB, any size; ends with the source. stride: source frames per frame wanted (a video only)."""
        ...


def open_source(text: str, *, loop: bool = False) -> FrameSource | ArraySource:
    """The source that `text` names: a camera index, an image, a video file, arrays (`open_arrays`), or a folder.

    Raises `UsageError` when there is no such thing or OpenCV cannot read it.
    """
    if re.fullmatch(r"\d{1,3}", text):
        return VideoSource(name=f"camera {text}", target=int(text), is_live=True, loop=False)
    if (arrays := open_arrays(text, loop=loop)) is not None:
        return arrays
    path = Path(text)
    if path.is_dir():
        images = tuple(sorted(entry for entry in path.iterdir() if is_picture_name(entry)))
        if not images:
            known = " ".join(sorted(IMAGE_SUFFIXES))
            raise UsageError(f"folder `{text}` holds no images", hint=f"looked for {known}, and .npy .npz .wav")
        return ImageFolder(name=path.name, images=images, loop=loop)
    if path.is_file() and is_picture_name(path):
        return ImageFolder(name=path.name, images=(path,), loop=loop)
    if not path.exists():
        raise UsageError(f"no video, folder or camera `{text}`", hint="give a file, a folder of images or an index")
    return VideoSource(name=path.name, target=str(path), is_live=True, loop=loop)


@dataclass(frozen=True, slots=True, kw_only=True)
class VideoSource:
    """A video file (played at its own pace) or a camera. target: path, or camera index."""

    name: str
    target: str | int
    is_live: bool
    loop: bool

    @property
    def fps(self) -> float | None:
        cv2, capture = require_opencv(), self._open()
        try:
            fps = float(capture.get(cv2.CAP_PROP_FPS))
        finally:
            capture.release()
        return fps if fps > 0 else None

    def frames(self, stride: float = 1.0) -> Iterator[FrameArray]:
        cv2, capture = require_opencv(), self._open()
        wanted = n_read = n_since_start = 0
        try:
            while True:
                if not capture.grab():
                    if not (self.loop and n_since_start):
                        return
                    capture.release()
                    capture = self._open()
                    n_since_start = 0
                    continue
                n_read += 1
                n_since_start += 1
                if n_read > wanted * stride:  # grabbing decodes; only frames that are wanted are converted
                    wanted += 1
                    ok, frame = capture.retrieve()
                    if ok:
                        yield cv2.cvtColor(frame, cv2.COLOR_BGR2RGB)
        finally:
            capture.release()

    def _open(self) -> Any:
        capture = require_opencv().VideoCapture(self.target)
        if not capture.isOpened():
            if isinstance(self.target, int):
                raise UsageError(f"there is no camera {self.target}", hint="0 is the first; a file needs its path")
            raise UsageError(f"`{self.target}` cannot be read as video", hint="is it one, and its codec installed?")
        return capture


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageFolder:
    """The images of a folder in order of name, or one image; none is dropped."""

    name: str
    images: tuple[Path, ...]
    loop: bool

    @property
    def fps(self) -> float | None:
        return None

    @property
    def is_live(self) -> bool:
        return False

    def frames(self, stride: float = 1.0) -> Iterator[FrameArray]:
        """Raises `UsageError` when none of them is a picture; a single bad one is left out with a warning."""
        while True:
            n_read = 0
            for path in self.images:
                try:
                    picture = read_picture(path)
                except UsageError as error:
                    if len(self.images) == 1:
                        raise
                    log.warning("left out: %s", error)
                    continue
                n_read += 1
                yield picture
            if not n_read:
                raise UsageError(f"none of the {len(self.images)} files in `{self.name}` is a picture")
            if not self.loop:
                return
