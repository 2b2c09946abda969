"""Figures 2 and 3 and question Q1: latency (eq. 1: T_e + T_t + T_c) and boundary bytes of every cut, by profile.

    python -m experiments.neukonfig_2021.sweep MODEL BUDGET_S CPU_RATIO MEMORY_RATIO FILE

profiles the model under the given limits into FILE. Predicted from profiles of this machine, not run cut by cut; the
cells measure some of the cuts. The edge has half the cloud's speed, as 4 cores have of 8. For Q1 the edge is profiled
under a processor quota or a memory limit; where there are no control groups, a processor share divides its speed, and
memory is left out. Boundary tensors travel as they are in float32, as in the paper, and in 8 bits.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from experiments.neukonfig_2021.conditions import DELAY_MS, EDGE_MEMORY_MB, FAST_MBPS, SLOW_MBPS
from experiments.neukonfig_2021.limits import can_limit, leave, limited
from seamline.cli.models import resolve_model
from seamline.core.problem import Problem
from seamline.core.sweep import SweptCut, best_of
from seamline.core.sweep import sweep as every_cut
from seamline.core.values import Codec, LinkEstimate, NodeId, Profile
from seamline.model import ModelStore, OrtEngine
from seamline.runtime.profiling import Profiler, profile_from_bytes, profile_to_bytes

EDGE, CLOUD = NodeId("edge"), NodeId("cloud")
EDGE_RATIO = 2.0
UNLIMITED = (1.0, 1.0)
LIMITS = ((0.5, 1.0), (0.25, 1.0), (1.0, 0.25), (1.0, 0.1))
"""Shares of processor and memory under which the edge is profiled besides."""

QUICK_LIMITS = ((0.25, 1.0),)
PROFILE_TIMEOUT_S = 120.0


def sweep(model: str, budget_s: float, limits: Sequence[tuple[float, float]]) -> list[dict[str, Any]]:
    """Every candidate cut of `model` under each link speed, codec and limit, and the best one of each.

    budget_s: for each profile. An entry whose profile failed has `error` and no cuts.
    """
    usual = _profiled(model, budget_s, *UNLIMITED)
    if isinstance(usual, str):
        return [{"model": model, "cpu_ratio": 1.0, "memory_ratio": 1.0, "error": usual}]
    found = _under(model, usual, usual, *UNLIMITED, how="no limit")
    for cpu_ratio, memory_ratio in limits:
        said = {"model": model, "cpu_ratio": cpu_ratio, "memory_ratio": memory_ratio}
        if not can_limit():
            if memory_ratio == 1.0:
                found += _under(model, usual, usual, cpu_ratio, memory_ratio, how="speed divided (modelled)")
            continue
        edge = _profiled(model, budget_s, cpu_ratio, memory_ratio)
        if isinstance(edge, str):
            found.append({**said, "error": edge})
        else:
            found += _under(model, edge, usual, cpu_ratio, memory_ratio, how="profiled under the limit (cgroup)")
    return found


def _under(
    model: str, edge: Profile, cloud: Profile, cpu_ratio: float, memory_ratio: float, *, how: str
) -> list[dict[str, Any]]:
    slower = 1.0 / cpu_ratio if "modelled" in how else 1.0
    found = []
    for codec in (Codec.RAW, Codec.U8):
        for mbps in (FAST_MBPS, SLOW_MBPS):
            problem = _problem(edge, cloud, mbps, EDGE_RATIO * slower)
            swept = tuple(one for one in every_cut(problem, CLOUD, codec) if problem.cuts[one.cut].is_candidate)
            best = best_of(swept)
            found.append({
                "model": model, "codec": str(codec), "mbps": mbps, "cpu_ratio": cpu_ratio,
                "memory_ratio": memory_ratio, "how": how, "best_cut": best.cut, "best_after": best.after,
                "best_latency_s": best.latency_s, "cuts": [_terms(one) for one in swept],
            })  # fmt: skip
    return found


def _terms(one: SweptCut) -> dict[str, Any]:
    """One cut with the terms of equation 1."""
    return {
        "cut": one.cut, "after": one.after, "sent_bytes": one.sent_bytes,
        "edge_s": one.origin_s, "transfer_s": one.transfer_s, "cloud_s": one.target_s,
    }  # fmt: skip


def _problem(edge: Profile, cloud: Profile, mbps: float, edge_ratio: float) -> Problem:
    links = {
        pair: LinkEstimate(source=pair[0], target=pair[1], rtt_s=2 * DELAY_MS / 1e3, goodput_bps=mbps * 1e6)
        for pair in ((EDGE, CLOUD), (CLOUD, EDGE))
    }
    return Problem(
        origin=EDGE,
        cuts=edge.cuts,
        profiles={EDGE: edge, CLOUD: cloud},
        links=links,
        compute_ratio={EDGE: edge_ratio},
    )


def _profiled(model: str, budget_s: float, cpu_ratio: float, memory_ratio: float) -> Profile | str:
    """The profile, made in a process of its own; why there is none, in words."""
    with tempfile.TemporaryDirectory(prefix="neukonfig-profile-") as folder:
        path = Path(folder) / "profile"
        words = (model, str(budget_s), str(cpu_ratio), str(memory_ratio), str(path))
        command = [sys.executable, "-m", "experiments.neukonfig_2021.sweep", *words]
        with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
            try:
                _, said = process.communicate(timeout=PROFILE_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                process.kill()
                return f"took more than {PROFILE_TIMEOUT_S:.0f} s"
        if can_limit() and leave(process.pid):
            return "out of memory"
        if process.returncode:
            return (said.strip().splitlines() or [f"ended with code {process.returncode}"])[-1]
        return profile_from_bytes(path.read_bytes(), EDGE)


def _profile(model: str, budget_s: float, cpu_ratio: float, memory_ratio: float, path: Path) -> None:
    """Profile in this process, within its limits; nothing comes from a cache."""
    store = ModelStore()
    stored = store.add(resolve_model(model))

    def measured() -> Profile:
        with tempfile.TemporaryDirectory(prefix="neukonfig-cache-") as cache:
            return Profiler(OrtEngine(store, 1), EDGE, 1, cache=Path(cache)).profile(stored, budget_s)

    if (cpu_ratio, memory_ratio) == UNLIMITED:
        profile = measured()
    else:
        with limited() as limits:
            limits.set(cpu_ratio, int(memory_ratio * EDGE_MEMORY_MB * 2**20) if memory_ratio < 1.0 else None)
            profile = measured()
    path.write_bytes(profile_to_bytes(profile))


if __name__ == "__main__":
    _profile(sys.argv[1], float(sys.argv[2]), float(sys.argv[3]), float(sys.argv[4]), Path(sys.argv[5]))
