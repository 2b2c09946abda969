"""The story of one case of `bench_weather.py`: what the link carried, what was believed, what served, what it cost."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from weather_cases import EDGE, FOG, Case, Group

from seamline.core.adaptation.decision import Decision
from seamline.core.adaptation.policy import Adaptive, Fixed, Policy
from seamline.core.adaptation.view import View
from seamline.core.vocabulary.objectives import Objective, Within
from seamline.core.vocabulary.plans import Plan
from seamline.sim import Run, Scene, play
from seamline.sim.network import Network
from seamline.sim.oracle import candidates
from seamline.sim.policy_adapters import CorePolicyAdapter

WINDOW_S = 10.0
N_WINDOWS_TOLD, N_SWITCHES_TOLD = 3, 5
STEP_S = 0.1


@dataclass(slots=True)
class Overheard(CorePolicyAdapter):
    """The adaptive policy, and what the session believed of the edge's link whenever it was asked: (at_s, bps)."""

    believed: list[tuple[float, float]] = field(default_factory=list)

    def __call__(self, view: View, policy: Policy) -> Decision:
        if (known := view.links.get((EDGE, FOG))) is not None:
            self.believed.append((view.now_s, known.goodput_bps))
        return CorePolicyAdapter.__call__(self, view, policy)


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """Ten seconds. rates in bit/s: what the link carried (least, mean, most) and what was believed on average.

    cost and best_cost: seconds or shares of missed frames, adaptive's and the best fixed plan's. lost: adaptive's
    excess summed over frames. switches: in words.
    """

    at_s: float
    true_bps: tuple[float, float, float]
    believed_bps: float
    cost: float
    best_cost: float
    lost: float
    plans: tuple[str, ...]
    switches: tuple[str, ...]


def windows_of(case: Case, group: Group) -> list[Window]:
    """Plays `case` again, and the best fixed plan beside it."""
    goal = Within(slo_s=case.slo_s) if case.slo_s is not None else Objective(case.objective)
    scene = group.scene(goal)
    heard = Overheard(Adaptive())
    mine = play(scene, heard)
    theirs = play(
        scene, CorePolicyAdapter(Fixed(_plan_named(case.figures["static_best"].plan, group)), is_measuring=True)
    )
    starts_s = np.arange(0.0, scene.duration_s, WINDOW_S)
    return [_window(at_s, scene, mine, theirs, heard.believed, goal) for at_s in starts_s.tolist()]


def lines_of(case: Case, windows: Sequence[Window], *, is_whole: bool = False) -> Iterator[str]:
    """Markdown: where most was lost, or all of it."""
    told = windows if is_whole else sorted(windows, key=lambda one: -one.lost)[:N_WINDOWS_TOLD]
    costs = ", ".join(f"{name} {_cost(one.cost, case)}" for name, one in case.figures.items())
    deadline = "" if case.slo_s is None else f", deadline {1e3 * case.slo_s:.0f} ms"
    yield f"### {case.name}{deadline}: {100 * case.over('static_best'):+.1f} %"
    yield ""
    best, mine = case.figures["static_best"], case.figures["adaptive"]
    yield f"{costs}; the best fixed plan is `{best.plan}`; {mine.n_switches} switches."
    yield ""
    for one in sorted(told, key=lambda one: one.at_s):
        least, mean, most = (value / 1e6 for value in one.true_bps)
        yield (
            f"- from {one.at_s:.0f} s: the link carried {mean:.2f} Mbit/s ({least:.2f} to {most:.2f}), "
            f"{one.believed_bps / 1e6:.2f} believed; {_moment(one.cost, case)} against {_moment(one.best_cost, case)}; "
            f"{len(one.switches)} switches; served `{'`, `'.join(one.plans)}`"
        )
        shown = one.switches if is_whole else one.switches[:N_SWITCHES_TOLD]
        yield from (f"  - {words}" for words in shown)
        if len(shown) < len(one.switches):
            yield f"  - and {len(one.switches) - len(shown)} more"
    yield ""


def as_json(case: Case, windows: Sequence[Window]) -> dict[str, Any]:
    return {
        "case": case.name,
        "windows": [{name: _known(getattr(one, name)) for name in Window.__dataclass_fields__} for one in windows],
    }


def _known(value: object) -> object:
    """JSON has no word for what is not a number."""
    return None if isinstance(value, float) and math.isnan(value) else value


def _window(
    at_s: float,
    scene: Scene,
    mine: Run,
    theirs: Run,
    believed: Sequence[tuple[float, float]],
    goal: Objective | Within,
) -> Window:
    network, until_s = Network.of(scene), at_s + WINDOW_S
    rates = [network.rate_bps((EDGE, FOG), moment_s) for moment_s in np.arange(at_s, until_s, STEP_S).tolist()]
    told = [bps for moment_s, bps in believed if at_s <= moment_s < until_s]
    cost, best_cost = _mean(mine, at_s, goal), _mean(theirs, at_s, goal)
    served = [plan for begun_s, plan in mine.plans if begun_s <= at_s][-1:]
    served += [plan for begun_s, plan in mine.plans if at_s < begun_s < until_s]
    return Window(
        at_s=at_s,
        true_bps=(min(rates), float(np.mean(rates)), max(rates)),
        believed_bps=float(np.mean(told)) if told else 0.0,
        cost=cost,
        best_cost=best_cost,
        lost=0.0 if math.isnan(cost - best_cost) else _n_frames(mine, at_s) * (cost - best_cost),
        plans=tuple(dict.fromkeys(map(str, served))),
        switches=tuple(
            f"{one.at_s:.2f} s `{one.from_plan}` -> `{one.to_plan}`: {one.reason}"
            for one in mine.switches
            if at_s <= one.at_s < until_s
        ),
    )


def _within(run: Run, at_s: float) -> np.ndarray:
    return (run.accepted_s >= at_s) & (run.accepted_s < at_s + WINDOW_S)


def _n_frames(run: Run, at_s: float) -> int:
    return int(np.sum(_within(run, at_s)))


def _mean(run: Run, at_s: float, goal: Objective | Within) -> float:
    """Latency where energy counts: joules are known of a whole run only. NaN without a frame."""
    latency_s = run.latency_s[_within(run, at_s)]
    if not len(latency_s):
        return float("nan")
    return float(np.mean(latency_s > goal.slo_s)) if isinstance(goal, Within) else float(latency_s.mean())


def _cost(value: float, case: Case) -> str:
    return f"{value:.3g} J" if case.objective == "energy" else _moment(value, case)


def _moment(value: float, case: Case) -> str:
    """Of some seconds, in which joules are not known."""
    if math.isnan(value):
        return "no frame"
    return f"{100 * value:.1f} % missed" if case.objective == "deadline" else f"{1e3 * value:.0f} ms"


def _plan_named(text: str, group: Group) -> Plan:
    scene = group.scene()
    local = Plan.local(EDGE, len(scene.profiles[EDGE].cuts))
    known = (local, *candidates(scene), *candidates(group.scene(Objective.ENERGY)))
    return next(plan for plan in known if str(plan) == text)
