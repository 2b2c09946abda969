"""`seamline zoo`: the models that come with Seamline."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from seamline.cli.shared.options import JsonFlag, SeedOption
from seamline.core.vocabulary.quantities import bytes_text

JSON_KEYS = {
    "zoo list": {
        "models": "every model of the zoo",
        "models[].name": "name, usable wherever MODEL is asked for",
        "models[].description": "what it is and where its weights come from",
        "models[].is_cached": "whether it has been built on this machine",
    },
    "zoo build": {
        "name": "name of the model",
        "path": "the ONNX file",
        "bytes": "its size",
        "seed": "seed of its weights, where they are random",
    },
}


def register(app: typer.Typer) -> None:
    """Add the `zoo` group to `app`."""
    group = typer.Typer()
    group.command(name="list")(list_models)
    group.command(name="build")(build)
    app.add_typer(group, name="zoo", help="List or build the models that come with Seamline.")


def list_models(as_json: JsonFlag = False) -> None:
    """List the models of the zoo."""
    from seamline.cli.shared.output import data_console, print_json
    from seamline.cli.shared.tables import zoo_table
    from seamline.model import zoo
    from seamline.model.locate import zoo_path

    rows = [(name, zoo.describe(name), zoo_path(name).is_file()) for name in zoo.names()]
    if as_json:
        keys = ("name", "description", "is_cached")
        print_json({"models": [dict(zip(keys, row, strict=True)) for row in rows]})
    else:
        data_console().print(zoo_table(rows))


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
    from seamline.cli.shared.output import data_console, print_json, progress_console, require_writable
    from seamline.model.locate import build_zoo_model, require_zoo_name

    require_zoo_name(name)
    path = output if output is not None else Path(f"{name}.onnx")
    require_writable(path, "--output")
    with progress_console().status(f"building {name}"):
        build_zoo_model(name, path, seed)
    n_bytes = path.stat().st_size
    if as_json:
        print_json({"name": name, "path": str(path), "bytes": n_bytes, "seed": seed})
    else:
        data_console().print(f"{path}  {bytes_text(n_bytes)}", markup=False)
