"""A document written where the name says: .html or .pdf, with its numbers as CSV beside it."""

from __future__ import annotations

from pathlib import Path

from seamline.core.vocabulary.errors import UsageError
from seamline.report.csv_files import write_csv
from seamline.report.document import Document
from seamline.report.html import to_html
from seamline.report.pdf import write_pdf

KINDS = (".html", ".pdf")


def require_kind(path: Path) -> None:
    """Raise `UsageError` for a name that is neither .html nor .pdf."""
    if path.suffix not in KINDS:
        raise UsageError(f"`--output {path}` says no kind of report", hint="end it in .html or .pdf")


def write_report(document: Document, path: Path) -> tuple[Path, ...]:
    """All files that were written, the report first."""
    try:
        if path.suffix == ".pdf":
            write_pdf(document, path)
        else:
            path.write_text(to_html(document), encoding="utf-8")
        return (path, *write_csv(document, path))
    except OSError as exc:
        raise UsageError(f"{path} cannot be written: {exc.strerror or exc}", hint="name another place") from exc
