"""Whether to switch now, and why: `decide(view, policy) -> Keep(reason) | Switch(plan, reason)`.

Theory of operation of `Adaptive`. The planner says what would be best if all estimates were true. The current plan is
left for it when the predicted gain is worth a switch (`min_gain_ratio`) and beats what the estimates' uncertainty could
feign, and not during the cooldown after a switch, unless something has moved so far since that waiting makes no sense.
Less gain is enough for a plan that has served a while (`small_gain_ratio`), as long as it is surer: what is 4 % behind
for minutes adds up, and noise seldom feigns it at twice the uncertainty.
A plan that has become impossible (a node gone or restarted, a link down, forbidden) is left at once. A plan that could
not be prepared is not tried again for a while. A plan that took longer than predicted, beyond what all plans here do,
is judged by what it took; so after a bad switch the way back is found by the same comparison.

With a deadline (`goals.Within`) seconds count as frames took them: the deadline shrinks by what all measured plans take
beyond their prediction. A plan that comes has to keep a share of it (`min_gain_ratio`) in hand, the one that serves may
use all. While no plan is in time the quickest is wanted.

The other policies hold one plan as baselines do, and fall back to the origin alone while it is impossible. What moved
is worded in `wording.py`. Nothing here acts or keeps state; a controller calls `decide` whenever the view has changed.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence, Set
from contextlib import suppress
from dataclasses import dataclass, field, replace

from seamline.core.caution import cautious, swinging_nodes
from seamline.core.cost import Breakdown, active_power_w, breakdown, waiting_power_w
from seamline.core.errors import Infeasible, UsageError
from seamline.core.events import View, problem_of
from seamline.core.goals import Goal, Weights, Within, counts_energy
from seamline.core.planner import Alternative, PlanKind, Planned, Problem, evaluate, evaluate_allowed, plan
from seamline.core.refusal import refusal
from seamline.core.values import Link, NodeId, Objective, Plan
from seamline.core.wording import amount, has_jumped, what_moved

__all__ = ["Adaptive", "Fixed", "Local", "Offload", "Static", "Policy", "PolicySettings", "policy_named"]
__all__ += ["Keep", "Switch", "Decision", "decide"]


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicySettings:
    """Thresholds of `Adaptive`.

    min_gain_ratio: least gain worth a switch, of the current cost. uncertainty_factor: standard deviations the gain
    must exceed. small_gain_ratio, small_gain_factor: the same once a plan has served for patience_s.
    compute_std_ratio: how sure compute times are. cooldown_s: between switches. refused_retry_s: until a
    plan or node that failed to prepare is tried again. watch_s: how long a measured plan is remembered;
    min_watched_frames: from how many frames on. surprise_ratio: how much worse than predicted, and than other plans,
    counts. hop_cost_s: what every stage beyond the second must earn besides, see `caution.py`.
    """

    min_gain_ratio: float = 0.05
    uncertainty_factor: float = 1.0
    small_gain_ratio: float = 0.02
    small_gain_factor: float = 2.0
    patience_s: float = 15.0
    compute_std_ratio: float = 0.03
    cooldown_s: float = 0.75
    refused_retry_s: float = 5.0
    watch_s: float = 30.0
    min_watched_frames: int = 8
    surprise_ratio: float = 1.15
    hop_cost_s: float = 0.003


@dataclass(frozen=True, slots=True)
class Adaptive:
    """Always the best plan, with hysteresis."""

    settings: PolicySettings = field(default_factory=PolicySettings)


@dataclass(frozen=True, slots=True)
class Local:
    """Everything on the origin."""


@dataclass(frozen=True, slots=True)
class Offload:
    """The best plan that sends the frame itself, chosen once."""


@dataclass(frozen=True, slots=True)
class Static:
    """The plan that was best at the start, chosen once."""


@dataclass(frozen=True, slots=True)
class Fixed:
    """A plan given by hand."""

    plan: Plan


Policy = Adaptive | Local | Offload | Static | Fixed


@dataclass(frozen=True, slots=True)
class Keep:
    """Go on as it is. gain_ratio: what the best plan would save, of the current cost; None where that was no matter."""

    reason: str
    gain_ratio: float | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class Switch:
    """Prepare `plan` and route to it, even when it is the current one (its nodes have lost it)."""

    plan: Plan
    reason: str


Decision = Keep | Switch


def policy_named(name: str) -> Policy:
    """``adaptive``, ``local``, ``offload``, ``static``, or a plan. Raises `UsageError` (`PlanError` for a bad plan)."""
    named: dict[str, Policy] = {"adaptive": Adaptive(), "local": Local(), "offload": Offload(), "static": Static()}
    if name in named:
        return named[name]
    if "[" in name:
        return Fixed(Plan.parse(name))
    raise UsageError(f"`{name}` is not a policy", hint=f"one of {', '.join(named)}, or a plan")


def decide(view: View, policy: Policy | None = None) -> Decision:
    """What to do now under `policy` (`Adaptive()` by default). The first decision wants profiles and links measured."""
    if policy is None:
        policy = Adaptive()
    problem = problem_of(view)
    if problem is None:
        return Keep(f"`{view.origin}` has no profile yet")
    if view.pending is not None and refusal(view.pending, problem) is None:
        return Keep(f"{view.pending} is being prepared")
    try:
        if isinstance(policy, Adaptive):
            settings = policy.settings
            if swinging_nodes(view):  # against an average, the frames of a moment prove nothing
                settings = replace(settings, surprise_ratio=math.inf)
            problem = _in_predicted_seconds(problem, view, settings)
            return _adapt(view, cautious(problem, view, settings.hop_cost_s), settings)
        return _hold(view, problem, policy)
    except Infeasible as error:
        if isinstance(view.objective, Within) and waiting_power_w(problem) is not None:
            late = _too_late(view.objective, problem, error)
            decision = decide(_judged_by(view, Objective.LATENCY), policy)
            return replace(decision, reason=f"{late}; {decision.reason}")
        return Keep(str(error))


def _judged_by(view: View, goal: Goal) -> View:
    """`view` with another goal, as if it had been the one before."""
    basis = view.basis
    if basis is not None and basis.objective == view.objective:
        basis = replace(basis, objective=goal)
    return replace(view, objective=goal, basis=basis)


def _in_predicted_seconds(problem: Problem, view: View, settings: PolicySettings) -> Problem:
    """`problem` with its deadline shorter by what all measured plans took beyond their prediction."""
    goal = problem.objective
    if not isinstance(goal, Within) or not (recent := _recent_ratios(view, settings)):
        return problem
    shared_ratio = max(1.0, min(ratio for _, ratio in recent))
    return replace(problem, objective=Within(slo_s=goal.slo_s / shared_ratio))


def _real_ratio(goal: Within, problem: Problem) -> float:
    """What frames take, of what is predicted: the factor by which `problem` has the shorter deadline."""
    return goal.slo_s / problem.objective.slo_s if isinstance(problem.objective, Within) else 1.0


def _too_late(goal: Within, problem: Problem, error: Infeasible) -> str:
    """Why nothing is in time, in the seconds that frames take."""
    if (ratio := _real_ratio(goal, problem)) == 1.0:
        return str(error).partition("; hint: ")[0]
    return f"no plan answers within {goal.slo_s * 1e3:g} ms: frames take {ratio:.1f}x what was predicted"


def _adapt(view: View, problem: Problem, settings: PolicySettings) -> Decision:
    surprises = _surprises(view, settings)
    best = _best_candidate(view, problem, settings, surprises)
    if best is None or best.plan is None:
        return Keep("every plan that fits could not be prepared a moment ago")
    if isinstance(view.objective, Within) and math.isinf(best.cost):
        raise Infeasible(f"no plan has answered within {view.objective.slo_s * 1e3:.0f} ms")
    if view.current is None:
        return Switch(best.plan, f"first plan: {best.plan} takes {amount(best.cost, view.objective)}")
    if (why := _impossible(view, problem)) is not None:
        return Switch(best.plan, f"{why}; {best.plan} takes {amount(best.cost, view.objective)}")
    if best.plan == view.current:
        return Keep(f"{view.current} is the best plan, {amount(best.cost, view.objective)}", 0.0)
    return _weigh(view, problem, best, settings, surprises)


def _weigh(view: View, problem: Problem, best: Alternative, settings: PolicySettings, surprises: Surprises) -> Decision:
    """Is `best` enough better than the current plan, and is it time?"""
    assert view.current is not None
    assert best.plan is not None
    current = _judged(evaluate(view.current, problem), problem.objective, surprises)
    concerned = before, after = breakdown(view.current, problem), breakdown(best.plan, problem)
    gain = current.cost - best.cost
    uncertainty = _uncertainty(before, after, problem, settings)
    saves = f"saves {amount(gain, view.objective)} of {amount(current.cost, view.objective)}"
    words = f"{best.plan} {saves}, uncertainty {amount(uncertainty, view.objective)}"
    if math.isinf(current.cost):
        return _leave(view, problem, best, current, concerned, settings)
    since_s = view.now_s - view.serving_since_s
    is_large = gain > max(settings.min_gain_ratio * current.cost, settings.uncertainty_factor * uncertainty)
    is_sure = gain > max(settings.small_gain_ratio * current.cost, settings.small_gain_factor * uncertainty)
    if not is_large and not (is_sure and since_s >= settings.patience_s):
        return Keep(f"{words}: too little", max(0.0, gain / current.cost) if current.cost > 0.0 else None)
    if since_s < settings.cooldown_s and not has_jumped(view, concerned):
        return Keep(f"{words}: the last switch was only {since_s:.2f} s ago")
    surprise = surprises.get(view.current)
    moved = what_moved(view, concerned)
    if surprise is not None:
        took_s = view.watched[view.current].latency_s
        moved = [f"{view.current} took {took_s * 1e3:.0f} ms, {surprise:.1f}x what was predicted", *moved]
    return Switch(best.plan, "; ".join([*moved[:2], words]))


def _leave(
    view: View,
    problem: Problem,
    best: Alternative,
    current: Alternative,
    concerned: Sequence[Breakdown],
    settings: PolicySettings,
) -> Decision:
    """The current plan is too late or cannot be judged, `best` is not; a lateness may wait for the cooldown."""
    assert best.plan is not None
    goal = view.objective
    if not isinstance(goal, Within) or current.energy_j is None:
        return Switch(best.plan, f"{view.current} cannot be judged by {goal}; {best.plan} can")
    takes_s = current.latency_s * _real_ratio(goal, problem)
    words = f"{view.current} takes {takes_s * 1e3:.0f} ms, more than {goal.slo_s * 1e3:.0f}"
    since_s = view.now_s - view.serving_since_s
    if since_s < settings.cooldown_s and not has_jumped(view, concerned):
        return Keep(f"{words}: the last switch was only {since_s:.2f} s ago")
    return Switch(best.plan, "; ".join([*what_moved(view, concerned)[:2], f"{words}, {best.plan} does not"]))


def _planned(problem: Problem, settings: PolicySettings) -> Planned:
    """The best plan; with a deadline, one that keeps some of it in hand if there is one."""
    goal = problem.objective
    if isinstance(goal, Within):
        with suppress(Infeasible):
            return plan(replace(problem, objective=Within(slo_s=goal.slo_s * (1.0 - settings.min_gain_ratio))))
    return plan(problem)


def _best_candidate(view: View, problem: Problem, settings: PolicySettings, surprises: Surprises) -> Alternative | None:
    """The cheapest plan that was not refused lately: the planner's, or one that has proven itself."""
    lately = [refused for refused in view.refused if view.now_s - refused.at_s < settings.refused_retry_s]
    failing = {refused.node for refused in lately} - {problem.origin, None}
    trusted = {node: profile for node, profile in problem.profiles.items() if node not in failing}
    reduced = replace(problem, profiles=trusted)
    refused_plans = {refused.plan for refused in lately} - {view.current}
    found = _planned(reduced, settings).alternatives
    planned = [one for one in found if one.plan is not None and one.plan not in refused_plans]
    candidates = planned
    if not planned or any(one.plan in surprises for one in planned):
        # what the planner thinks best was worse in truth: one that it thinks second may be better
        candidates = [*planned, *_known(view, problem, trusted.keys(), refused_plans)]
    judged = [_judged(candidate, problem.objective, surprises) for candidate in candidates]
    return min(judged, key=lambda candidate: candidate.cost, default=None)


def _known(view: View, problem: Problem, trusted: Set[NodeId], refused_plans: Set[Plan]) -> Iterator[Alternative]:
    """Plans that have served, and may serve now."""
    for known in dict.fromkeys((*view.watched, view.current)):
        is_trusted = known is not None and (known == view.current or trusted >= set(known.nodes))
        if known is None or not is_trusted or known in refused_plans:
            continue
        evaluated = evaluate_allowed(known, problem)
        if evaluated is not None:
            yield evaluated


def _judged(candidate: Alternative, goal: Goal, surprises: Surprises) -> Alternative:
    """`candidate` at what it costs in truth, where its frames were measured."""
    if candidate.plan is None or not (goal is Objective.LATENCY or isinstance(goal, Within)):
        return candidate
    surprise = surprises.get(candidate.plan, 1.0) if surprises else 1.0
    if not isinstance(goal, Within):
        return candidate if surprise == 1.0 else replace(candidate, cost=candidate.cost * surprise)
    took_s = candidate.latency_s * surprise
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
    recent = _recent_ratios(view, settings)
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


def _uncertainty(before: Breakdown, after: Breakdown, problem: Problem, settings: PolicySettings) -> float:
    """One standard deviation of the predicted gain, in units of the objective's cost.

    What both plans share cancels: only the difference of seconds on each link and node is uncertain.
    """
    on_links, on_nodes = _seconds_by_link(before), _seconds_by_node(before)
    for link, seconds in _seconds_by_link(after).items():
        on_links[link] = on_links.get(link, 0.0) - seconds
    for node, seconds in _seconds_by_node(after).items():
        on_nodes[node] = on_nodes.get(node, 0.0) - seconds
    per_s, per_j = _rates(problem.objective)
    waiting = per_s + per_j * (waiting_power_w(problem) or 0.0)  # what a second costs in which nothing computes
    variance = 0.0
    for node, seconds in on_nodes.items():
        busy = waiting + per_j * (active_power_w(node, problem) or 0.0)
        variance += (busy * seconds * settings.compute_std_ratio) ** 2
    for link, seconds in on_links.items():
        known = problem.links.get(link)
        variance += (waiting * seconds * known.goodput_std_ratio) ** 2 if known is not None else 0.0
    if problem.objective is Objective.THROUGHPUT:
        return min(math.sqrt(variance), _bottleneck_std_s(before, problem) + _bottleneck_std_s(after, problem))
    return math.sqrt(variance)


def _rates(goal: Goal) -> tuple[float, float]:
    """What a second and a joule cost by `goal`; of a weighted sum, a second of the slowest part is one of latency."""
    if isinstance(goal, Weights):
        return goal.latency_s + goal.bottleneck_s, goal.energy_j
    return (0.0, 1.0) if counts_energy(goal) else (1.0, 0.0)


def _bottleneck_std_s(costs: Breakdown, problem: Problem) -> float:
    """Only the slowest part of a pipeline matters; a node's is taken as sure."""
    for cost in costs.all_links:
        known = problem.links.get((cost.source, cost.target))
        if cost.serialise_s >= costs.bottleneck_s and known is not None:
            return cost.serialise_s * known.goodput_std_ratio
    return 0.0


def _seconds_by_link(costs: Breakdown) -> dict[Link, float]:
    seconds: dict[Link, float] = {}
    for cost in costs.all_links:
        seconds[cost.source, cost.target] = seconds.get((cost.source, cost.target), 0.0) + cost.serialise_s
    return seconds


def _seconds_by_node(costs: Breakdown) -> dict[NodeId, float]:
    return {stage.node: stage.compute_s for stage in costs.stages}


def _impossible(view: View, problem: Problem) -> str | None:
    """Why the current plan cannot go on, in words."""
    assert view.current is not None
    if (why := refusal(view.current, problem)) is not None:
        return why
    if view.restarted:
        return f"{', '.join(f'`{node}`' for node in sorted(view.restarted))} has restarted"
    return None


def _hold(view: View, problem: Problem, policy: Local | Offload | Static | Fixed) -> Decision:
    """Hold the policy's plan; while it is impossible the origin works alone, or whatever is allowed."""
    wanted, why_not = _wanted(view, problem, policy)
    if wanted is not None:
        why_not = refusal(wanted, problem) or _lately_refused(view, wanted)
    target = wanted
    if wanted is None or why_not is not None:
        local = Plan.local(view.origin, len(problem.cuts))
        target = local if refusal(local, problem) is None else plan(problem).plan
    assert target is not None
    if target == view.current and not view.restarted:
        return Keep(f"{target} is held", 0.0) if why_not is None else Keep(f"{target} stands in: {why_not}")
    if why_not is not None:
        return Switch(target, f"{why_not}; {target} stands in")
    if view.current is None:
        return Switch(target, f"first plan: {target}, held from now on")
    return Switch(target, f"{target} is possible again")


def _wanted(view: View, problem: Problem, policy: Local | Offload | Static | Fixed) -> tuple[Plan | None, str | None]:
    """The plan a policy holds, or why there is none."""
    match policy:
        case Local():
            return Plan.local(view.origin, len(problem.cuts)), None
        case Fixed(given):
            return given, None
        case Static():
            return view.first or plan(problem).plan, None
        case Offload():
            for chosen in (view.first, view.current):  # where another plan stood in first, chosen after that
                if chosen is not None and chosen.is_offload:
                    return chosen, None
            offload = plan(problem).best(PlanKind.OFFLOAD)
            return offload.plan, offload.refusal


def _lately_refused(view: View, wanted: Plan) -> str | None:
    retry_s = PolicySettings().refused_retry_s
    for refused in view.refused:
        if refused.plan == wanted and view.now_s - refused.at_s < retry_s:
            return refused.reason
    return None
