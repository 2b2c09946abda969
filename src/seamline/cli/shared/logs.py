"""Log lines on stderr: for people, or one JSON object a line (``--log-format json``) for whatever collects logs."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Mapping
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any

TEXT, JSON = "text", "json"
FORMATS = (TEXT, JSON)
CHOSEN: ContextVar[str] = ContextVar("log format", default=TEXT)
"""What the command line that runs now asked for."""


class StderrOfNow(logging.Handler):
    """Logs to what `sys.stderr` is at that moment: a live view stands there while it is drawn, and lets lines pass
    above it."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            sys.stderr.write(self.format(record) + "\n")
            sys.stderr.flush()
        except Exception:  # a log line is not worth failing for
            self.handleError(record)


class JsonLines(logging.Formatter):
    """Keys of a line: ``time`` (UTC), ``level``, ``logger``, ``message``, and ``traceback`` where there is one."""

    def format(self, record: logging.LogRecord) -> str:
        said: dict[str, Any] = {"logger": record.name, "message": record.getMessage()}
        if record.exc_info:
            said["traceback"] = self.formatException(record.exc_info)
        return json_line(record.levelname.lower(), said, at_s=record.created)


def json_line(level: str, said: Mapping[str, Any], *, at_s: float | None = None) -> str:
    """One line of ``--log-format json``; at_s: since the epoch, now when None."""
    now = datetime.now(UTC) if at_s is None else datetime.fromtimestamp(at_s, UTC)
    return json.dumps({"time": now.isoformat(timespec="milliseconds"), "level": level, **said}, ensure_ascii=False)


def is_json() -> bool:
    """Whether the command line asked for JSON; known to the main thread."""
    return CHOSEN.get() == JSON
