"""Caches are shared by processes: which of them does what only one should do at a time."""

from __future__ import annotations

import fcntl
from typing import BinaryIO


def locked(file: BinaryIO) -> bool:
    """Whether this process now holds the lock of `file`; it ends with the process at the latest."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
