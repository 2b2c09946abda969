"""Watches a running stream: the live view on a terminal or as plain lines, or JSON lines for another process.

The thread of `Watcher` reads snapshots five times a second; the stream does not know that it is watched.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any

import msgspec
from rich.console import Console
from rich.live import Live

from seamline.cli.shared.output import print_json, progress_console
from seamline.cli.shared.render import LiveState, live_line, live_panel, switch_text
from seamline.cli.shared.waiting import is_alive
from seamline.heads.answers import Classes, labels_of
from seamline.runtime.api.snapshot import StreamSnapshot
from seamline.runtime.api.stream import Stream
from seamline.runtime.origin.results import Result
from seamline.sinks.answered import AnsweredFrame, state_words

INTERVAL_S = 0.2
LINE_EVERY_S = 1.0
"""Stream time between two plain lines; a switch is written at once."""


class LiveView:
    """Shows a running stream on `console`. Use as a context manager and call `update` as often as you like.

    On a terminal the view is redrawn in place and stays when it is left. Elsewhere (pipe, log file) it writes a line
    for each second of stream time and one for each switch; so it does everywhere for one of several streams, whose
    `name` stands before its lines. `update` may be called from any one thread.
    """

    def __init__(self, console: Console, *, name: str = "") -> None:
        self._console = console
        self._name = name
        self._live = Live(console=console, refresh_per_second=8) if console.is_terminal and not name else None
        self._next_line_s = 0.0
        self._n_switches_written = 0

    def update(self, state: LiveState) -> None:
        """Show `state`; earlier ones are forgotten."""
        if self._live is not None:
            self._live.update(live_panel(state))
            return
        stream = state.stream
        for switch in stream.switches[self._n_switches_written :]:
            self.write(self._named(switch_text(switch)))
        self._n_switches_written = max(self._n_switches_written, len(stream.switches))
        if stream.at_s >= self._next_line_s:
            self.write(self._named(live_line(state)))
            self._next_line_s = stream.at_s + LINE_EVERY_S

    def _named(self, line: str) -> str:
        return f"{self._name}  {line}" if self._name else line

    def write(self, line: str) -> None:
        """Write a line; above the view, where there is one."""
        self._console.print(line, soft_wrap=True)

    def __enter__(self) -> LiveView:
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.stop()


class Watcher:
    """Shows `stream` while it runs. as_events: JSON lines on stdout instead; is_quiet: nothing at all.

    name: of its source where there are several streams. parent_pid: interrupt this process when that one is gone, so
    that nothing is left running.
    """

    def __init__(
        self,
        stream: Stream,
        *,
        title: str,
        duration_s: float | None,
        as_events: bool,
        is_quiet: bool,
        parent_pid: int | None,
        name: str = "",
    ) -> None:
        self._stream = stream
        self._title = title
        self._duration_s = duration_s
        self._as_events = as_events
        self._parent_pid = parent_pid
        self._view = None if as_events or is_quiet else LiveView(progress_console(), name=name)
        self._seen: AnsweredFrame | None = None
        self._saying = threading.Lock()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="watcher", daemon=True)

    @property
    def is_shown(self) -> bool:
        """Whether anybody sees what the network sees."""
        return self._as_events or self._view is not None

    @property
    def aside(self) -> Callable[[str], None] | None:
        """Writes a line beside the live view; None when there is none."""
        return None if self._view is None else self._view.write

    def answered(self, result: Result, seen: AnsweredFrame | None) -> None:
        """One more result; seen: what it says, when somebody has read it."""
        self._seen = seen
        if self._as_events:
            self._say(
                {
                    "event": "answer",
                    "frame": result.frame,
                    "at_s": result.accepted_s - self._stream.recorder.started_s,
                    "latency_s": result.latency_s,
                    "energy_j": result.energy_j,
                    "plan": str(result.plan),
                    "n_attempts": result.n_attempts,
                }
            )

    def _watch(self) -> None:
        while not self._ended.wait(INTERVAL_S):
            self._show()
            if self._parent_pid is not None and not is_alive(self._parent_pid):
                os.kill(os.getpid(), signal.SIGINT)
                return

    def _show(self, *, is_last: bool = False) -> None:
        """Nothing before the first frame: a source that turns out to be none is refused in two lines."""
        snapshot = self._stream.snapshot()
        label, score = self._label()
        if self._as_events:
            event = msgspec.to_builtins(snapshot)
            source_s = None if self._seen is None else self._seen.stamp.at_s
            self._say({"event": "snapshot", "label": label, "score_ratio": score, "source_s": source_s, **event})
        elif self._view is not None and (is_last or snapshot.n_answered or snapshot.n_in_flight or snapshot.n_dropped):
            self._view.update(
                LiveState(
                    title=self._title, stream=snapshot, duration_s=self._duration_s, label=label, score_ratio=score
                )
            )

    def _say(self, event: Mapping[str, Any]) -> None:
        with self._saying:
            print_json(event)

    def _label(self) -> tuple[str | None, float | None]:
        seen = self._seen
        if seen is None or seen.answer is None or not labels_of(seen.answer):
            return None, None
        best = labels_of(seen.answer)[0]
        return (best.name, best.score_ratio) if isinstance(seen.answer, Classes) else (state_words(seen), None)

    def __enter__(self) -> Watcher:
        if self._view is not None:
            self._view.__enter__()
        if self._as_events or self._view is not None or self._parent_pid is not None:
            self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        if self._thread.is_alive():
            self._thread.join(timeout=2.0)
        if kind is None:
            self._show(is_last=True)
        if self._view is not None:
            self._view.__exit__(kind, error, trace)


def snapshot_of(event: Mapping[str, Any]) -> StreamSnapshot:
    """The snapshot in one JSON line of `seamline run --events`."""
    return msgspec.convert(event, StreamSnapshot)
