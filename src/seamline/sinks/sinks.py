"""All sinks of a stream together: opened before its first frame, closed on every way out.

with Sinks(parse_sinks(["results.jsonl", "mqtt://broker/door"]), facts, waits=False) as sinks:
    sinks.put(answered)
for figures in sinks.figures(): ...
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from types import TracebackType

from seamline.sinks.answered import AnsweredFrame
from seamline.sinks.outlet import Outlet, SinkFigures
from seamline.sinks.sink import Sink, StreamFacts

CLOSE_TIMEOUT_S = 60.0
HURRY_TIMEOUT_S = 1.5
BREAK_TIMEOUT_S = 0.6
"""How long sinks may take to write what waits: when the stream has ended, when a signal ended it, and when something
broke it off."""


class Sinks:
    """Sinks of one stream. Use it as a context manager; nothing opens before it is entered.

    waits: no answer may be lost, see `outlet.py`. trouble: hears what goes wrong meanwhile. Entering raises `SinkError`
    or `UsageError` when a sink cannot be opened; those before it are closed then.
    """

    def __init__(
        self, sinks: Sequence[Sink], facts: StreamFacts, *, waits: bool, trouble: Callable[[str], None] = lambda _: None
    ) -> None:
        self._outlets = tuple(Outlet(sink, facts, waits=waits, trouble=trouble) for sink in sinks)
        self._opened: list[Outlet] = []
        self._close_timeout_s = CLOSE_TIMEOUT_S

    @property
    def draws(self) -> bool:
        """Whether any of them needs pictures."""
        return any(outlet.sink.draws for outlet in self._outlets)

    @property
    def keeps_outputs(self) -> bool:
        """Whether any of them needs the network's outputs."""
        return any(outlet.sink.keeps_outputs for outlet in self._outlets)

    def put(self, answered: AnsweredFrame) -> None:
        """Give one answer to every sink."""
        for outlet in self._outlets:
            outlet.put(answered)

    def hurry(self) -> None:
        """Somebody wants an end: nobody waits for a slow sink any more. Safe in a signal handler."""
        self._close_timeout_s = min(self._close_timeout_s, HURRY_TIMEOUT_S)
        for outlet in self._outlets:
            outlet.hurry()

    def figures(self) -> tuple[SinkFigures, ...]:
        """What became of the answers, in the order of the sinks."""
        return tuple(outlet.figures() for outlet in self._outlets)

    def __enter__(self) -> Sinks:
        try:
            for outlet in self._outlets:
                self._opened.append(outlet)
                outlet.open()
        except BaseException:
            self._close(BREAK_TIMEOUT_S)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close(self._close_timeout_s if kind is None else BREAK_TIMEOUT_S)

    def _close(self, timeout_s: float) -> None:
        until_s = time.monotonic() + timeout_s
        for outlet in self._opened:
            outlet.end()
        for outlet in self._opened:
            outlet.wait_closed(max(0.0, until_s - time.monotonic()))


def figures_words(figures: SinkFigures) -> str:
    """What became of the answers at one sink, on one line."""
    words = f"{figures.name}: {figures.written} answers"
    if figures.failed:
        words += f", {figures.failed} could not be written"
    if figures.dropped:
        words += f", {figures.dropped} dropped because it was too slow or had failed"
    if figures.waited_s >= LEAST_WAIT_S:
        words += f"; frames waited {figures.waited_s:.1f} s for it"
    return words if figures.error is None else f"{words}; {figures.error}"


LEAST_WAIT_S = 0.1
"""Shorter waits are no news."""
