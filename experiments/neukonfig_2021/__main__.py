"""Runs the cells one after the other, each in a process of its own, and writes results.json and report.html.

A cell measured before (its file is in the output folder) is not measured again, so that an interrupted run goes on
where it stopped. A cell that fails is reported as failed, with its last words.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from types import FrameType
from typing import Any

from experiments.neukonfig_2021 import agenda
from experiments.neukonfig_2021.conditions import Cell
from experiments.neukonfig_2021.figures import points_of, quick_json
from experiments.neukonfig_2021.limits import can_limit
from experiments.neukonfig_2021.limits import sweep as sweep_groups
from experiments.neukonfig_2021.report import report
from experiments.neukonfig_2021.running import kept, measured
from experiments.neukonfig_2021.starting import starting
from experiments.neukonfig_2021.sweep import LIMITS, QUICK_LIMITS, sweep
from seamline.report.writing import write_report

QUICK_CELLS_S = 140.0
"""After so long a quick run keeps to what it has begun: the rest gets two switches a cell."""

FULL_CELLS_S = 44 * 60.0
"""After so long a full run begins no cell any more; what is left is said, and measured when it is started again."""

PROFILE_BUDGET_S = 2.0
N_STARTS = 3


def main(arguments: Sequence[str]) -> int:
    """Exit code 0 when cells were measured, 1 when none was."""
    options = _parsed(arguments)
    signal.signal(signal.SIGTERM, _ended)  # as an exception, so that the cell under way ends too
    folder: Path = options.out / ("quick" if options.quick else "full")
    folder.mkdir(parents=True, exist_ok=True)
    if can_limit():
        sweep_groups()
    began_s = time.monotonic()
    data: dict[str, Any] = {"is_quick": options.quick, "machine": _machine()}
    if not options.quick:
        data |= _without_switches(folder, options.quick, began_s)
    cells = agenda.quick() if options.quick else agenda.full(has_groups=can_limit())
    results, left_out = run_cells(cells, folder, options.out, began_s=began_s, is_quick=options.quick)
    data["cells"], data["failed"] = points_of(results)
    data["left_out"] = [cell.words for cell in left_out]
    if options.quick:
        data |= _without_switches(folder, options.quick, began_s)
    data["took_s"] = time.monotonic() - began_s
    (folder / "results.json").write_text(json.dumps(data, indent=1))
    page = folder / "report.html"
    write_report(report(data), page)
    _say(f"report: {page}")
    if options.json:
        print(json.dumps(quick_json(data["cells"])))
    return 0 if data["cells"] else 1


def run_cells(
    cells: Sequence[Cell],
    folder: Path,
    work: Path,
    *,
    began_s: float,
    is_quick: bool,
    measure: Callable[..., dict[str, Any]] = measured,
) -> tuple[list[dict[str, Any]], list[Cell]]:
    """What came of the cells, those of earlier runs included, and those for which there was no time."""
    results, left_out = [], []
    known = {cell.key: kept(cell, folder) for cell in cells}
    todo = [cell for cell in cells if known[cell.key] is None]
    if len(todo) < len(cells):
        _say(f"{len(cells) - len(todo)} of {len(cells)} cells were measured before")
    pace = 1.0
    for cell in cells:
        before = known[cell.key]
        if before is not None:
            results.append(before)
            continue
        spent_s = time.monotonic() - began_s
        if not is_quick and spent_s > FULL_CELLS_S:
            left_out.append(cell)
            continue
        left_s = pace * sum(agenda.expected_s(one) for one in todo[todo.index(cell) :])
        at = f"[{cells.index(cell) + 1}/{len(cells)}, {_clock(spent_s)} gone, about {_clock(left_s)} left]"
        _say(f"{at} {cell.words}")
        is_late = is_quick and spent_s > QUICK_CELLS_S
        result = measure(replace(cell, n_switches=2) if is_late else cell, folder, work)
        results.append(result)
        lasted_s = time.monotonic() - began_s - spent_s
        pace = 0.8 * pace + 0.2 * lasted_s / agenda.expected_s(cell)
        if "error" in result:
            _say(f"  not measured: {result['error']}")
    if left_out:
        _say(f"no time for {len(left_out)} cells; start it again with the same --out to measure them")
    return results, left_out


def _without_switches(folder: Path, is_quick: bool, began_s: float) -> dict[str, Any]:
    """Every cut by profile, and what starting a pipeline is made of, for which a late quick run has no time."""
    limits = QUICK_LIMITS if is_quick else LIMITS
    models = ("mobilenetv2",) if is_quick else ("mobilenetv2", "vgg19")
    sweeps = _once(
        folder / "sweeps.json", "every cut, by profile",
        lambda: [one for model in models for one in sweep(model, PROFILE_BUDGET_S, limits)],
    )  # fmt: skip
    if is_quick and time.monotonic() - began_s > QUICK_CELLS_S:
        return {"sweeps": sweeps, "starting": []}
    steps = _once(
        folder / "starting.json", "what starting a pipeline is made of",
        lambda: [starting(model, 1 if is_quick else N_STARTS) for model in models],
    )  # fmt: skip
    return {"sweeps": sweeps, "starting": steps}


def _once(path: Path, words: str, measure: Callable[[], list[dict[str, Any]]]) -> list[dict[str, Any]]:
    if path.is_file():
        return list(json.loads(path.read_text()))
    _say(words)
    found = measure()
    half = path.with_suffix(".half")
    half.write_text(json.dumps(found))
    half.rename(path)
    return found


def _machine() -> dict[str, Any]:
    from seamline.config.cgroup import memory_total_bytes, n_usable_cores
    from seamline.meters.device import cpu_name

    return {
        "cpu": cpu_name(),
        "n_cores": n_usable_cores(),
        "memory_bytes": memory_total_bytes(),
        "load_1min": os.getloadavg()[0],
        "date": time.strftime("%Y-%m-%d"),
    }


def _clock(seconds: float) -> str:
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"


def _parsed(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m experiments.neukonfig_2021", description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("reproduced"))
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--json", action="store_true")
    return parser.parse_args(arguments)


def _ended(signum: int, frame: FrameType | None) -> None:
    raise SystemExit(128 + signum)


def _say(words: str) -> None:
    print(words, file=sys.stderr, flush=True)


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        _say("stopped; the same command goes on with the cell that was under way")
        sys.exit(130)
