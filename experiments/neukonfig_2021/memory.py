"""Physical memory of nodes and of the containers they started, from outside, while they run."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from seamline.runtime.containers import SOCKETS_PREFIX

INTERVAL_S = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """Proportional set size (pages shared by several processes counted by their share) and anonymous memory, bytes."""

    pss_bytes: int
    anonymous_bytes: int


def memory_of(nodes: Iterable[int]) -> Memory:
    """Of the node processes with these ids, and of every container or process that serves a segment for one of them."""
    pids = list(nodes)
    marks = [f"/{SOCKETS_PREFIX}{pid}-" for pid in pids]
    readings = [_rollup(pid) for pid in (*pids, *_serving(marks))]
    return Memory(pss_bytes=sum(one[0] for one in readings), anonymous_bytes=sum(one[1] for one in readings))


class MemoryWatch:
    """Samples `memory_of` on a thread of its own; `peak` is the largest sum of proportional set sizes since `reset`."""

    def __init__(self, nodes: Iterable[int]) -> None:
        self._nodes = tuple(nodes)
        self._lock = threading.Lock()
        self._peak = memory_of(self._nodes)
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="memory", daemon=True)
        self._thread.start()

    def _watch(self) -> None:
        while not self._ended.wait(INTERVAL_S):
            now = memory_of(self._nodes)
            with self._lock:
                if now.pss_bytes > self._peak.pss_bytes:
                    self._peak = now

    def reset(self) -> Memory:
        """What is there now; the peak starts over from it."""
        now = memory_of(self._nodes)
        with self._lock:
            self._peak = now
        return now

    @property
    def peak(self) -> Memory:
        with self._lock:
            return self._peak

    def close(self) -> None:
        self._ended.set()
        self._thread.join()


def _serving(marks: list[str]) -> list[int]:
    """Processes that serve a segment for a node; the container engine's own helpers do not count."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes().decode(errors="replace").split("\0")
        except OSError:
            continue  # it has ended
        is_server = len(words) > 2 and words[1:3] == ["-m", "seamline.runtime.segment_server"]
        if is_server and any(mark in words[3] for mark in marks):
            found.append(int(path.parent.name))
    return found


def _rollup(pid: int) -> tuple[int, int]:
    """(proportional set size, anonymous) in bytes; zeros for a process that has ended."""
    values = {"Pss:": 0, "Anonymous:": 0}
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii").splitlines()
    except OSError:
        return 0, 0
    for line in lines:
        name, *rest = line.split()
        if name in values:
            values[name] = int(rest[0]) * 1024
    return values["Pss:"], values["Anonymous:"]
