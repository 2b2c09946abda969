"""Plain files opened for reading: no pipe is waited for, no device set going, no socket or folder mistaken for data.

Every reader of a file that somebody names goes through here. What is wrong is an `OSError` with words of its own, which
readers turn into their error as they do with every other.
"""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path
from typing import BinaryIO

_KINDS = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
    (stat.S_ISLNK, "a link"),
)


def open_plain(path: Path, *, follows_links: bool = True) -> BinaryIO:
    """`path` opened for reading. Raises `OSError` when that fails, or it is no plain file.

    follows_links: whether `path` itself may be a symbolic link, as what a user names may be.
    The kind is seen before it is opened, which waits for a pipe's other end and sets some devices going; and once more
    afterwards, because it may have been replaced in between.
    """
    try:
        refuse_special(path.stat() if follows_links else path.lstat(), path)
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | (0 if follows_links else os.O_NOFOLLOW))
    except ValueError as exc:  # a NUL byte
        raise OSError(errno.EINVAL, "no file can have that name", repr(path)) from exc
    try:
        refuse_special(os.fstat(descriptor), path)
        return os.fdopen(descriptor, "rb")
    except BaseException:
        os.close(descriptor)
        raise


def read_plain(path: Path, max_bytes: int, *, follows_links: bool = True) -> bytes:
    """The contents of the plain file `path`. Raises `OSError` as `open_plain` does, and for more than `max_bytes`.

    Memory is asked for by what the file holds, never by what it may hold.
    """
    with open_plain(path, follows_links=follows_links) as file:
        n_bytes = os.fstat(file.fileno()).st_size
        data = file.read(n_bytes + 1) if n_bytes <= max_bytes else b""
    if max(n_bytes, len(data)) > max_bytes:
        raise OSError(errno.EFBIG, f"it is larger than {_size(max_bytes)}", str(path))
    return data


def read_plain_text(path: Path, max_bytes: int) -> str:
    """The same, of UTF-8, with or without a byte order mark. Raises `UnicodeDecodeError` besides."""
    return read_plain(path, max_bytes).decode("utf-8-sig")


def refuse_special(found: os.stat_result, path: Path) -> None:
    """Raise `OSError` naming what `path` is, unless it is a plain file."""
    for is_kind, name in _KINDS:
        if is_kind(found.st_mode):
            raise OSError(errno.EINVAL, f"it is {name}, no plain file", str(path))


def _size(n_bytes: int) -> str:
    return f"{n_bytes >> 20} MiB" if n_bytes >= 1 << 20 else f"{n_bytes} bytes"
