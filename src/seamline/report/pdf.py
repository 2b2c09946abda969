"""A document as a PDF: text and tables on A4, then the figures as vectors, each on a page of its own size."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, assert_never

from seamline.core.vocabulary.errors import UsageError
from seamline.report.document import Bullets, Document, Heading, Part, Plot, Table, Text

if TYPE_CHECKING:
    from matplotlib.backends.backend_pdf import PdfPages
    from matplotlib.figure import Figure

PAGE_IN = (8.27, 11.69)
MARGIN_IN = 0.75
BOLD = 1.12
"""Bold letters are so much wider."""

SIZES = {1: 15.0, 2: 12.0, 3: 10.0}
BODY_PT, CELL_PT, CAPTION_PT = 9.0, 7.0, 7.5
LINE = 1.35
"""Height of a line, in sizes of its font."""

LETTER = 0.55
"""Width of a letter of DejaVu Sans on average, in sizes of its font; wide enough that no line is cut off."""


@dataclass(frozen=True, slots=True)
class _Line:
    """Words at places of one line. cells: (inches from the margin, words)."""

    cells: tuple[tuple[float, str], ...]
    size_pt: float
    is_bold: bool = False
    above_pt: float = 0.0

    @property
    def height_in(self) -> float:
        return (self.size_pt * LINE + self.above_pt) / 72


def write_pdf(document: Document, path: Path) -> None:
    """Raises `UsageError` without matplotlib."""
    try:
        from matplotlib import rc_context
        from matplotlib.backends.backend_pdf import PdfPages
    except ImportError as exc:
        raise UsageError("a PDF needs matplotlib", hint="pip install 'seamline[report]'") from exc
    metadata = {"Title": document.title, "Creator": "seamline report", "CreationDate": None}
    with rc_context({"pdf.fonttype": 42}), PdfPages(path, metadata=metadata) as pages:
        figures = [part for part in document.parts if isinstance(part, Plot)]
        lines = [_Line(((0.0, document.title),), SIZES[1], is_bold=True)]
        for part in document.parts:
            lines += _lines(Text(f"Figure {figures.index(part) + 1}: {part.caption}") if part in figures else part)
        _write_lines(lines, pages)
        for number, each in enumerate(figures, start=1):
            _write_figure(each, f"Figure {number}: {each.caption}", pages)


def _lines(part: Part) -> Iterator[_Line]:
    match part:
        case Heading(words, level):
            yield _Line(((0.0, words),), SIZES[level], is_bold=True, above_pt=10.0)
        case Text(words):
            for line in _wrapped(words, _text_width_in(), BODY_PT):
                yield _Line(((0.0, line),), BODY_PT)
        case Bullets(lines):
            for words in lines:
                first, *rest = _wrapped(words, _text_width_in() - 0.2, BODY_PT)
                yield _Line(((0.0, "\u2022"), (0.2, first)), BODY_PT)
                yield from (_Line(((0.2, line),), BODY_PT) for line in rest)
        case Table():
            yield from _table_lines(part)
        case Plot():
            raise AssertionError("a figure has a page of its own")
        case _:
            assert_never(part)


def _table_lines(table: Table) -> Iterator[_Line]:
    """Columns as wide as their widest cell, those with sentences broken to what is left."""
    widths = _widths(table)
    starts = [sum(widths[:place]) for place in range(len(widths))]
    for number, row in enumerate((table.head, *table.rows)):
        broken = [_wrapped(cell, width, CELL_PT) for cell, width in zip(row, widths, strict=True)]
        for deep in range(max(map(len, broken))):
            cells = tuple((at, lines[deep]) for at, lines in zip(starts, broken, strict=True) if deep < len(lines))
            yield _Line(cells, CELL_PT, is_bold=number == 0, above_pt=3.0 if deep == 0 else 0.0)


def _widths(table: Table) -> Sequence[float]:
    """Inches of every column: what it wants, the widest shortened until all fit."""
    gap = 0.12
    wanted = [
        max(BOLD * len(name), *map(len, column), 0) * LETTER * CELL_PT / 72 + gap
        for name, *column in zip(table.head, *table.rows, strict=True)
    ]
    while sum(wanted) > _text_width_in():
        widest = max(range(len(wanted)), key=lambda place: wanted[place])
        wanted[widest] *= 0.95
    return wanted


def _wrapped(words: str, width_in: float, size_pt: float) -> list[str]:
    return textwrap.wrap(words, max(4, int(width_in * 72 / (LETTER * size_pt)))) or [""]


def _text_width_in() -> float:
    return PAGE_IN[0] - 2 * MARGIN_IN


def _write_lines(lines: Sequence[_Line], pages: PdfPages) -> None:
    from matplotlib.figure import Figure

    width, height = PAGE_IN
    figure, at_in = Figure(figsize=PAGE_IN), height - MARGIN_IN
    for line in lines:
        if at_in - line.height_in < MARGIN_IN:
            _save(figure, pages)
            figure, at_in = Figure(figsize=PAGE_IN), height - MARGIN_IN
        at_in -= line.height_in
        for from_in, words in line.cells:
            weight = "bold" if line.is_bold else "normal"
            place = ((MARGIN_IN + from_in) / width, at_in / height)
            figure.text(*place, words, fontsize=line.size_pt, weight=weight, parse_math=False)
    if lines:
        _save(figure, pages)


def _write_figure(plot: Plot, caption: str, pages: PdfPages) -> None:
    """The figure, and its caption in a strip below it."""
    from matplotlib.transforms import Bbox

    width, height = plot.figure.get_size_inches()
    lines = _wrapped(caption, width - 0.3, CAPTION_PT)
    strip_in = (len(lines) + 1) * CAPTION_PT * LINE / 72
    place = (0.1 / width, -0.05 / height)
    words = plot.figure.text(
        *place, "\n".join(lines), fontsize=CAPTION_PT, va="top", color="#555555", linespacing=LINE, parse_math=False
    )
    words.set_in_layout(False)
    _save(plot.figure, pages, bbox_inches=Bbox([[0.0, -strip_in], [width, height]]))
    words.remove()


def _save(figure: Figure, pages: PdfPages, **how: Any) -> None:
    pages.savefig(figure, **how)  # type: ignore[no-untyped-call] # matplotlib has no hints there
