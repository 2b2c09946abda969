"""A slower machine, imitated: an engine whose runs take a set number of times as long as they really do.

The rest of the time is waited, not computed, so a slow node takes no processor from the others on the same computer. An
engine with one thread is slowed by the processor time it took: what it lost to other processes is not multiplied too.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from seamline.core.errors import UsageError
from seamline.core.ports import Array, Engine, RunnableSegment, Tensors
from seamline.core.values import Segment, TensorSpec

SPIN_S = 0.0002
"""The last bit is waited awake: a sleep ends about 0.1 ms late, which would distort blocks of a fraction of a ms."""


class SlowEngine:
    """`engine`, with every run taking `slowdown` (1.0 or more) times as long. Raises `UsageError` for less than 1.

    spent_s: clock of what a run takes: elapsed time, or the calling thread's processor time when it does all the work.
    """

    def __init__(
        self,
        engine: Engine,
        slowdown: float,
        *,
        now_s: Callable[[], float] = time.perf_counter,
        spent_s: Callable[[], float] | None = None,
        sleep_s: Callable[[float], None] = time.sleep,
    ) -> None:
        if not slowdown >= 1.0:
            raise UsageError(f"slowdown {slowdown:g} is below 1", hint="only slower machines can be imitated")
        self._engine = engine
        self._slowdown = slowdown
        self._now_s = now_s
        self._spent_s = spent_s or now_s
        self._sleep_s = sleep_s

    @property
    def name(self) -> str:
        return self._engine.name

    @property
    def unslowed(self) -> Engine:
        """The engine itself, for measuring what a run takes before it is slowed."""
        return self._engine

    def prepare(self, model_id: str, segment: Segment) -> RunnableSegment:
        """As the engine's own; preparing is not slowed, it is a matter of files more than of computing."""
        ready = self._engine.prepare(model_id, segment)
        return _SlowSegment(ready, self._slowdown, self._now_s, self._spent_s, self._sleep_s)


class _SlowSegment:
    def __init__(
        self,
        segment: RunnableSegment,
        slowdown: float,
        now_s: Callable[[], float],
        spent_s: Callable[[], float],
        sleep_s: Callable[[float], None],
    ) -> None:
        self._segment = segment
        self._slowdown = slowdown
        self._now_s = now_s
        self._spent_s = spent_s
        self._sleep_s = sleep_s

    @property
    def inputs(self) -> tuple[TensorSpec, ...]:
        return self._segment.inputs

    @property
    def outputs(self) -> tuple[TensorSpec, ...]:
        return self._segment.outputs

    def run(self, tensors: Tensors) -> dict[str, Array]:
        begin_s, spent_s = self._now_s(), self._spent_s()
        outputs = self._segment.run(tensors)
        self._wait_until(begin_s + (self._spent_s() - spent_s) * self._slowdown)
        return outputs

    def close(self) -> None:
        """End what the segment keeps outside this process, if anything."""
        if (close := getattr(self._segment, "close", None)) is not None:
            close()

    def _wait_until(self, end_s: float) -> None:
        left_s = end_s - self._now_s()
        if left_s > SPIN_S:
            self._sleep_s(left_s - SPIN_S)
        while self._now_s() < end_s:
            pass
