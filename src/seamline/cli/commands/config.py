"""`seamline config show`: the settings that a command would run with, and where each comes from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any

import typer

from seamline.cli.shared.deployment import is_deployment
from seamline.cli.shared.options import JsonFlag
from seamline.cli.shared.output import data_console, print_json
from seamline.core.vocabulary.documented import key_docs
from seamline.core.vocabulary.errors import UsageError

SHOWABLE = ("run", "node")


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """One setting of a command."""

    name: Annotated[str, "the flag's long name, or the argument's"]
    value: Annotated[str | float | tuple[str, ...] | None, "its value, null when it has none"]
    source: Annotated[str, "`flag`, `environment`, `file` or `default`"]
    where: Annotated[str | None, "the variable or the file, null for the others"] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfigSummary:
    """What `seamline config show --json` prints."""

    command: Annotated[str, "the command whose settings these are"]
    settings: Annotated[tuple[Setting, ...], "all of them, in the order of its help"]


JSON_KEYS = {"config show": partial(key_docs, ConfigSummary)}


def register(app: typer.Typer) -> None:
    group = typer.Typer(help="What commands would run with.", no_args_is_help=True)
    group.command("show", context_settings={"ignore_unknown_options": True, "allow_extra_args": True})(show)
    app.add_typer(group, name="config")


def show(
    context: typer.Context,
    what: Annotated[
        str,
        typer.Argument(
            metavar="COMMAND|FILE",
            help="`run` or `node` with the arguments it would get, or a deployment file with flags for `run`.",
            show_default=False,
        ),
    ],
    json: JsonFlag = False,
) -> None:
    """Show every setting of `seamline run` or `seamline node`, and whether a flag, the environment or a file said it.

    Flags count before the environment, that before the file, and the file before the defaults. Nothing is started; what
    cannot be read is refused here as it would be there.
    """
    command, arguments = ("run", [what, *context.args]) if is_deployment(what) else (what, list(context.args))
    if command not in SHOWABLE:
        raise UsageError(f"`{command}` has no settings to show", hint=f"one of {', '.join(SHOWABLE)}, or FILE.toml")
    root: Any = context.find_root().command
    read = root.commands[command].make_context(command, [*arguments], parent=context.find_root())
    file = next((word for word in arguments if is_deployment(word)), None)
    settings = tuple(
        _setting(parameter, read, file)
        for parameter in read.command.params
        if parameter.name not in ("help", "json") and not getattr(parameter, "hidden", False)
    )
    if json:
        print_json(ConfigSummary(command=command, settings=settings))
        return
    _print(settings)


def _setting(parameter: Any, read: Any, file: str | None) -> Setting:
    """A parameter as it was read. Typer's classes of parameters and contexts are private: Any."""
    found = read.get_parameter_source(parameter.name).name
    source = {"COMMANDLINE": "flag", "ENVIRONMENT": "environment", "DEFAULT_MAP": "file"}.get(found, "default")
    if parameter.param_type_name == "argument" and file is not None and parameter.name == "model":
        source = "file"
    where = {"environment": parameter.envvar, "file": file}.get(source)
    name = next((flag.removeprefix("--") for flag in parameter.opts if flag.startswith("--")), parameter.name)
    return Setting(name=name, value=_plain(read.params[parameter.name]), source=source, where=where)


def _plain(value: object) -> str | float | tuple[str, ...] | None:
    if isinstance(value, list | tuple):
        return tuple(map(str, value))
    if value is None or isinstance(value, bool | int | float):
        return value
    return str(value)


def _print(settings: tuple[Setting, ...]) -> None:
    from seamline.cli.shared.tables import add_row, new_table

    table = new_table("setting", "value", "from")
    for each in settings:
        add_row(
            table, each.name, _words(each.value), each.source if each.where is None else f"{each.source} {each.where}"
        )
    data_console().print(table)


def _words(value: str | float | Mapping[str, str] | tuple[str, ...] | None) -> str:
    match value:
        case None | ():
            return "-"
        case bool():
            return "yes" if value else "no"
        case tuple():
            return " ".join(value)
    return str(value)
