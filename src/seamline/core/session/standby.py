"""Standby guess: the plan to keep ready, best for the other link speeds seen, weighted by the time of each.

Only the strategies `standby` and `standby-container` ask. Link speeds are remembered in steps of a factor of 1.5, all
links of a stream together, since a plan uses several. Before anything else was seen, the plan before the current one
is the guess.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace

from seamline.core.cost.problem import Problem
from seamline.core.planning.planner import Planner
from seamline.core.vocabulary.errors import Infeasible
from seamline.core.vocabulary.links import Link, LinkEstimate
from seamline.core.vocabulary.plans import Plan

STEP_RATIO = 1.5
MAX_LEVELS = 6

_Level = tuple[tuple[Link, int], ...]


class StandbyGuess:
    """Remembers link speeds and plans; `best` guesses the next plan. before: the plan before the current one."""

    def __init__(self) -> None:
        self._planner = Planner()
        self._seen: dict[_Level, tuple[Mapping[Link, LinkEstimate], float]] = {}
        self._observed_s: float | None = None
        self.before: Plan | None = None
        self._current: Plan | None = None

    def serving(self, plan: Plan) -> None:
        """`plan` has come into service."""
        if plan != self._current:
            self.before, self._current = self._current, plan

    def observe(self, links: Mapping[Link, LinkEstimate], now_s: float) -> None:
        """Link estimates of now; they count for the time since the last call."""
        spent_s = now_s - self._observed_s if self._observed_s is not None else 0.0
        self._observed_s = now_s
        level = _level(links)
        _, before_s = self._seen.pop(level, (links, 0.0))
        self._seen[level] = (links, before_s + spent_s)
        while len(self._seen) > MAX_LEVELS:
            del self._seen[min(self._seen, key=lambda one: self._seen[one][1])]

    def best(self, problem: Problem) -> Plan | None:
        """The plan that was best for the longest time at other speeds than now; None when all call for the current."""
        here = _level(problem.links)
        weights: dict[Plan, float] = {}
        for level, (links, spent_s) in self._seen.items():
            if level == here:
                continue
            try:
                wanted = self._planner.plan(replace(problem, links=links)).plan
            except Infeasible:
                continue
            if wanted is not None and wanted != self._current:
                weights[wanted] = weights.get(wanted, 0.0) + spent_s
        return max(weights, key=lambda one: weights[one]) if weights else self.before


def _level(links: Mapping[Link, LinkEstimate]) -> _Level:
    return tuple(
        (link, round(math.log(estimate.goodput_bps, STEP_RATIO)) if estimate.goodput_bps > 0 else -1)
        for link, estimate in sorted(links.items())
    )
