"""All policies side by side over one scene, each played from the beginning with the same noise.

adaptive, local, offload, static_at_start: policies of the core. static_best: the best fixed plan in hindsight. All that
hold a plan are told how their links are; the windows and deadlines of their frames are made of that.
last_value: plans every second on the last sample, with the same probes as adaptive. A simulated transfer is scattered
by jitter alone, so a single sample is nearly the truth here, which flatters it; it pays on links that turn.
oracle: the cheapest sequence of plans for the true links, with a price per switch; switches take as long as anybody's,
but it asks for them in time. Where holding the best fixed plan did better than that, the oracle has known that too.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from seamline.core.vocabulary.objectives import Objective, Within
from seamline.core.vocabulary.plans import Plan
from seamline.sim.oracle import MISS_J, candidates, frame_costs, schedule_of
from seamline.sim.pool import Pool, n_helpers
from seamline.sim.rates import Floats
from seamline.sim.run import Alone, Play, Player, Run, held_plan
from seamline.sim.scene import Scene
from seamline.sim.stage_work import StageWorkTable

POLICIES = ("adaptive", "static_at_start", "static_best", "local", "offload", "oracle", "last_value")
N_FIXED_PLAYED = 3
"""The best fixed plans by arithmetic are played; the best of these is `static_best`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Every policy's run. objective: what they were judged by. regret_ratio: by how much adaptive was worse than the
    oracle, 0.03 for 3 %; None when one of the two did not run."""

    objective: Objective | Within
    runs: Mapping[str, Run]
    is_offload_allowed: bool

    def cost(self, name: str) -> float:
        """What `name` cost by the objective, lower is better: mean seconds, joules, or seconds per frame. Within a
        deadline joules, and `oracle.MISS_J` for each frame that missed it."""
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
    scene: Scene, policies: Iterable[str] = POLICIES, *, told: Callable[[str], None] = lambda name: None
) -> Comparison:
    """Play `policies` over `scene`, one after the other. told: hears a name before every run; one that is that of two
    policies is made once."""
    return compared_by(Alone(scene, told), scene, policies)


def compare_at_once(
    scene: Scene, policies: Iterable[str] = POLICIES, *, told: Callable[[str], None] = lambda name: None
) -> Comparison:
    """`compare` on all processors, where that pays: the same figures. told: hears a name as each run begins."""
    wanted = list(dict.fromkeys(policies))
    helpers = n_helpers(scene, len(wanted) + (N_FIXED_PLAYED - 1 if _needs_hindsight(wanted) else 0))
    if helpers < 1:
        return compare(scene, wanted, told=told)
    with Pool(scene, helpers, told) as pool:
        return compared_by(pool, scene, wanted)


def compared_by(player: Player, scene: Scene, policies: Iterable[str] = POLICIES) -> Comparison:
    """`compare` with runs that `player` makes."""
    wanted = list(dict.fromkeys(policies))
    for play in _plays(scene, wanted):
        player.begin(play)
    made: dict[str, list[Run]] = {}
    for play, run in player.finish():
        for name in (play.name, *play.also):
            made.setdefault(name, []).append(run)
    runs = {name: _best_of(made, name, scene.objective) for name in wanted}
    return Comparison(objective=scene.objective, runs=runs, is_offload_allowed=_allows_offload(scene))


def cost_of(run: Run, objective: Objective | Within) -> float:
    """See `Comparison.cost`."""
    match objective:
        case Objective.LATENCY:
            return float(np.mean(run.latency_s)) if len(run.latency_s) else math.inf
        case Objective.THROUGHPUT:
            return 1.0 / run.throughput_fps if run.throughput_fps else math.inf
        case Objective.ENERGY:
            return _joules(run)
        case Within():
            return MISS_J * missed_ratio(run, objective) + _joules(run)


def missed_ratio(run: Run, deadline: Within) -> float:
    """The share of answered frames that took longer than `deadline`; 1.0 when none was answered."""
    return float(np.mean(run.latency_s > deadline.slo_s)) if len(run.latency_s) else 1.0


def _joules(run: Run) -> float:
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


def _plays(scene: Scene, wanted: Sequence[str]) -> Iterator[Play]:
    """All runs to make, the longest first, so that processors which share them end at about the same time.

    A plan that several policies hold is played once.
    """
    yield from (Play(name) for name in ("adaptive", "last_value", "offload") if name in wanted)
    holding = [name for name in ("static_at_start", "local") if name in wanted]
    shared: set[str] = set()
    if _needs_hindsight(wanted):
        for play in _in_hindsight(scene, holding, with_oracle="oracle" in wanted):
            shared.update(play.also)
            yield play
    yield from (Play(name) for name in holding if name not in shared)


def _needs_hindsight(wanted: Iterable[str]) -> bool:
    return not {"static_best", "oracle"}.isdisjoint(wanted)


def _in_hindsight(scene: Scene, holding: Sequence[str], *, with_oracle: bool) -> Iterator[Play]:
    """The plays of what only the table of costs tells: the best fixed plans, and the oracle's schedule.

    holding: other policies that hold a plan, maybe one of these.
    """
    work_table, plans = StageWorkTable(scene), candidates(scene)
    costs = np.array([frame_costs(scene, plan, work_table) for plan in plans])
    held = {name: held_plan(scene, name, work_table) for name in holding}
    for at in np.argsort(costs.mean(axis=1), kind="stable")[:N_FIXED_PLAYED]:
        also = tuple(name for name, plan in held.items() if plan == plans[at])
        yield Play("static_best", ((0.0, plans[at]),), also)
    if with_oracle:
        yield Play("oracle", schedule_of(plans, costs, scene))


def _best_of(made: Mapping[str, Sequence[Run]], name: str, objective: Objective | Within) -> Run:
    """The run that counts for `name`; of equal ones the first."""
    runs = made[name] if name != "oracle" else [*made["oracle"], _best_of(made, "static_best", objective)]
    return min(runs, key=lambda run: cost_of(run, objective))


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
