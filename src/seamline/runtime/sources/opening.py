"""The source that a text names: a camera index, a file, a folder, a pattern, a pipe, standard input or an address."""

from __future__ import annotations

import glob
import re
import stat
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from seamline.core.vocabulary.errors import UsageError
from seamline.runtime.inputs.opening import open_arrays
from seamline.runtime.inputs.pictures import IMAGE_SUFFIXES, is_picture_name
from seamline.runtime.inputs.source import ArraySource
from seamline.runtime.sources.address import address_device, is_address, shown
from seamline.runtime.sources.devices import Kind, camera_device, file_device, pipe_device
from seamline.runtime.sources.pictures import ImageFolder
from seamline.runtime.sources.video import VideoSource

STANDARD_INPUT = "-"


def open_source(text: str, *, loop: bool = False) -> VideoSource | ImageFolder | ArraySource:
    """The source that `text` names; nothing is opened before its first frame or figure is asked for.

    text: the index of a camera or its ``/dev/video0``; a video, a picture, a folder of pictures, or a quoted pattern of
    pictures (``'shots/*.jpg'``); a named pipe, or ``-`` for standard input; ``rtsp://``, ``http://`` and the like;
    arrays, see `open_arrays`.
    Raises `UsageError` when there is no such thing.
    """
    if re.fullmatch(r"\d{1,3}", text):
        return _camera(int(text), f"camera {text}")
    if (arrays := open_arrays(text, loop=loop)) is not None:
        return arrays
    if text == STANDARD_INPUT:
        return VideoSource("standard input", Kind.PIPE, partial(pipe_device, "pipe:0", "standard input"))
    if text.startswith("file://"):
        text = text.removeprefix("file://")
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
        return _camera(str(path), f"camera {text}")
    if path.suffix.lower() in IMAGE_SUFFIXES:
        return ImageFolder(name=path.name, images=(path,), loop=loop)
    return VideoSource(path.name, Kind.FILE, partial(file_device, str(path), text), loop=loop)


def _camera(target: int | str, name: str) -> VideoSource:
    return VideoSource(name, Kind.CAMERA, partial(camera_device, target, name))


def _folder(path: Path, loop: bool) -> ImageFolder:
    """Pictures of a folder by name."""
    images = _images(sorted(path.iterdir()))
    if not images:
        known = " ".join(sorted(IMAGE_SUFFIXES))
        raise UsageError(f"folder `{path}` holds no images", hint=f"looked for {known}, and .npy .npz .wav")
    return ImageFolder(name=path.name, images=images, loop=loop)


def _pattern(text: str, loop: bool) -> ImageFolder:
    found = sorted(Path(name) for name in glob.glob(text, recursive=True)) if glob.has_magic(text) else []
    if not found:
        raise UsageError(
            f"no video, folder or camera `{text}`",
            hint="give a file, a folder or quoted pattern of images, an index, an address or - for standard input",
        )
    images = _images(found)
    if len(images) < len(found):
        odd = next(path for path in found if path not in images)
        raise UsageError(f"`{text}` matches `{odd}`, which is no image", hint="give one video; a pattern is for images")
    return ImageFolder(name=text, images=images, loop=loop)


def _images(paths: Sequence[Path]) -> tuple[Path, ...]:
    return tuple(path for path in paths if is_picture_name(path))
