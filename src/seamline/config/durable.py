"""Files that processes share and that survive a power cut: what is renamed into place was on the disk before, whole."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterable
from pathlib import Path
from typing import IO, BinaryIO


def sync_file(file: IO[bytes] | IO[str]) -> None:
    """Wait until what was written to `file` is on the disk."""
    file.flush()
    os.fsync(file.fileno())


def sync_folder(folder: Path, names: Iterable[str] = ()) -> None:
    """Wait until the files `names` of `folder` and its entries are on the disk: a rename is an entry.

    Raises `OSError` when a file cannot be written back; file systems without synchronous folders do without.
    """
    for name in names:
        descriptor = os.open(folder / name, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
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


def locked(file: BinaryIO) -> bool:
    """Whether this process now holds the lock of `file`; it ends with the process at the latest."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
