"""Figures 2 and 3 and question Q1: latency (eq. 1: T_e + T_t + T_c) and boundary bytes of every cut, by profile.

    python -m experiments.neukonfig_2021.sweep MODEL CPU_RATIO MEMORY_RATIO FILE

runs the whole model with and without the limits and writes into FILE how much longer it takes with them. Latencies are
predicted from a profile of this machine, not run cut by cut; the cells measure some of the cuts. The edge has half the
cloud's speed, as 4 cores have of 8. For Q1 it is slowed by what a processor quota or a memory limit was measured to
cost; where there are no control groups, a processor share divides its speed, and memory is left out. A profile made
under the quota would not do: a layer shorter than a slice of the quota runs at full speed. Boundary tensors travel as
they are in float32, as in the paper, and in 8 bits.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from experiments.neukonfig_2021.conditions import DELAY_MS, EDGE_MEMORY_MB, FAST_MBPS, SLOW_MBPS
from experiments.neukonfig_2021.limits import can_limit, leave, limited
from seamline.core.analysis.sweep import SweptCut, best_of
from seamline.core.analysis.sweep import sweep as every_cut
from seamline.core.cost.problem import Problem
from seamline.core.vocabulary.links import LinkEstimate
from seamline.core.vocabulary.nodes import NodeId
from seamline.core.vocabulary.plans import Codec
from seamline.core.vocabulary.profiles import Profile
from seamline.model import ModelStore, OrtEngine
from seamline.model.locate import resolve_model
from seamline.runtime.node.profiling import Profiler

EDGE, CLOUD = NodeId("edge"), NodeId("cloud")
EDGE_RATIO = 2.0
LIMITS = ((0.5, 1.0), (0.25, 1.0), (1.0, 0.25), (1.0, 0.1))
"""Shares of processor and memory of the edge, besides all of both."""

QUICK_LIMITS = ((0.25, 1.0),)
SLOWER_EDGES = (4.0, 8.0, 16.0, 32.0)
"""How many times slower than the cloud, to see when the best cut begins to move: a Raspberry Pi 4 is 9 times
slower with VGG-19 than a server with two cores (published by the Scission project)."""

N_ROUNDS = 3
N_RUNS = 3
RUN_TIMEOUT_S = 180.0


def sweep(model: str, budget_s: float, limits: Sequence[tuple[float, float]]) -> list[dict[str, Any]]:
    """Every candidate cut of `model` under each link speed, codec and limit, and the best one of each.

    budget_s: for the profile. An entry whose limits could not be measured has `error` and no cuts.
    """
    profile = _profile(model, budget_s)
    found = _under(profile, EDGE_RATIO, 1.0, 1.0, how="no limit")
    for slower in SLOWER_EDGES:
        found += _under(profile, slower, 1.0, 1.0, how=f"{slower:g} times slower than the cloud (modelled)")
    for cpu_ratio, memory_ratio in limits:
        if can_limit():
            slower = _slower(model, cpu_ratio, memory_ratio)
            if isinstance(slower, str):
                said = {"model": model, "cpu_ratio": cpu_ratio, "memory_ratio": memory_ratio}
                found.append({**said, "error": slower})
                continue
            how = f"takes {slower:.2f} times as long under the limit (measured)"
        else:
            slower, how = 1.0 / cpu_ratio, "speed divided (modelled)"
        if can_limit() or memory_ratio == 1.0:
            found += _under(profile, EDGE_RATIO * slower, cpu_ratio, memory_ratio, how=how)
    return found


def _under(profile: Profile, edge_ratio: float, cpu_ratio: float, memory_ratio: float, *, how: str) -> list[Any]:
    found = []
    for codec in (Codec.RAW, Codec.U8):
        for mbps in (FAST_MBPS, SLOW_MBPS):
            problem = _problem(profile, mbps, edge_ratio)
            swept = tuple(one for one in every_cut(problem, CLOUD, codec) if problem.cuts[one.cut].is_candidate)
            best = best_of(swept)
            split = best_of(tuple(one for one in swept if 0 < one.cut < problem.last_cut))
            found.append({
                "model": profile.model.name, "codec": str(codec), "mbps": mbps, "edge_ratio": edge_ratio,
                "cpu_ratio": cpu_ratio, "memory_ratio": memory_ratio, "how": how, "best_cut": best.cut,
                "best_after": best.after, "best_latency_s": best.latency_s,
                "best_split": split.cut, "best_split_after": split.after, "best_split_latency_s": split.latency_s,
                "cuts": [_terms(one) for one in swept],
            })  # fmt: skip
    return found


def _terms(one: SweptCut) -> dict[str, Any]:
    """One cut with the terms of equation 1."""
    return {
        "cut": one.cut, "after": one.after, "sent_bytes": one.sent_bytes,
        "edge_s": one.origin_s, "transfer_s": one.transfer_s, "cloud_s": one.target_s,
    }  # fmt: skip


def _problem(profile: Profile, mbps: float, edge_ratio: float) -> Problem:
    links = {
        pair: LinkEstimate(source=pair[0], target=pair[1], rtt_s=2 * DELAY_MS / 1e3, goodput_bps=mbps * 1e6)
        for pair in ((EDGE, CLOUD), (CLOUD, EDGE))
    }
    return Problem(
        origin=EDGE,
        cuts=profile.cuts,
        profiles={EDGE: profile, CLOUD: profile},
        links=links,
        compute_ratio={EDGE: edge_ratio},
    )


def _profile(model: str, budget_s: float) -> Profile:
    """Nothing comes from a cache."""
    store = ModelStore()
    stored = store.add(resolve_model(model))
    with tempfile.TemporaryDirectory(prefix="neukonfig-cache-") as cache:
        return Profiler(OrtEngine(store, 1), EDGE, 1, cache=Path(cache)).profile(stored, budget_s)


def _slower(model: str, cpu_ratio: float, memory_ratio: float) -> float | str:
    """How many times longer the model takes under these limits, measured in a process of its own; or why not."""
    with tempfile.TemporaryDirectory(prefix="neukonfig-slower-") as folder:
        path = Path(folder) / "ratio"
        words = (model, str(cpu_ratio), str(memory_ratio), str(path))
        command = [sys.executable, "-m", "experiments.neukonfig_2021.sweep", *words]
        with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
            try:
                _, said = process.communicate(timeout=RUN_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                process.kill()
                said = f"took more than {RUN_TIMEOUT_S:.0f} s"
        if leave(process.pid):
            return "out of memory"
        if process.returncode:
            return (said.strip().splitlines() or [f"ended with code {process.returncode}"])[-1]
        return float(path.read_text())


def _measure_slower(model: str, cpu_ratio: float, memory_ratio: float, path: Path) -> None:
    """The median of rounds with and without limits in turn, so that other work on the machine hits both."""
    store = ModelStore()
    stored = store.add(resolve_model(model))
    memory_bytes = int(memory_ratio * EDGE_MEMORY_MB * 2**20) if memory_ratio < 1.0 else None
    with limited() as limits:
        limits.set(1.0, memory_bytes)  # from the start: what is loaded has to fit
        whole = OrtEngine(store, 1).prepare(stored.model_id, stored.whole)
        frame = {"frame": np.random.default_rng(7).integers(0, 256, (224, 224, 3), dtype=np.uint8)}
        ratios = []
        for _ in range(N_ROUNDS):
            limits.set(1.0, None)
            usual_s = _runs_s(lambda: whole.run(frame))
            limits.set(cpu_ratio, memory_bytes)
            ratios.append(_runs_s(lambda: whole.run(frame)) / usual_s)
    path.write_text(str(statistics.median(ratios)))


def _runs_s(run: Callable[[], object]) -> float:
    run()  # not counted
    began_s = time.monotonic()
    for _ in range(N_RUNS):
        run()
    return (time.monotonic() - began_s) / N_RUNS


if __name__ == "__main__":
    _measure_slower(sys.argv[1], float(sys.argv[2]), float(sys.argv[3]), Path(sys.argv[4]))
