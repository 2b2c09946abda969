"""The scenario in real processes: three nodes on this computer, slowed engines, shaped links, real frames.

Beside it stands what the simulator says of the same testbed. All policies of a round run at the same time, each on a
testbed of its own: slowed nodes mostly wait, so five hardly need a processor, and what disturbs this computer disturbs
all of them. Energy is modelled. What is played stands in `bed.py`.
"""

from __future__ import annotations

import itertools
import math
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from importlib.resources import files
from operator import attrgetter
from pathlib import Path
from typing import Any

from experiments.adaptive_2026.bed import CODECS, FPS, MODEL, measured, scene, starts, stored_model, story, testbed
from experiments.adaptive_2026.figures import BASELINES, spread
from experiments.adaptive_2026.simulated import N_PRIVATE_CUTS, POLICIES
from seamline.core.vocabulary.objectives import Objective
from seamline.model.locate import resolve_model
from seamline.runtime.lab.measuring import fresh_cache
from seamline.runtime.lab.scenario import Scenario, TestbedRun
from seamline.sim import Run, compare
from seamline.testbed.changes import schedule

AS_ASKED = {"adaptive": "adaptive", "static_at_start": "static", "local": "local", "offload": "offload"}
"""`seamline run --policy` for each; `static_best` is the plan that the simulator found best in hindsight, held."""

LEASE_S = 2.0
"""Nobody leaves here, and the twenty processes of a round keep silent for longer than the usual 0.4 s now and then."""

Told = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Length:
    """How much is played. is_short: see `bed.SHORT`. seconds: of each policy's run."""

    is_short: bool
    seconds: float
    n_runs: int
    objectives: tuple[Objective, ...]


QUICK = Length(is_short=True, seconds=28.0, n_runs=3, objectives=(Objective.LATENCY,))
FULL = Length(is_short=False, seconds=120.0, n_runs=5, objectives=(Objective.LATENCY, Objective.ENERGY))
WARM_UP_S = 2.5
"""Frames before are not counted: the first run code that never ran, and all policies' streams start at once. In a day
they are nothing, in half a minute they would be a tenth."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """One frame. at_s: when it was accepted, since its stream began."""

    at_s: float
    latency_s: float
    energy_j: float
    plan: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Played:
    """One policy's run. summary: as of `seamline run`, over all frames. answers: those that count, in order."""

    summary: Mapping[str, Any]
    answers: tuple[Answer, ...]

    @property
    def latency_s(self) -> float:
        return statistics.fmean(answer.latency_s for answer in self.answers)

    @property
    def energy_j(self) -> float:
        return statistics.fmean(answer.energy_j for answer in self.answers)


Round = Mapping[str, Played]


def play(length: Length, told: Told, *, until_s: float) -> dict[str, Any]:
    """The JSON's `emulated`. until_s: after it (`time.monotonic`) no round begins but the first of each objective.

    Raises `SeamlineError` when a node or stream fails.
    """
    phases = story(is_short=length.is_short)
    starts_s = [ratio * length.seconds for ratio in starts(phases)]
    bed, model = testbed(phases), stored_model()
    objectives: dict[str, Any] = {}
    with fresh_cache([model]) as cache:
        told(f"{MODEL} is profiled on this computer")
        profiles = measured(bed, model, cache)
        for objective in length.objectives:
            simulated = compare(scene(bed, profiles, length.seconds, objective), POLICIES).runs
            asked = AS_ASKED | {"static_best": str(simulated["static_best"].plans[0][1])}
            real = Scenario(
                testbed=bed,
                model=str(resolve_model(MODEL)),
                source=Path(str(files("seamline.data") / "bigbuckbunny.mp4")),
                seconds=length.seconds,
                fps=FPS,
                objective=objective,
                codecs=CODECS,
                cache=cache,
                lease_s=LEASE_S,
            )
            rounds = _rounds(real, asked, length.n_runs, told, until_s)
            objectives[str(objective)] = figures(rounds, simulated, starts_s)
    return {
        "kind": "emulated",
        "model": MODEL,
        "seconds": length.seconds,
        "fps": FPS,
        "codecs": str(CODECS),
        "whole_s": {node: profile.whole_s.median for node, profile in profiles.items()},
        "phases": [{"what": each.what, "at_s": at_s} for each, at_s in zip(phases, starts_s, strict=True)],
        "changes": [{"at_s": change.at_s, "what": str(change)} for change in schedule(bed, length.seconds)],
        "objectives": objectives,
    }


def figures(rounds: Sequence[Round], simulated: Mapping[str, Run], starts_s: Sequence[float]) -> dict[str, Any]:
    """Medians over the rounds, each policy beside its simulated run, and adaptive against each of the others.

    Policies of one round are compared with each other; a reduction of 0.2 is 20 %. starts_s: of the phases.
    """
    entry: dict[str, Any] = {"n_runs": len(rounds), "policies": {}, "timelines": {}}
    for name in POLICIES:
        runs = [each[name] for each in rounds]
        entry["policies"][name] = _policy(runs, simulated[name])
        entry["policies"][name]["latency_s_by_phase"] = [
            _median_of_phase(runs, start_s, stop_s) for start_s, stop_s in itertools.pairwise((*starts_s, math.inf))
        ]
        entry["timelines"][name] = [
            [round(answer.at_s, 2), round(answer.latency_s, 4), answer.plan] for answer in runs[0].answers
        ]
    for what, value in (("latency", attrgetter("latency_s")), ("energy", attrgetter("energy_j"))):
        for baseline, name in BASELINES.items():
            ratios = [1.0 - value(each["adaptive"]) / value(each[baseline]) for each in rounds]
            key = f"{what}_reduction_vs_{name}"
            entry[key], entry[f"{key}_spread"] = spread(ratios)
    return entry


def _policy(runs: Sequence[Played], simulated: Run) -> dict[str, Any]:
    latency_s, latency_spread_s = spread([run.latency_s for run in runs])
    energy_j, energy_spread_j = spread([run.energy_j for run in runs])
    simulated_s, simulated_j = float(simulated.latency_s.mean()), simulated.energy_j_per_frame
    summaries = [run.summary for run in runs]
    assert simulated_j is not None, "every machine has power figures"
    return {
        "latency_s": latency_s,
        "latency_spread_s": latency_spread_s,
        "energy_j_per_frame": energy_j,
        "energy_spread_j": energy_spread_j,
        "energy_source": summaries[0]["energy"]["source"],
        "switches": statistics.median(len(each["switches"]) for each in summaries),
        "reasons": [
            [f"{switch['at_s']:.1f} s: {switch['reason']}" for switch in each["switches"]] for each in summaries
        ],
        "first_plan": summaries[0]["plan_timeline"][0]["plan"],
        "frames_counted": sum(len(run.answers) for run in runs),
        "frames_completed_elsewhere": sum(each["frames"]["completed_elsewhere"] for each in summaries),
        "frames_lost": sum(each["frames"]["lost"] for each in summaries),
        "simulated_latency_s": simulated_s,
        "simulated_energy_j_per_frame": simulated_j,
        "simulated_switches": len(simulated.switches),
        "simulated_first_plan": str(simulated.plans[0][1]),
        "latency_apart_ratio": simulated_s / latency_s - 1.0,
        "energy_apart_ratio": simulated_j / energy_j - 1.0,
    }


def _median_of_phase(runs: Sequence[Played], start_s: float, stop_s: float) -> float | None:
    """Over runs, of the mean latency of frames accepted from `start_s` to `stop_s`."""
    means = [
        statistics.fmean(found)
        for run in runs
        if (found := [answer.latency_s for answer in run.answers if start_s <= answer.at_s < stop_s])
    ]
    return statistics.median(means) if means else None


def _rounds(real: Scenario, asked: Mapping[str, str], n_runs: int, told: Told, until_s: float) -> list[Round]:
    found: list[Round] = []
    # the runs are left first: what goes on in them then ends at once, also after an error or Ctrl-C
    with ThreadPoolExecutor(len(asked)) as pool, ExitStack() as entered:
        runs = {name: entered.enter_context(TestbedRun(real)) for name in asked}
        for number in range(n_runs):
            if number > 0 and time.monotonic() >= until_s:
                break
            told(f"{MODEL}, {real.objective}, all policies, run {number + 1} of {n_runs} (emulated)")
            played = {name: pool.submit(_played, runs[name], name, asked[name]) for name in asked}
            found.append({name: each.result() for name, each in played.items()})
    return found


def _played(run: TestbedRun, name: str, asked: str) -> Played:
    summary: Mapping[str, Any] = {}
    answers: list[Answer] = []
    for event in run.events(asked, n_private_cuts=0 if name == "offload" else N_PRIVATE_CUTS):
        if event.kind == "summary":
            summary = event.data
        elif event.kind == "answer" and event.data["at_s"] >= WARM_UP_S:
            answers.append(Answer(**{key: event.data[key] for key in ("at_s", "latency_s", "energy_j", "plan")}))
    return Played(summary=summary, answers=tuple(answers))
