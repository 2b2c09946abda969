"""Measures one cell: a camera, an edge (this process) and a cloud node, the cut moved to and fro by one strategy.

    python -m experiments.neukonfig_2021.cell '{"strategy": "live", "model": "vgg19", ...}' WORK_FOLDER

Prints one JSON object. The cloud keeps its models in a folder of its own, so that edge and cloud share no pages, as on
two machines. What a switch did is found out in `switches.py`. With `--watched` as third argument the process ends when
its standard input does, as it must when the run that started it is killed.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack, closing
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import seamline
from experiments.neukonfig_2021.conditions import CUTS, DELAY_MS, FAST_MBPS, GRID_RATIOS, LEASE_S, Cell
from experiments.neukonfig_2021.limits import Limits, can_limit, limited
from experiments.neukonfig_2021.memory import memory_of
from experiments.neukonfig_2021.switches import (
    GRID_QUIET_S,
    WARM_S,
    Bench,
    counts_of,
    filmed,
    get_standby,
    switch_in_turn,
    switches_of,
)
from seamline.config import LinkSpec, NodeSpec, Testbed
from seamline.core.vocabulary.errors import UsageError
from seamline.core.vocabulary.plans import Plan
from seamline.model.locate import resolve_model
from seamline.testbed.processes import NodeProcesses, node_command
from seamline.testbed.relay import Network

WATCHED = "--watched"

Exercise = Callable[[Cell, Bench], dict[str, Any]]
"""What is done with a running stream."""


def measure(cell: Cell, work: Path, exercise: Exercise = switch_in_turn) -> dict[str, Any]:
    """All that is measured in one cell, as plain data. exercise: what is done in it.

    A grid has `points`, each with its shares of processor and memory. Raises `UsageError` for a grid without root.
    """
    is_limited = cell.is_grid or cell.cpu_ratio < 1.0 or cell.memory_ratio < 1.0
    slowdown = 1.0 if can_limit() else 1.0 / cell.cpu_ratio
    if cell.is_grid and not can_limit():
        raise UsageError("limits that change while a cell runs need control groups", hint="run it as root on Linux")
    with ExitStack() as stack:
        testbed = _testbed(cell)
        network = stack.enter_context(closing(Network(testbed)))
        processes = stack.enter_context(NodeProcesses())
        model = resolve_model(cell.model)
        cloud_pid = _start_cloud(cell, testbed, network, processes, work, model)
        how, limits = "no limit", None
        if is_limited and can_limit():
            limits = stack.enter_context(limited())
            how = limits.set(cell.cpu_ratio, cell.memory_limit_bytes)
        elif slowdown > 1.0:
            how = f"slowdown {slowdown:g} (not root: no memory limit)"
        edge = stack.enter_context(
            seamline.connect(
                network.endpoint("edge", "cloud"),
                listen=(network.listen("edge"),),
                name="edge",
                n_threads=1,
                slowdown=slowdown,
                cluster=_cluster(),
                relay=False,
                lease_s=LEASE_S,
            )
        )
        plans = _plans(cell, edge.add_model(model).cuts[-1].index)
        stream = edge.stream(
            model, over=("edge", "cloud"), policy=str(plans[0]), strategy=cell.strategy, profile_budget_s=1.0
        )
        bench = Bench(stream=stream, plans=plans, network=network, pids=(os.getpid(), cloud_pid))
        said = {"cell": asdict(cell), "limits": how, "container": _container_kind(cell)}
        return {**said, **(_grid(cell, bench, limits) if limits and cell.is_grid else exercise(cell, bench))}


def _grid(cell: Cell, bench: Bench, limits: Limits) -> dict[str, Any]:
    """Switches under each pair of processor and memory shares, the largest first.

    Memory is read before and after only: watching it would take a good part of a quarter of a processor.
    """
    points = []
    with filmed(bench, cell.fps) as answers:
        time.sleep(WARM_S)
        get_standby(cell, bench)
        for memory_ratio in GRID_RATIOS:
            for cpu_ratio in GRID_RATIOS:
                here = replace(cell, cpu_ratio=cpu_ratio, memory_ratio=memory_ratio)
                how = limits.set(cpu_ratio, here.memory_limit_bytes)
                before = memory_of(bench.pids)
                measured = switches_of(here, bench, answers, quiet_s=GRID_QUIET_S)
                memory = {"before": before, "after": memory_of(bench.pids)}
                points.append({
                    "cpu_ratio": cpu_ratio, "memory_ratio": memory_ratio, "limits": how, **measured,
                    "memory": {when: asdict(one) for when, one in memory.items()},
                })  # fmt: skip
    return {"points": points, "frames": counts_of(bench.stream)}


def _plans(cell: Cell, last: int) -> list[Plan]:
    return [Plan.parse(f"edge[0:{cut}]u8 > cloud[{cut}:{last}]") for cut in CUTS[cell.model]]


def _testbed(cell: Cell) -> Testbed:
    nodes = (NodeSpec(name="edge", tier="edge"), NodeSpec(name="cloud", tier="cloud"))
    rate_bps, delay_s = (FAST_MBPS * 1e6, DELAY_MS / 1e3) if cell.is_shaped else (0.0, 0.0)
    link = LinkSpec(between=("edge", "cloud"), rate_bps=rate_bps, delay_s=delay_s)
    return Testbed(name="neukonfig", nodes=nodes, links=(link,), changes=())


def _start_cloud(
    cell: Cell, testbed: Testbed, network: Network, processes: NodeProcesses, work: Path, model: Path
) -> int:
    """The cloud's process id, once it is ready. It has the model already: how it gets there is not measured here."""
    from seamline.model import ModelStore

    stored = ModelStore().add(model)
    there = work / "cloud-models" / stored.model_id
    if not there.is_dir():
        half = there.with_suffix(".half")
        shutil.rmtree(half, ignore_errors=True)
        shutil.copytree(stored.folder, half)
        half.rename(there)
    command = node_command(
        testbed.node("cloud"), listen=network.listen("cloud"), cluster=_cluster(),
        options=("--no-relay", "--cache", str(there.parent), "--lease", f"{LEASE_S:g}"),
    )  # fmt: skip
    process = processes.start("cloud", command)
    processes.wait_ready("cloud")
    return process.popen.pid


def _container_kind(cell: Cell) -> str | None:
    from seamline.runtime.segments.containers import container_kind

    return container_kind() if cell.strategy.endswith("container") else None


def _cluster() -> str:
    return f"neukonfig-{os.getpid()}"


def _end_with_input() -> None:
    sys.stdin.read()
    os._exit(1)  # nodes, relay and containers watch for this process themselves


if __name__ == "__main__":
    if WATCHED in sys.argv[3:]:
        threading.Thread(target=_end_with_input, name="watched", daemon=True).start()
    print(json.dumps(measure(Cell(**json.loads(sys.argv[1])), Path(sys.argv[2]))))
