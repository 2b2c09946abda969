"""Sources of frames: a video file, a camera, a folder of images, or any iterable of arrays.

Frames leave here as uint8[H, W, 3] RGB at the size the network wants (centre crop, then area resize). OpenCV reads
them; it is imported on first use, so that a node without a camera does not need it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, cast, runtime_checkable

from seamline.codec.opencv import load_opencv
from seamline.core.vocabulary.errors import UsageError
from seamline.core.vocabulary.ports import FrameArray

IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff"})


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


def open_source(text: str, *, loop: bool = False) -> FrameSource:
    """The source that `text` names: a camera index, a folder of images, or a video file.

    Raises `UsageError` when there is no such thing or OpenCV cannot read it.
    """
    if re.fullmatch(r"\d{1,3}", text):
        return VideoSource(name=f"camera {text}", target=int(text), is_live=True, loop=False)
    path = Path(text)
    if path.is_dir():
        images = tuple(sorted(entry for entry in path.iterdir() if entry.suffix.lower() in IMAGE_SUFFIXES))
        if not images:
            known = " ".join(sorted(IMAGE_SUFFIXES))
            raise UsageError(f"folder `{text}` holds no images", hint=f"looked for {known}")
        return ImageFolder(name=path.name, images=images, loop=loop)
    if not path.exists():
        raise UsageError(f"no video, folder or camera `{text}`", hint="give a file, a folder of images or an index")
    return VideoSource(name=path.name, target=str(path), is_live=True, loop=loop)


def fit(frame: FrameArray, height: int, width: int) -> FrameArray:
    """`frame` cropped about its centre to the aspect of height x width, then resized: uint8[height, width, 3]."""
    rows, columns = frame.shape[:2]
    if (rows, columns) == (height, width):
        return frame
    cv2 = _require_opencv()
    scale = min(rows / height, columns / width)
    crop_rows, crop_columns = min(rows, round(height * scale)), min(columns, round(width * scale))
    top, left = (rows - crop_rows) // 2, (columns - crop_columns) // 2
    crop = frame[top : top + crop_rows, left : left + crop_columns]
    method = cv2.INTER_AREA if scale >= 1 else cv2.INTER_LINEAR
    return cast(FrameArray, cv2.resize(crop, (width, height), interpolation=method))


@dataclass(frozen=True, slots=True, kw_only=True)
class VideoSource:
    """A video file (played at its own pace) or a camera. target: path, or camera index."""

    name: str
    target: str | int
    is_live: bool
    loop: bool

    @property
    def fps(self) -> float | None:
        cv2, capture = _require_opencv(), self._open()
        try:
            fps = float(capture.get(cv2.CAP_PROP_FPS))
        finally:
            capture.release()
        return fps if fps > 0 else None

    def frames(self, stride: float = 1.0) -> Iterator[FrameArray]:
        cv2, capture = _require_opencv(), self._open()
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
        capture = _require_opencv().VideoCapture(self.target)
        if not capture.isOpened():
            if isinstance(self.target, int):
                raise UsageError(f"there is no camera {self.target}", hint="0 is the first; a file needs its path")
            raise UsageError(f"`{self.target}` cannot be read as video", hint="is it one, and its codec installed?")
        return capture


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageFolder:
    """The images of a folder in order of name; none is dropped."""

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
        cv2 = _require_opencv()
        while True:
            for path in self.images:
                image = cv2.imread(str(path), cv2.IMREAD_COLOR)
                if image is None:
                    raise UsageError(f"`{path}` is not an image", hint="remove it from the folder, or convert it")
                yield cv2.cvtColor(image, cv2.COLOR_BGR2RGB)
            if not self.loop:
                return


def _require_opencv() -> Any:
    try:
        return load_opencv()
    except ImportError as exc:
        raise UsageError(
            "reading video and images needs OpenCV", hint="install it with: pip install 'seamline[video]'"
        ) from exc
