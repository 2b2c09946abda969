"""Summaries that carry the meaning of their JSON keys: one frozen dataclass gives the object and the table of its keys.

    @dataclass(frozen=True, slots=True, kw_only=True)
    class Latency:
        mean: Annotated[float | None, "mean seconds from acceptance to answer"]

`to_json(latency)` is ``{"mean": 0.2}`` and `key_docs(Latency)` is ``{"mean": "mean seconds ..."}``. A text on a field
documents its key, one on an element (`tuple[Annotated[str, "..."], ...]`) the keys below it. Keys that no text stands
on are documented by those of the summary that they hold. Printing is the command line's business.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, is_dataclass
from types import UnionType
from typing import Annotated, Any, TypeVar, Union, cast, get_args, get_origin, get_type_hints

T = TypeVar("T")

INLINED: Mapping[str, Any] = {"inlined": True}
"""Metadata of a field whose own keys stand in place of it: ``costs: Costs = field(metadata=INLINED)``."""


@dataclass(frozen=True, slots=True)
class Names:
    """Keys of a mapping that are known beforehand, each with its meaning; stands in `Annotated` like a text."""

    meanings: Mapping[str, str]


def to_json(value: Any) -> Any:
    """`value` with every summary in it as an object, in the order of its fields; other values stay as they are."""
    if is_dataclass(value) and not isinstance(value, type):
        found: dict[str, Any] = {}
        for each in fields(value):
            plain = to_json(getattr(value, each.name))
            found |= plain if "inlined" in each.metadata else {each.name: plain}
        return found
    if isinstance(value, Mapping):
        return {str(key): to_json(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [to_json(item) for item in value]
    return value


def copied(kind: type[T], source: object, **others: Any) -> T:
    """The summary `kind` with the values of `source` under the names of its fields, but for `others`."""
    own = {each.name: getattr(source, each.name) for each in fields(cast(Any, kind)) if each.name not in others}
    return kind(**own, **others)


def json_line(data: Any) -> str:
    """`data` on one line. Infinities and NaN, which JSON has not, become null."""
    try:
        return json.dumps(data, ensure_ascii=False, allow_nan=False)
    except ValueError:
        return json.dumps(_finite(data), ensure_ascii=False, allow_nan=False)


def key_docs(summary: type) -> dict[str, str]:
    """Key path (``links[].cuts[].after``, ``*`` for any one name) -> meaning, in the order of the fields."""
    return dict(_below(summary, ""))


def _below(summary: type, prefix: str) -> Iterator[tuple[str, str]]:
    hints = get_type_hints(summary, include_extras=True)
    for each in fields(summary):
        if "inlined" in each.metadata:
            yield from _below(hints[each.name], prefix)
        else:
            yield from _at(hints[each.name], prefix + each.name)


def _at(hint: Any, path: str) -> Iterator[tuple[str, str]]:
    """Of a key at `path` whose value is annotated with `hint`."""
    if get_origin(hint) is Annotated:
        hint, *notes = get_args(hint)
        for note in notes:
            if isinstance(note, Names):
                yield from ((f"{path}.{name}", meaning) for name, meaning in note.meanings.items())
            else:
                yield path, note
    if get_origin(hint) in (Union, UnionType):
        (hint,) = [kind for kind in get_args(hint) if kind is not type(None)][:1]
    origin, arguments = get_origin(hint), get_args(hint)
    if is_dataclass(hint) and isinstance(hint, type):
        yield from _below(hint, f"{path}.")
    elif origin is tuple:
        yield from _at(arguments[0], f"{path}[]")
    elif isinstance(origin, type) and issubclass(origin, Mapping):
        yield from _at(arguments[1], f"{path}.*")


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return value
