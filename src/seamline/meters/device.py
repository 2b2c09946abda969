"""Device facts of this machine: processor, cores, memory, and the physical memory of this process."""

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


def memory_total_bytes() -> int:
    """Physical memory that this process may use: the machine's, or its container's or unit's when that is less."""
    limit = GROUPS.memory_limit_bytes()
    total = int(psutil.virtual_memory().total)
    return total if limit is None else min(total, limit)


def memory_available_bytes() -> int:
    """Physical memory that could be taken now without swapping: the machine's, or what its groups leave."""
    left = GROUPS.memory_available_bytes()
    available = int(psutil.virtual_memory().available)
    return available if left is None else min(available, left)


def pss_bytes() -> int | None:
    """Proportional set size of this process: its physical memory, pages shared with others counted by their share.

    The figure to compare memory by when one file of weights is mapped several times: RSS counts such pages once for
    each mapping, USS not at all. None where the system does not report it (anything but Linux).
    """
    try:
        lines = Path("/proc/self/smaps_rollup").read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    for line in lines:
        if line.startswith("Pss:"):
            return int(line.split()[1]) * 1024
    return None
