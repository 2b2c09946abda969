"""History of streams: ten minutes at full, a day thinned, and what was decided; a ring on disk that SQLite keeps.

One row is the figures of a second, or of every tenth one once they are older than ten minutes. Whatever is older than a
day goes, and the oldest rows go sooner where there are more than `MAX_ROWS` of them: some 250 bytes each, 64 MB in all.
"""

from __future__ import annotations

import logging
import sqlite3
import threading
from collections.abc import Iterable, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import msgspec

from seamline.core.vocabulary.documented import copied
from seamline.core.vocabulary.errors import FabricError
from seamline.runtime.api.stream_state import Change, Decision, StreamBrief, StreamState

FULL_S = 600.0
KEPT_S = 86_400.0
THIN_TO_S = 10
MAX_ROWS = 250_000
MAX_EVENTS = 10_000
MOST_EVENTS = 400
"""Of one stream at once: what a page shows."""

TIDY_EVERY_S = 60.0
TEMPORARY = ""
"""To SQLite: a file of its own that goes with the connection."""

log = logging.getLogger(__name__)

_SCHEMA = """
CREATE TABLE IF NOT EXISTS ticks (stream TEXT, time_s REAL, second INTEGER, tick BLOB, PRIMARY KEY (stream, time_s));
CREATE INDEX IF NOT EXISTS by_time ON ticks (time_s);
CREATE TABLE IF NOT EXISTS events (
    stream TEXT, kind TEXT, key TEXT, time_s REAL, event BLOB, PRIMARY KEY (stream, kind, key)
);
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tick:
    """Figures of one second, for lines over time. at_s: since the stream began. parts: seconds by name, in the order of
    a frame's way."""

    at_s: float
    generation: int
    frame_rate_fps: float
    latency_s: float | None
    parts: Mapping[str, float]
    n_dropped: int


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamHistory:
    """What is kept of one stream, oldest first."""

    ticks: tuple[Tick, ...]
    decisions: tuple[Decision, ...]
    changes: tuple[Change, ...]


class History:
    """Keeps streams' figures; any thread may ask. path: where they outlive this process, `TEMPORARY` for nowhere.

    Raises `FabricError` when there is no place for it.
    """

    def __init__(self, path: str | Path = TEMPORARY) -> None:
        self._lock = threading.Lock()
        try:
            self._db = sqlite3.connect(path, check_same_thread=False)
            self._db.execute("PRAGMA journal_mode=WAL")
            self._db.execute("PRAGMA synchronous=OFF")  # figures are no money: a crash may cost the newest
            self._db.executescript(_SCHEMA)
        except sqlite3.Error as error:
            raise FabricError(f"no history can be kept in `{path}`: {error}", hint="remove that file") from error
        self._tidied_s = 0.0
        self._is_troubled = False

    def take(self, briefs: Iterable[StreamBrief], states: Iterable[StreamState], time_s: float) -> None:
        """One look at streams. time_s: since the epoch."""
        ticks = [(one.name, time_s, int(time_s), msgspec.json.encode(copied(Tick, one))) for one in briefs]
        events = [event for state in states for event in _events(state, time_s)]
        try:
            with self._lock, self._db:
                self._db.executemany("INSERT OR REPLACE INTO ticks VALUES (?, ?, ?, ?)", ticks)
                self._db.executemany("INSERT OR REPLACE INTO events VALUES (?, ?, ?, ?, ?)", events)
                if time_s - self._tidied_s >= TIDY_EVERY_S:
                    self._tidied_s = time_s
                    self._tidy(time_s)
        except sqlite3.Error as error:  # a full disk must not end the page
            if not self._is_troubled:
                log.warning("the page's history has a gap: %s", error)
            self._is_troubled = True
        else:
            self._is_troubled = False

    def of(self, stream: str, seconds: float = KEPT_S) -> StreamHistory:
        """What is kept of the last `seconds` of `stream`, and its newest events."""
        with self._lock:
            ticks = self._db.execute(
                "SELECT tick FROM ticks WHERE stream = ?1 AND time_s > ?2 + "
                "(SELECT max(time_s) FROM ticks WHERE stream = ?1) ORDER BY time_s",
                (stream, -seconds),
            ).fetchall()
            events = self._db.execute(
                "SELECT kind, event FROM (SELECT * FROM events WHERE stream = ? ORDER BY time_s DESC LIMIT ?) "
                "ORDER BY time_s, CAST(key AS REAL)",
                (stream, MOST_EVENTS),
            ).fetchall()
        return StreamHistory(
            ticks=tuple(msgspec.json.decode(tick, type=Tick) for (tick,) in ticks),
            decisions=tuple(msgspec.json.decode(event, type=Decision) for kind, event in events if kind == "decision"),
            changes=tuple(msgspec.json.decode(event, type=Change) for kind, event in events if kind == "change"),
        )

    def n_rows(self) -> int:
        with self._lock:
            found: tuple[int] = self._db.execute("SELECT count(*) FROM ticks").fetchone()
        return found[0]

    def close(self) -> None:
        with self._lock, closing(self._db):
            pass

    def _tidy(self, time_s: float) -> None:
        """Thin what is older than ten minutes, and let go of what is older than a day or beyond the bound."""
        self._db.execute("DELETE FROM ticks WHERE time_s < ? AND second % ? != 0", (time_s - FULL_S, THIN_TO_S))
        for table, most in (("ticks", MAX_ROWS), ("events", MAX_EVENTS)):
            self._db.execute(f"DELETE FROM {table} WHERE time_s < ?", (time_s - KEPT_S,))
            oldest = f"SELECT rowid FROM {table} ORDER BY time_s DESC LIMIT -1 OFFSET ?"
            self._db.execute(f"DELETE FROM {table} WHERE rowid IN ({oldest})", (most,))


def _events(state: StreamState, time_s: float) -> list[tuple[str, str, str, float, bytes]]:
    """Rows of what happened; one that is known already is written over, since what a switch cost is known later."""
    began_s = time_s - state.snapshot.at_s
    decisions = [
        (state.name, "decision", str(one.number), began_s + one.switch.at_s, msgspec.json.encode(one))
        for one in state.decisions
    ]
    changes = [
        (state.name, "change", f"{one.at_s:.6f}", began_s + one.at_s, msgspec.json.encode(one)) for one in state.changes
    ]
    return decisions + changes
