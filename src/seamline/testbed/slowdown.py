"""Slowdown of a node: an engine whose runs take a given factor of the time in this computer's profile.

The rest of the time is waited, not computed, so a slow node takes no processor from the others on the same computer.
What a run really took is not multiplied: a computer that clocks down, caches that another process has taken or a first
run that lays out memory are no properties of the machine that is imitated, and eight times a hiccup is none that any
machine has. So the imitated machine is the profile, the same today as tomorrow and as in the simulator; a run that
takes longer than that in truth is late by what it took. Only a model without a profile is slowed by its runs.

How much slower may change while the node runs, as when other programs come and go there: `orders.py`.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from functools import partial

from seamline.core.vocabulary.errors import UsageError
from seamline.core.vocabulary.plans import Segment
from seamline.core.vocabulary.ports import Array, Engine, RunnableSegment, Tensors
from seamline.core.vocabulary.profiles import TensorSpec

SPIN_S = 0.0002
"""The last bit is waited awake: a sleep ends about 0.1 ms late, which would distort blocks of a fraction of a ms."""

UsualTime = Callable[[str, Segment], float | None]
"""Seconds that a segment of a model, by its id, takes on this computer; None when that is not known."""


class Slowdown:
    """Factor by which computing takes longer now; owned by a node, read by its engines at every run.

    factor: 1.0 or more, else `UsageError`.
    """

    def __init__(self, factor: float) -> None:
        self._factor = _checked(factor)

    @property
    def factor(self) -> float:
        return self._factor

    def set(self, factor: float) -> None:
        """Runs that begin from now on take `factor` times as long. Safe from any thread."""
        self._factor = _checked(factor)


class SlowEngine:
    """`engine`, with every run taking `slowdown` (1.0 or more) times as long as usual.

    usual_s: how long that is; by default nothing is known, and each run counts as it was.
    Raises `UsageError` for a slowdown of less than 1.
    """

    def __init__(
        self,
        engine: Engine,
        slowdown: float | Slowdown,
        *,
        usual_s: UsualTime = lambda model_id, segment: None,
        now_s: Callable[[], float] = time.perf_counter,
        sleep_s: Callable[[float], None] = time.sleep,
    ) -> None:
        self._engine = engine
        self._slowdown = slowdown if isinstance(slowdown, Slowdown) else Slowdown(slowdown)
        self._usual_s = usual_s
        self._now_s = now_s
        self._sleep_s = sleep_s

    @property
    def name(self) -> str:
        return self._engine.name

    @property
    def provider(self) -> str:
        return self._engine.provider

    @property
    def computes_on_caller(self) -> bool:
        return self._engine.computes_on_caller

    def prepare(self, model_id: str, segment: Segment) -> RunnableSegment:
        """Prepare as the engine does; preparing is not slowed, it is a matter of files more than of computing."""
        ready = self._engine.prepare(model_id, segment)
        usual_s = partial(self._usual_s, model_id, segment)
        return _SlowSegment(ready, self._slowdown, usual_s, self._now_s, self._sleep_s)


class _SlowSegment:
    def __init__(
        self,
        segment: RunnableSegment,
        slowdown: Slowdown,
        usual_s: Callable[[], float | None],
        now_s: Callable[[], float],
        sleep_s: Callable[[float], None],
    ) -> None:
        self._segment = segment
        self._slowdown = slowdown
        self._usual_s = usual_s
        self._now_s = now_s
        self._sleep_s = sleep_s

    @property
    def inputs(self) -> tuple[TensorSpec, ...]:
        return self._segment.inputs

    @property
    def outputs(self) -> tuple[TensorSpec, ...]:
        return self._segment.outputs

    def run(self, tensors: Tensors) -> dict[str, Array]:
        begin_s, factor = self._now_s(), self._slowdown.factor
        outputs = self._segment.run(tensors)
        usual_s = self._usual_s()
        if usual_s is None:
            usual_s = self._now_s() - begin_s
        self._wait_until(begin_s + usual_s * factor)
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


def _checked(factor: float) -> float:
    if not (factor >= 1.0 and math.isfinite(factor)):
        raise UsageError(
            f"slowdown {factor:g} is below 1" if factor < 1.0 else f"slowdown {factor:g} is no number",
            hint="only slower machines can be imitated",
        )
    return factor
