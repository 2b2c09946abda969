"""A frozen value with some fields changed, as `dataclasses.replace` makes it, without calling its `__init__`.

For values that change with every frame and message: a view, an estimate, the state of a link. `replace` asks every
field by its name, then calls an `__init__` that gets past the lock of a frozen class field by field. Here all are read
at once into a draft, an instance of a class with the same slots and no lock, which takes the changes and then becomes
one of the frozen class. Nothing is checked again, so what `__post_init__` says must not depend on the changes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, make_dataclass
from operator import attrgetter
from typing import Any, NamedTuple, TypeVar

Value = TypeVar("Value")


def changed(value: Value, **changes: Any) -> Value:
    """`value`, of a slotted dataclass of two or more fields, with `changes` by field. Raises `AttributeError` for
    others."""
    kind = value.__class__
    draft, fill, read = _known.get(kind) or _remember(kind)
    made = _new(draft)
    fill(made, *read(value))
    for name, new in changes.items():
        setattr(made, name, new)
    made.__class__ = kind
    return made  # type: ignore[no-any-return] # it is a `Value` by now


class _Draft(NamedTuple):
    """Of one class: the one of its drafts, what sets all their fields, and what reads all of a value."""

    kind: type[Any]
    fill: Callable[..., None]
    read: Callable[[Any], tuple[Any, ...]]


_known: dict[type, _Draft] = {}
_new: Callable[[type], Any] = object.__new__


def _remember(kind: Any) -> _Draft:
    names = [field.name for field in fields(kind)]
    draft: Any = make_dataclass(f"{kind.__name__}Draft", names, slots=True)
    known = _known[kind] = _Draft(draft, draft.__init__, attrgetter(*names))
    return known
