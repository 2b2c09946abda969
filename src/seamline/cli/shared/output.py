"""Where output goes: data on stdout, progress and words on stderr, and JSON as one object on one line.

Colour, `NO_COLOR` and the width of the terminal are rich's business; what data looks like is `render.py`'s.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TypeVar

from rich.console import Console, RenderableType
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from seamline.core.vocabulary.documented import json_line, to_json
from seamline.core.vocabulary.errors import UsageError

PIPE_WIDTH = 160
"""Columns when stdout is a pipe: wide enough that `grep` sees whole rows."""

NARROW_WIDTH = 80
"""Below so many columns, wide tables leave out what can be done without."""

LINE_EVERY_S = 10.0
"""How often progress is said where no bar can be drawn."""

Item = TypeVar("Item")


def print_json(data: object) -> None:
    """Write a summary or mapping to stdout as one line of JSON."""
    sys.stdout.write(json_line(to_json(data)) + "\n")
    sys.stdout.flush()


def print_result(summary: object, *, as_json: bool, words: Callable[[], RenderableType]) -> None:
    """Write the result of a command to stdout: its summary as JSON, or what `words` makes of it."""
    if as_json:
        print_json(summary)
    else:
        shown = words()
        data_console().print(shown, soft_wrap=isinstance(shown, str))


def require_writable(path: Path, option: str, *, is_folder: bool = False) -> None:
    """Make the folder that `path` is or lies in, before anything is measured. Raises `UsageError` when it cannot be.

    option: what the user gave it with.
    """
    try:
        (path if is_folder else path.parent).mkdir(parents=True, exist_ok=True)
    except OSError as exc:
        words = f"`{option} {path}` cannot be made: {exc.strerror}"
        raise UsageError(words, hint="name a folder to write to" if is_folder else "name a file to write") from exc
    if not is_folder and path.exists() and not path.is_file():  # it would be replaced
        raise UsageError(f"`{option} {path}` is there and is not a file", hint="name a file to write")


def data_console() -> Console:
    """Console for results, on stdout."""
    is_free = sys.stdout.isatty() or "COLUMNS" in os.environ
    return Console(width=None if is_free else PIPE_WIDTH, highlight=False, markup=False)


def progress_console() -> Console:
    """Console for everything that is not a result, on stderr."""
    return Console(stderr=True, highlight=False, markup=False)


def track(items: Iterable[Item], n_items: int, what: str) -> Iterator[Item]:
    """Yield `items` behind a progress bar on stderr; one line every `LINE_EVERY_S` when stderr is no terminal."""
    console = progress_console()
    if not console.is_terminal:
        yield from _track_in_lines(items, n_items, what, console)
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        yield from progress.track(items, total=n_items, description=what)


def _track_in_lines(items: Iterable[Item], n_items: int, what: str, console: Console) -> Iterator[Item]:
    began_s = said_s = time.monotonic()
    for n_done, item in enumerate(items, 1):
        yield item
        now_s = time.monotonic()
        if now_s - said_s >= LINE_EVERY_S and n_done < n_items:
            said_s = now_s
            left_s = (now_s - began_s) / n_done * (n_items - n_done)
            console.print(f"{what}: {n_done} of {n_items}, about {left_s:.0f} s left")


class Terminal:
    """`seamline.model.progress.Progress` on stderr: a spinner while something goes on, a bar over items."""

    def working(self, what: str) -> AbstractContextManager[object]:
        return progress_console().status(what)

    def track(self, items: Iterable[Item], n_items: int, what: str) -> Iterator[Item]:
        return track(items, n_items, what)


TERMINAL = Terminal()


@contextmanager
def progress_bar(what: str) -> Iterator[Callable[[int, int], None]]:
    """Within it, the function it yields moves a bar on stderr to (done, total); silent when stderr is no terminal."""
    console = progress_console()
    columns = (TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task(what, total=None)
        yield lambda n_done, n_total: progress.update(task, completed=n_done, total=n_total)


def key_paths(data: object, prefix: str = "") -> set[str]:
    """Every key of a JSON value as a path: ``{"a": [{"b": 1}]}`` has ``a`` and ``a[].b``."""
    if isinstance(data, Mapping):
        paths = set()
        for key, value in data.items():
            path = f"{prefix}.{key}" if prefix else str(key)
            paths |= {path} | key_paths(value, path)
        return paths
    if isinstance(data, list | tuple):
        return set().union(*(key_paths(item, f"{prefix}[]") for item in data)) if data else set()
    return set()
