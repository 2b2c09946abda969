"""What could be gained with perfect instruments: a policy told all links exactly, but as they were some time ago.

The generated traces of `bench_simulate` on which adaptive keeps the least of the oracle's gain. Frames come every half
second and a link is known by what crossed it, so half a second is what learning from frames costs at best.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from bench_simulate import DURATION_S, FPS
from published_scene import scene_of
from reporting import Report, parser, progress

from seamline.core.adaptation.policy import Adaptive, Decision, Keep, Policy, Switch
from seamline.core.adaptation.view import View, problem_of
from seamline.core.cost.feasibility import why_infeasible
from seamline.core.planning.planner import evaluate
from seamline.core.planning.planner import plan as best_plan
from seamline.sim import compare, generate
from seamline.sim.network import Network
from seamline.sim.run import play

TRACES = (("fades", 1), ("fades", 3), ("outages", 2))
LATE_S = (0.0, 0.25, 0.5, 1.0)
MIN_GAIN_RATIOS = (0.0, 0.01, 0.02, 0.04)
EVERY_S = 0.05


@dataclass(frozen=True, slots=True)
class Told:
    """Takes whatever is better by `min_gain_ratio` for all links as they were `late_s` ago."""

    network: Network
    late_s: float
    min_gain_ratio: float
    policy: Policy = field(default_factory=Adaptive)
    is_probing: bool = False
    knows_true_links: bool = True
    has_deadlines: bool = False

    @property
    def moments_s(self) -> Sequence[float]:
        return [float(at_s) for at_s in np.arange(0.01, DURATION_S, EVERY_S)]

    def __call__(self, view: View, policy: Policy) -> Decision:
        problem = problem_of(view)
        if problem is None or view.pending is not None:
            return Keep("under way")
        at_s = max(0.0, view.now_s - self.late_s)
        told = replace(problem, links={pair: self.network.truth(pair, at_s) for pair in self.network.paths})
        best = best_plan(told)
        if view.current is None or why_infeasible(view.current, told) is not None:
            return Switch(best.plan, "the one before is impossible")
        cost = evaluate(view.current, told).cost
        return Switch(best.plan, "better") if cost - best.cost > self.min_gain_ratio * cost else Keep("good enough")


def main() -> None:
    chosen = parser("What perfect instruments would gain").parse_args()
    report = Report("knowledge", "What perfect instruments would gain", chosen)
    rows = []
    for kind, seed in TRACES:
        progress(f"{kind}:{seed}")
        scene = scene_of(generate(kind, seed, DURATION_S), fps=FPS, duration_s=DURATION_S)
        compared = compare(scene, ("adaptive", "static_at_start", "static_best", "oracle"))
        start_s, oracle_s = compared.cost("static_at_start"), compared.cost("oracle")
        kept = []
        for late_s in LATE_S:
            runs = [play(scene, Told(Network.of(scene), late_s, ratio)) for ratio in MIN_GAIN_RATIOS]
            kept.append((start_s - min(float(run.latency_s.mean()) for run in runs)) / (start_s - oracle_s))
        adaptive = (start_s - compared.cost("adaptive")) / (start_s - oracle_s)
        report.data[f"{kind}:{seed}"] = {"adaptive": adaptive, **dict(zip(map(str, LATE_S), kept, strict=True))}
        gains = f"{100 * (start_s / oracle_s - 1):.1f}"
        rows.append((f"{kind}:{seed}:300", gains, *(f"{100 * one:.0f}" for one in (*kept, adaptive))))
    report.say("Percent of the oracle's gain over static_at_start; the best of four thresholds for each knowledge.", "")
    head = ("trace", "oracle gains %", *(f"told {late_s:g} s late" for late_s in LATE_S), "adaptive")
    report.table(head, rows)
    report.say("A policy that is told everything at once is not the oracle: it pays for switches that do not last.", "")
    report.finish()


if __name__ == "__main__":
    main()
