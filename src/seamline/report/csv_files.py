"""The numbers of a document as CSV files beside it: one for each figure and each named table."""

from __future__ import annotations

import csv
import re
from pathlib import Path

from seamline.report.document import Document, Plot, Table


def write_csv(document: Document, beside: Path) -> tuple[Path, ...]:
    """Write ``STEM.NAME.csv`` for the document at `beside`; the paths."""
    written = []
    for part in document.parts:
        found = part.numbers if isinstance(part, Plot) else part if isinstance(part, Table) and part.name else None
        if found is None:
            continue
        name = re.sub(r"[^\w.-]", "_", found.name)  # a node's name in it was not checked by whoever wrote the file
        path = beside.with_name(f"{beside.stem}.{name}.csv")
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(found.head)
            writer.writerows(found.rows)
        written.append(path)
    return tuple(written)
