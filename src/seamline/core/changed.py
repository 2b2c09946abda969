"""A frozen value with some fields changed, as `dataclasses.replace` makes it, without calling its `__init__`.

For values that change with every frame and message: a view, an estimate, the state of a link. `replace` asks every
field by its name, then calls an `__init__` that sets each by its name again; here all are read at once and set through
the descriptors of their slots. Nothing is checked again, so what `__post_init__` says must not depend on the changes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from operator import attrgetter
from typing import Any, NamedTuple, TypeVar

Value = TypeVar("Value")


def changed(value: Value, **changes: Any) -> Value:
    """`value`, of a slotted dataclass of two or more fields, with `changes` by field. Raises `KeyError` for others."""
    kind = type(value)
    known = _known.get(kind) or _remember(kind)
    made = _new(kind)
    for set_field, current in zip(known.setters, known.read(value), strict=True):
        set_field(made, current)
    for name, new in changes.items():
        known.by_name[name](made, new)
    return made


class _Fields(NamedTuple):
    """Of one class: all fields read at once, and what sets each."""

    read: Callable[[Any], tuple[Any, ...]]
    setters: Sequence[Callable[[Any, Any], None]]
    by_name: Mapping[str, Callable[[Any, Any], None]]


_known: dict[type, _Fields] = {}
_new = object.__new__


def _remember(kind: Any) -> _Fields:
    names = [field.name for field in fields(kind)]
    by_name = {name: getattr(kind, name).__set__ for name in names}
    known = _known[kind] = _Fields(attrgetter(*names), tuple(by_name.values()), by_name)
    return known
