"""Less processor and memory for the edge: control groups of its own as root (version 1), else a slowdown.

A slowdown stretches what an engine computes and leaves loading alone, so the report says which of the two it was. The
groups have one name in every hierarchy, so that the containers of the edge join them
(`runtime.segments.containers`). What a cell that was killed leaves behind is found by its process id.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from seamline.config.cgroup import ControlGroups

ROOT = Path("/sys/fs/cgroup")
PERIOD_US = 10_000
UNLIMITED = "-1"
LEAVE_TIMEOUT_S = 15.0
POLL_S = 0.1


def can_limit() -> bool:
    """Whether control groups for processor and memory can be made here."""
    return os.geteuid() == 0 and all((ROOT / name / "cgroup.procs").exists() for name in ("cpu", "memory"))


class Limits:
    """The control groups of this process; `set` may be called again while it runs."""

    def __init__(self) -> None:
        self._name = _name(os.getpid())

    def set(self, cpu_ratio: float, memory_bytes: int | None) -> str:
        """A quota of `cpu_ratio` cores (1.0: none) and `memory_bytes` (None: no limit); says so in words.

        Raises `OSError` when more memory than that is in use and cannot be given back.
        """
        quota = UNLIMITED if cpu_ratio >= 1.0 else str(int(PERIOD_US * cpu_ratio))
        (ROOT / "cpu" / self._name / "cpu.cfs_period_us").write_text(str(PERIOD_US))
        (ROOT / "cpu" / self._name / "cpu.cfs_quota_us").write_text(quota)
        limit = UNLIMITED if memory_bytes is None else str(memory_bytes)
        (ROOT / "memory" / self._name / "memory.limit_in_bytes").write_text(limit)
        words = [] if cpu_ratio >= 1.0 else [f"CPU quota {cpu_ratio:.0%} of one core (cgroup)"]
        words += [] if memory_bytes is None else [f"memory limit {memory_bytes / 1e6:.0f} MB (cgroup)"]
        return ", ".join(words) or "no limit"


@contextmanager
def limited() -> Iterator[Limits]:
    """This process, and what it starts from now on, in groups of its own until the end; without limits so far."""
    before = {hierarchy: ControlGroups().path_of(hierarchy) for hierarchy in ("cpu", "memory")}
    name = _name(os.getpid())
    try:
        for hierarchy in ("cpu", "memory"):
            group = ROOT / hierarchy / name
            group.mkdir()
            (group / "cgroup.procs").write_text(str(os.getpid()))
        yield Limits()
    finally:
        for hierarchy in ("cpu", "memory"):
            back = ROOT / hierarchy / before[hierarchy].relative_to("/") / "cgroup.procs"
            back.write_text(str(os.getpid()))
        leave(os.getpid())


def leave(pid: int) -> bool:
    """Remove the groups of the cell with this process id, once all in them have ended; whether one ran out of memory.

    The container engine makes groups of that name in every hierarchy, and ends its processes a little later.
    """
    is_out_of_memory = _n_killed(ROOT / "memory" / _name(pid)) > 0
    until_s = time.monotonic() + LEAVE_TIMEOUT_S
    while (left := [path for path in ROOT.glob(f"*/{_name(pid)}") if not _removed(path)]) and (
        time.monotonic() < until_s
    ):
        time.sleep(POLL_S)
    for group in left:
        _empty(group)
    return is_out_of_memory


def sweep() -> None:
    """Remove the groups of cells that are gone: an interrupted run leaves them."""
    for group in (ROOT / "cpu").glob(_name("*")):
        pid = int(group.name.rpartition("-")[2])
        if not Path(f"/proc/{pid}").exists():
            leave(pid)


def _name(pid: int | str) -> str:
    return f"seamline-cell-{pid}"


def _n_killed(group: Path) -> int:
    """How many processes of a group were ended because memory ran out."""
    with suppress(OSError):
        for line in (group / "memory.oom_control").read_text(encoding="ascii").splitlines():
            if line.startswith("oom_kill "):
                return int(line.split()[1])
    return 0


def _removed(group: Path) -> bool:
    """Remove a group and those in it; False when something is still in one."""
    try:
        for inner in sorted((path for path in group.rglob("*") if path.is_dir()), reverse=True):
            inner.rmdir()
        group.rmdir()
    except FileNotFoundError:
        return not group.exists()  # the engine removes its own meanwhile
    except OSError:
        return False
    return True


def _empty(group: Path) -> None:
    """Move what will not end to the root of the hierarchy, and remove the group."""
    for procs in group.rglob("cgroup.procs"):
        for pid in procs.read_text(encoding="ascii").split():
            with suppress(OSError):
                (group.parent / "cgroup.procs").write_text(pid)
    _removed(group)
