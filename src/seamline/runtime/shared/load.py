"""The load of this node (`core.hosting.load_meter`), measured by several threads on one clock."""

from __future__ import annotations

import threading

from seamline.core.cost.loads import SegmentLoad, StageLoad
from seamline.core.hosting.load_meter import LoadMeter
from seamline.core.vocabulary.plans import Segment
from seamline.runtime.shared.clock import now_s


class NodeLoadMeter:
    """`LoadMeter` behind a lock."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._meter = LoadMeter()

    def expect(self, stream: str, generation: int, model_id: str, segment: Segment, load: StageLoad) -> None:
        with self._lock:
            self._meter.expect(stream, generation, model_id, segment, load, now_s())

    def released(self, stream: str, generation: int) -> None:
        with self._lock:
            self._meter.released(stream, generation)

    def arrived(self, stream: str, generation: int, model_id: str, segment: Segment) -> None:
        with self._lock:
            self._meter.arrived(stream, generation, model_id, segment, now_s())

    def computed(self, stream: str, generation: int, wait_s: float, busy_s: float) -> None:
        with self._lock:
            self._meter.computed(stream, generation, wait_s, busy_s)

    def report(self) -> tuple[SegmentLoad, ...]:
        with self._lock:
            return self._meter.report(now_s())
