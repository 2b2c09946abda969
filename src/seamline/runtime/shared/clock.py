"""The clocks of a process: monotonic seconds, and the processor time of one thread."""

from __future__ import annotations

import time

now_s = time.monotonic


class _Monotonic:
    def now_s(self) -> float:
        return now_s()


MONOTONIC = _Monotonic()
"""The same clock, for those that take a `core.vocabulary.ports.Clock`."""


class _ThreadTime:
    def now_s(self) -> float:
        return time.thread_time()


THREAD_TIME = _ThreadTime()
"""Processor time of the calling thread, for what one thread does alone: it leaves out what others took meanwhile."""
