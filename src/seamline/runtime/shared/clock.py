"""The clocks of a process: monotonic seconds, and the processor time of one thread."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

now_s = time.monotonic


@dataclass(frozen=True, slots=True)
class _Clock:
    now_s: Callable[[], float]


MONOTONIC = _Clock(time.monotonic)
"""The same clock, for those that take a `core.vocabulary.ports.Clock`."""

THREAD_TIME = _Clock(time.thread_time)
"""Processor time of the calling thread, for what one thread does alone: it leaves out what others took meanwhile."""
