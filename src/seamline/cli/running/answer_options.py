"""Options of commands that read answers: which head, which labels, and where answers go."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

HEADS = ("auto", "classify", "detect", "segment", "raw")

SaveOption = Annotated[
    list[str] | None,
    typer.Option(
        "--save",
        metavar="PLACE",
        help="Where answers go, repeatable: FILE.jsonl, .csv, .npz; FILE.mp4, .webm or FOLDER/ with answers drawn in; "
        "mqtt://HOST/TOPIC; http://HOST/PATH; - for JSON lines on stdout. See docs/answers.md.",
    ),
]
HeadOption = Annotated[
    str,
    typer.Option(
        "--head",
        metavar="HEAD",
        help="What the outputs are read as: classify, detect, segment or raw; auto asks the file.",
        autocompletion=lambda incomplete: [head for head in HEADS if head.startswith(incomplete)],
    ),
]
LabelsOption = Annotated[
    Path | None,
    typer.Option("--labels", metavar="FILE", help="Names of the classes: lines, JSON or a YOLO data file."),
]
ScoreOption = Annotated[
    float | None,
    typer.Option("--score", metavar="S", min=0.0, max=1.0, help="Least score of a label, box or mask; 0.25 for boxes."),
]
TopOption = Annotated[
    int | None, typer.Option("--top", metavar="N", min=1, help="Most labels (5) or boxes (300) of a frame.")
]
PrintOption = Annotated[
    str,
    typer.Option("--print", metavar="WHICH", help="Lines on stdout: all answers, changes of what is seen, or none."),
]
