"""The files of the page: nothing from elsewhere, nothing inline, and uPlot as it was published."""

from __future__ import annotations

import hashlib
import re
from importlib.resources import files
from pathlib import Path

STATIC = Path(str(files("seamline.dashboard") / "static"))
VENDORED = {  # npm: uplot 1.6.32
    "uPlot.iife.min.js": "19c8d4c6ad88929a79f4ae49d6f7161566dfd0ba3d15cc495e974f787eb78f1f",
    "uPlot.min.css": "df630c6a8d6f8eeaff264b50f73ce5b114f646ffd9a0bb74f049b0a00135fa04",
    "uPlot.LICENSE": "8f989229699b4fe2f1a0432d0e9edc338a8a911e250e2d1b01ecd770a5f5b1bd",
}
OWN = [path for path in sorted(STATIC.iterdir()) if path.name not in VENDORED]
PAGE = (STATIC / "index.html").read_text(encoding="utf-8")


def test_uplot_is_what_was_published_with_its_licence():
    for name, digest in VENDORED.items():
        assert hashlib.sha256((STATIC / name).read_bytes()).hexdigest() == digest, name
    assert "MIT License" in (STATIC / "uPlot.LICENSE").read_text(encoding="utf-8")


def test_nothing_is_asked_of_the_network():
    for path in OWN:
        text = path.read_text(encoding="utf-8").replace("http://www.w3.org/2000/svg", "")
        assert not re.search(r"https?://|@import|url\(", text), path.name


def test_the_page_has_no_inline_script_or_style_and_all_its_files():
    assert not re.search(r"<style|\sstyle=|\son\w+=|<script>", PAGE)
    for name in re.findall(r'(?:src|href)="/static/([^"]+)"', PAGE):
        assert (STATIC / name).is_file(), name


def test_what_comes_from_elsewhere_is_never_markup():
    for path in OWN:
        if path.suffix == ".js":
            assert not re.search(
                r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\b", path.read_text("utf-8")
            )


def test_the_page_with_all_its_files_is_small():
    assert sum(path.stat().st_size for path in STATIC.iterdir()) < 150_000


def test_every_part_and_field_has_a_name_for_those_who_do_not_see_it():
    sections = re.findall(r"<section[^>]*>", PAGE)
    assert sections
    assert all("aria-label" in each for each in sections)
    for field in re.findall(r'<input id="(\w+)"', PAGE):
        assert f'<label for="{field}">' in PAGE
    assert '<html lang="en">' in PAGE
