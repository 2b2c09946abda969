"""Adaptation policy: decides whether to switch now, and why: `decide(view, policy) -> Keep(reason) | Switch(...)`.

Theory of operation of `Adaptive`. The planner says what would be best if all estimates were true. The current plan is
left for it when the predicted gain is worth a switch (`min_gain_ratio`) and beats what the estimates' uncertainty could
feign, and not during the cooldown after a switch, unless something has moved so far since that waiting makes no sense.
Nodes are shared: a plan is charged with what its frames wait for others and let them wait, and moves for which nothing
else speaks take turns (`sharing.py`).
Where a node is silent (`core.link.silence`), frames of its plans run on the origin until it is heard: its plan is
worth what the origin takes, is kept while nothing else is better, and no other plan comes to it.
A plan that has become impossible (a node gone or restarted, a link down, forbidden) is left at once. A plan that could
not be prepared is not tried again for a while. A plan that took longer than predicted, beyond what all plans here do,
is judged by what it took; so after a bad switch the way back is found by the same comparison.

With a deadline (`objectives.Within`) transfers count as long as nearly all of them were lately (`risk_adjustment.py`).
A plan that comes has to leave a share of the deadline (`headroom_ratio`) as headroom, the one that serves may use all.
While no plan is in time the quickest is wanted.

Policies with one static plan are `baselines.py`, how sure a gain is `uncertainty.py`, and what moved is worded in
`reasons.py`. Nothing here acts or keeps state; a controller calls `decide` whenever the view has changed.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence, Set
from contextlib import suppress
from dataclasses import dataclass, field, replace

from seamline.core.adaptation.baselines import REFUSED_RETRY_S, Baseline, Fixed, Local, Offload, Static, decide_baseline
from seamline.core.adaptation.decision import Decision, Keep, Switch
from seamline.core.adaptation.reasons import has_jumped, what_moved
from seamline.core.adaptation.risk_adjustment import oscillating_nodes, risk_adjusted
from seamline.core.adaptation.sharing import Loads, dealt_at, gain_factor, is_due, moving_ratio, with_hand
from seamline.core.adaptation.view import View, problem_of
from seamline.core.cost.feasibility import why_infeasible
from seamline.core.cost.formulas import Breakdown, breakdown, waiting_power_w
from seamline.core.cost.uncertainty import gain_std
from seamline.core.planning.planner import Alternative, Planned, Planner, Problem, evaluate, evaluate_allowed
from seamline.core.vocabulary.errors import Infeasible, UsageError
from seamline.core.vocabulary.nodes import NodeId
from seamline.core.vocabulary.objectives import Goal, Objective, Within
from seamline.core.vocabulary.plans import Plan
from seamline.core.vocabulary.quantities import amount

__all__ = ["Adaptive", "Fixed", "Local", "Offload", "Static", "Policy", "PolicySettings", "policy_named"]
__all__ += ["Keep", "Switch", "Decision", "decide"]


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicySettings:
    """Thresholds of `Adaptive`.

    min_gain_ratio: least gain worth a switch, of the current cost. uncertainty_factor: standard deviations the gain
    must exceed. headroom_ratio: of a deadline, that a plan which comes has to leave. compute_std_ratio: how sure
    compute times are. cooldown_s: between switches. refused_retry_s: until a plan or node that failed to prepare is
    tried again. watch_s: how long a measured plan is remembered; min_watched_frames: from how many frames on.
    surprise_ratio: how much worse than predicted, and than other plans, counts. hop_cost_s: what every stage beyond the
    second must earn besides, see `risk_adjustment.py`.
    """

    min_gain_ratio: float = 0.05
    headroom_ratio: float = 0.15
    uncertainty_factor: float = 1.0
    compute_std_ratio: float = 0.03
    cooldown_s: float = 0.75
    refused_retry_s: float = REFUSED_RETRY_S
    watch_s: float = 30.0
    min_watched_frames: int = 8
    surprise_ratio: float = 1.15
    hop_cost_s: float = 0.003


@dataclass(frozen=True, slots=True)
class Adaptive:
    """Always the best plan, with hysteresis."""

    settings: PolicySettings = field(default_factory=PolicySettings)


Policy = Adaptive | Baseline


def policy_named(name: str) -> Policy:
    """``adaptive``, ``local``, ``offload``, ``static``, or a plan. Raises `UsageError` (`PlanError` for a bad plan)."""
    named: dict[str, Policy] = {"adaptive": Adaptive(), "local": Local(), "offload": Offload(), "static": Static()}
    if name in named:
        return named[name]
    if "[" in name:
        return Fixed(Plan.parse(name))
    raise UsageError(f"`{name}` is not a policy", hint=f"one of {', '.join(named)}, or a plan")


def decide(view: View, policy: Policy | None = None, planner: Planner | None = None) -> Decision:
    """Decision under `policy` (`Adaptive()` by default). The first one wants profiles and links measured.

    planner: the one of whoever decides more than once.
    """
    policy, planner = policy or Adaptive(), planner or Planner()
    problem = problem_of(view)
    if problem is None:
        return Keep(f"`{view.origin}` has no profile yet")
    if view.pending is not None and why_infeasible(view.pending, problem) is None:
        return Keep(f"{view.pending} is being prepared")
    try:
        if isinstance(policy, Adaptive):
            settings = policy.settings
            if oscillating_nodes(view):  # beside an average, the frames of a moment are no evidence
                settings = replace(settings, surprise_ratio=math.inf)
            return _adapt(view, risk_adjusted(problem, view, settings.hop_cost_s), settings, planner)
        return decide_baseline(view, problem, policy, planner)
    except Infeasible as error:
        if isinstance(view.objective, Within) and waiting_power_w(problem) is not None:
            late = str(error).partition("; hint: ")[0]
            decision = decide(_judged_by(view, Objective.LATENCY), policy, planner)
            return replace(decision, reason=f"{late}; {decision.reason}")
        return Keep(str(error))


def _judged_by(view: View, goal: Goal) -> View:
    """`view` with another goal, as if it had been the one before."""
    basis = view.basis
    if basis is not None and basis.objective == view.objective:
        basis = replace(basis, objective=goal)
    return replace(view, objective=goal, basis=basis)


def _adapt(view: View, problem: Problem, settings: PolicySettings, planner: Planner) -> Decision:
    surprises = _surprises(view, settings)
    best = _best_candidate(view, problem, settings, surprises, planner)
    if best is None or best.plan is None:
        return Keep("every plan that fits could not be prepared a moment ago")
    if isinstance(view.objective, Within) and math.isinf(best.cost):
        raise Infeasible(f"no plan has answered within {view.objective.slo_s * 1e3:.0f} ms")
    if view.current is None:
        return Switch(best.plan, f"first plan: {best.plan} takes {amount(best.cost, view.objective)}")
    if (why := _impossible(view, problem)) is not None:
        dealt = _dealt(best, view, problem, settings, surprises, planner)
        assert dealt.plan is not None
        return Switch(dealt.plan, f"{why}; {dealt.plan} takes {amount(dealt.cost, view.objective)}")
    if best.plan.is_local and _as_run(view, problem) == best.plan != view.current:
        return Keep(f"nothing gets through to {', '.join(f'`{node}`' for node in sorted(view.silent))} at the moment")
    if best.plan == view.current:
        return Keep(f"{view.current} is the best plan, {amount(best.cost, view.objective)}", 0.0)
    return _weigh(view, problem, best, settings, surprises)


def _weigh(view: View, problem: Problem, best: Alternative, settings: PolicySettings, surprises: Surprises) -> Decision:
    """Decision between `best` and the current plan: by gain, uncertainty and cooldown."""
    assert view.current is not None
    assert best.plan is not None
    current = _judged(evaluate(_as_run(view, problem), problem), view, surprises, problem)
    concerned = before, after = breakdown(view.current, problem), breakdown(best.plan, problem)
    gain = current.cost - best.cost
    uncertainty = gain_std(before, after, problem, settings.compute_std_ratio)
    saves = f"saves {amount(gain, view.objective)} of {amount(current.cost, view.objective)}"
    words = f"{best.plan} {saves}, uncertainty {amount(uncertainty, view.objective)}"
    if math.isinf(current.cost):
        return _leave(view, problem, best, current, concerned, settings)
    since_s = view.now_s - view.serving_since_s
    if gain <= max(settings.min_gain_ratio * current.cost, settings.uncertainty_factor * uncertainty):
        return Keep(f"{words}: too little", max(0.0, gain / current.cost) if current.cost > 0.0 else None)
    if since_s < settings.cooldown_s and not has_jumped(view, concerned):
        return Keep(f"{words}: the last switch was only {since_s:.2f} s ago")
    is_by_load = _is_by_load(view, problem, best.plan)
    if is_by_load and (why := _why_held(view, problem, best.plan, gain, current.cost, settings)) is not None:
        return Keep(f"{words}: {why}", is_held=True)
    surprise = surprises.get(view.current)
    moved = what_moved(view, before, after)
    if surprise is not None:
        took_s = view.watched[view.current].latency_s
        moved = [f"{view.current} took {took_s * 1e3:.0f} ms, {surprise:.1f}x what was predicted", *moved]
    return Switch(best.plan, "; ".join([*moved[:2], words]), is_by_load)


def _is_by_load(view: View, problem: Problem, plan: Plan) -> bool:
    """Whether `plan` is better than the current one only by how waiting on nodes has moved since that was chosen, or
    by what frames took beyond all estimates, which on shared nodes is waiting too."""
    if view.basis is None or view.current is None:
        return False
    before = replace(problem, queue_s=view.basis.queue_s)
    came, stays = (
        _judged(evaluate(one, before), view, {}, before, view.basis.loads).cost for one in (plan, view.current)
    )
    return came >= stays


def _why_held(
    view: View, problem: Problem, plan: Plan, gain: float, cost: float, settings: PolicySettings
) -> str | None:
    """Why a move to `plan` for which only other streams speak is put off; None when it is this stream's turn."""
    assert view.current is not None
    factor = gain_factor(view.sharing)
    least = factor * settings.min_gain_ratio * cost
    if gain <= least:
        return f"moves for the load of nodes have not lasted, so {factor:.0f} times the usual gain is wanted"
    gain_s = gain - least if is_charged(view) else 0.0
    share = moving_ratio(view.shared, problem, view.current, plan, gain_s)
    if is_due(view.sharing, share, f"{view.origin} {view.generation}", view.now_s):
        return None
    return f"nodes are shared, and of their streams {100.0 * share:.2g} % may move at once"


def is_charged(view: View) -> bool:
    """Whether seconds are what counts, so that those of others count too."""
    return bool(view.loads) and view.objective is Objective.LATENCY


def charged(problem: Problem, view: View, plan: Plan | None = None, others: Loads | None = None) -> Problem:
    """`problem` with what `plan` waits on shared nodes, and lets others wait. others: their loads, if not as now."""
    return view.shared.charged(problem, plan, others) if is_charged(view) else problem


def _dealt(
    best: Alternative, view: View, problem: Problem, settings: PolicySettings, surprises: Surprises, planner: Planner
) -> Alternative:
    """The best plan for the hand of a lost node's streams that this one is in, once the hands before it are placed."""
    loads, lost = view.shared.others(problem), view.orphaned
    for _ in range(dealt_at(f"{view.origin} {view.generation}")):
        if lost is None or best.plan is None:
            break
        loads = with_hand(loads, lost, best.plan)
        placed = replace(view, loads=loads, current=None)
        best = _best_candidate(placed, placed.shared.waiting(problem), settings, surprises, planner) or best
    return best


def _leave(
    view: View,
    problem: Problem,
    best: Alternative,
    current: Alternative,
    concerned: tuple[Breakdown, Breakdown],
    settings: PolicySettings,
) -> Decision:
    """The current plan misses the deadline or cannot be judged, `best` can; a miss may wait for the cooldown."""
    assert best.plan is not None
    goal = view.objective
    if not isinstance(goal, Within) or current.energy_j is None:
        return Switch(best.plan, f"{view.current} cannot be judged by {goal}; {best.plan} can")
    words = f"{view.current} takes {current.latency_s * 1e3:.0f} ms, more than {goal.slo_s * 1e3:.0f}"
    since_s = view.now_s - view.serving_since_s
    if since_s < settings.cooldown_s and not has_jumped(view, concerned):
        return Keep(f"{words}: the last switch was only {since_s:.2f} s ago")
    return Switch(best.plan, "; ".join([*what_moved(view, *concerned)[:2], f"{words}, {best.plan} does not"]))


def _planned(problem: Problem, settings: PolicySettings, planner: Planner) -> Planned:
    """The best plan; with a deadline, one that leaves headroom if there is one."""
    goal = problem.objective
    if isinstance(goal, Within):
        with suppress(Infeasible):
            return planner.plan(replace(problem, objective=Within(slo_s=goal.slo_s * (1.0 - settings.headroom_ratio))))
    return planner.plan(problem)


def _best_candidate(
    view: View, problem: Problem, settings: PolicySettings, surprises: Surprises, planner: Planner
) -> Alternative | None:
    """The cheapest plan that was not refused lately: the planner's, or one that was measured before."""
    lately = [refused for refused in view.refused if view.now_s - refused.at_s < settings.refused_retry_s]
    failing = {refused.node for refused in lately} - {problem.origin, None}
    refused_plans = {refused.plan for refused in lately} - {view.current}
    trusted = problem.profiles.keys() - failing - view.silent
    if view.is_uplink_silent and view.current is not None:  # home, or stay
        trusted = {problem.origin}
    planned = _planned_over(trusted, charged(problem, view), settings, planner)
    candidates = [one for one in planned if one.plan is not None and one.plan not in refused_plans]
    if not candidates or (surprises and any(one.plan in surprises for one in candidates)):
        # what the planner thinks best was worse in truth: one that it thinks second may be better
        candidates += _known(view, problem, trusted, refused_plans)
    elif len(trusted) < len(problem.profiles) and view.current is not None and _as_run(view, problem) == view.current:
        candidates += _known(view, problem, set(), set(view.watched) - {view.current})
    judged = [_judged(candidate, view, surprises, problem) for candidate in candidates]
    return min(judged, key=lambda candidate: candidate.cost, default=None)


def _as_run(view: View, problem: Problem) -> Plan:
    """The plan that frames take now: the current one, or the origin alone while a node of that is silent."""
    assert view.current is not None
    if view.silent.isdisjoint(view.current.nodes):
        return view.current
    return Plan.local(view.origin, len(problem.cuts))


def _planned_over(
    trusted: Set[NodeId], problem: Problem, settings: PolicySettings, planner: Planner
) -> Sequence[Alternative]:
    """Best plans over the `trusted` nodes; none where these cannot do it, but others could."""
    if len(trusted) == len(problem.profiles):
        return _planned(problem, settings, planner).alternatives
    reduced = {node: profile for node, profile in problem.profiles.items() if node in trusted}
    with suppress(Infeasible):
        return _planned(replace(problem, profiles=reduced), settings, planner).alternatives
    return ()


def _known(view: View, problem: Problem, trusted: Set[NodeId], refused_plans: Set[Plan]) -> Iterator[Alternative]:
    """Plans that have served, and may serve now."""
    for known in dict.fromkeys((*view.watched, view.current)):
        is_trusted = known is not None and (known == view.current or trusted >= set(known.nodes))
        if known is None or not is_trusted or known in refused_plans:
            continue
        evaluated = evaluate_allowed(known, problem)
        if evaluated is not None:
            yield evaluated


def _judged(
    candidate: Alternative, view: View, surprises: Surprises, problem: Problem, others: Loads | None = None
) -> Alternative:
    """`candidate` at what it costs in truth: with its own load on shared nodes, and where its frames were measured.

    others: loads of others, if not as now.
    """
    goal = view.objective
    plan = candidate.plan
    if plan is None or not (goal is Objective.LATENCY or isinstance(goal, Within)):
        return candidate
    if is_charged(view):
        candidate = evaluate(plan, charged(problem, view, plan, others))
    if (ratio := surprises.get(plan, 1.0)) == 1.0:
        return candidate
    if not isinstance(goal, Within):
        return replace(candidate, cost=candidate.cost * ratio)
    took_s = candidate.latency_s * ratio
    return candidate if goal.is_met(took_s) else replace(candidate, cost=math.inf, latency_s=took_s)


def has_surprise(view: View, settings: PolicySettings) -> bool:
    """Whether any plan measured here lately was much slower than predicted."""
    return bool(_surprises(view, settings))


Surprises = Mapping[Plan, float]
"""How much slower than predicted some plans were, beyond what is common to the plans measured here."""


def _surprises(view: View, settings: PolicySettings) -> Surprises:
    """Plans that were slower by more than `surprise_ratio`.

    An error that all plans share (say, of the profile) does not tell them apart, so it takes two to compare.
    """
    recent = _recent_ratios(view, settings) if len(view.watched) > 1 else []
    if len(recent) < 2:
        return {}
    shared_ratio = max(1.0, min([ratio for _, ratio in recent]))
    return {known: ratio / shared_ratio for known, ratio in recent if ratio / shared_ratio > settings.surprise_ratio}


def _recent_ratios(view: View, settings: PolicySettings) -> list[tuple[Plan, float]]:
    """Measured over predicted latency of the plans that were watched lately and long enough."""
    now_s, watch_s, n_least = view.now_s, settings.watch_s, settings.min_watched_frames
    return [
        (known, watched.ratio)
        for known, watched in view.watched.items()
        if now_s - watched.at_s < watch_s and watched.n_frames >= n_least
    ]


def _impossible(view: View, problem: Problem) -> str | None:
    """Why the current plan cannot go on, in words."""
    assert view.current is not None
    if (why := why_infeasible(view.current, problem)) is not None:
        return why
    if view.restarted:
        return f"{', '.join(f'`{node}`' for node in sorted(view.restarted))} has restarted"
    return None
