"""The source that a text names: a camera index, a file, a folder, a pattern, a pipe, standard input or an address."""

from __future__ import annotations

import glob
import re
import stat
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from urllib.parse import unquote

from seamline.core.vocabulary.errors import UsageError
from seamline.runtime.inputs.opening import open_arrays
from seamline.runtime.inputs.pictures import IMAGE_SUFFIXES
from seamline.runtime.sources.address import address_device, is_address, shown
from seamline.runtime.sources.arrays import ArrayFrames
from seamline.runtime.sources.devices import Kind, camera_device, file_device, pipe_device
from seamline.runtime.sources.frames import StampedSource
from seamline.runtime.sources.pictures import ImageFolder
from seamline.runtime.sources.playlist import Playlist
from seamline.runtime.sources.video import VideoSource

STANDARD_INPUT = "-"
VIDEO_SUFFIXES = frozenset(
    {".mp4", ".mkv", ".avi", ".mov", ".webm", ".m4v", ".ts", ".mts", ".mpg", ".mpeg", ".wmv", ".flv"}
)
"""What is taken for a video among the files of a folder; one that is named may be called anything."""


def open_source(text: str, *, loop: bool = False) -> StampedSource:
    """The source that `text` names; nothing is opened before its first frame or figure is asked for.

    text: the index of a camera or its ``/dev/video0``; a video, a picture, a folder of either, or a quoted pattern
    (``'shots/*.jpg'``); a named pipe, or ``-`` for standard input; ``rtsp://``, ``http://`` and the like; or arrays,
    see `inputs.opening.open_arrays`.
    Raises `UsageError` when there is no such thing.
    """
    if re.fullmatch(r"\d{1,3}", text):
        return _camera(int(text), f"camera {text}")
    if not is_address(text) and (arrays := open_arrays(text, loop=loop)) is not None:
        return ArrayFrames(arrays)
    if text == STANDARD_INPUT:
        return VideoSource("standard input", Kind.PIPE, partial(pipe_device, "pipe:0", "standard input"))
    if text.startswith("file://"):
        text = unquote(text.removeprefix("file://"))
    elif is_address(text):
        address_device(text)  # one that cannot be meant is refused here
        return VideoSource(shown(text), Kind.ADDRESS, partial(address_device, text), loop=loop)
    path = Path(text)
    if path.is_dir():
        return _folder(path, loop)
    if not path.exists():
        return _pattern(text, loop)
    mode = path.stat().st_mode
    if stat.S_ISFIFO(mode):
        return VideoSource(path.name, Kind.PIPE, partial(pipe_device, str(path), f"`{text}`"))
    if stat.S_ISCHR(mode):
        number = re.fullmatch(r"/dev/video(\d+)", str(path.resolve()))  # by its number OpenCV asks no other reader
        return _camera(int(number[1]) if number else str(path), f"camera {text}")
    if path.suffix.lower() in IMAGE_SUFFIXES:
        return ImageFolder(name=path.name, images=(path,), loop=loop)
    return _file(path, loop)


def _camera(target: int | str, name: str) -> VideoSource:
    return VideoSource(name, Kind.CAMERA, partial(camera_device, target, name))


def _file(path: Path, loop: bool) -> VideoSource:
    return VideoSource(path.name, Kind.FILE, partial(file_device, str(path), str(path)), loop=loop)


def _folder(path: Path, loop: bool) -> StampedSource:
    """The pictures of a folder by name, or its videos."""
    found = sorted(entry for entry in path.iterdir() if entry.suffix.lower() in IMAGE_SUFFIXES | VIDEO_SUFFIXES)
    if not found:
        known = " ".join(sorted(IMAGE_SUFFIXES) + sorted(VIDEO_SUFFIXES))
        raise UsageError(f"folder `{path}` holds no images and no videos", hint=f"looked for {known} .npy .npz .wav")
    return _files(found, path.name, loop)


def _pattern(text: str, loop: bool) -> StampedSource:
    found = sorted(Path(name) for name in glob.glob(text, recursive=True)) if glob.has_magic(text) else []
    files = [path for path in found if path.is_file()]
    if not files:
        raise UsageError(
            f"no video, folder or camera `{text}`",
            hint="give a file, a folder or quoted pattern of files, an index, an address, or - for standard input",
        )
    return _files(files, text, loop)


def _files(paths: Sequence[Path], name: str, loop: bool) -> StampedSource:
    """`paths` as one source: pictures, or videos. Raises `UsageError` for both at once."""
    images = tuple(path for path in paths if path.suffix.lower() in IMAGE_SUFFIXES)
    if images and len(images) < len(paths):
        odd = next(path for path in paths if path not in images)
        raise UsageError(f"`{name}` holds `{images[0].name}` and `{odd.name}`", hint="give images or videos, not both")
    if images:
        return ImageFolder(name=name, images=images, loop=loop)
    if len(paths) == 1:
        return _file(paths[0], loop)
    return Playlist(name, paths, partial(_file, loop=False), loop=loop)
