"""Plain values: conversion of events and other frozen dataclasses to JSON values and back, by their type hints.

    dataclass    object of its fields; with its ``kind`` where a union leaves that open
    plan         its text, ``edge[0:14]f16 > cloud[14:45]``
    enumeration  its value
    tuple        array
    float        number; ``"inf"``, ``"-inf"``, ``"nan"`` where JSON has none
    object       nothing: pixels and answers are not values, and come back as None

Files are made of these (`record.py`), so what is read is checked against the hints before it is used.
"""

from __future__ import annotations

import math
import types
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from enum import StrEnum
from typing import Any, NewType, Union, get_args, get_origin, get_type_hints

from seamline.core.session.events import StageSpent
from seamline.core.vocabulary.errors import ConfigError, SeamlineError
from seamline.core.vocabulary.plans import Plan

Plain = None | bool | int | float | str | list[Any] | dict[str, Any]
ENDLESS = frozenset(("inf", "-inf", "nan"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Spent:
    """Plain form of `StageSpent`."""

    node: str
    queue_s: float
    compute_s: float
    sent_bytes: int


class Plainly:
    """Turns values of `kinds`, and of what their fields are made of, into plain ones and back."""

    def __init__(self, kinds: Iterable[type]) -> None:
        self._hints: dict[type, dict[str, Any]] = {}
        self._by_name = {kind.__name__: kind for kind in kinds}
        for kind in tuple(self._by_name.values()):
            self._learn(kind)

    def tagged(self, value: Any) -> dict[str, Any]:
        """A value of one of the kinds, with its name."""
        return {"kind": type(value).__name__, **self._fields(value, type(value))}

    def untagged(self, plain: object) -> Any:
        """The value in a plain object that names its kind. Raises `ConfigError` saying what is wrong with it."""
        if not isinstance(plain, Mapping):
            raise ConfigError(f"{plain!r} is no object")
        kind = self._by_name.get(str(plain.get("kind")))
        if kind is None:
            raise ConfigError(f"there is no {plain.get('kind')!r}", hint="it may be of another version")
        return self._value(plain, kind)

    def plain(self, value: Any, hint: Any) -> Plain:
        """`value`, which is a `hint`, as a plain one."""
        hint = _resolved(hint)
        if hint is object or value is None:
            return None
        if hint is Plan:
            return str(value)
        if isinstance(value, StrEnum):
            return value.value
        if hint is float:
            return float(value) if math.isfinite(value) else str(float(value))
        if options := _options(hint):
            kinds = [one for one in options if is_dataclass(one) and one is not Plan]
            is_open = len(kinds) > 1 and type(value) in kinds
            return self.tagged(value) if is_open else self.plain(value, _fitting(value, options))
        if get_origin(hint) in (tuple, Sequence):
            inner = get_args(hint)
            hints = [inner[0]] * len(value) if len(inner) == 1 or inner[-1] is Ellipsis else list(inner)
            return [self.plain(each, one) for each, one in zip(value, hints, strict=True)]
        return self._fields(value, hint) if is_dataclass(hint) else value

    def value(self, plain: object, hint: Any) -> Any:
        """The value of type `hint` in a plain one. Raises `ConfigError` saying what is wrong with it."""
        hint = _resolved(hint)
        if hint is object:
            return None
        if options := _options(hint):
            return self._one_of(plain, options)
        if hint is Plan:
            return Plan.parse(_checked(plain, str))
        if get_origin(hint) in (tuple, Sequence):
            inner, items = get_args(hint), _checked(plain, list)
            if len(inner) == 1 or inner[-1] is Ellipsis:
                return tuple(self.value(each, inner[0]) for each in items)
            if len(inner) != len(items):
                raise ConfigError(f"{items!r} has not {len(inner)} items")
            return tuple(self.value(each, one) for each, one in zip(items, inner, strict=True))
        if is_dataclass(hint):
            return self._value(_checked(plain, dict), hint)
        if hint is float and not isinstance(plain, bool) and (isinstance(plain, int | float) or plain in ENDLESS):
            return float(plain)
        if isinstance(hint, type) and issubclass(hint, StrEnum):
            try:
                return hint(_checked(plain, str))
            except ValueError:
                raise ConfigError(f"{plain!r} is none of {', '.join(hint)}") from None
        return _checked(plain, hint)

    # -- dataclasses -----------------------------------------------------------------------------------------------

    def _learn(self, kind: Any) -> None:
        """Hints of a dataclass, and of every one that its fields are made of."""
        if kind in self._hints:
            return
        known = get_type_hints(kind)
        self._hints[kind] = hints = {field.name: known[field.name] for field in fields(kind) if field.init}
        for hint in hints.values():
            for part in _parts(hint):
                if is_dataclass(part) and part is not Plan:
                    self._by_name.setdefault(part.__name__, part)  # type: ignore[union-attr,arg-type] # a class
                    self._learn(part)

    def _fields(self, value: Any, kind: Any) -> dict[str, Any]:
        hints = self._hints[kind]
        return {name: self.plain(getattr(value, name), hint) for name, hint in hints.items() if hint is not object}

    def _value(self, plain: Mapping[str, Any], kind: Any) -> Any:
        hints, name = self._hints[kind], kind.__name__
        unknown = plain.keys() - hints.keys() - {"kind"}
        if unknown:
            raise ConfigError(f"{name} has no `{min(unknown)}`", hint="it may be of another version")
        made: dict[str, Any] = {}
        for key, hint in hints.items():
            if hint is object:
                made[key] = None
            elif key in plain:
                try:
                    made[key] = self.value(plain[key], hint)
                except SeamlineError as error:
                    raise ConfigError(f"{name}.{key}: {error}") from error
        try:
            return kind(**made)
        except TypeError:
            missing = next((one.name for one in fields(kind) if one.name not in made), "?")
            raise ConfigError(f"{name} lacks `{missing}`") from None
        except SeamlineError as error:
            raise ConfigError(f"{name}: {error}") from error

    def _one_of(self, plain: object, options: tuple[Any, ...]) -> Any:
        if plain is None and type(None) in options:
            return None
        kinds = [one for one in options if is_dataclass(one) and one is not Plan]
        if isinstance(plain, Mapping) and len(kinds) > 1:
            value = self.untagged(plain)
            if type(value) not in kinds:
                raise ConfigError(f"{type(value).__name__} does not belong there")
            return value
        others = [one for one in options if one is not type(None)]
        fitting = [one for one in others if (one in kinds) == isinstance(plain, Mapping)]
        return self.value(plain, (fitting or others)[0])


def _resolved(hint: Any) -> Any:
    """Names of plain types as what they name; the protocol of a report as what is kept of one."""
    while isinstance(hint, NewType):
        hint = hint.__supertype__
    return Spent if hint is StageSpent else hint


def _options(hint: Any) -> tuple[Any, ...]:
    """The members of a union; empty for anything else."""
    return tuple(map(_resolved, get_args(hint))) if get_origin(hint) in (Union, types.UnionType) else ()


def _parts(hint: Any) -> list[Any]:
    """Parts of a type hint, down to its leaves."""
    inner = get_args(hint)
    return [part for one in inner for part in _parts(one)] if inner else [_resolved(hint)]


def _fitting(value: object, options: tuple[Any, ...]) -> Any:
    """The option of a union that `value` is of."""
    for one in options:
        if isinstance(one, type) and isinstance(value, one):
            return one
    return float if float in options else options[0]


def _checked(plain: object, kind: Any) -> Any:
    if not isinstance(plain, kind) or (isinstance(plain, bool) and kind is not bool):
        raise ConfigError(f"{plain!r} is no {_NAMES.get(kind, kind.__name__)}")
    return plain


_NAMES: Mapping[type, str] = {str: "text", int: "whole number", float: "number", list: "array", dict: "object"}
