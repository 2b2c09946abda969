"""How long a decision takes, with a model of 150 cuts, all candidates: what a session spends on deciding.

A session decides once a second, and whenever an estimate has moved far. Here every link's estimate moves a little every
second, and now and then one jumps; nodes get slower and faster, frames late. Decisions are taken through the cache, as
a session's are, and once more without it.
"""

from __future__ import annotations

import random
import time
from dataclasses import replace

from bench_planner import made_up_problem
from reporting import Report, parser, spread

from seamline.core.adaptation.decision_cache import DecisionCache
from seamline.core.adaptation.events import (
    ComputeMeasured,
    ExcessMeasured,
    LinkMeasured,
    NodeJoined,
    ObjectiveSet,
    PlanServing,
    ProfileKnown,
    Tick,
)
from seamline.core.adaptation.policy import Adaptive, Switch, decide
from seamline.core.adaptation.view import View, apply
from seamline.core.vocabulary.constraints import Constraints
from seamline.core.vocabulary.nodes import Tier
from seamline.core.vocabulary.objectives import Goal, Objective, Within
from seamline.core.vocabulary.plans import Codec

N_CUTS, N_SECONDS = 150, 600
GOALS: tuple[Goal, ...] = (Objective.LATENCY, Objective.ENERGY, Within(slo_s=0.3))
MOVE_STD, JUMP_CHANCE, JUMP_FACTORS = 0.03, 0.01, (0.1, 10.0)


def main() -> None:
    chosen = parser("Time of a decision").parse_args()
    report = Report("decision", "What deciding takes", chosen)
    n_seconds = 60 if chosen.quick else N_SECONDS
    rows = []
    for n_nodes in (2, 3, 5):
        for goal in GOALS:
            cached_s, anew_s, n_same, n_switches = _timed(n_nodes, goal, n_seconds)
            report.data[f"{n_nodes} nodes, {goal}"] = {"cached_s": cached_s, "anew_s": anew_s}
            cells = (spread(cached_s).text(1e3, 3), f"{1e3 * max(cached_s):.2f}", spread(anew_s).text(1e3, 3))
            rows.append((f"{n_nodes}, {goal}", *cells, f"{1e3 * max(anew_s):.2f}", n_same, n_switches))
    report.say(f"{N_CUTS} cuts, {n_seconds} decisions a row, a second apart; processor ms, median (p10-p90).", "")
    head = ("nodes, goal", "decision", "worst", "without the cache", "worst", "from the cache", "switches")
    report.table(head, rows)
    report.finish()


def _timed(n_nodes: int, goal: Goal, n_seconds: int) -> tuple[list[float], list[float], int, int]:
    """Processor seconds of each decision with the cache and without, how often the cache answered, and switches."""
    rng, cache, view = random.Random(n_nodes), DecisionCache(Adaptive()), _first_view(n_nodes, goal)
    cached_s, anew_s, n_same, n_switches, before = [], [], 0, 0, None
    for at in range(1, n_seconds + 1):
        view = _moved(view, rng, float(at))
        started_s = time.process_time()
        decision = cache.decide(view)
        cached_s.append(time.process_time() - started_s)
        started_s = time.process_time()
        decide(view, Adaptive(), cache.planner)
        anew_s.append(time.process_time() - started_s)
        n_same += decision is before
        before = decision
        if isinstance(decision, Switch):
            n_switches += 1
            view = apply(view, PlanServing(decision.plan, n_switches, float(at)))
    return cached_s, anew_s, n_same, n_switches


def _first_view(n_nodes: int, goal: Goal) -> View:
    problem = made_up_problem(n_nodes, Objective.LATENCY, seed=0, n_cuts=N_CUTS)
    limits = Constraints(codecs=(Codec.RAW, Codec.LOSSLESS, Codec.F16, Codec.U8))
    view = apply(View(origin=problem.origin), ObjectiveSet(goal, limits, 0.0))
    for node, profile in problem.profiles.items():
        view = apply(apply(view, NodeJoined(node, Tier("fog"), "a", 0.0)), ProfileKnown(node, profile, 0.0))
    for link in problem.links.values():
        view = apply(view, LinkMeasured(replace(link, goodput_std_ratio=0.05), 0.0))
    return view


def _moved(view: View, rng: random.Random, at_s: float) -> View:
    """A second later."""
    for link in view.links.values():
        factor = rng.choice(JUMP_FACTORS) if rng.random() < JUMP_CHANCE else rng.lognormvariate(0.0, MOVE_STD)
        goodput_bps = min(max(link.goodput_bps * factor, 1e6), 200e6)
        view = apply(view, LinkMeasured(replace(link, goodput_bps=goodput_bps, measured_at_s=at_s), at_s))
    for node in view.profiles:
        ratio = min(max(view.compute_ratio.get(node, 1.0) * rng.lognormvariate(0.0, 0.01), 0.5), 3.0)
        view = apply(view, ComputeMeasured(node, ratio, at_s))
    return apply(apply(view, ExcessMeasured(rng.uniform(-2e-3, 5e-3), at_s)), Tick(at_s))


if __name__ == "__main__":
    main()
