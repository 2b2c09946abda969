"""`seamline zoo`: the models that come with Seamline."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from seamline.cli.shared.options import JsonFlag, SeedOption
from seamline.core.vocabulary.documented import key_docs
from seamline.core.vocabulary.quantities import bytes_text


@dataclass(frozen=True, slots=True, kw_only=True)
class ZooModel:
    """One model of the zoo."""

    name: Annotated[str, "name, usable wherever MODEL is asked for"]
    description: Annotated[str, "what it is and where its weights come from"]
    is_cached: Annotated[bool, "whether it has been built on this machine"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ZooSummary:
    """What `seamline zoo list --json` prints."""

    models: Annotated[tuple[ZooModel, ...], "every model of the zoo"]


@dataclass(frozen=True, slots=True, kw_only=True)
class BuiltModel:
    """What `seamline zoo build --json` prints."""

    name: Annotated[str, "name of the model"]
    path: Annotated[str, "the ONNX file"]
    bytes: Annotated[int, "its size"]
    seed: Annotated[int, "seed of its weights, where they are random"]


JSON_KEYS = {"zoo list": partial(key_docs, ZooSummary), "zoo build": partial(key_docs, BuiltModel)}


def register(app: typer.Typer) -> None:
    group = typer.Typer()
    group.command(name="list")(list_models)
    group.command(name="build")(build)
    app.add_typer(group, name="zoo", help="List or build the models that come with Seamline.")


def list_models(as_json: JsonFlag = False) -> None:
    """List the models of the zoo."""
    from seamline.cli.shared.output import print_result
    from seamline.cli.shared.tables import zoo_table
    from seamline.model import zoo
    from seamline.model.locate import zoo_path

    models = tuple(
        ZooModel(name=name, description=zoo.describe(name), is_cached=zoo_path(name).is_file()) for name in zoo.names()
    )
    rows = [(each.name, each.description, each.is_cached) for each in models]
    print_result(ZooSummary(models=models), as_json=as_json, words=lambda: zoo_table(rows))


def build(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A name from `seamline zoo list`.", show_default=False)],
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="FILE", help="File to write; NAME.onnx here when not given."),
    ] = None,
    seed: SeedOption = 0,
    as_json: JsonFlag = False,
) -> None:
    """Build a model of the zoo as an ONNX file."""
    from seamline.cli.shared.output import print_result, progress_console, require_writable
    from seamline.model.locate import build_zoo_model, require_zoo_name

    require_zoo_name(name)
    path = output if output is not None else Path(f"{name}.onnx")
    require_writable(path, "--output")
    with progress_console().status(f"building {name}"):
        build_zoo_model(name, path, seed)
    n_bytes = path.stat().st_size
    built = BuiltModel(name=name, path=str(path), bytes=n_bytes, seed=seed)
    print_result(built, as_json=as_json, words=lambda: f"{path}  {bytes_text(n_bytes)}")
