"""Files that processes share and that survive a power cut: what is renamed into place was on the disk before, whole."""

from __future__ import annotations

import fcntl
import os
import secrets
from collections.abc import Iterable
from pathlib import Path
from typing import BinaryIO


def write_file(path: Path, pieces: Iterable[bytes], *, is_durable: bool = True) -> None:
    """Write `pieces` to the file `path`, whole or not at all: readers, and a power cut, never see half of it.

    Readable as any file, because caches are shared. is_durable: on the disk when this returns; without, a power cut may
    leave the file empty. Raises `OSError`, and leaves nothing then.
    """
    unfinished = path.with_name(f".{path.name[:64]}.{secrets.token_hex(8)}.part")
    try:
        with unfinished.open("xb") as file:
            for piece in pieces:
                file.write(piece)
        if is_durable:
            move_into_place(unfinished, path)
        else:
            os.replace(unfinished, path)
    except BaseException:
        unfinished.unlink(missing_ok=True)
        raise


def move_into_place(file: Path, path: Path) -> None:
    """Rename the finished `file` to `path`, on the same disk, when all of it is on that disk. Raises `OSError`."""
    _sync(file)
    os.replace(file, path)
    sync_folder(path.parent)


def sync_folder(folder: Path, names: Iterable[str] = ()) -> None:
    """Wait until the files `names` of `folder` and its entries are on the disk: a rename is an entry.

    Raises `OSError` when a file cannot be written back; file systems without synchronous folders do without.
    """
    for name in names:
        _sync(folder / name)
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError:
        return
    try:
        os.fsync(descriptor)
    except OSError:
        return
    finally:
        os.close(descriptor)


def _sync(file: Path) -> None:
    descriptor = os.open(file, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def locked(file: BinaryIO) -> bool:
    """Whether this process now holds the lock of `file`; it ends with the process at the latest."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
