"""`seamline export`: the segments of a plan as models of their own, for Triton and KServe."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from seamline.cli.shared.flag_groups import with_groups
from seamline.cli.shared.model_flags import ModelArgument, ModelFlags
from seamline.cli.shared.options import JsonFlag
from seamline.cli.shared.output import print_result
from seamline.cli.shared.planning_options import as_usage, plan_named
from seamline.core.vocabulary.documented import copied, key_docs
from seamline.core.vocabulary.errors import PlanError


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportedRow:
    """One model that was written."""

    name: Annotated[str, "what a server calls it"]
    path: Annotated[str, "its folder"]
    segment: Annotated[str, "the cuts between which its layers stand"]
    inputs: tuple[Annotated[str, "names of what it takes"], ...]
    outputs: tuple[Annotated[str, "names of what it gives"], ...]
    passed: tuple[Annotated[str, "names of tensors that only cross it, which whoever chains models hands on"], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportSummary:
    """What `seamline export --json` prints."""

    models: tuple[ExportedRow, ...]


JSON_KEYS = {"export": partial(key_docs, ExportSummary)}


def register(app: typer.Typer) -> None:
    app.command("export")(export)


@with_groups
def export(
    model: ModelArgument,
    output: Annotated[Path, typer.Option("--output", "-o", metavar="DIR", help="The model repository to write into.")],
    about: ModelFlags,
    plan: Annotated[
        str | None,
        typer.Option(
            "--plan",
            metavar="PLAN",
            help="A model for each stage of it: 'edge[0:14]lossless > cloud[14:45]'; the whole model if not given.",
        ),
    ] = None,
    name: Annotated[
        str | None, typer.Option("--name", metavar="NAME", help="What the models are called; as the file if not given.")
    ] = None,
    json: JsonFlag = False,
) -> None:
    """Write the segments of a plan in the layout of Triton's model repository, which KServe reads too.

    `seamline node --engine oip` computes with what is deployed so.
    """
    from seamline.core.cost.feasibility import check_fits
    from seamline.core.vocabulary.nodes import node_id
    from seamline.model.remote.repository import export_name, export_segment

    _, stored = about.load(model)
    called = name or Path(model).stem
    node_id(called)
    segments = [stored.whole]
    if plan is not None:
        wanted = plan_named(plan)
        try:
            check_fits(wanted, wanted.nodes, last_cut=len(stored.cuts) - 1, model=stored.name)
        except PlanError as error:
            raise as_usage(error) from error
        segments = [stage.segment for stage in wanted.stages if not stage.segment.is_empty]
    rows = []
    for segment in segments:
        made = export_segment(stored, segment, export_name(called, segment, stored), output)
        rows.append(copied(ExportedRow, made, path=str(made.path), segment=str(segment)))
    print_result(ExportSummary(models=tuple(rows)), as_json=json, words=lambda: "\n".join(map(_line, rows)))


def _line(row: ExportedRow) -> str:
    handed_on = f"; hands on {', '.join(row.passed)}" if row.passed else ""
    return f"{row.path}: {row.segment}, {', '.join(row.inputs)} -> {', '.join(row.outputs)}{handed_on}"
