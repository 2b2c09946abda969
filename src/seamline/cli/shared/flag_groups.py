"""Flags that belong together, as one value: a frozen dataclass whose fields are options, which commands take whole.

@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    private: Annotated[int, typer.Option("--private")] = 0
    trust: Annotated[tuple[str, ...], typer.Option("--trust")] = ()  # repeatable

@with_groups
def plan(model: ModelArgument, limits: Limits) -> None: ...
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass
from functools import wraps
from inspect import Parameter, Signature, signature
from typing import Annotated, Any, TypeVar, get_args, get_type_hints

T = TypeVar("T")


def with_groups(command: Callable[..., T]) -> Callable[..., T]:
    """`command` as typer reads it: a parameter that is a group is the options of that group.

    A repeatable option is a tuple whose default is (): typer's own tuples have a fixed length.
    """
    hints = get_type_hints(command, include_extras=True)
    groups: dict[str, Any] = {name: hint for name, hint in hints.items() if is_dataclass(hint)}
    options: list[Parameter] = []
    for each in signature(command).parameters.values():
        group = groups.get(each.name)
        options += _options(group) if group else [_option(each.name, hints[each.name], each.default)]
    repeatable = {each.name for each in options if get_args(each.annotation)[:1] == (list[str] | None,)}

    @wraps(command)
    def called(**given: Any) -> T:
        values = {name: tuple(value or ()) if name in repeatable else value for name, value in given.items()}
        for name, group in groups.items():
            values[name] = group(**{each.name: values.pop(each.name) for each in fields(group)})
        return command(**values)

    called.__signature__ = Signature(options)  # type: ignore[attr-defined] # what `inspect` and typer look for
    called.__annotations__ = {each.name: each.annotation for each in options}
    return called


def _options(group: Any) -> list[Parameter]:
    hints: Mapping[str, Any] = get_type_hints(group, include_extras=True)
    return [_option(each.name, hints[each.name], each.default) for each in fields(group)]


def _option(name: str, hint: Any, default: Any) -> Parameter:
    if default == ():
        _, option = get_args(hint)
        hint, default = Annotated[list[str] | None, option], None
    return Parameter(name, Parameter.KEYWORD_ONLY, annotation=hint, default=default)
