"""`seamline import`: models of PyTorch and Keras become ONNX files, checked against the framework they came from."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from seamline.cli.shared.flag_groups import with_groups
from seamline.cli.shared.model_flags import ModelIdentity, ShapeOption, parse_shapes
from seamline.cli.shared.options import JsonFlag, SeedOption
from seamline.core.vocabulary.documented import copied, key_docs
from seamline.core.vocabulary.errors import UsageError

if TYPE_CHECKING:
    from seamline.core.vocabulary.profiles import TensorSpec
    from seamline.model.engine.frameworks import Imported

TOLERANCE = 1e-4
"""Largest accepted deviation from the framework, relative to the largest output: both sum in orders of their own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportSummary:
    """What `seamline import ... --json` prints."""

    path: Annotated[str, "the ONNX file"]
    n_files: Annotated[int, "2 when the weights stand in a second file beside it"]
    model: Annotated[ModelIdentity, "the model"]
    framework: Annotated[str, "name and version of what it came from"]
    n_cuts: Annotated[int, "places where it can be cut"]
    max_relative_error: Annotated[
        float, "largest deviation from the framework's own output, relative to the largest output"
    ]
    tolerance: Annotated[float, "largest accepted deviation"]


JSON_KEYS = {command: partial(key_docs, ImportSummary) for command in ("import torch", "import keras")}

OutputOption = Annotated[
    Path | None, typer.Option("--output", "-o", metavar="FILE", help="ONNX file to write; named after the model.")
]


def register(app: typer.Typer) -> None:
    group = typer.Typer(help="Turn models of other frameworks into ONNX files.", no_args_is_help=True)
    group.command(name="torch")(import_torch)
    group.command(name="keras")(import_keras)
    app.add_typer(group, name="import")


@with_groups
def import_torch(
    target: Annotated[
        str, typer.Argument(metavar="PACKAGE.MODULE:FUNCTION", help="Function that returns the torch.nn.Module.")
    ],
    given: Annotated[
        list[str],
        typer.Option("--input", metavar="AXES", help="Shape of an input, 1,3,224,224 or 1,16:int64. Repeatable."),
    ],
    output: OutputOption = None,
    seed: SeedOption = 0,
    as_json: JsonFlag = False,
) -> None:
    """Export a PyTorch module to ONNX and compare the outputs of both (needs the extra `torch`)."""
    path = output or Path(f"{target.rpartition(':')[2] or 'model'}.onnx")

    def work() -> Imported:
        from seamline.model import ModelStore
        from seamline.model.engine.frameworks import import_torch

        return import_torch(target, parse_inputs(given), path, ModelStore(), seed=seed)

    _import(work, target, as_json)


@with_groups
def import_keras(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A .keras file.")],
    shape: ShapeOption = (),
    output: OutputOption = None,
    seed: SeedOption = 0,
    as_json: JsonFlag = False,
) -> None:
    """Export a Keras model to ONNX and compare the outputs of both (needs the extra `keras`)."""
    path = output or Path(f"{file.stem}.onnx")

    def work() -> Imported:
        from seamline.model import ModelStore
        from seamline.model.engine.frameworks import import_keras

        return import_keras(file, path, ModelStore(), shapes=parse_shapes(shape), seed=seed)

    _import(work, file.name, as_json)


def parse_inputs(texts: Sequence[str]) -> tuple[TensorSpec, ...]:
    """``["1,3,224,224", "1,16:int64"]`` as specs named ``input`` (or ``input_0``, ...).

    Raises `UsageError` when one does not read so.
    """
    from seamline.core.vocabulary.profiles import DTYPE_BYTES, TensorSpec

    specs = []
    for number, text in enumerate(texts):
        axes, _, dtype = text.partition(":")
        extents = axes.split(",")
        if not all(extent.strip().isdecimal() and int(extent) > 0 for extent in extents):
            raise UsageError(f"`{text}` is not the shape of an input", hint="write 1,3,224,224 or 1,16:int64")
        if (dtype or "float32") not in DTYPE_BYTES:
            raise UsageError(f"`{dtype}` is not a dtype", hint=f"one of {', '.join(DTYPE_BYTES)}")
        name = "input" if len(texts) == 1 else f"input_{number}"
        shape = tuple(int(extent) for extent in extents)
        specs.append(TensorSpec(name=name, dtype=dtype or "float32", shape=shape))
    return tuple(specs)


def _import(work: Callable[[], Imported], what: str, as_json: bool) -> None:
    from seamline.cli.shared.output import print_result, progress_console

    with progress_console().status(f"exporting {what}"):
        found = work()
    model = ModelIdentity(name=found.name, id=found.model_id)
    summary = copied(ImportSummary, found, path=str(found.path), model=model, tolerance=TOLERANCE)
    words = f"{found.path}: {found.n_cuts} cuts, {found.max_relative_error:.1e} from {found.framework}"
    print_result(summary, as_json=as_json, words=lambda: words)
    if not found.max_relative_error <= TOLERANCE:
        raise typer.Exit(1)
