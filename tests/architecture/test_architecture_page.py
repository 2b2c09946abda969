"""ARCHITECTURE.md names what is there, and every folder of the package."""

from __future__ import annotations

import re
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
SOURCE = REPOSITORY / "src" / "seamline"
PAGE = (REPOSITORY / "ARCHITECTURE.md").read_text(encoding="utf-8")


def test_every_path_of_the_page_exists():
    paths = set(re.findall(r"`((?:[a-z_]+/)+(?:[a-z_0-9]+\.py)?|[a-z_]+(?:/[a-z_]+)+(?:\.py)?)`", PAGE))
    assert "runtime/shared/rights.py" in paths
    assert {path for path in paths if not (SOURCE / path).exists() and not (REPOSITORY / path).exists()} == set()


def test_every_folder_of_the_package_has_a_row():
    rows = set(re.findall(r"^\| `([a-z_/]+)/` \|", PAGE, re.MULTILINE))
    folders = {str(path.parent.relative_to(SOURCE)) for path in SOURCE.rglob("__init__.py")} - {".", "data"}
    assert {folder for folder in folders if folder not in rows and not _is_shown_by_rooms(folder, rows)} == set()


def _is_shown_by_rooms(folder: str, rows: set[str]) -> bool:
    """`cli` has no row of its own: its rooms have."""
    return any(row.startswith(f"{folder}/") for row in rows)
