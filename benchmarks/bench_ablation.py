"""What each rule of estimators, probing and policy earns: the same runs in virtual time with all rules, and without.

Scenes: recorded weather (``--traces``, as in `bench_weather.py`, the tuned half unless told) by latency, deadline and
energy, and generated weather at 2 and 10 frames/s, with jitter, lost packets, and nodes that get slower and recover. A
rule that earns less than 0.05 points of mean cost, and prevents no failure that was seen in real processes, is to be
deleted. Pairs are of one scene and seed, so what differs is the rule alone, or what it brought about.
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from ablation_rules import RULES, rule_named
from bench_weather import DURATION_S, HALVES, MODELS, listed, place
from reporting import Report, parser, progress
from weather_cases import CLOUD, EDGE, FOG, Figures, Group, goal_of, traces_of

from seamline.config import Trace
from seamline.core.adaptation.policy import Adaptive, PolicySettings
from seamline.sim import Scene, play
from seamline.sim.policy_adapters import CorePolicyAdapter
from seamline.sim.stage_work import StageWorkTable

KINDS = ("markov", "steps", "fades", "outages", "noise", "bursty")
LEAST_EARNED = 0.0005
JITTERS_S = (0.5e-3, 4e-3)
LOSS_RATIOS = (0.0, 0.001, 0.01)
SLOW_FACTORS, SLOW_EVERY_S, SLOW_S = (1.3, 3.0), 40.0, 15.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Spot:
    """One scene to play. sort: the column it counts in. objective: of `weather_cases.OBJECTIVES`."""

    group: Group
    objective: str
    sort: str
    seed: int

    def scene(self) -> Scene:
        scene = self.group.scene(goal_of(self.group, self.objective))
        if self.sort != "generated":
            return scene
        rng = random.Random(self.seed)
        slowdowns = {node: tuple(_slowdowns(rng, scene.duration_s)) for node in (EDGE, FOG, CLOUD)}
        links = tuple(replace(link, trace=_lossy(link.trace, rng.choice(LOSS_RATIOS))) for link in scene.links)
        jitter_s = rng.choice(JITTERS_S)
        return replace(scene, links=links, slowdowns=slowdowns, jitter_s=jitter_s, seed=self.seed)


def main() -> None:
    chosen = _options()
    report = Report("ablation", "What each rule earns", chosen)
    spots = list(_spots(chosen))
    rules = ["", *(chosen.rules or [rule.name for rule in RULES])]
    costs: dict[int, list[float]] = {}
    with ProcessPoolExecutor(chosen.workers) as pool:
        waiting = {pool.submit(_costs, spot, rules): at for at, spot in enumerate(spots)}
        for number, done in enumerate(as_completed(waiting), start=1):
            costs[waiting[done]] = done.result()
            progress(f"{number}/{len(spots)}")
    _tell(report, spots, rules[1:], np.array([costs[at] for at in range(len(spots))]))
    report.finish()


def _options() -> argparse.Namespace:
    options = parser("What each rule earns")
    options.add_argument("--traces", type=Path, nargs="+", default=[], help="folders of CSV or mahimahi files")
    options.add_argument("--profiles", type=Path, required=True, help="folder of MODEL-NODE.json, for edge, fog, cloud")
    options.add_argument("--half", choices=("tune", "judge", "all"), default="tune", help="even or odd numbers, or all")
    options.add_argument("--sample", type=float, default=0.2, help="share of the recorded groups")
    options.add_argument("--seeds", type=int, default=4, help="generated traces of each kind")
    options.add_argument("--seconds", type=float, default=DURATION_S, help="of each trace at most")
    options.add_argument(
        "--rules", type=listed, default=[], help="only these, separated by commas; A + B: both at once"
    )
    options.add_argument("--workers", type=int, default=2, help="processes")
    return options.parse_args()


def _spots(chosen: argparse.Namespace) -> Iterator[Spot]:
    traces = [
        one for one in traces_of(chosen.traces, []) if chosen.half == "all" or one.number % 2 == HALVES[chosen.half]
    ]
    named = ",".join(f"{kind}:{seed}:{chosen.seconds:g}" for kind in KINDS for seed in range(chosen.seeds))
    for at, trace in enumerate([*traces, *traces_of([], listed(named))]):
        is_generated = at >= len(traces)
        for model in MODELS:
            for fps in (2.0, 10.0):
                group = Group(
                    trace=trace,
                    model=model,
                    n_private=1,
                    fps=fps,
                    objectives=("latency",),
                    profiles=chosen.profiles,
                    length_s=chosen.seconds,
                )
                if is_generated:
                    if (at + MODELS.index(model)) % len(MODELS) == 0:
                        yield Spot(group=group, objective="latency", sort="generated", seed=at)
                elif place(group) < chosen.sample:
                    for objective in ("latency", "deadline", "energy"):
                        yield Spot(group=group, objective=objective, sort=objective, seed=0)


def _slowdowns(rng: random.Random, duration_s: float) -> Iterator[tuple[float, float]]:
    """A node gets slower now and then, and recovers."""
    at_s = rng.expovariate(1.0 / SLOW_EVERY_S)
    while at_s < duration_s:
        yield at_s, rng.uniform(*SLOW_FACTORS)
        yield at_s + SLOW_S, 1.0
        at_s += SLOW_S + rng.expovariate(1.0 / SLOW_EVERY_S)


def _lossy(trace: Trace, loss_ratio: float) -> Trace:
    return replace(trace, loss_ratios=(loss_ratio,) * len(trace.times_s))


def _costs(spot: Spot, rules: Sequence[str]) -> list[float]:
    """Of the run with all rules (the first), and without each one."""
    scene = spot.scene()
    found = []
    for name in rules:
        with rule_named(name).off() if name else nullcontext(PolicySettings()) as settings:
            run = play(scene, CorePolicyAdapter(Adaptive(settings)), StageWorkTable(scene))
        found.append(Figures.of(run, scene).cost)
    return found


def _tell(report: Report, spots: Sequence[Spot], rules: Sequence[str], costs: np.ndarray) -> None:
    """costs: by spot and rule, the first column with all rules."""
    sorts = list(dict.fromkeys(spot.sort for spot in spots))
    counts = ", ".join(f"{sum(spot.sort == sort for spot in spots)} by {sort}" for sort in sorts)
    report.say(
        "By how much the same runs become worse without one rule, in percent of the cost (by deadline: more frames of "
        f"100 that miss it): mean and worst over runs, {counts}. More than 0 is what the rule earns. Least first.",
        "",
    )
    is_missed = np.array([spot.objective == "deadline" for spot in spots])
    base = costs[:, :1]
    more = np.where(is_missed[:, None], costs[:, 1:] - base, costs[:, 1:] / np.where(base > 0.0, base, 1.0) - 1.0)
    rows = []
    for at, name in enumerate(rules):
        by_sort = [more[[spot.sort == sort for spot in spots], at] for sort in sorts]
        rows.append((max(float(values.mean()) for values in by_sort), name, by_sort))
    rows.sort(key=lambda row: row[0])
    report.table(
        ("without", *(f"{sort} {what}" for sort in sorts for what in ("mean", "worst", "best"))),
        [
            (
                name,
                *(f"{100 * value:+.2f}" for values in by_sort for value in (values.mean(), values.max(), values.min())),
            )
            for _, name, by_sort in rows
        ],
    )
    idle = [name for earned, name, _ in rows if earned < LEAST_EARNED]
    report.say(f"{len(rules)} rules; {len(idle)} earn less than {100 * LEAST_EARNED:g} points: {', '.join(idle)}.", "")
    report.data |= {"rules": list(rules), "spots": [f"{one.group.name}/{one.objective}" for one in spots]}
    report.data["costs"] = [[float(f"{cost:.5g}") for cost in row] for row in costs]


if __name__ == "__main__":
    main()
