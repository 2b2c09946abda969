"""Physical memory of nodes and of the containers they started, from outside, while they run."""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from seamline.runtime.segments.containers import SOCKETS_PREFIX

INTERVAL_S = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """Proportional set size (pages shared by several processes counted by their share) and anonymous memory, bytes.

    edge_pss_bytes, edge_anonymous_bytes: the first node's part, with its containers.
    """

    pss_bytes: int
    anonymous_bytes: int
    edge_pss_bytes: int
    edge_anonymous_bytes: int


def memory_of(nodes: Iterable[int]) -> Memory:
    """Of the node processes with these ids, and of every container or process that serves a segment for one of them."""
    pids = list(nodes)
    marks = [f"/{SOCKETS_PREFIX}{pid}-" for pid in pids]
    placed = [*enumerate(pids), *_serving(marks)]
    readings = [(place, *_rollup(pid)) for place, pid in placed]
    return Memory(
        pss_bytes=sum(pss for _, pss, _ in readings),
        anonymous_bytes=sum(anonymous for _, _, anonymous in readings),
        edge_pss_bytes=sum(pss for place, pss, _ in readings if place == 0),
        edge_anonymous_bytes=sum(anonymous for place, _, anonymous in readings if place == 0),
    )


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


def _serving(marks: list[str]) -> list[tuple[int, int]]:
    """(place of the node in `marks`, process that serves a segment for it); the container engine's helpers not."""
    sockets = Path(tempfile.gettempdir())
    if not any(any(sockets.glob(f"{mark[1:]}*")) for mark in marks):  # a look at all processes takes milliseconds
        return []
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes().decode(errors="replace").split("\0")
        except OSError:
            continue  # it has ended
        is_server = len(words) > 2 and words[1:3] == ["-m", "seamline.runtime.segments.segment_server"]
        if is_server:
            found += [(place, int(path.parent.name)) for place, mark in enumerate(marks) if mark in words[3]]
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
