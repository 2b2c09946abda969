"""Which segments this node holds ready, for which generation of which stream.

Segments are shared: two generations, or two streams, that need the same layers of the same model use one session. A
segment lives as long as some generation holds it, and then `keep_idle` more, so that switching back and forth
costs nothing; the weights exist once in any case.
"""

from __future__ import annotations

import threading
from collections import OrderedDict

from seamline.core.errors import PlanError, SeamlineError
from seamline.core.ports import Engine, RunnableSegment
from seamline.core.values import Plan, Segment

SegmentKey = tuple[str, Segment]
GenerationKey = tuple[str, int]


class PreparedSegments:
    """Owner of the runnable segments of one node; safe from any thread."""

    def __init__(self, engine: Engine, *, keep_idle: int = 2) -> None:
        self._engine = engine
        self._keep_idle = keep_idle
        self._lock = threading.Lock()
        self._segments: dict[SegmentKey, RunnableSegment] = {}
        self._held: dict[GenerationKey, dict[int, SegmentKey]] = {}
        self._idle: OrderedDict[SegmentKey, None] = OrderedDict()

    def prepare(self, stream: str, generation: int, model_id: str, plan: Plan, stage_numbers: tuple[int, ...]) -> None:
        """Make the given stages of `plan` runnable; a second call for the same generation changes nothing.

        Raises `ModelError` when a segment cannot be made; then nothing is held for this generation.
        """
        wanted = {
            number: (model_id, plan.stages[number].segment)
            for number in stage_numbers
            if not plan.stages[number].segment.is_empty
        }
        with self._lock:  # held from the start, so that a release meanwhile does not drop what is being made
            self._held[(stream, generation)] = wanted
            for key in wanted.values():
                self._idle.pop(key, None)
        try:
            for key in wanted.values():
                self._ensure(key)
        except SeamlineError:
            self.release(stream, generation)
            raise

    def _ensure(self, key: SegmentKey) -> None:
        with self._lock:
            if key in self._segments:
                return
        made = self._engine.prepare(*key)
        with self._lock:
            self._segments.setdefault(key, made)

    def find(self, stream: str, generation: int, stage: int) -> RunnableSegment:
        """The segment of one stage. Raises `PlanError` when this node was never asked to prepare it, or released it."""
        with self._lock:
            key = self._held.get((stream, generation), {}).get(stage)
            segment = self._segments.get(key) if key is not None else None
        if segment is None:
            raise PlanError(f"stage {stage} of generation {generation} of stream {stream} is not prepared here")
        return segment

    def release(self, stream: str, generation: int) -> None:
        """Let go of one generation (-1: all generations of the stream); unknown ones are ignored."""
        with self._lock:
            gone = [key for key in self._held if key[0] == stream and generation in (-1, key[1])]
            for key in gone:
                del self._held[key]
            in_use = {segment for held in self._held.values() for segment in held.values()}
            for segment in self._segments.keys() - in_use - self._idle.keys():
                self._idle[segment] = None
            while len(self._idle) > self._keep_idle:
                oldest, _ = self._idle.popitem(last=False)
                del self._segments[oldest]

    @property
    def n_generations(self) -> int:
        with self._lock:
            return len(self._held)
