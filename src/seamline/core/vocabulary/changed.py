"""Frozen values made quickly: with some fields changed, as `dataclasses.replace` does, or from all of them.

For values that change with every frame and message: a view, an estimate, the state of a link. The `__init__` of a
frozen class gets past its lock field by field. Here fields are set in a draft, an instance of a class with the same
slots and no lock, which then becomes one of the frozen class.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import MISSING, Field, field, fields, make_dataclass
from operator import attrgetter
from typing import Any, NamedTuple, ParamSpec, TypeVar, cast

Value = TypeVar("Value")
Arguments = ParamSpec("Arguments")


def changed(value: Value, **changes: Any) -> Value:
    """`value`, of a slotted dataclass of two or more fields, with `changes` by field. Raises `AttributeError` for
    others. Nothing is checked again, so what `__post_init__` says must not depend on the changes."""
    kind = value.__class__
    draft, fill, read = _known.get(kind) or _remember(kind)
    made = _new(draft)
    fill(made, *read(value))
    for name, new in changes.items():
        setattr(made, name, new)
    made.__class__ = kind
    return made  # type: ignore[no-any-return] # it is a `Value` by now


def maker(kind: Callable[Arguments, Value]) -> Callable[Arguments, Value]:
    """What makes values of the slotted dataclass `kind` as a call of it does, `__post_init__` included, in less time
    from three fields on."""
    finish = getattr(kind, "__post_init__", None)

    def freeze(draft: Any) -> None:
        draft.__class__ = kind
        if finish is not None:
            finish(draft)

    asked = [(one.name, Any, _same_field(one)) for one in fields(cast(Any, kind))]
    name, methods = f"{cast(Any, kind).__name__}Draft", {"__post_init__": freeze}
    return cast("Callable[Arguments, Value]", make_dataclass(name, asked, slots=True, namespace=methods))


class _Draft(NamedTuple):
    """Of one class: the one of its drafts, what sets all their fields, and what reads all of a value."""

    kind: type[Any]
    fill: Callable[..., None]
    read: Callable[[Any], tuple[Any, ...]]


_known: dict[type, _Draft] = {}
_new: Callable[[type], Any] = object.__new__


def _same_field(one: Field[Any]) -> Any:
    """What is asked for in the same way and has the same default."""
    if one.default is not MISSING:
        return field(default=one.default, kw_only=one.kw_only is True)
    if one.default_factory is not MISSING:
        return field(default_factory=one.default_factory, kw_only=one.kw_only is True)
    return field(kw_only=one.kw_only is True)


def _remember(kind: Any) -> _Draft:
    names = [one.name for one in fields(kind)]
    draft: Any = make_dataclass(f"{kind.__name__}Draft", names, slots=True)
    known = _known[kind] = _Draft(draft, draft.__init__, attrgetter(*names))
    return known
