"""Cases of `bench_weather.py`: traces, scenes over them, and what adaptive and its rivals make of each.

A group is one trace, model, privacy and frame rate. Its cases differ by objective alone, so a plan that is held is
played once for all of them. Rivals do not depend on the policy under test; `Rivals` keeps their figures in a file.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from seamline.config import Trace, read_trace
from seamline.core.adaptation.policy import Adaptive, Fixed, Offload
from seamline.core.vocabulary.constraints import Constraints
from seamline.core.vocabulary.nodes import NodeId
from seamline.core.vocabulary.objectives import Objective, Within
from seamline.core.vocabulary.plans import Plan
from seamline.core.vocabulary.profiles import Profile
from seamline.meters.profile_file import from_json
from seamline.sim import Run, Scene, SceneLink, generated, play
from seamline.sim.compare import cost_of, missed_ratio
from seamline.sim.oracle import candidates, frame_costs, schedule_of
from seamline.sim.policy_adapters import CorePolicyAdapter
from seamline.sim.run import Play, first_plan, held_plan, made
from seamline.sim.stage_work import StageWorkTable

EDGE, FOG, CLOUD = NodeId("edge"), NodeId("fog"), NodeId("cloud")
EDGE_DELAY_S, FOG_DELAY_S, FOG_BPS = 0.020, 0.005, 100e6
RIVALS = ("oracle", "static_best", "static_told", "static_at_start", "local", "offload")
"""Fixed plans are held as a user holds them, by a session that measures its links; `static_told` is the best of those
that are told the true links instead, of which windows and deadlines are made, and measure none."""

OBJECTIVES = ("latency", "energy", "deadline")
DEADLINE_RATIO = 1.3
"""A case's deadline over the median latency of its quickest fixed plan: that plan meets it in usual weather and misses
it in bad weather, so it can be met by choosing well, and neither always nor never."""

N_FIXED_PLAYED, N_FIXED_MEASURED = 5, 2
"""The best plans to hold by arithmetic are played, for each objective, told the true links; the best of these are then
played with what they measure. The best of them, of the start's, of all local and of offload counts."""

BEGINNING_S = 20.0
"""What comes after it is judged once more, without what was learned at the start."""

LEAST_LENGTH_S = 60.0
"""Of a run of which that is said."""

LOST = "is not there"

NOT_TRACES = frozenset({".md", ".json"})


@dataclass(frozen=True, slots=True, kw_only=True)
class NamedTrace:
    """A trace, the set it is of, and its number in it."""

    name: str
    kind: str
    number: int
    trace: Trace


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """What cases have in common that differ by objective. length_s: of the run at most. with_knowing: see `Knowing`."""

    trace: NamedTrace
    model: str
    n_private: int
    fps: float
    objectives: tuple[str, ...]
    profiles: Path
    length_s: float
    with_knowing: bool = False

    def scene(self, objective: Objective | Within = Objective.LATENCY) -> Scene:
        """A trace that is shorter than the run is not repeated."""
        return Scene(
            origin=EDGE,
            profiles=_profiles(self.profiles, self.model),
            links=(
                SceneLink(between=(EDGE, FOG), trace=self.trace.trace, delay_s=EDGE_DELAY_S),
                SceneLink.steady(FOG, CLOUD, FOG_BPS, FOG_DELAY_S),
            ),
            fps=self.fps,
            duration_s=min(self.length_s, self.trace.trace.length_s),
            objective=objective,
            constraints=Constraints(n_private_cuts=self.n_private),
        )

    @property
    def name(self) -> str:
        return f"{self.trace.name}/{self.model}/{self.n_private}/{self.fps:g}"

    @property
    def key(self) -> str:
        """Of everything that rivals depend on but the program."""
        parts = [repr(self.trace.trace).encode(), f"{self.length_s:g}".encode()]
        parts += [path.read_bytes() for path in _profile_paths(self.profiles, self.model)]
        return f"{self.name}/{hashlib.sha256(b''.join(parts)).hexdigest()[:12]}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """One run's. cost: by the objective, lower is better: mean seconds, joules per frame, or the share of frames that
    missed the deadline.

    cost_after_start: of frames that were accepted after `BEGINNING_S`, None where it is not known. missed_ratio: 0.0
    without a deadline. n_late: frames that had to run again. n_losses: switches since a node was no longer there.
    """

    cost: float
    cost_after_start: float | None
    latency_s: float
    energy_j: float
    missed_ratio: float
    n_answered: int
    n_late: int
    n_switches: int
    n_losses: int
    plan: str

    @staticmethod
    def of(run: Run, scene: Scene) -> Figures:
        objective = scene.objective
        missed = missed_ratio(run, objective) if isinstance(objective, Within) else 0.0
        joules = math.inf if run.energy_j_per_frame is None else run.energy_j_per_frame
        return Figures(
            cost=missed if isinstance(objective, Within) else cost_of(run, objective),
            cost_after_start=_cost_after_start(run, objective) if scene.duration_s > LEAST_LENGTH_S else None,
            latency_s=cost_of(run, Objective.LATENCY),
            energy_j=joules,
            missed_ratio=missed,
            n_answered=len(run.latency_s),
            n_late=run.n_late,
            n_switches=len(run.switches),
            n_losses=sum(LOST in one.reason for one in run.switches),
            plan=str(run.plans[0][1]),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One group by one objective. slo_s: its deadline, if any. spent_s: processor seconds of adaptive's run."""

    group: str
    kind: str
    model: str
    n_private: int
    fps: float
    objective: str
    slo_s: float | None
    figures: Mapping[str, Figures]
    spent_s: float

    @property
    def name(self) -> str:
        return f"{self.group}/{self.objective}"

    def over(self, other: str, *, who: str = "adaptive", after_start: bool = False) -> float:
        """By how much `who` did worse than `other`: 0.03 for 3 %, or 3 more frames in 100 that miss. NaN without one of
        them."""
        if other not in self.figures or who not in self.figures:
            return math.nan
        both = self.figures[who], self.figures[other]
        mine, its = (one.cost_after_start if after_start else one.cost for one in both)
        if mine is None or its is None:
            return math.nan
        return mine - its if self.objective == "deadline" else mine / its - 1.0


@dataclass(slots=True)
class Knowing(CorePolicyAdapter):
    """The adaptive policy told the links as they are, none measured: what is lost beside it is lost in knowing."""

    @property
    def is_probing(self) -> bool:
        return False

    @property
    def knows_true_links(self) -> bool:
        return True


class Rivals:
    """Figures of runs that the policy under test has no part in, kept in a file when there is one."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._known: dict[str, dict[str, Any]] = {}
        if path is not None and path.exists():
            self._known = json.loads(path.read_text(encoding="utf-8"))

    def of(self, group: Group) -> dict[str, Any]:
        """What is known of `group`; empty when nothing is."""
        return self._known.get(group.key, {})

    def add(self, group: Group, made_now: Mapping[str, Any]) -> None:
        self._known.setdefault(group.key, {}).update(made_now)

    def save(self) -> None:
        if self._path is not None:
            self._path.write_text(json.dumps(self._known) + "\n", encoding="utf-8")


def traces_of(folders: Sequence[Path], generated_names: Sequence[str]) -> list[NamedTrace]:
    """All traces in `folders`, CSV or mahimahi, by name, and those that ``KIND:SEED:SECONDS`` name."""
    paths = sorted(path for folder in folders for path in folder.iterdir() if path.is_file())
    paths = [path for path in paths if path.suffix not in NOT_TRACES and not path.name.startswith(".")]
    stems = [path.stem for path in paths]
    names = [path.stem if stems.count(path.stem) == 1 else _with_suffix(path) for path in paths]
    found = [_named(name, at, read_trace(path)) for at, (name, path) in enumerate(zip(names, paths, strict=True))]
    for at, text in enumerate(generated_names):
        kind, seed, _ = text.split(":")
        found.append(_named(f"{kind}-{int(seed):02}", at, generated(text)))
    return found


def _with_suffix(path: Path) -> str:
    """``lte-1.up`` and ``lte-1.down`` are of two sets, ``lte-up`` and ``lte-down``."""
    before, number = re.fullmatch(r"(.*?)([-_.]?\d*)", path.stem).groups()
    return f"{before}-{path.suffix[1:]}{number}"


def _named(name: str, at: int, trace: Trace) -> NamedTrace:
    number = re.search(r"\d+$", name)
    kind = re.sub(r"[-_.]?\d+$", "", name) or name
    return NamedTrace(name=name, kind=kind, number=int(number[0]) if number else at, trace=trace)


def cases_of(group: Group, known: Mapping[str, Any]) -> tuple[list[Case], dict[str, Any]]:
    """Adaptive's cases of `group`, and figures of rivals by objective that were not `known`."""
    missing = tuple(objective for objective in group.objectives if objective not in known)
    added = dict(_rivals(group, missing)) if missing else {}
    cases = []
    for objective in group.objectives:
        told = known.get(objective) or added[objective]
        goal = Within(slo_s=told["slo_s"]) if objective == "deadline" else Objective(objective)
        scene, started_s = group.scene(goal), time.process_time()
        run = made(scene, Play("adaptive"), StageWorkTable(scene))
        figures = {"adaptive": Figures.of(run, scene)}
        if group.with_knowing:
            figures["knowing"] = Figures.of(play(scene, Knowing(Adaptive())), scene)
        figures |= {name: Figures(**values) for name, values in told["figures"].items()}
        cases.append(
            Case(
                group=group.name,
                kind=group.trace.kind,
                model=group.model,
                n_private=group.n_private,
                fps=group.fps,
                objective=objective,
                slo_s=told["slo_s"],
                figures=figures,
                spent_s=time.process_time() - started_s,
            )
        )
    return cases, added


def goal_of(group: Group, objective: str) -> Objective | Within:
    """What a case of `group` is judged by."""
    return _PlanTable(group).goal(objective) if objective == "deadline" else Objective(objective)


def _rivals(group: Group, objectives: Iterable[str]) -> Iterator[tuple[str, dict[str, Any]]]:
    """(objective, its deadline and the figures of all rivals)."""
    table = _PlanTable(group)
    for objective in objectives:
        goal = table.goal(objective)
        scene = group.scene(goal)
        runs = table.runs(goal)
        yield (
            objective,
            {
                "slo_s": goal.slo_s if isinstance(goal, Within) else None,
                "figures": {name: asdict(Figures.of(run, scene)) for name, run in runs.items()},
            },
        )


class _PlanTable:
    """Plans worth holding in a group, and the run of each that was asked for."""

    def __init__(self, group: Group) -> None:
        self._group, self._scene = group, group.scene()
        self._table = StageWorkTable(self._scene)
        found = [*candidates(self._scene), *candidates(group.scene(Objective.ENERGY))]
        self.plans = tuple(dict.fromkeys([*found, Plan.local(EDGE, len(self._scene.profiles[EDGE].cuts))]))
        self._held: dict[tuple[Plan, bool], Run] = {}

    def goal(self, objective: str) -> Objective | Within:
        if objective != "deadline":
            return Objective(objective)
        latencies_s = self._costs(self._scene)
        quickest = latencies_s[int(latencies_s.mean(axis=1).argmin())]
        return Within(slo_s=DEADLINE_RATIO * float(np.median(quickest)))

    def runs(self, goal: Objective | Within) -> dict[str, Run]:
        """By rival."""
        scene = self._group.scene(goal)
        costs = self._costs(scene)
        best = np.argsort(costs.mean(axis=1), kind="stable")[:N_FIXED_PLAYED]
        held = {name: held_plan(scene, name, self._table) for name in ("static_at_start", "local")}
        if self._group.n_private == 0:
            held["offload"] = first_plan(scene, CorePolicyAdapter(Offload()), self._table)

        def cost(run: Run) -> float:
            return cost_of(run, goal)

        told = {plan: self._holding(plan, False) for plan in (*(self.plans[at] for at in best), *held.values())}
        measured = sorted(told, key=lambda plan: cost(told[plan]))[:N_FIXED_MEASURED]
        found = {name: self._holding(plan, True) for name, plan in held.items()}
        found["static_best"] = min((*(self._holding(plan, True) for plan in measured), *found.values()), key=cost)
        found["static_told"] = min(told.values(), key=cost)
        following = made(scene, Play("oracle", schedule_of(self.plans, costs, scene)), self._table)
        found["oracle"] = min((following, found["static_told"], found["static_best"]), key=cost)
        return found

    def _costs(self, scene: Scene) -> np.ndarray:
        table = StageWorkTable(scene)
        return np.array([frame_costs(scene, plan, table) for plan in self.plans])

    def _holding(self, plan: Plan, is_measuring: bool) -> Run:
        key = plan, is_measuring and not plan.is_local
        if key not in self._held:
            self._held[key] = play(self._scene, CorePolicyAdapter(Fixed(plan), is_measuring=key[1]), self._table)
        return self._held[key]


def _cost_after_start(run: Run, objective: Objective | Within) -> float | None:
    """Energy is known of the whole run only."""
    latency_s = run.latency_s[run.accepted_s >= BEGINNING_S]
    if not len(latency_s) or objective is Objective.ENERGY:
        return None
    rest = replace(run, latency_s=latency_s)
    return missed_ratio(rest, objective) if isinstance(objective, Within) else cost_of(rest, objective)


@cache
def _profiles(folder: Path, model: str) -> dict[NodeId, Profile]:
    texts = [path.read_text(encoding="utf-8") for path in _profile_paths(folder, model)]
    return {node: from_json(json.loads(text)) for node, text in zip((EDGE, FOG, CLOUD), texts, strict=True)}


def _profile_paths(folder: Path, model: str) -> list[Path]:
    return [folder / f"{model}-{node}.json" for node in (EDGE, FOG, CLOUD)]
