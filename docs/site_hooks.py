"""What the site has beyond docs/: results, architecture and contributing from elsewhere in the repository, and a
page of what was tried and dropped, collected from the decisions. Links that lead out of the site become the path of
the file.

Read by MkDocs (`hooks` in mkdocs.yml). A link to a file that is not there ends the build.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).resolve().parents[1]
INCLUDED = ("ARCHITECTURE.md", "CONTRIBUTING.md", "benchmarks/METHODOLOGY.md", "benchmarks/results/*.md",
            "benchmarks/results/*.png", "benchmarks/results/*.svg")  # fmt: skip
TRIED = "tried.md"

_LINK = re.compile(r"(!?)\[((?:[^\[\]]|\[[^\]]*\])*)\]\(([^)\s#]*)(#[^)\s]*)?\)")
_CODE = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
_MARK = re.compile(r"^(?:\*\*(?:Tried|Not taken|Weighed|Against)[^*]*\*\*|Tried and left:|## Weighed)", re.MULTILINE)
_NEXT = re.compile(r"^(?:\*\*[A-Z]|## )", re.MULTILINE)


def on_config(config: Any) -> Any:
    """In the navigation a folder stands for its pages."""
    config.nav = _unfolded(config.nav)
    return config


def _unfolded(item: Any) -> Any:
    if isinstance(item, list):
        return [_unfolded(each) for each in item]
    if isinstance(item, dict):
        return {name: _unfolded(each) for name, each in item.items()}
    if item.endswith("/"):
        folder = ROOT / item if (ROOT / item).is_dir() else ROOT / "docs" / item
        return [
            item + path.name for path in sorted(folder.glob("*.md"), key=lambda path: (path.name != "README.md", path))
        ]
    return item


def on_files(files: Files, config: Any) -> Files:
    """Add what stands elsewhere, and the page that is collected."""
    for pattern in INCLUDED:
        for path in sorted(ROOT.glob(pattern)):
            uri = path.relative_to(ROOT).as_posix()
            files.append(File.generated(config, uri, abs_src_path=str(path)))
    files.append(File.generated(config, TRIED, content=tried()))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Files) -> str:
    """Lead links to where their files are in the site; outside code only."""
    here = page.file.src_uri
    parts, at = [], 0
    for code in _CODE.finditer(markdown):
        parts += [_led(markdown[at : code.start()], here, files), code.group()]
        at = code.end()
    return "".join((*parts, _led(markdown[at:], here, files)))


def tried() -> str:
    """Every paragraph of the decisions about what was tried and is not taken."""
    pages = []
    for path in sorted((ROOT / "docs" / "decisions").glob("0*.md")):
        text = path.read_text(encoding="utf-8")
        title = text.splitlines()[0].lstrip("# ").strip()
        found = [_led_from_decisions(each) for each in _paragraphs(text)]
        if found:
            pages.append(f"## {title}\n\n" + "\n\n".join(found) + f"\n\n[The decision](decisions/{path.name})\n")
    return (
        "# Tried, measured, dropped\n\nWhat was built or weighed and is not in Seamline, with what decided it, from "
        "the records of decisions.\n\n" + "\n".join(pages)
    )


def _paragraphs(text: str) -> Iterator[str]:
    for mark in _MARK.finditer(text):
        after = _NEXT.search(text, mark.end())
        words = text[mark.start() : after.start() if after else None].strip()
        yield re.sub(r"^## (.*)$", r"**\1.**", words, flags=re.MULTILINE)


def _led_from_decisions(text: str) -> str:
    """Links of a decision, as they read one folder higher."""
    return _LINK.sub(lambda found: _moved(found, "decisions"), text)


def _moved(found: re.Match[str], folder: str) -> str:
    bang, words, target, anchor = found.groups(default="")
    if not target or "://" in target:
        return found.group()
    return f"{bang}[{words}]({posixpath.normpath(posixpath.join(folder, target))}{anchor})"


def _led(text: str, here: str, files: Files) -> str:
    return _LINK.sub(lambda found: _in_site(found, here, files), text)


def _in_site(found: re.Match[str], here: str, files: Files) -> str:
    bang, words, target, anchor = found.groups(default="")
    if not target or "://" in target or target.startswith("mailto:"):
        return found.group()
    folder = posixpath.dirname(here)
    path = posixpath.normpath(posixpath.join(_in_repository(folder, here), target))
    if not (ROOT / path).exists() and path != f"docs/{TRIED}":
        raise PluginError(f"{here}: the link to {target} leads to {path}, which is not there")
    uri = path.removeprefix("docs/") if path.startswith("docs/") else path
    if files.get_file_from_path(uri) is None:
        if files.get_file_from_path(f"{uri}/README.md") is None:
            return words if path in words else f"{words} (`{path}`)"
        uri = f"{uri}/README.md"
    return f"{bang}[{words}]({posixpath.relpath(uri, folder or '.')}{anchor})"


def _in_repository(folder: str, here: str) -> str:
    """The folder of a page in the repository."""
    return folder if (ROOT / here).exists() else posixpath.join("docs", folder)
