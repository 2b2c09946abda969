"""The live view: redraws one `LiveState` in place on a terminal, writes plain lines anywhere else."""

from __future__ import annotations

from types import TracebackType

from rich.console import Console
from rich.live import Live

from seamline.cli.shared.render import LiveState, live_line, live_panel, switch_text

LINE_EVERY_S = 1.0
"""Stream time between two plain lines; a switch is written at once."""


class LiveView:
    """Shows a running stream on `console`. Use as a context manager and call `update` as often as you like.

    On a terminal the view is redrawn in place and stays when it is left. Elsewhere (pipe, log file) it writes a line
    for each second of stream time and one for each switch. `update` may be called from any one thread.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._live = Live(console=console, refresh_per_second=8) if console.is_terminal else None
        self._next_line_s = 0.0
        self._n_switches_written = 0

    def update(self, state: LiveState) -> None:
        """Show `state`; earlier ones are forgotten."""
        if self._live is not None:
            self._live.update(live_panel(state))
            return
        stream = state.stream
        for switch in stream.switches[self._n_switches_written :]:
            self._write(switch_text(switch))
        self._n_switches_written = max(self._n_switches_written, len(stream.switches))
        if stream.at_s >= self._next_line_s:
            self._write(live_line(state))
            self._next_line_s = stream.at_s + LINE_EVERY_S

    def _write(self, line: str) -> None:
        self._console.print(line, markup=False, soft_wrap=True)

    def __enter__(self) -> LiveView:
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.stop()
