"""`seamline report`: runs, sweeps, simulations, plans and replays as one file with figures, fit for a paper."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from seamline.cli.shared.options import JsonFlag
from seamline.cli.shared.output import print_result, require_writable
from seamline.core.vocabulary.documented import key_docs


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportSummary:
    """What `seamline report --json` prints."""

    title: Annotated[str, "the report's title"]
    files: Annotated[tuple[str, ...], "what was written, the report first, then its numbers as CSV"]


JSON_KEYS = {"report": partial(key_docs, ReportSummary)}


def register(app: typer.Typer) -> None:
    app.command("report")(report)


def report(
    files: Annotated[
        list[Path],
        typer.Argument(metavar="FILE...", help="Recordings, and what other commands printed with --json."),
    ],
    output: Annotated[
        Path,
        typer.Option("--output", "-o", metavar="FILE", help="Where to: one file, .html or .pdf; CSV goes beside it."),
    ] = Path("report.html"),
    json: JsonFlag = False,
) -> None:
    """Draw what happened as one self-contained file: cuts, time line with reasons, distributions, Pareto front, energy.

    Takes recordings (`run --record`, `demo --record`) and the JSON of `run`, `demo`, `sweep`, `simulate`, `plan` and
    `replay`. Several files become chapters behind a comparison of their latencies.
    """
    from seamline.cli.reporting.chapter import document_of
    from seamline.cli.reporting.reading import chapter_of
    from seamline.report.writing import require_kind, write_report

    require_kind(output)
    require_writable(output, "--output")
    document = document_of([chapter_of(file) for file in files])
    written = write_report(document, output)
    summary = ReportSummary(title=document.title, files=tuple(map(str, written)))
    print_result(summary, as_json=json, words=lambda: "\n".join(f"wrote {file}" for file in summary.files))
