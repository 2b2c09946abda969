"""Trimming of the heap: freed memory goes back to the system, which the C library otherwise keeps for later.

Measured after releasing one of two VGG-19 pipelines: 997 MB, and 800 MB once trimmed; MobileNetV2 158 and 122 MB.
"""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Callable
from functools import lru_cache


def trim() -> None:
    """Return unused heap pages; nothing happens where the C library has no way to do so (anything but glibc)."""
    if (trimmer := _trimmer()) is not None:
        trimmer(0)


@lru_cache(maxsize=1)
def _trimmer() -> Callable[[int], int] | None:
    if sys.platform != "linux":
        return None
    try:
        function: Callable[[int], int] = ctypes.CDLL("libc.so.6").malloc_trim
    except (OSError, AttributeError):
        return None
    return function
