"""TOML files into frozen dataclasses; an unknown key is an error that names the nearest valid one.

The dataclass *is* the schema: its fields are the valid keys, its annotations the types, its defaults what may be left
out. What the values mean together (names that must exist, ranges) is for whoever asked, see `testbed.py`.
"""

from __future__ import annotations

import dataclasses
import difflib
import threading
import tomllib
import typing
from collections.abc import Iterable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from seamline.config.paths import read_text
from seamline.core.vocabulary.errors import ConfigError

_FIRST_USE = threading.Lock()

T = TypeVar("T")
MAX_FILE_BYTES = 256 << 10
"""Configuration is written by hand; anything larger is the wrong file, and takes minutes to parse."""

MAX_LINE_CHARACTERS = 2000
"""A key of thousands of parts on one line takes the parser their square."""

HINT = "is it the right file?"


def load_toml(path: Path, schema: type[T]) -> T:
    """The file at `path` as a `schema` (a dataclass).

    Raises `ConfigError` naming file and key when the file cannot be read, is not TOML, has an unknown key, lacks one,
    or has a value of the wrong type.
    """
    return convert(read_toml(path), schema, origin=str(path))


def convert(document: Mapping[str, Any], schema: type[T], *, origin: str) -> T:
    """`document` as a `schema` (a dataclass). origin: what errors call the document, e.g. its file name."""
    _refuse_unknown_keys(document, schema, origin, at="")
    with _FIRST_USE:  # msgspec 0.22 takes a type apart when it first meets it; a second thread then crashes the process
        msgspec.json.Decoder(schema)
    try:
        return msgspec.convert(document, schema)
    except msgspec.ValidationError as exc:
        problem = _readable(str(exc))
        hint = "give it one" if "missing required" in problem else "numbers stand bare, words in quotes"
        raise ConfigError(f"{origin}: {problem}", hint=hint) from exc


def nearest_hint(name: str, valid: Iterable[str]) -> str:
    """What to write instead of `name`: the nearest of `valid`, or all of them when none is near."""
    known = sorted(valid)
    # A unit forgotten (`rate` for `rate_mbps`) is the commonest slip, and edit distance alone prefers `trace`.
    near = [other for other in known if len(name) >= 3 and other.startswith(name)]
    near = near or difflib.get_close_matches(name, known, n=1, cutoff=0.6)
    return f"did you mean `{near[0]}`?" if near else f"one of {', '.join(known)}"


def read_toml(path: Path) -> dict[str, Any]:
    """The file at `path` as it is. Raises `ConfigError` when it cannot be read or is not TOML."""
    text = read_text(path, max_bytes=MAX_FILE_BYTES, hint=HINT)
    for number, line in enumerate(text.splitlines(), start=1):
        if len(line) > MAX_LINE_CHARACTERS:
            raise ConfigError(f"{path}, line {number} has {len(line)} characters", hint=HINT)
    try:
        return tomllib.loads(text)
    except (ValueError, RecursionError) as exc:  # a number too long, brackets nested beyond reason
        raise ConfigError(f"{path} is not TOML: {exc}", hint=HINT) from exc


def _refuse_unknown_keys(value: Any, schema: Any, origin: str, at: str) -> None:
    """Walk `value` beside `schema`. Wrong types are left to msgspec, which names them better."""
    dataclass = _dataclass_in(schema)
    if dataclass is None:
        return
    if isinstance(value, list):
        for index, item in enumerate(value):
            _refuse_unknown_keys(item, dataclass, origin, f"{at}[{index}]")
        return
    if not isinstance(value, Mapping):
        return
    hints = _hints(dataclass)
    valid = list(hints)
    for key, item in value.items():
        path = f"{at}.{key}" if at else key
        if key not in valid:
            raise ConfigError(f"{origin}: unknown key `{path}`", hint=nearest_hint(key, valid))
        _refuse_unknown_keys(item, hints[key], origin, path)


@lru_cache(maxsize=64)
def _hints(dataclass: Any) -> dict[str, Any]:
    """The types of its fields; finding them takes longer than all else that is done with one table of a file."""
    hints = typing.get_type_hints(dataclass)
    return {field.name: hints[field.name] for field in dataclasses.fields(dataclass)}


@lru_cache(maxsize=256)
def _dataclass_in(schema: Any) -> Any:
    """The dataclass that `schema` is or contains (``X``, ``X | None``, ``tuple[X, ...]``), or None."""
    if isinstance(schema, type) and dataclasses.is_dataclass(schema):
        return schema
    return next((found for part in typing.get_args(schema) if (found := _dataclass_in(part))), None)


def _readable(message: str) -> str:
    """msgspec's "Expected `float`, got `str` - at `$.link[0].rate_mbps`" with the key first."""
    problem, _, path = message.partition(" - at ")
    key = path.strip("`").removeprefix("$").removeprefix(".")
    problem = problem[:1].lower() + problem[1:]
    return f"`{key}`: {problem}" if key else problem
