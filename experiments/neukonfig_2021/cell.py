"""Measures one cell: a camera, an edge (this process) and a cloud node, the cut moved to and fro by one strategy.

    python -m experiments.neukonfig_2021.cell '{"strategy": "live", "model": "vgg19", ...}' WORK_FOLDER

Prints one JSON object. The cloud keeps its models in a folder of its own, so that edge and cloud share no pages, as on
two machines. All times come from one monotonic clock in this process.
"""

from __future__ import annotations

import json
import os
import shutil
import statistics
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

import seamline
from experiments.neukonfig_2021.conditions import CUTS, DELAY_MS, EDGE_MEMORY_MB, FAST_MBPS, SLOW_MBPS, Cell
from experiments.neukonfig_2021.limits import can_limit, limited
from experiments.neukonfig_2021.memory import MemoryWatch, memory_of
from seamline.cli.models import resolve_model
from seamline.config import LinkSpec, NodeSpec, Testbed
from seamline.core.switching import strategy_named
from seamline.core.values import Plan
from seamline.runtime.clock import now_s
from seamline.runtime.record import SwitchRecord
from seamline.runtime.stream import Result
from seamline.runtime.streaming import Stream
from seamline.testbed.processes import NodeProcesses, node_command
from seamline.testbed.relay import Network

WARM_S = 2.0
SETTLE_S = 0.6
SWITCH_TIMEOUT_S = 90.0
LATE_FACTOR = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What one switch did. Terms of equations 2-5 of the paper in seconds, 0 where a strategy has none.

    downtime_s: by the strategy's equation. edge_gap_s: the edge accepted nothing. answer_gap_s: longest time between
    two answers around it, less the usual one. degraded_s: from the change of the link to the new plan serving.
    n_dropped: camera frames dropped between request and settling, beyond the usual. n_late: answers that took more than
    twice the usual time. latency_s: medians before, during, after.
    """

    t_update_s: float
    t_initialisation_s: float
    t_exec_s: float
    t_switch_s: float
    downtime_s: float
    prepare_s: float
    edge_gap_s: float
    answer_gap_s: float
    degraded_s: float
    n_dropped: int
    n_late: int
    latency_before_s: float
    latency_during_s: float
    latency_after_s: float
    sent_bytes: int
    is_wrong_guess: bool


class Answers:
    """Every answer of a stream as it is delivered, with its times."""

    def __init__(self, stream: Stream, frames: Iterator[np.ndarray], fps: float) -> None:
        self._stream, self._frames, self._fps = stream, frames, fps
        self._lock = threading.Lock()
        self._taken: list[tuple[float, float]] = []
        self._thread = threading.Thread(target=self._run, name="camera", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        for result in self._stream.run(self._frames, fps=self._fps, live=True):
            self._take(result)

    def _take(self, result: Result) -> None:
        with self._lock:
            self._taken.append((result.accepted_s + result.latency_s, result.latency_s))

    def between(self, from_s: float, to_s: float) -> list[tuple[float, float]]:
        """(answered at, latency) of the answers in a stretch of time."""
        with self._lock:
            return sorted(one for one in self._taken if from_s <= one[0] <= to_s)

    def end(self) -> None:
        self._thread.join(timeout=60.0)


Exercise = Callable[[Cell, Stream, tuple[Plan, Plan], Network, tuple[int, int]], dict[str, Any]]
"""What is done with a running stream: the cell, the stream, its two plans, the links, the ids of both processes."""


def measure(cell: Cell, work: Path, exercise: Exercise | None = None) -> dict[str, Any]:
    """All that is measured in one cell, as plain data. exercise: instead of switching to and fro."""
    is_limited = can_limit() and (cell.cpu_ratio < 1.0 or cell.memory_ratio < 1.0)
    memory_bytes = int(cell.memory_ratio * EDGE_MEMORY_MB * 2**20) if cell.memory_ratio < 1.0 else None
    slowdown = 1.0 if is_limited else 1.0 / cell.cpu_ratio
    with ExitStack() as stack:
        testbed = _testbed(cell)
        network = stack.enter_context(closing(Network(testbed)))
        processes = stack.enter_context(NodeProcesses())
        model = resolve_model(cell.model)
        cloud_pid = _start_cloud(cell, testbed, network, processes, work, model)
        how = "no limit"
        if is_limited:
            how = stack.enter_context(limited(cell.cpu_ratio, memory_bytes))
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
            )
        )
        plans = _plans(cell, edge.add_model(model).cuts[-1].index)
        stream = edge.stream(
            model, over=("edge", "cloud"), policy=str(plans[0]), strategy=cell.strategy, profile_budget_s=1.0
        )
        return {
            "cell": asdict(cell),
            "limits": how,
            "container": _container_kind(cell),
            **(exercise or switch_to_and_fro)(cell, stream, plans, network, (os.getpid(), cloud_pid)),
        }


def switch_to_and_fro(
    cell: Cell, stream: Stream, plans: tuple[Plan, Plan], network: Network, pids: tuple[int, int]
) -> dict[str, Any]:
    """`n_switches` switches, one every `period_s`, and what each did."""
    ended = threading.Event()
    answers = Answers(stream, camera(ended), cell.fps)
    time.sleep(WARM_S)
    watch = MemoryWatch(pids)
    before = watch.reset()
    stream.stand_by(plans[1])
    _wait_spare(stream, cell.strategy)
    time.sleep(SETTLE_S)
    ready_s = now_s()
    usual_dropped = stream.frames.counts().dropped_before_acceptance
    quiet_s = max(WARM_S, 2 * cell.period_s)
    time.sleep(quiet_s)
    dropped_per_s = (stream.frames.counts().dropped_before_acceptance - usual_dropped) / quiet_s
    usual_s = statistics.median([latency for _, latency in answers.between(ready_s, now_s())] or [0.0])
    seen = []
    for number in range(cell.n_switches):
        target = plans[1 - number % 2]
        seen.append(_one_switch(cell, stream, target, network, answers, dropped_per_s, usual_s))
    time.sleep(max(1.0, cell.period_s))
    peak, after = watch.peak, memory_of(pids)
    watch.close()
    ended.set()
    stream.stop()
    answers.end()
    counts = stream.frames.counts()
    return {
        "switches": [asdict(one) for one in seen],
        "frames": {
            "accepted": counts.accepted,
            "answered": counts.answered,
            "lost": counts.lost,
            "duplicated": counts.duplicated,
            "out_of_order": counts.out_of_order,
            "dropped": counts.dropped_before_acceptance,
            "dropped_per_s_usual": dropped_per_s,
        },
        "memory": {"before": asdict(before), "peak": asdict(peak), "after": asdict(after)},
        "fps_answered": counts.answered / max(1e-9, now_s() - stream.recorder.started_s),
    }


def _one_switch(
    cell: Cell,
    stream: Stream,
    target: Plan,
    network: Network,
    answers: Answers,
    dropped_per_s: float,
    usual_s: float,
) -> Seen:
    began_s = now_s()
    n_dropped = stream.frames.counts().dropped_before_acceptance
    is_late_cut = target.stages[0].segment.stop == CUTS[cell.model][1]
    is_wrong = strategy_named(cell.strategy).keeps_spare and stream.controller.spare != target
    if cell.is_shaped:
        network.set_link("edge", "cloud", rate_mbps=SLOW_MBPS if is_late_cut else FAST_MBPS)
    record = stream.switch(target).result(timeout=SWITCH_TIMEOUT_S)
    served_s = record.at_s + record.prepare_s
    time.sleep(max(SETTLE_S, cell.period_s - (now_s() - began_s)))
    ended_s = now_s()
    n_dropped = stream.frames.counts().dropped_before_acceptance - n_dropped
    around = answers.between(began_s - 2.0 / cell.fps, ended_s)
    before = [latency for at_s, latency in answers.between(began_s - 2.0, began_s)]
    during = [latency for at_s, latency in around if record.at_s <= at_s <= served_s + usual_s]
    after = [latency for at_s, latency in around if at_s > served_s + usual_s]
    intervals = [there[0] - here[0] for here, there in pairwise(around)]
    return Seen(
        **_terms(record),
        prepare_s=record.prepare_s,
        edge_gap_s=record.pause_s + record.switch_s,
        answer_gap_s=max(0.0, max(intervals, default=0.0) - 1.0 / cell.fps),
        degraded_s=served_s - began_s,
        n_dropped=max(0, round(n_dropped - dropped_per_s * (ended_s - began_s))),
        n_late=sum(latency > LATE_FACTOR * usual_s for _, latency in around),
        latency_before_s=statistics.median(before or [0.0]),
        latency_during_s=statistics.median(during or before or [0.0]),
        latency_after_s=statistics.median(after or [0.0]),
        sent_bytes=record.sent_bytes,
        is_wrong_guess=is_wrong,
    )


def _terms(record: SwitchRecord) -> dict[str, float]:
    """The terms of equations 2-5 that this strategy has, and its downtime by its equation."""
    named = strategy_named(record.strategy)
    terms = {"t_update_s": 0.0, "t_initialisation_s": 0.0, "t_exec_s": 0.0, "t_switch_s": record.switch_s}
    match named.equation:
        case "t_update":
            terms["t_update_s"] = record.pause_s + record.switch_s
            downtime_s = terms["t_update_s"]
        case "t_initialisation + t_switch":
            terms["t_initialisation_s"] = record.prepare_s - record.switch_s
            downtime_s = record.prepare_s
        case "t_exec + t_switch":
            terms["t_exec_s"] = record.prepare_s - record.switch_s
            downtime_s = record.prepare_s
        case _:
            terms["t_exec_s"] = record.load_s if record.strategy == "live" else 0.0
            downtime_s = record.switch_s
    return {**terms, "downtime_s": downtime_s}


def camera(ended: threading.Event) -> Iterator[np.ndarray]:
    """Random frames at network size, the same every time."""
    frames = np.random.default_rng(7).integers(0, 256, (8, 224, 224, 3), dtype=np.uint8)
    number = 0
    while not ended.is_set():
        yield frames[number % len(frames)]
        number += 1


def _wait_spare(stream: Stream, strategy: str) -> None:
    """The first guess is given: no other link speed has been seen yet."""
    until_s = now_s() + SWITCH_TIMEOUT_S
    while strategy_named(strategy).keeps_spare and stream.controller.spare is None and now_s() < until_s:
        time.sleep(0.05)


def _plans(cell: Cell, last: int) -> tuple[Plan, Plan]:
    early, late = CUTS[cell.model]
    made = [Plan.parse(f"edge[0:{cut}]u8 > cloud[{cut}:{last}]") for cut in (early, late)]
    return made[0], made[1]


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
        options=("--no-relay", "--cache", str(there.parent)),
    )  # fmt: skip
    process = processes.start("cloud", command)
    processes.wait_ready("cloud")
    return process.popen.pid


def _container_kind(cell: Cell) -> str | None:
    from seamline.runtime.containers import container_kind

    return container_kind() if cell.strategy.endswith("container") else None


def _cluster() -> str:
    return f"neukonfig-{os.getpid()}"


if __name__ == "__main__":
    print(json.dumps(measure(Cell(**json.loads(sys.argv[1])), Path(sys.argv[2]))))
