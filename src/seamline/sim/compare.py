"""All policies side by side over one scene, each played from the beginning with the same noise.

adaptive, local, offload, static_at_start: policies of the core. static_best: the best fixed plan in hindsight.
last_value: plans every second on the last sample, with the same probes as adaptive. A simulated transfer is scattered
by jitter alone, so a single sample is nearly the truth here, which flatters it; it pays on links that turn.
oracle: the cheapest sequence of plans for the true links, with a price per switch; switches take as long as anybody's,
but it asks for them in time. Where holding the best fixed plan did better than that, the oracle has known that too.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from seamline.core.policy import Adaptive, Fixed, Local, Offload, PolicySettings, Static
from seamline.core.values import Constraints, Objective, Plan
from seamline.sim.deciders import Decider, LastValue, PolicyDecider, Scheduled
from seamline.sim.hindsight import candidates, frame_costs, schedule_of
from seamline.sim.journey import Journeys
from seamline.sim.rates import Floats
from seamline.sim.run import Run, play
from seamline.sim.scene import Scene

POLICIES = ("adaptive", "static_at_start", "static_best", "local", "offload", "oracle", "last_value")
N_FIXED_PLAYED = 3
"""The best fixed plans by arithmetic are played; the best of these is `static_best`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Every policy's run. objective: what they were judged by. regret_ratio: by how much adaptive was worse than the
    oracle, 0.03 for 3 %; None when one of the two did not run."""

    objective: Objective
    runs: Mapping[str, Run]
    is_offload_allowed: bool

    def cost(self, name: str) -> float:
        """What `name` cost by the objective, lower is better: mean seconds, joules, or seconds per frame."""
        return cost_of(self.runs[name], self.objective)

    @property
    def regret_ratio(self) -> float | None:
        if "adaptive" not in self.runs or "oracle" not in self.runs:
            return None
        return self.cost("adaptive") / self.cost("oracle") - 1.0

    @property
    def gain_ratio(self) -> float | None:
        """The share of what the oracle gains over `static_at_start` that adaptive gains too; None without a gain."""
        if not {"adaptive", "oracle", "static_at_start"} <= self.runs.keys():
            return None
        possible = self.cost("static_at_start") - self.cost("oracle")
        if possible <= 1e-3 * self.cost("oracle"):
            return None
        return (self.cost("static_at_start") - self.cost("adaptive")) / possible


def compare(
    scene: Scene,
    policies: Iterable[str] = POLICIES,
    *,
    settings: PolicySettings | None = None,
    told: Callable[[str], None] = lambda name: None,
) -> Comparison:
    """Play `policies` over `scene`. settings: of the adaptive one. told: hears every name before its run."""
    wanted = list(dict.fromkeys(policies))
    journeys = Journeys(scene)
    runs: dict[str, Run] = {}
    deciders: dict[str, Decider] = {
        "adaptive": PolicyDecider(Adaptive(settings or PolicySettings())),
        "static_at_start": PolicyDecider(Static()),
        "local": PolicyDecider(Local()),
        "last_value": LastValue(),
    }
    open_scene = replace(scene, constraints=Constraints())
    hindsight = _Hindsight(scene, journeys) if {"static_best", "oracle"} & set(wanted) else None
    for name in wanted:
        told(name)
        if name == "offload":
            runs[name] = play(open_scene, PolicyDecider(Offload()))
        elif name == "static_best" and hindsight is not None:
            runs[name] = hindsight.best_fixed()
        elif name == "oracle" and hindsight is not None:
            runs[name] = hindsight.oracle()
        else:
            runs[name] = play(scene, deciders[name], journeys)
    return Comparison(objective=scene.objective, runs=runs, is_offload_allowed=_allows_offload(scene))


def cost_of(run: Run, objective: Objective) -> float:
    """See `Comparison.cost`."""
    match objective:
        case Objective.LATENCY:
            return float(np.mean(run.latency_s)) if len(run.latency_s) else math.inf
        case Objective.THROUGHPUT:
            return 1.0 / run.throughput_fps if run.throughput_fps else math.inf
        case Objective.ENERGY:
            return run.energy_j_per_frame if run.energy_j_per_frame is not None else math.inf


def summary(run: Run) -> dict[str, Any]:
    """One policy's figures, as `seamline simulate --json` has them."""
    return {
        "latency_s": _spread(run.latency_s),
        "wait_s": _spread(run.wait_s),
        "energy_j_per_frame": run.energy_j_per_frame,
        "throughput_fps": run.throughput_fps,
        "frames_answered": len(run.latency_s),
        "frames_late": run.n_late,
        "frames_dropped": run.n_offered - run.n_accepted,
        "switches": len(run.switches),
        "plan": str(max(_seconds_in_use(run).items(), key=lambda item: item[1])[0]),
    }


class _Hindsight:
    """The fixed plans and the oracle share the table of costs, and the best fixed runs."""

    def __init__(self, scene: Scene, journeys: Journeys) -> None:
        self._scene = scene
        self._journeys = journeys
        self._plans = candidates(scene)
        self._costs = np.array([frame_costs(scene, plan, journeys) for plan in self._plans])
        self._best: Run | None = None

    def best_fixed(self) -> Run:
        if self._best is None:
            order = np.argsort(self._costs.mean(axis=1), kind="stable")[:N_FIXED_PLAYED]
            runs = [play(self._scene, PolicyDecider(Fixed(self._plans[at])), self._journeys) for at in order]
            self._best = min(runs, key=self._cost)
        return self._best

    def oracle(self) -> Run:
        planned = schedule_of(self._plans, self._costs, self._switch_cost(), self._scene.fps)
        run = play(self._scene, Scheduled(planned, self._scene.prepare_s), self._journeys)
        return min((run, self.best_fixed()), key=self._cost)

    def _switch_cost(self) -> float:
        """What a switch takes from frames, in units of the objective: a frame waits while its nodes prepare. For the
        other objectives, which such a wait hardly touches, one part in a hundred of a frame's cost."""
        if self._scene.objective is Objective.LATENCY:
            return self._scene.prepare_busy_s
        return 0.01 * float(np.median(self._costs.min(axis=0)))

    def _cost(self, run: Run) -> float:
        return cost_of(run, self._scene.objective)


def _allows_offload(scene: Scene) -> bool:
    limits = scene.constraints
    return limits.allow_offload and limits.may_leave(scene.profiles[scene.origin].cuts[0])


def _spread(values: Floats) -> dict[str, float | None]:
    if not len(values):
        return dict.fromkeys(("mean", "p50", "p95", "p99"))
    p50, p95, p99 = (float(value) for value in np.percentile(values, (50, 95, 99)))
    return {"mean": float(values.mean()), "p50": p50, "p95": p95, "p99": p99}


def _seconds_in_use(run: Run) -> dict[Plan, float]:
    end_s = run.n_offered / max(run.throughput_fps, 1e-9)
    seconds: dict[Plan, float] = {}
    for (at_s, plan), (until_s, _) in zip(run.plans, [*run.plans[1:], (end_s, run.plans[-1][1])], strict=True):
        seconds[plan] = seconds.get(plan, 0.0) + until_s - at_s
    return seconds
