"""A document as one HTML page that loads nothing: figures are inline SVG, there is no script."""

from __future__ import annotations

import html
import io
import re
from collections.abc import Sequence
from typing import assert_never

from seamline.report.document import Bullets, Document, Heading, Part, Plot, Table, Text

SCALE = 1.25
"""A screen is looked at from further away than paper."""

STYLE = (
    "body{font:15px/1.5 system-ui,sans-serif;max-width:62rem;margin:2em auto;padding:0 1em;color:#222}"
    "h1{font-size:1.6em}h2{font-size:1.25em;margin-top:2em;border-bottom:1px solid #ddd}h3{font-size:1.05em}"
    "figure{margin:1em 0}svg{max-width:100%;height:auto}figcaption{color:#555;font-size:.9em}"
    "div.wide{overflow-x:auto}table{border-collapse:collapse;margin:1em 0;font-size:.9em}"
    "td,th{padding:.2em .7em;border-bottom:1px solid #ddd;text-align:left;vertical-align:top}"
    "th{border-bottom-color:#888}.number{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}"
    "@media print{h2{break-after:avoid}figure,tr{break-inside:avoid}}"
)


def to_html(document: Document) -> str:
    """The whole page."""
    title = html.escape(document.title)
    head = (
        f"<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content='width=device-width'>"
        f"<title>{title}</title><style>{STYLE}</style><h1>{title}</h1>"
    )
    return "\n".join((head, *map(_part, document.parts), "</html>\n"))


def _part(part: Part) -> str:
    match part:
        case Heading(words, level):
            return f"<h{level}>{html.escape(words)}</h{level}>"
        case Text(words):
            return f"<p>{html.escape(words)}</p>"
        case Bullets(lines):
            return "<ul>" + "".join(f"<li>{html.escape(line)}</li>" for line in lines) + "</ul>"
        case Table():
            return _table(part)
        case Plot():
            return f"<figure>{_svg(part)}<figcaption>{html.escape(part.caption)}</figcaption></figure>"
    assert_never(part)


def _table(table: Table) -> str:
    marks = [
        " class=number" if name and all(map(_is_number, column)) else ""
        for name, *column in zip(table.head, *table.rows, strict=True)
    ]
    top = _row("th", table.head, marks) if any(table.head) else ""
    return f"<div class=wide><table>{top}{''.join(_row('td', row, marks) for row in table.rows)}</table></div>"


def _row(tag: str, cells: Sequence[str], marks: Sequence[str]) -> str:
    pairs = zip(cells, marks, strict=True)
    return "<tr>" + "".join(f"<{tag}{mark}>{html.escape(cell)}</{tag}>" for cell, mark in pairs) + "</tr>"


def _is_number(cell: str) -> bool:
    """A figure with its unit, or the sign that there is none."""
    return cell in ("", "-") or (cell.lstrip("-")[:1].isdigit() and len(cell) < 16)


def _svg(plot: Plot) -> str:
    from matplotlib import rc_context

    drawn, nothing = io.StringIO(), dict.fromkeys(("Creator", "Date", "Format", "Type"))
    with rc_context({"svg.hashsalt": "seamline"}):  # the same figure is drawn in the same bytes
        plot.figure.savefig(drawn, format="svg", metadata=nothing)
    svg = re.sub(r' xmlns(?::xlink)?="[^"]*"', "", drawn.getvalue())
    svg = svg[svg.index("<svg") :]
    width_in = float(plot.figure.get_figwidth())
    head = f'<svg role="img" aria-label="{html.escape(plot.caption)}" style="width:{SCALE * width_in:.2f}in" '
    return re.sub(
        r'<svg |(?<=") (?:width|height)="[0-9.]+pt"', lambda found: head if found[0] == "<svg " else "", svg, count=3
    )
