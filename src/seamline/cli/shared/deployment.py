"""Deployment files: what a command line says, kept in a TOML file that stands where the model would.

::

    model = "detector.onnx"              # paths are seen from the file's folder
    source = "rtsp://camera/stream"
    nodes = ["edge", "fog", "cloud"]     # --over
    connect = ["tcp/fog:7447"]
    objective = "latency"                # or slo = 0.2

    [constraints]
    private = 1
    memory = { edge = "512MB" }

A key is the long name of a flag; tables only group them. So every flag can be kept, the flags of the command line
count before the environment, that before the file, and the file before the defaults. Arrays stand for flags that are
repeated or take a list, tables for those that take NAME=VALUE. An unknown key names the nearest valid one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from seamline.cli.shared.model_flags import complete_model
from seamline.cli.shared.options import files
from seamline.config.toml import nearest_hint, read_toml
from seamline.core.vocabulary.errors import ConfigError

SCHEMA = "seamline.deployment/1"

GROUPS = {
    "model": {"path": "model"},
    "source": {"path": "source", "url": "source", "camera": "source"},
    "nodes": {"names": "over"},
    "constraints": {},
    "objective": {},
    "sinks": {},
    "run": {},
}
"""Tables that group keys, and their other names there."""

OTHER_NAMES = {"models": "model", "nodes": "over", "sources": "source", "sinks": "save"}

INPUTS, OUTPUTS = frozenset({"model", "source", "labels"}), frozenset({"save", "record", "cache"})
"""What names files to read, if they are there, and files to write."""

Settings = dict[str, Any]


def is_deployment(model: str) -> bool:
    """Whether what was given as a model names a deployment file."""
    return model.endswith(".toml")


def from_deployment(context: typer.Context, model: str) -> str:
    """The model that a deployment file names; the rest of the file becomes what flags that are not given say.

    The callback of an argument that is read before all options. Raises `ConfigError`.
    """
    if context.resilient_parsing or not is_deployment(model):
        return model
    settings = read_deployment(Path(model), context.command.params)
    named = settings.pop("model", None)
    if named is None:
        raise ConfigError(f"{model} names no model", hint='write model = "FILE.onnx", or a name of `seamline zoo list`')
    context.default_map = {**(context.default_map or {}), **settings}
    return str(named)


def models_from_deployment(context: typer.Context, models: list[str]) -> list[str]:
    """The same for a command of several models, where one file may stand in place of all of them."""
    if context.resilient_parsing or len(models) != 1 or not is_deployment(models[0]):
        return models
    settings = read_deployment(Path(models[0]), context.command.params)
    named = settings.pop("model", None)
    if not named:
        raise ConfigError(f"{models[0]} names no model", hint='write models = { NAME = "FILE.onnx" }')
    context.default_map = {**(context.default_map or {}), **settings}
    return list(named)


def complete_deployable(incomplete: str) -> list[str]:
    """Shell completion for what `seamline run` takes: models, and deployment files."""
    return list(dict.fromkeys((*complete_model(incomplete), *files(".onnx", ".toml")(incomplete))))


DeployableArgument = Annotated[
    str,
    typer.Argument(
        metavar="MODEL|FILE.toml",
        help="Path of an ONNX file, a name from `seamline zoo list`, or a deployment file that says what flags would.",
        autocompletion=complete_deployable,
        show_default=False,
        is_eager=True,
        callback=from_deployment,
    ),
]


def read_deployment(path: Path, parameters: Iterable[Any]) -> Settings:
    """The settings in the file at `path`, by the names of a command's `parameters`. Raises `ConfigError`."""
    known = _by_key(parameters)
    settings: Settings = {}
    for key, value in _flattened(read_toml(path), known, str(path)):
        parameter = known[key]
        if parameter.name in settings:
            raise ConfigError(f"{path}: `{key}` is said twice", hint="keep one of them")
        settings[parameter.name] = _located(key, _as_typed(parameter, value, f"{path}: `{key}`"), path.parent)
    return settings


def _by_key(parameters: Iterable[Any]) -> dict[str, Any]:
    """Parameters that a file may set, by their keys. Typer's parameter classes are private: Any."""
    known = {}
    for parameter in parameters:
        if parameter.param_type_name == "argument":
            known[parameter.name] = parameter
        elif not parameter.hidden:
            for flag in parameter.opts:
                if flag.startswith("--") and parameter.name not in ("help", "json"):
                    known[flag.removeprefix("--").replace("-", "_")] = parameter
    return known


def _flattened(document: Mapping[str, Any], known: Mapping[str, Any], origin: str) -> Iterable[tuple[str, Any]]:
    """(key, value) of all that is set, without tables that group. Raises `ConfigError` for a key that is none."""
    if document.get("schema", SCHEMA) != SCHEMA:
        raise ConfigError(f"{origin} is of schema `{document['schema']}`", hint=f"this version reads {SCHEMA}")
    for name, value in document.items():
        if name == "schema":
            continue
        if name in GROUPS and isinstance(value, Mapping):
            for inner, what in value.items():
                yield _key(inner, GROUPS[name], known, f"{origin}: unknown key `{name}.{inner}`"), what
        else:
            yield _key(name, OTHER_NAMES, known, f"{origin}: unknown key `{name}`"), value


def _key(name: str, others: Mapping[str, str], known: Mapping[str, Any], fault: str) -> str:
    key = name.replace("-", "_")
    key = key if key in known else others.get(key, key)
    if key not in known:
        raise ConfigError(fault, hint=nearest_hint(key, known))
    return key


def _as_typed(parameter: Any, value: Any, what: str) -> Any:
    """`value` as somebody would have typed it, ready for the parameter's own reading."""
    if getattr(parameter, "is_flag", False) or isinstance(value, bool):
        if not (getattr(parameter, "is_flag", False) and isinstance(value, bool)):
            raise ConfigError(
                f"{what} is {value!r}", hint="true or false" if not isinstance(value, bool) else "a value"
            )
        return value
    if getattr(parameter, "multiple", False) or parameter.nargs == -1:
        if isinstance(value, Mapping):
            return [f"{name}={_text(one, what)}" for name, one in value.items()]
        return [_text(one, what) for one in value] if isinstance(value, list) else [_text(value, what)]
    if isinstance(value, Mapping):
        return ",".join(f"{name}={_text(one, what)}" for name, one in value.items())
    return _text(value, what)


def _text(value: Any, what: str) -> str:
    if isinstance(value, list):
        return ",".join(_text(one, what) for one in value)
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise ConfigError(f"{what} holds {value!r}", hint="write text, a number, or an array of them")
    return str(value)


def _located(key: str, value: Any, folder: Path) -> Any:
    """`value` with relative paths made to start at `folder`; what is no path (a camera, a zoo name) stays."""
    if isinstance(value, list):
        return [_located(key, one, folder) for one in value]
    if not isinstance(value, str) or "://" in value or value == "-" or Path(value).is_absolute():
        return value
    if key in OUTPUTS or (key in INPUTS and _is_there(folder / value)):
        return str(folder / value)
    name, equals, path = value.partition("=")
    if key == "model" and equals:
        return f"{name}={_located('model', path, folder)}"
    return value


def _is_there(path: Path) -> bool:
    return path.exists() or (any(sign in path.name for sign in "*?[") and path.parent.is_dir())
