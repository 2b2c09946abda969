"""From a file that a command has written to a chapter: a recording, or the JSON of one of several commands."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin, get_type_hints

import msgspec

from seamline.cli.demo.summary import DemoSummary
from seamline.cli.reporting.chapter import Chapter
from seamline.cli.reporting.planned import plan_chapter
from seamline.cli.reporting.ran import demo_chapter, run_chapter
from seamline.cli.reporting.recorded import recording_chapter
from seamline.cli.reporting.replay_summary import ReplaySummary
from seamline.cli.reporting.replayed import replay_chapter
from seamline.cli.reporting.simulated import simulation_chapter
from seamline.cli.reporting.swept import sweep_chapter
from seamline.cli.shared.plan_summary import PlanSummary
from seamline.cli.shared.simulate_summary import SimulateSummary
from seamline.config.plain_files import open_plain
from seamline.core.recording.history import history
from seamline.core.vocabulary.errors import ConfigError, SeamlineError
from seamline.runtime.lab.sweep_summary import SweepSummary
from seamline.runtime.origin.recording import read_recording
from seamline.runtime.origin.summary import RunSummary

MAX_FILE_BYTES = 64 << 20
WRITES = (
    "a recording (`run --record`, `demo --record`), or what `run`, `demo`, `sweep`, `simulate`, `plan` or `replay` "
    "print with --json"
)


@dataclass(frozen=True, slots=True)
class _Kind:
    """What a command prints, known by keys that no other has."""

    command: str
    keys: frozenset[str]
    summary: type
    chapter: Callable[[Any], Chapter]


KINDS = (
    _Kind("demo", frozenset({"scenes", "baselines"}), DemoSummary, demo_chapter),
    _Kind("run", frozenset({"plan_timeline", "frames"}), RunSummary, run_chapter),
    _Kind("sweep", frozenset({"links", "target"}), SweepSummary, sweep_chapter),
    _Kind("simulate", frozenset({"policies", "n_frames"}), SimulateSummary, simulation_chapter),
    _Kind("plan", frozenset({"alternatives", "parts"}), PlanSummary, plan_chapter),
    _Kind("replay", frozenset({"decisions", "n_different"}), ReplaySummary, replay_chapter),
)


def chapter_of(path: Path) -> Chapter:
    """What is to be said of the file. Raises `ConfigError` when it is none of those that a report is made of."""
    first = _first_line(path)
    if isinstance(first, dict) and str(first.get("schema", "")).startswith("seamline.session/"):
        return recording_chapter(_recorded(path), path.stem)
    data = _json(path) if first is None else first
    for kind in KINDS:
        if isinstance(data, dict) and kind.keys <= data.keys():
            return kind.chapter(_converted(data, kind, path))
    raise ConfigError(f"{path} is nothing that a report is made of", hint=f"name {WRITES}")


def _recorded(path: Path) -> Any:
    try:
        return history(read_recording(path))
    except ConfigError as error:
        words = error.message if str(path) in error.message else f"{path}: {error.message}"
        raise ConfigError(words, hint=error.hint or "`seamline run --record FILE` writes recordings") from error


def _first_line(path: Path) -> Any:
    """The JSON value in the first line; None when that is not a whole one."""
    line = _read(path, one_line=True)
    if not line.strip():
        raise ConfigError(f"{path} is empty", hint=f"name {WRITES}")
    try:
        return msgspec.json.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def _json(path: Path) -> Any:
    try:
        return msgspec.json.decode(_read(path))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as exc:
        raise ConfigError(f"{path} is neither a recording nor JSON: {exc}", hint=f"name {WRITES}") from exc


def _read(path: Path, *, one_line: bool = False) -> bytes:
    try:
        with open_plain(path) as file:
            read = file.readline(MAX_FILE_BYTES) if one_line else file.read(MAX_FILE_BYTES + 1)
    except FileNotFoundError as exc:
        raise ConfigError(f"there is no file {path}", hint="check the path") from exc
    except OSError as exc:
        raise ConfigError(f"{path} cannot be read: {exc.strerror or exc}", hint="check the path") from exc
    if len(read) > MAX_FILE_BYTES:
        raise ConfigError(f"{path} is larger than {MAX_FILE_BYTES >> 20} MiB", hint=f"name {WRITES}")
    return read


def _converted(data: Mapping[str, Any], kind: _Kind, path: Path) -> Any:
    try:
        return msgspec.convert(nested(data, kind.summary), kind.summary)
    except (msgspec.ValidationError, SeamlineError) as exc:
        raise ConfigError(
            f"{path} looks like `seamline {kind.command} --json`, but {str(exc)[:1].lower()}{str(exc)[1:]}",
            hint=f"write it again with this version: `seamline {kind.command} ... --json`",
        ) from exc


def nested(data: Any, hint: Any) -> Any:
    """`data` as `to_json` made it of a `hint`, with inlined fields in objects of their own again, and endless costs.

    JSON has no infinity: a number that may not be missing and is null was one.
    """
    if get_origin(hint) is Annotated:
        return nested(data, get_args(hint)[0])
    if hint is float:
        return math.inf if data is None else data
    if get_origin(hint) in (Union, UnionType):
        (hint,) = [kind for kind in get_args(hint) if kind is not type(None)][:1]
        return None if data is None else nested(data, hint)
    origin, arguments = get_origin(hint), get_args(hint)
    if is_dataclass(hint) and isinstance(data, dict):
        return _nested_fields(data, hint)
    if origin is tuple and isinstance(data, list):
        return [nested(each, arguments[0]) for each in data] if arguments[-1] is Ellipsis else data
    if isinstance(origin, type) and issubclass(origin, Mapping) and isinstance(data, dict):
        return {key: nested(each, arguments[1]) for key, each in data.items()}
    return data


def _nested_fields(data: dict[str, Any], summary: Any) -> dict[str, Any]:
    hints = get_type_hints(summary, include_extras=True)
    found = {}
    for each in fields(summary):
        if "inlined" in each.metadata:
            found[each.name] = nested(data, hints[each.name])
        elif each.name in data:
            found[each.name] = nested(data[each.name], hints[each.name])
    return found
