"""Less processor and memory for the edge: a control group of its own as root (cgroup v1), else a slowdown.

A slowdown stretches what an engine computes and leaves loading alone, so the report says which of the two it was.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PERIOD_US = 10_000
_CPU, _MEMORY = Path("/sys/fs/cgroup/cpu"), Path("/sys/fs/cgroup/memory")


def can_limit() -> bool:
    """Whether control groups can be made here."""
    return os.geteuid() == 0 and (_CPU / "cpu.cfs_quota_us").exists() | (_CPU / "cgroup.procs").exists()


@contextmanager
def limited(cpu_ratio: float, memory_bytes: int | None) -> Iterator[str]:
    """This process, and what it starts, under a quota of `cpu_ratio` cores and `memory_bytes`; yields how, in words."""
    groups: list[Path] = []
    words = []
    try:
        if cpu_ratio < 1.0:
            group = _made(_CPU, groups)
            (group / "cpu.cfs_period_us").write_text(str(PERIOD_US))
            (group / "cpu.cfs_quota_us").write_text(str(int(PERIOD_US * cpu_ratio)))
            words.append(f"CPU quota {cpu_ratio:.0%} of one core (cgroup)")
        if memory_bytes is not None:
            group = _made(_MEMORY, groups)
            (group / "memory.limit_in_bytes").write_text(str(memory_bytes))
            words.append(f"memory limit {memory_bytes / 1e6:.0f} MB (cgroup)")
        for group in groups:
            (group / "cgroup.procs").write_text(str(os.getpid()))
        yield ", ".join(words) or "no limit"
    finally:
        for group in groups:
            (group.parent / "cgroup.procs").write_text(str(os.getpid()))
            group.rmdir()


def _made(root: Path, groups: list[Path]) -> Path:
    group = root / f"seamline-cell-{os.getpid()}"
    group.mkdir()
    groups.append(group)
    return group
