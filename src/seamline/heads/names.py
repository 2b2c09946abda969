"""Names of a network's classes: from a file of the user, or from the metadata of the model.

    person                  {"0": "person", "1": "bicycle"}          names:
    bicycle                 ["person", "bicycle"]                      0: person

A labels file may be lines, JSON (a list, or an object by number, Hugging Face's ``id2label`` among others) or the
``names`` of a YOLO data file.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from seamline.config.paths import read_text
from seamline.core.vocabulary.errors import UsageError

MAX_FILE_BYTES = 16 << 20
MAX_CLASSES = 1 << 20
NAME_KEYS = ("seamline.labels", "names", "labels", "classes", "class_names", "id2label")
"""Metadata keys under which exporters leave class names; ``names`` is Ultralytics'."""

_NUMBERED = re.compile(r"\s*(\d+)\s*[:=,\t ]\s*(.+?)\s*$")
_ITEM = re.compile(r"\s*-\s+(.+?)\s*$")


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassNames:
    """Names of classes by number; a class without one is called ``class 7``. n_classes: how many, 0 when unknown."""

    names: Mapping[int, str]

    @property
    def n_classes(self) -> int:
        return max(self.names, default=-1) + 1

    def name(self, index: int) -> str:
        return self.names.get(index) or f"class {index}"


NO_NAMES = ClassNames(names={})


def names_in(metadata: Mapping[str, str]) -> ClassNames:
    """The class names in a model's metadata; none where there are none, or where they cannot be read."""
    for key in NAME_KEYS:
        if key in metadata:
            found = _numbered(_value(metadata[key]))
            if found is None and "," in metadata[key]:
                found = dict(enumerate(part.strip() for part in metadata[key].split(",")))
            if found:
                return ClassNames(names=found)
    return NO_NAMES


def read_names(path: Path) -> ClassNames:
    """The class names in the file `path`. Raises `UsageError` when it cannot be read or has none."""
    text = read_text(path, max_bytes=MAX_FILE_BYTES, hint="class names are one a line, or JSON")
    found = _numbered(_value(text)) if text.lstrip()[:1] in ("{", "[") else _from_lines(text.splitlines())
    if not found:
        raise UsageError(f"`{path}` has no class names", hint="one name a line, a JSON list, or `0: person`")
    return ClassNames(names=found)


def _value(text: str) -> Any:
    """JSON or a Python literal; None for neither."""
    for read in (json.loads, ast.literal_eval):
        try:
            return read(text)
        except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
            continue
    return None


def _numbered(value: Any) -> dict[int, str] | None:
    if isinstance(value, dict):
        for key in ("id2label", "names", "labels"):
            if isinstance(value.get(key), dict | list):
                return _numbered(value[key])
        try:
            numbered = {int(key): _text(name) for key, name in value.items()}
        except (TypeError, ValueError):
            return None
        return numbered if all(0 <= index < MAX_CLASSES for index in numbered) else None
    if isinstance(value, list | tuple):
        return {index: _text(name) for index, name in enumerate(value)}
    return None


def _text(name: Any) -> str:
    """A class's name on one line; Keras writes ``["n01440764", "tench"]``."""
    if isinstance(name, list | tuple) and name:
        name = name[-1]
    return " ".join(str(name).split())


def _from_lines(lines: Sequence[str]) -> dict[int, str]:
    """Lines of names; of a YOLO data file only what stands under ``names:``."""
    starts = [at for at, line in enumerate(lines) if re.match(r"names\s*:", line)]
    if starts:
        rest = lines[starts[0]].split(":", 1)[1].split("#")[0].strip()
        if rest:
            return _numbered(_value(rest)) or {
                index: part.strip().strip("'\"") for index, part in enumerate(rest.strip("[]").split(","))
            }
        block = []
        for line in lines[starts[0] + 1 :]:
            if line.strip() and not line.startswith((" ", "\t", "-")):
                break
            block.append(line)
        items = [match[1].strip("'\"") for line in block if (match := _ITEM.match(line))]
        if items:
            return dict(enumerate(items))
        lines = [line.replace("'", "").replace('"', "") for line in block]
    names = [line.strip() for line in lines]
    while names and not names[-1]:
        names.pop()
    matches = [_NUMBERED.match(name) for name in names if name]
    numbers = [int(match[1]) for match in matches if match is not None]
    if starts or (len(numbers) == len(matches) and len(set(numbers)) == len(numbers) and sorted(numbers) == numbers):
        return {int(match[1]): match[2] for match in matches if match is not None and int(match[1]) < MAX_CLASSES}
    return dict(enumerate(names))
