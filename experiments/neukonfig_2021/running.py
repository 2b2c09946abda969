"""Runs one cell in a process of its own and keeps what came of it, so that a run goes on where it was stopped.

Kept are measured cells and those that could not be measured under their limits (out of memory, every switch refused):
these are results. A cell that failed for another reason is tried again by the next run.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from experiments.neukonfig_2021.cell import WATCHED
from experiments.neukonfig_2021.conditions import Cell
from experiments.neukonfig_2021.limits import can_limit, leave

CELL_TIMEOUT_S = 600.0
OUT_OF_MEMORY = "out of memory: the system ended the edge"

Ended = tuple[int, str, str, bool]
"""Exit code, standard output, standard error, and whether memory ran out."""


def kept(cell: Cell, folder: Path) -> dict[str, Any] | None:
    """What an earlier run made of `cell`; None when it has to be measured."""
    path = _path(cell, folder)
    return dict(json.loads(path.read_text())) if path.is_file() else None


def measured(
    cell: Cell, folder: Path, work: Path, *, run: Callable[[Cell, Path], Ended] | None = None
) -> dict[str, Any]:
    """Measure `cell`; `error` says why there is nothing. run: what does it, a process of its own when None."""
    code, out, said, is_out_of_memory = (run or _in_a_process)(cell, work)
    if is_out_of_memory and code == -signal.SIGKILL:
        return _keep(cell, folder, {"cell": asdict(cell), "error": OUT_OF_MEMORY})
    if code:
        words = said.strip().splitlines() or [f"ended with code {code} and no word"]
        return {"cell": asdict(cell), "error": words[-1]}
    result = dict(json.loads(out))
    if result.get("switches") == []:
        result["error"] = f"every switch was refused: {result['refused'][0]['reason']}"
    return _keep(cell, folder, result)


def _keep(cell: Cell, folder: Path, result: dict[str, Any]) -> dict[str, Any]:
    """Written whole or not at all: a run may be killed at any time."""
    path = _path(cell, folder)
    path.parent.mkdir(parents=True, exist_ok=True)
    half = path.with_suffix(".half")
    half.write_text(json.dumps(result))
    half.rename(path)
    return result


def _path(cell: Cell, folder: Path) -> Path:
    return folder / "cells" / f"{cell.key}.json"


def _in_a_process(cell: Cell, work: Path) -> Ended:
    """The process ends with this one: it watches a pipe that only this one can keep open."""
    watched, held_open = os.pipe()
    words = (json.dumps(asdict(cell)), str(work), WATCHED)
    command = [sys.executable, "-m", "experiments.neukonfig_2021.cell", *words]
    try:
        with subprocess.Popen(
            command, stdin=watched, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        ) as process:
            try:
                out, said = process.communicate(timeout=CELL_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                process.kill()
                out, said = "", f"took more than {CELL_TIMEOUT_S:.0f} s"
            except BaseException:
                process.kill()
                raise
        return process.returncode, out, said, can_limit() and leave(process.pid)
    finally:
        os.close(watched)
        os.close(held_open)
