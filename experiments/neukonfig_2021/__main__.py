"""Runs the cells one after the other, each in a process of its own, and writes results.json and report.html.

A cell measured before (its file is in the output folder) is not measured again, so that an interrupted run goes on
where it stopped. A cell that fails is reported as failed, with its last words.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from experiments.neukonfig_2021 import agenda
from experiments.neukonfig_2021.conditions import Cell
from experiments.neukonfig_2021.figures import quick_json
from experiments.neukonfig_2021.report import report
from experiments.neukonfig_2021.sweep import sweep

CELL_TIMEOUT_S = 420.0
QUICK_CELLS_S = 140.0
"""After so long a quick run keeps to what it has begun: the rest gets two switches a cell."""


def main(arguments: Sequence[str]) -> int:
    """Exit code 0 when every cell was measured, 1 when one failed."""
    options = _parsed(arguments)
    folder: Path = options.out / ("quick" if options.quick else "full")
    (folder / "cells").mkdir(parents=True, exist_ok=True)
    cells = agenda.quick() if options.quick else agenda.full()
    models = ("mobilenetv2",) if options.quick else ("mobilenetv2", "vgg19")
    began_s = time.monotonic()
    measured, failed = [], []
    for number, cell in enumerate(cells, 1):
        _say(f"[{number}/{len(cells)}, {time.monotonic() - began_s:.0f} s] {cell.key}")
        is_late = options.quick and time.monotonic() - began_s > QUICK_CELLS_S
        result = _measured(cell, folder, options.out, n_switches=2 if is_late else cell.n_switches)
        (failed if "error" in result else measured).append(result)
        if "error" in result:
            _say(f"  failed: {result['error']}")
    _say("every cut, by profile")
    sweeps = [one for model in models for one in sweep(model, 2.0)]
    data = {"cells": measured, "failed": failed, "sweeps": sweeps, "machine": _machine(), "is_quick": options.quick}
    (folder / "results.json").write_text(json.dumps(data, indent=1))
    page = folder / "report.html"
    page.write_text(report(data))
    _say(f"report: {page}")
    if options.json:
        print(json.dumps(quick_json(measured)))
    return 1 if failed and not measured else 0


def _measured(cell: Cell, folder: Path, work: Path, *, n_switches: int) -> dict[str, Any]:
    kept = folder / "cells" / f"{cell.key}.json"
    if kept.is_file():
        return dict(json.loads(kept.read_text()))
    wanted = {**asdict(cell), "n_switches": n_switches}
    command = [sys.executable, "-m", "experiments.neukonfig_2021.cell", json.dumps(wanted), str(work)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=CELL_TIMEOUT_S, check=False)
    except subprocess.TimeoutExpired:
        return {"cell": wanted, "error": f"took more than {CELL_TIMEOUT_S:.0f} s"}
    if done.returncode:
        words = done.stderr.strip().splitlines() or [f"ended with code {done.returncode} and no word"]
        return {"cell": wanted, "error": words[-1]}
    kept.write_text(done.stdout)
    return dict(json.loads(done.stdout))


def _machine() -> dict[str, Any]:
    from seamline.meters.device import cpu_name, memory_total_bytes, n_cores

    return {
        "cpu": cpu_name(),
        "n_cores": n_cores(),
        "memory_bytes": memory_total_bytes(),
        "load_1min": os.getloadavg()[0],
        "date": time.strftime("%Y-%m-%d"),
    }


def _parsed(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m experiments.neukonfig_2021", description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("reproduced"))
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--json", action="store_true")
    return parser.parse_args(arguments)


def _say(words: str) -> None:
    print(words, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
