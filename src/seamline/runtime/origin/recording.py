"""Recording file of a session: JSON lines that `core.recording.record` reads again, for `run --record` and `replay`.

The pilot's thread says what it has handed to the pilot and what came of it; every line is flushed, so that a run that
is killed leaves whole lines but the last. A disk that is full ends the recording, never the stream.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import IO, Any

import msgspec

from seamline.config.plain_files import open_plain
from seamline.core.recording.record import header, lines_of
from seamline.core.session import commands as cmd
from seamline.core.session import events as ev
from seamline.core.session.spec import SessionSpec
from seamline.core.vocabulary.errors import ConfigError, UsageError
from seamline.meters.provenance import provenance

log = logging.getLogger(__name__)

MAX_FILE_BYTES = 256 << 20
"""A recording ends here, which is some hours of frames; what was recorded so far can be replayed."""

MAX_LINE_BYTES = 16 << 20


class Recording:
    """Owner of the file. Opens it anew; `close` ends it, as do `with` and a disk that takes no more.

    Raises `UsageError` when it cannot be written to.
    """

    def __init__(self, path: Path, spec: SessionSpec) -> None:
        self._path = path
        self._lock = threading.Lock()  # `close` may come from another thread than the events
        self._n_bytes = 0
        try:
            self._file: IO[bytes] | None = path.open("wb", buffering=0)
        except OSError as exc:
            words = f"{path} cannot be written: {exc.strerror or exc}"
            raise UsageError(words, hint="name a file in a folder that is there") from exc
        self._write([header(spec, provenance())])

    def heard(self, event: ev.PilotEvent, now_s: float, outputs: Iterable[cmd.PilotOutput]) -> None:
        """The pilot was handed `event` at `now_s` and commanded `outputs`."""
        if self._file is not None:
            self._write(lines_of(event, now_s, outputs))

    def close(self) -> None:
        """Nothing more is recorded; idempotent."""
        with self._lock:
            if self._file is not None:
                self._file.close()
                self._file = None

    def __enter__(self) -> Recording:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _write(self, lines: Iterable[dict[str, Any]]) -> None:
        text = b"".join(msgspec.json.encode(line) + b"\n" for line in lines)
        why_not: object = None
        with self._lock:
            if self._file is None:
                return
            if self._n_bytes + len(text) > MAX_FILE_BYTES:
                why_not = f"it would be larger than {MAX_FILE_BYTES >> 20} MiB"
            else:
                try:
                    self._file.write(text)
                    self._n_bytes += len(text)
                except OSError as exc:
                    why_not = exc.strerror or exc
        if why_not is not None:
            log.warning("the recording %s ends here: %s", self._path, why_not)
            self.close()


def read_recording(path: Path) -> Iterator[object]:
    """The lines of a recording, decoded one by one. A last line that is torn off is left out.

    Raises `ConfigError` naming file and line when it is no recording; what the lines say is checked by `replay`.
    """
    try:
        with open_plain(path) as file:
            yield from _decoded(file, path)
    except FileNotFoundError as exc:
        raise ConfigError(f"there is no file {path}", hint="check the path") from exc
    except OSError as exc:
        raise ConfigError(f"{path} cannot be read: {exc.strerror or exc}", hint="check the path") from exc


def _decoded(file: IO[bytes], path: Path) -> Iterator[object]:
    number = 0
    while line := file.readline(MAX_LINE_BYTES):
        number += 1
        try:
            yield msgspec.json.decode(line)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as exc:
            if number > 1 and not line.endswith(b"\n") and len(line) < MAX_LINE_BYTES:
                return
            raise ConfigError(
                f"{path}: line {number} is not JSON: {exc}", hint="`seamline run --record FILE` writes recordings"
            ) from exc
