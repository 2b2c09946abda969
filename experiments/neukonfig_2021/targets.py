"""What `live` has to show, beside a control: stretches with switches and stretches without, in turn, in one run.

    python -m experiments.neukonfig_2021.targets MODEL FPS N_SWITCHES PERIOD_S WORK_FOLDER [cold]

Prints one JSON object. Both stretches are cut into windows of a period; a window with a switch is told from one without
by the same rules, so that what the machine does by itself is not blamed on switching. Both plans have served here
before, as they have on a node that has been running for a while: their optimised segments are kept and their files are
in the page cache; what the very first switches took is under `first`. `cold`: the period is long enough for a node to
drop the segments of the plan before, so that every switch prepares anew (at least 3 s).
Links are unshaped, so that nothing waits but for the computing.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from experiments.neukonfig_2021.cell import measure
from experiments.neukonfig_2021.conditions import Cell
from experiments.neukonfig_2021.memory import MemoryWatch, memory_of
from experiments.neukonfig_2021.switches import SWITCH_TIMEOUT_S, WARM_S, Answers, Bench, counts_of, filmed
from seamline.core.session.commands import SwitchRecord
from seamline.runtime.origin.record import switch_to_dict
from seamline.runtime.segments.compile_cache import DELAY_S
from seamline.runtime.segments.prepared import IDLE_S
from seamline.runtime.shared.clock import now_s

N_PER_STRETCH = 10
TIDIED_S = IDLE_S + 1.0
"""After this long nothing is held but the plan in use."""

KEPT_S = DELAY_S + 6.0
"""After this long the optimised segments of a plan are on the disk, on a machine that is not busy."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """One period. extra_gap_s: longest time between two answers, less a frame interval. n_dropped: by the camera.

    latency_s: median of the answers; None when there was none.
    """

    extra_gap_s: float
    n_dropped: int
    latency_s: float | None


def to_and_fro(cell: Cell, bench: Bench) -> dict[str, Any]:
    """Stretches of `N_PER_STRETCH` windows, without and with switches in turn, until `n_switches` are made."""
    with filmed(bench, cell.fps) as answers:
        time.sleep(WARM_S)
        first = _serve_both(bench)
        watch = MemoryWatch(bench.pids)
        before = watch.reset()
        windows: dict[str, list[Window]] = {"control": [], "switching": []}
        records: list[SwitchRecord] = []
        while len(records) < cell.n_switches:
            windows["control"] += [_window(cell, bench, answers) for _ in range(N_PER_STRETCH)]
            for _ in range(N_PER_STRETCH):
                began_s, n_before = now_s(), _dropped(bench)
                records.append(_switch(bench, 1 - len(records) % 2))
                windows["switching"].append(_window(cell, bench, answers, began_s, n_before))
        time.sleep(TIDIED_S)
        peak, after = watch.peak, memory_of(bench.pids)
        watch.close()
        own = _own_memory(bench)
    memory = {"before": before, "peak": peak, "after": after}
    return {
        "first": [switch_to_dict(record, 0.0) for record in first],
        "switches": [switch_to_dict(record, 0.0) for record in records],
        "windows": {kind: [asdict(one) for one in those] for kind, those in windows.items()},
        "memory": {when: asdict(one) for when, one in memory.items()},
        "own_bytes": own,
        "frames": counts_of(bench.stream),
        "summary": summary_of(cell, windows, records, first),
    }


def _serve_both(bench: Bench) -> list[SwitchRecord]:
    """Let each plan serve until its segments are kept, then once more with them; the first is in use at the end."""
    records = []
    for wait_s in (KEPT_S, TIDIED_S):
        for place in (1, 0):
            records.append(_switch(bench, place))
            time.sleep(wait_s)
    return records


def _switch(bench: Bench, place: int) -> SwitchRecord:
    return bench.stream.switch(bench.plans[place]).result(timeout=SWITCH_TIMEOUT_S)


def _dropped(bench: Bench) -> int:
    return bench.stream.frames.counts().dropped_before_acceptance


def _window(
    cell: Cell, bench: Bench, answers: Answers, began_s: float | None = None, n_before: int | None = None
) -> Window:
    """The period from `began_s` on (now, if None), with the frame before it."""
    from_s = now_s() if began_s is None else began_s
    n_dropped = _dropped(bench) if n_before is None else n_before
    time.sleep(max(0.0, from_s + cell.period_s - now_s()))
    found = answers.between(from_s - 2.0 / cell.fps, now_s())
    gaps_s = [there[0] - here[0] for here, there in pairwise(found)]
    return Window(
        extra_gap_s=max(gaps_s, default=0.0) - 1.0 / cell.fps,
        n_dropped=_dropped(bench) - n_dropped,
        latency_s=statistics.median([latency for _, latency in found]) if found else None,
    )


def _own_memory(bench: Bench) -> dict[str, int]:
    """Physical memory without libraries, whose share moves with what else runs on the machine; the largest of samples.

    before: one plan. peak: from a request until the plan before is let go, which holds both. after: one again.
    """
    own_bytes(bench.pids)  # reading takes memory too, the first time
    before_bytes = peak_bytes = own_bytes(bench.pids)
    for place in (1, 0):
        asked = bench.stream.switch(bench.plans[place])
        until_s = now_s() + TIDIED_S
        while now_s() < until_s:
            peak_bytes = max(peak_bytes, own_bytes(bench.pids))
            time.sleep(0.01)
        asked.result(timeout=SWITCH_TIMEOUT_S)
    return {"before": before_bytes, "peak": peak_bytes, "after": own_bytes(bench.pids)}


def own_bytes(pids: Iterable[int]) -> int:
    """Proportional set size of processes, mapped libraries left out."""
    total, is_library = 0, False
    for pid in pids:
        for line in Path(f"/proc/{pid}/smaps").read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("Pss:") and not is_library:
                total += int(line.split()[1]) * 1024
            elif line[0] in "0123456789abcdef" and not line.split(maxsplit=1)[0].endswith(":"):
                is_library = ".so" in line
    return total


def summary_of(
    cell: Cell, windows: dict[str, list[Window]], records: list[SwitchRecord], first: list[SwitchRecord]
) -> dict[str, Any]:
    """The figures that the targets are about."""
    return {
        "n": len(records),
        "prepare_s": _spread([record.prepare_s for record in records]),
        "t_switch_s": _spread([record.switch_s for record in records]),
        "first_prepare_s": [record.prepare_s for record in first],
        **{
            kind: {
                "extra_gap_s": _spread([one.extra_gap_s for one in those]),
                "n_longer_than_an_interval": sum(one.extra_gap_s > 1.0 / cell.fps for one in those),
                "n_dropped": sum(one.n_dropped for one in those),
            }
            for kind, those in windows.items()
        },
    }


def _spread(values: list[float]) -> dict[str, float]:
    ordered = sorted(values)
    return {"median": statistics.median(ordered), "p95": ordered[int(0.95 * (len(ordered) - 1))], "max": ordered[-1]}


def _main(model: str, fps: float, n_switches: int, period_s: float, work: Path, is_cold: bool) -> None:
    period_s = max(period_s, TIDIED_S + 0.5) if is_cold else period_s
    cell = Cell(strategy="live", model=model, fps=fps, n_switches=n_switches, period_s=period_s, is_shaped=False)
    print(json.dumps(measure(cell, work, to_and_fro)))


if __name__ == "__main__":
    _main(
        sys.argv[1], float(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4]), Path(sys.argv[5]), "cold" in sys.argv[6:]
    )
