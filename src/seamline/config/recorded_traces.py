"""Recorded traces that ship with the package, and how any trace is named: `real:NAME`, or a file.

Where they come from, and under what licence, is in `seamline/data/ATTRIBUTION.md`. Their format is that of `trace.py`.
"""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

from seamline.core.vocabulary.errors import ConfigError

PREFIX = "real:"
_FOLDER = Path(str(files("seamline") / "data" / "traces"))


def recorded_names() -> tuple[str, ...]:
    """All that may follow `PREFIX`, sorted."""
    return tuple(sorted(path.stem for path in _FOLDER.glob("*.csv")))


def trace_path(text: str, folder: Path = Path()) -> Path:
    """The file of the trace that `text` names: a recorded one as ``real:fcc-00``, else a path relative to `folder`.

    Raises `ConfigError` that lists the recorded ones when it is none of them.
    """
    if not text.startswith(PREFIX):
        return folder / text
    name = text.removeprefix(PREFIX)
    if name not in recorded_names():
        raise ConfigError(f"`{name}` is not a recorded trace", hint=f"real: and one of {', '.join(recorded_names())}")
    return _FOLDER / f"{name}.csv"
