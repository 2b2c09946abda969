"""A slower machine, imitated: an engine whose runs take a set number of times as long as they really do.

The rest of the time is waited, not computed, so a slow node takes no processor from the others on the same computer.
What this computer adds is not multiplied, for it is no property of the machine that is imitated: an engine with one
thread is slowed by the processor time it took, not by what it lost to other processes; what a run takes is the lower
quartile of the segment's last runs, so that one that found the caches taken, or the core shared, counts once; and a
segment's first run, which is mostly memory being laid out, is made twice within the time that would be waited anyway.

How much slower may change while the node runs, as when other programs come and go there: a testbed then writes lines
``slowdown 8`` to the process's standard input (`processes.py`), and `slowdown_from` follows them.
"""

from __future__ import annotations

import logging
import math
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator

from seamline.core.errors import UsageError
from seamline.core.ports import Array, Engine, RunnableSegment, Tensors
from seamline.core.values import Segment, TensorSpec

SPIN_S = 0.0002
"""The last bit is waited awake: a sleep ends about 0.1 ms late, which would distort blocks of a fraction of a ms."""

N_RECENT, QUIET_QUANTILE = 15, 0.25
REPEATED_FROM = 8.0
"""From this slowdown on two runs fit into the time of the first slowed one, even where others hold them up."""

MAX_LINE_BYTES = 80
log = logging.getLogger(__name__)


class Slowdown:
    """How many times as long computing takes now; owned by a node, read by its engines at every run.

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


def slowdown_line(factor: float) -> str:
    """What `slowdown_from` understands."""
    return f"slowdown {factor:g}\n"


def slowdown_from(file_number: int, first: float) -> Slowdown:
    """A slowdown of `first` that a thread changes as the lines of a pipe say, until it ends with the other side.

    The pipe is read without Python's buffer: its lock would be held at the interpreter's end.
    """
    slowdown = Slowdown(first)

    def follow() -> None:
        for line in _lines(file_number):
            _obey(slowdown, line)

    threading.Thread(target=follow, name="slowdown", daemon=True).start()
    return slowdown


class SlowEngine:
    """`engine`, with every run taking `slowdown` (1.0 or more) times as long. Raises `UsageError` for less than 1.

    spent_s: clock of what a run takes: elapsed time, or the calling thread's processor time when it does all the work.
    """

    def __init__(
        self,
        engine: Engine,
        slowdown: float | Slowdown,
        *,
        now_s: Callable[[], float] = time.perf_counter,
        spent_s: Callable[[], float] | None = None,
        sleep_s: Callable[[float], None] = time.sleep,
    ) -> None:
        self._engine = engine
        self._slowdown = slowdown if isinstance(slowdown, Slowdown) else Slowdown(slowdown)
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
        slowdown: Slowdown,
        now_s: Callable[[], float],
        spent_s: Callable[[], float],
        sleep_s: Callable[[float], None],
    ) -> None:
        self._segment = segment
        self._slowdown = slowdown
        self._now_s = now_s
        self._spent_s = spent_s
        self._sleep_s = sleep_s
        self._recent_s: deque[float] = deque(maxlen=N_RECENT)

    @property
    def inputs(self) -> tuple[TensorSpec, ...]:
        return self._segment.inputs

    @property
    def outputs(self) -> tuple[TensorSpec, ...]:
        return self._segment.outputs

    def run(self, tensors: Tensors) -> dict[str, Array]:
        begin_s, factor = self._now_s(), self._slowdown.factor
        if not self._recent_s and factor >= REPEATED_FROM:
            self._segment.run(tensors)
        spent_s = self._spent_s()
        outputs = self._segment.run(tensors)
        self._recent_s.append(self._spent_s() - spent_s)
        self._wait_until(begin_s + self._quiet_s() * factor)
        return outputs

    def close(self) -> None:
        """End what the segment keeps outside this process, if anything."""
        if (close := getattr(self._segment, "close", None)) is not None:
            close()

    def _quiet_s(self) -> float:
        """What a run takes when nothing else disturbs it."""
        return sorted(self._recent_s)[int(QUIET_QUANTILE * len(self._recent_s))]

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


def _lines(file_number: int) -> Iterator[str]:
    """Whole lines as they come; a longer one than anything meant for us is dropped, not kept."""
    unread = b""
    while chunk := os.read(file_number, 4096):
        *complete, unread = (unread + chunk).split(b"\n")
        unread = unread[:MAX_LINE_BYTES]
        for line in complete:
            yield line.decode("ascii", errors="replace")


def _obey(slowdown: Slowdown, line: str) -> None:
    word, _, value = line.partition(" ")
    try:
        if word != "slowdown":
            raise ValueError(word)
        slowdown.set(float(value))
    except (ValueError, UsageError) as exc:
        log.warning("`%s` is no slowdown: %s", line[:MAX_LINE_BYTES], exc)
