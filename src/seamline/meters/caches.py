"""Emptying the processor's caches, so that what is timed next finds nothing of its own in them.

Frames of a stream come tens of milliseconds apart, and other work runs in between. Measured with EfficientNet-Lite0 on
a processor with 32 MiB of L3: a block takes 0.12 ms again and again, 0.36 ms after the whole model, 0.69 ms after 20 ms
of sleep, and 0.29 ms after this. Sleeping would be nearer to a stream, but costs 5 to 20 ms a run, this 1 ms.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

LINE_BYTES = 64
DEFAULT_BYTES = 8 << 20
MAX_BYTES = 64 << 20


class CacheFlusher:
    """Writes to every line of a buffer as large as the last cache; call it before what is timed."""

    def __init__(self, n_bytes: int | None = None) -> None:
        self._lines = np.zeros((n_bytes or last_cache_bytes(), 1), np.uint8)[::LINE_BYTES]

    def __call__(self) -> None:
        self._lines += 1


def last_cache_bytes(folder: Path = Path("/sys/devices/system/cpu/cpu0/cache")) -> int:
    """Size of the largest cache that Linux reports in `folder`, within reason; a usual one when it reports none."""
    sizes = [_size_bytes(path) for path in folder.glob("index*/size")]
    return min(max(sizes, default=0) or DEFAULT_BYTES, MAX_BYTES)


def _size_bytes(path: Path) -> int:
    """A size as Linux writes it, ``32768K``; 0 when it is not one."""
    try:
        return int(path.read_text().strip().removesuffix("K")) << 10
    except (OSError, ValueError):
        return 0
