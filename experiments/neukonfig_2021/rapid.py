"""Ten switches a second for a minute: does memory grow, does a frame go missing?

    python -m experiments.neukonfig_2021.rapid MODEL FPS WORK_FOLDER [SECONDS]

Prints one JSON object. Anonymous memory is the figure to look at for a leak: the share of library pages that PSS counts
changes with every other process on the machine that uses the same libraries.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from pathlib import Path
from typing import Any

from experiments.neukonfig_2021.cell import measure
from experiments.neukonfig_2021.conditions import Cell
from experiments.neukonfig_2021.memory import memory_of
from experiments.neukonfig_2021.switches import Bench, counts_of, filmed
from seamline.core.session.commands import SwitchRecord
from seamline.runtime.shared.clock import now_s

INTERVAL_S = 0.1
N_BETWEEN_READINGS = 50
SETTLE_S = 3.0


def rapidly(cell: Cell, bench: Bench, seconds: float) -> dict[str, Any]:
    """Switch to and fro every `INTERVAL_S`, or as soon as the switch before is over."""
    records: list[SwitchRecord] = []
    with filmed(bench, cell.fps):
        time.sleep(SETTLE_S)
        readings = [memory_of(bench.pids)]
        began_s = now_s()
        while now_s() - began_s < seconds:
            records.append(bench.stream.switch(bench.plans[1 - len(records) % 2]).result(timeout=60))
            if len(records) % N_BETWEEN_READINGS == 0:
                readings.append(memory_of(bench.pids))
            time.sleep(max(0.0, began_s + INTERVAL_S * len(records) - now_s()))
        time.sleep(SETTLE_S)
        readings.append(memory_of(bench.pids))
    return {
        "n_switches": len(records),
        **counts_of(bench.stream),
        "pss_bytes": [one.pss_bytes for one in readings],
        "anonymous_bytes": [one.anonymous_bytes for one in readings],
        "prepare_s": statistics.median(record.prepare_s for record in records),
        "t_switch_s": statistics.median(record.switch_s for record in records),
        "t_switch_max_s": max(record.switch_s for record in records),
    }


def _main(model: str, fps: float, work: Path, seconds: float) -> None:
    cell = Cell(strategy="live", model=model, fps=fps, n_switches=0, is_shaped=False)

    print(json.dumps(measure(cell, work, lambda cell, bench: rapidly(cell, bench, seconds))))


if __name__ == "__main__":
    _main(sys.argv[1], float(sys.argv[2]), Path(sys.argv[3]), float(sys.argv[4]) if len(sys.argv) > 4 else 60.0)
