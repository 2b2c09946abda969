"""What README and the guides tell people to type: every command and flag exists, every link leads somewhere."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer.main

from seamline.cli.main import build_app, modules

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", *sorted(path for path in (ROOT / "docs").glob("*.md") if path.name != "cli.md")]
_BLOCK = re.compile(r"^```sh\n(.*?)^```", re.MULTILINE | re.DOTALL)
_COMMAND = re.compile(r"(?:^|[\s/])seamline (.*)")
_LINK = re.compile(r"\]\(([^)#\s]+)(#[^)\s]+)?\)")


def commands_of(text: str) -> Iterator[list[str]]:
    """The words behind `seamline` of every line in the shell blocks of `text`."""
    for block in _BLOCK.findall(text):
        for line in block.replace("\\\n", " ").splitlines():
            for part in re.split(r"\s[|&]+\s", line):
                found = _COMMAND.search(part)
                if found and not part.strip().startswith(("podman ", "journalctl ", "uv ", "kubectl ")):
                    yield shlex.split(found.group(1), comments=True)


def fault_of(words: list[str]) -> str | None:
    """What the command line has no such thing as: None when every command and flag is there."""
    command = typer.main.get_command(build_app(modules()))
    words = list(words)
    while words and hasattr(command, "commands") and words[0] in command.commands:
        command = command.commands[words.pop(0)]
    if hasattr(command, "commands"):
        return f"no command {words[:1]}"
    if command.context_settings.get("ignore_unknown_options"):  # `service print` passes them on
        return fault_of(["node", *words])
    known = {flag for option in command.params for flag in (*option.opts, *option.secondary_opts)} | {"--help", "-v"}
    unknown = [word for word in words if word.startswith("--") and word.split("=")[0] not in known]
    return f"no flag {unknown} of {command.name}" if unknown else None


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_command_that_a_page_gives_is_there(page: Path):
    faults = {" ".join(words): fault_of(words) for words in commands_of(page.read_text())}
    assert not {line: fault for line, fault in faults.items() if fault is not None}


def test_the_commands_of_readme_are_found():
    lines = [" ".join(words) for words in commands_of((ROOT / "README.md").read_text())]
    assert sum(line.startswith("run ") for line in lines) >= 3
    assert sum(line.startswith("node ") for line in lines) == 2


@pytest.mark.parametrize("words", [["run", "m.onnx", "--sauce", "a"], ["rum"], ["zoo", "lisp"]])
def test_a_command_that_is_not_there_is_noticed(words: list[str]):
    assert fault_of(words) is not None


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_of_a_page_leads_to_a_file_and_a_heading(page: Path):
    missing = []
    for target, anchor in _LINK.findall(page.read_text()):
        if "://" in target:
            continue
        file = (page.parent / target).resolve()
        if not file.exists() or (anchor and file.suffix == ".md" and anchor[1:] not in anchors_of(file.read_text())):
            missing.append(target + anchor)
    assert not missing


def anchors_of(text: str) -> set[str]:
    """Anchors of the headings of `text`, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
