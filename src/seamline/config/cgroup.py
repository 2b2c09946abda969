"""Control groups: the processors and the memory that a container or a service unit leaves to this process.

Linux has two versions of them, and hybrids of both. A limit may stand at any level from the process's own group to the
root of the tree, and the smallest counts. In a container the paths of ``/proc/self/cgroup`` may be the host's: levels
that are not there are passed over, and the container's own limits stand at the root of what is mounted.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import psutil

_UNLIMITED_BYTES = 1 << 60
"""Version 1 writes the largest number of pages where there is no limit."""

_USUAL_PERIOD_US = 100_000


@dataclass(frozen=True, slots=True, kw_only=True)
class ControlGroups:
    """The groups of one process. mount: where the trees are mounted. own: its ``/proc/<pid>/cgroup``."""

    mount: Path = Path("/sys/fs/cgroup")
    own: Path = Path("/proc/self/cgroup")

    def cpu_quota(self) -> float | None:
        """Processors' worth of time that may be used, e.g. 0.5; None without a quota."""
        quotas = [_quota(_words(folder / "cpu.max")) for folder in self._unified()]
        for folder in self._of("cpu"):
            quota, period = _words(folder / "cpu.cfs_quota_us"), _words(folder / "cpu.cfs_period_us")
            quotas.append(_quota([*quota[:1], *period[:1]]))
        return min((quota for quota in quotas if quota is not None), default=None)

    def memory_limit_bytes(self) -> int | None:
        """Memory that may be used; None without a limit. A limit that only slows down (``memory.high``) counts too."""
        return min((limit for limit, _ in self._memory()), default=None)

    def memory_available_bytes(self) -> int | None:
        """Memory that may be taken still: below each limit what is not used, file pages counted as free."""
        return min((max(0, limit - used) for limit, used in self._memory()), default=None)

    def _memory(self) -> Iterator[tuple[int, int]]:
        """(limit, bytes used that cannot be taken back) of every level with a limit."""
        for folder in self._unified():
            for name in ("memory.max", "memory.high"):
                if (limit := _number(folder / name)) is not None:
                    yield limit, _used_bytes(folder, "memory.current", ("inactive_file", "active_file"))
        for folder in self._of("memory"):
            if (limit := _number(folder / "memory.limit_in_bytes")) is not None and limit < _UNLIMITED_BYTES:
                pages = ("total_inactive_file", "total_active_file")
                yield limit, _used_bytes(folder, "memory.usage_in_bytes", pages)

    def _unified(self) -> Iterator[Path]:
        """Folders of version 2, the process's own first; in a hybrid its tree is mounted below the others."""
        for mount in (self.mount, self.mount / "unified"):
            yield from _upwards(mount, self.path_of(""))

    def _of(self, controller: str) -> Iterator[Path]:
        """Folders of a controller of version 1, the process's own first."""
        for name in (controller, "cpu,cpuacct") if controller == "cpu" else (controller,):
            if (self.mount / name).is_dir():
                yield from _upwards(self.mount / name, self.path_of(controller))
                return

    def path_of(self, controller: str) -> PurePosixPath:
        """The process's group in the tree of `controller`, that of version 2 when empty; ``/`` when it is not said."""
        try:
            lines = self.own.read_text(encoding="utf-8", errors="replace").splitlines()
        except OSError:
            lines = []
        for line in lines:  # hierarchy:controllers:path
            _, _, rest = line.partition(":")
            controllers, _, path = rest.partition(":")
            if controller in controllers.split(",") and path.startswith("/") and ".." not in path.split("/"):
                return PurePosixPath(path)
        return PurePosixPath("/")


def memory_total_bytes(groups: ControlGroups | None = None) -> int:
    """Physical memory that this process may use: the machine's, or its container's or unit's when that is less."""
    limit = (groups or ControlGroups()).memory_limit_bytes()
    total = int(psutil.virtual_memory().total)
    return total if limit is None else min(total, limit)


def n_usable_cores(groups: ControlGroups | None = None) -> int:
    """Processors that this process can keep busy: of those it may run on, no more than its quota pays for.

    A quota of 1.9 is one: a second thread would use up each period's time early, and stand still with its frame for
    the rest of it.
    """
    n_allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = (groups or ControlGroups()).cpu_quota()
    return n_allowed if quota is None else max(1, min(n_allowed, math.floor(quota)))


def _upwards(mount: Path, path: PurePosixPath) -> Iterator[Path]:
    """The folder of `path` below `mount`, then every one above it, `mount` the last."""
    parts = path.parts[1:]
    for n_parts in range(len(parts), -1, -1):
        yield mount.joinpath(*parts[:n_parts])


def _quota(words: list[str]) -> float | None:
    try:
        quota_us = int(words[0])
        period_us = int(words[1]) if len(words) > 1 else _USUAL_PERIOD_US
    except (IndexError, ValueError):
        return None  # not there, or "max": no quota
    return quota_us / period_us if quota_us > 0 and period_us > 0 else None


def _used_bytes(folder: Path, usage: str, reclaimable: Iterable[str]) -> int:
    rows = dict(line.split()[:2] for line in _lines(folder / "memory.stat") if len(line.split()) > 1)
    back = sum(int(rows[name]) for name in reclaimable if rows.get(name, "").isdecimal())
    return max(0, (_number(folder / usage) or 0) - back)


def _number(path: Path) -> int | None:
    words = _words(path)
    return int(words[0]) if words and words[0].isdecimal() else None


def _words(path: Path) -> list[str]:
    lines = _lines(path)
    return lines[0].split() if lines else []


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        return []
