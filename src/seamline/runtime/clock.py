"""The one clock of a process: monotonic seconds."""

from __future__ import annotations

import time

now_s = time.monotonic


class _Monotonic:
    def now_s(self) -> float:
        return now_s()


MONOTONIC = _Monotonic()
"""The same clock, for those that take a `core.ports.Clock`."""
