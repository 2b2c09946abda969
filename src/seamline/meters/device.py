"""Device facts of this machine: processor and memory."""

from __future__ import annotations

import platform
from pathlib import Path

import psutil

from seamline.config.cgroup import ControlGroups

GROUPS = ControlGroups()


def cpu_name() -> str:
    """Name of the processor, e.g. ``Intel(R) Xeon(R) CPU @ 2.60GHz``; on a Raspberry Pi its board's model."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    for key in ("model name", "Model"):
        for line in lines:
            name, separator, value = line.partition(":")
            if separator and name.strip() == key and value.strip():
                return value.strip()
    return platform.processor() or platform.machine() or "unknown"


def memory_available_bytes() -> int:
    """Physical memory that could be taken now without swapping: the machine's, or what its groups leave."""
    left = GROUPS.memory_available_bytes()
    available = int(psutil.virtual_memory().available)
    return available if left is None else min(available, left)
