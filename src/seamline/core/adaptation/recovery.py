"""Recovery: whether a stream is back to what it should be in a world that has become quiet, simulated or not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from seamline.core.adaptation.policy import Switch, decide
from seamline.core.adaptation.view import View, problem_of
from seamline.core.planning.planner import evaluate
from seamline.core.planning.planner import plan as best_plan
from seamline.core.vocabulary.links import Link, LinkEstimate

AS_GOOD_RATIO, AS_GOOD_S = 0.1, 2e-3
"""A plan so much slower than the best one may serve: within the policy's hysteresis and what estimates err."""


def why_unrecovered(view: View, links: Mapping[Link, LinkEstimate] | None = None) -> str | None:
    """What is not as it should be, in words; None when all nodes count again, no link is held for dead, and the plan
    that serves is the best one, hardly slower, or one that the policy keeps for what it remembers.

    links: by which plans are judged; as they are estimated when None.
    """
    if missing := view.profiles.keys() - view.nodes.keys() - {view.origin}:
        return f"{sorted(missing)} are not used"
    if dead := [pair for pair, known in view.links.items() if known.goodput_bps <= 0.0]:
        return f"{dead} are held for dead"
    if view.pending is not None:
        return None  # it moves again, for a reason of its own
    if links is not None:
        view = replace(view, links=links)
    problem = problem_of(view)
    assert problem is not None
    assert view.current is not None
    best, serves = best_plan(problem), evaluate(view.current, problem)
    if serves.cost > (1.0 + AS_GOOD_RATIO) * best.cost + AS_GOOD_S and isinstance(decide(view), Switch):
        return f"{view.current} takes {serves.cost * 1e3:.1f} ms, {best.plan} {best.cost * 1e3:.1f}"
    return None
