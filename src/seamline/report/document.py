"""Document of a report as values: headings, text, tables and figures in the order of reading.

The functions return parts as tuples, so that parts are joined with ``+``.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Value = str | int | float | None
"""What a cell holds: text as it is, numbers unrounded, None for what is not known."""


@dataclass(frozen=True, slots=True)
class Heading:
    """level: 2 begins a chapter, 3 a section of it."""

    words: str
    level: int = 2


@dataclass(frozen=True, slots=True)
class Text:
    words: str


@dataclass(frozen=True, slots=True)
class Bullets:
    lines: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Table:
    """name: of its CSV file, empty for a table that has none. rows: cells as they are shown."""

    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    name: str = ""


@dataclass(frozen=True, slots=True)
class Numbers:
    """What a figure shows, with units in the head; written beside it as ``NAME.csv``."""

    name: str
    head: tuple[str, ...]
    rows: tuple[tuple[Value, ...], ...]


@dataclass(frozen=True, slots=True)
class Plot:
    """A figure, what it shows in words, and its numbers."""

    figure: Figure
    caption: str
    numbers: Numbers | None = None


Part = Heading | Text | Bullets | Table | Plot
Parts = tuple[Part, ...]


@dataclass(frozen=True, slots=True)
class Document:
    title: str
    parts: Parts


def heading(words: str, level: int = 2) -> Parts:
    return (Heading(words, level),)


def text(words: str) -> Parts:
    return (Text(words),)


def bullets(lines: Iterable[str]) -> Parts:
    found = tuple(lines)
    return (Bullets(found),) if found else ()


def table(head: Sequence[str], rows: Iterable[Sequence[str]], name: str = "") -> Parts:
    """Nothing where there are no rows."""
    found = tuple(tuple(map(str, row)) for row in rows)
    return (Table(tuple(head), found, name),) if found else ()


def plot(figure: Figure, caption: str, numbers: Numbers | None = None) -> Parts:
    return (Plot(figure, caption, numbers),)


def numbers(name: str, head: Sequence[str], rows: Iterable[Sequence[Value]]) -> Numbers:
    return Numbers(name, tuple(head), tuple(tuple(row) for row in rows))
