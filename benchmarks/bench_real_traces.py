"""Policies in virtual time on recorded bandwidth traces, over published block times of real machines.

Every trace (CSV ``time_s,mbps``, the first 150 s) is the link from edge to fog, 20 ms one way; fog to cloud is
100 Mbit/s. Raw frames are private, 2 frames/s unless --fps says otherwise. Traces and profiles are not shipped: give
their folders. Traces whose names differ only in a number at the end are one set. Everything is modelled.
"""

from __future__ import annotations

import json
import re
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from reporting import Report, parser, progress

from seamline.config import read_trace
from seamline.core.vocabulary.constraints import Constraints
from seamline.core.vocabulary.nodes import NodeId
from seamline.core.vocabulary.profiles import Profile
from seamline.meters.profile_file import from_json
from seamline.sim import Comparison, Scene, SceneLink, compare

MODELS = ("mobilenetv2", "resnet50")
EDGE, FOG, CLOUD = NodeId("edge"), NodeId("fog"), NodeId("cloud")
EDGE_DELAY_S, FOG_DELAY_S, FOG_BPS = 0.020, 0.005, 100e6
DURATION_S, FPS, N_PRIVATE_CUTS = 150.0, 2.0, 1
POLICIES = ("adaptive", "static_at_start", "static_best", "local", "oracle")
FAR_RATIO = 0.02
N_WORST = 10
HEAD = (
    "set",
    "n",
    "vs oracle %",
    "vs best fixed %",
    "worst %",
    "behind > 2 %",
    "ahead > 2 %",
    "vs start %",
    "vs local %",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One trace under one model. cost_s: mean latency by policy."""

    trace: str
    model: str
    cost_s: dict[str, float]
    n_switches: int

    @property
    def kind(self) -> str:
        """The set its trace is of."""
        return re.sub(r"-?\d+$", "", self.trace) or self.trace

    def over(self, other: str) -> float:
        """By how much adaptive was slower than `other`, 0.03 for 3 %."""
        return self.cost_s["adaptive"] / self.cost_s[other] - 1.0


def main() -> None:
    options = parser("Policies in virtual time on recorded traces")
    options.add_argument("--traces", type=Path, required=True, help="folder of CSV files, one per trace")
    options.add_argument("--profiles", type=Path, required=True, help="folder of MODEL-NODE.json, for edge, fog, cloud")
    options.add_argument("--models", default=",".join(MODELS), help="which models, separated by commas")
    options.add_argument("--fps", type=float, default=FPS, help="of the source")
    chosen = options.parse_args()
    name = "real-traces" if chosen.fps == FPS else f"real-traces-at-{chosen.fps:g}-fps"
    report = Report(name, "Policies in virtual time on recorded traces", chosen)
    paths, started_s = sorted(chosen.traces.glob("*.csv")), time.process_time()
    cases = []
    for model in chosen.models.split(","):
        profiles = {node: _profile(chosen.profiles / f"{model}-{node}.json") for node in (EDGE, FOG, CLOUD)}
        for path in paths[:: 12 if chosen.quick else 1]:
            progress(f"{model} {path.stem}")
            cases.append(_case(path, model, profiles, chosen.fps))
    _tell(report, cases)
    report.say(f"{time.process_time() - started_s:.0f} s of processor time for all of it.", "")
    report.finish()


def _profile(path: Path) -> Profile:
    return from_json(json.loads(path.read_text(encoding="utf-8")))


def _case(path: Path, model: str, profiles: dict[NodeId, Profile], fps: float) -> Case:
    scene = Scene(
        origin=EDGE,
        profiles=profiles,
        links=(
            SceneLink(between=(EDGE, FOG), trace=read_trace(path), delay_s=EDGE_DELAY_S),
            SceneLink.steady(FOG, CLOUD, FOG_BPS, FOG_DELAY_S),
        ),
        fps=fps,
        duration_s=DURATION_S,
        constraints=Constraints(n_private_cuts=N_PRIVATE_CUTS),
    )
    found: Comparison = compare(scene, POLICIES)
    cost_s = {policy: found.cost(policy) for policy in POLICIES}
    return Case(trace=path.stem, model=model, cost_s=cost_s, n_switches=len(found.runs["adaptive"].switches))


def _tell(report: Report, cases: list[Case]) -> None:
    report.say("Mean latency of `adaptive`, by how much it is above that of others: means over the cases of a set.", "")
    kinds = list(dict.fromkeys(case.kind for case in cases))
    rows = [_row(kind, [case for case in cases if case.kind == kind]) for kind in kinds]
    report.table(HEAD, [*rows, _row("all", cases)])
    report.say("`worst` is against the best fixed plan, known in hindsight.", "", "## The worst", "")
    worst = sorted(cases, key=lambda case: -case.over("static_best"))[:N_WORST]
    report.table(
        ("trace", "model", *(f"{policy} ms" for policy in POLICIES), "vs best fixed %", "switches"),
        [_worst_row(case) for case in worst],
    )
    report.data["cases"] = [_as_json(case) for case in cases]


def _row(kind: str, cases: list[Case]) -> tuple[object, ...]:
    over = {policy: np.array([case.over(policy) for case in cases]) for policy in POLICIES if policy != "adaptive"}
    best = over["static_best"]
    means = {policy: f"{100 * values.mean():+.1f}" for policy, values in over.items()}
    return (
        kind,
        len(cases),
        means["oracle"],
        means["static_best"],
        f"{100 * best.max():+.0f}",
        f"{int(np.sum(best > FAR_RATIO))} ({100 * np.mean(best > FAR_RATIO):.0f} %)",
        f"{int(np.sum(best < -FAR_RATIO))} ({100 * np.mean(best < -FAR_RATIO):.0f} %)",
        means["static_at_start"],
        means["local"],
    )


def _worst_row(case: Case) -> tuple[object, ...]:
    costs = [f"{1e3 * case.cost_s[policy]:.0f}" for policy in POLICIES]
    return case.trace, case.model, *costs, f"{100 * case.over('static_best'):+.1f}", case.n_switches


def _as_json(case: Case) -> dict[str, Any]:
    return {"trace": case.trace, "model": case.model, "cost_s": case.cost_s, "switches": case.n_switches}


if __name__ == "__main__":
    main()
