"""Facts about this machine: processor, cores, memory, and the physical memory of this process."""

from __future__ import annotations

import os
import platform
from pathlib import Path

import psutil

_CGROUP_LIMITS = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))


def cpu_name() -> str:
    """What the processor calls itself, e.g. ``Intel(R) Xeon(R) CPU @ 2.60GHz``; on a Raspberry Pi its board's model."""
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


def n_cores() -> int:
    """Processors that this process may use, which a container or `taskset` can make fewer than there are."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def memory_total_bytes() -> int:
    """Physical memory that this process may use: the machine's, or its container's when that is less."""
    return min([int(psutil.virtual_memory().total), *_cgroup_limits_bytes()])


def memory_available_bytes() -> int:
    """Physical memory that could be taken now without swapping, of the whole machine."""
    return min(int(psutil.virtual_memory().available), memory_total_bytes())


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


def _cgroup_limits_bytes() -> list[int]:
    limits = []
    for path in _CGROUP_LIMITS:
        try:
            limits.append(int(path.read_text(encoding="ascii")))
        except (OSError, ValueError):
            continue  # not there, or "max": no limit
    return limits
