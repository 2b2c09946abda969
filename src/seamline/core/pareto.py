"""All plans that no other plan beats in every respect. Exact; for people who ask once, not for the controller, which
asks `planner.plan`, also for deadlines and weighted sums.

Theory of operation. A label is the beginning of a plan, up to a boundary that has been decoded on the next node, with
what it has cost: seconds so far, the slowest stage or link so far, joules so far, and the seconds that node has already
been busy decoding (they belong to a stage that is not over). Whatever follows adds the same to two labels at the same
cut behind the same set of nodes, so one that is worse in all four goes. The label's node is the last of its set.
Costs of plans are `cost.py`'s business: what is left in the end is evaluated there.

References: label-setting for multi-criteria shortest paths (Martins 1984).
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from seamline.core.cost import (
    active_power_w,
    breakdown,
    offered_codecs,
    prefix_refusal,
    radio_j_per_byte,
    waiting_power_w,
)
from seamline.core.errors import Infeasible
from seamline.core.planner import Alternative, Problem, evaluate
from seamline.core.values import NodeId, Plan, Segment, Stage


def front(problem: Problem) -> tuple[Alternative, ...]:
    """The allowed plans that no other beats, by latency; judged by latency, throughput and, where known, energy.

    Of plans that cost the same in every respect, one is kept. Takes seconds where `planner.plan` takes milliseconds.
    Raises `Infeasible` when no plan is allowed.
    """
    found = [evaluate(candidate, problem) for candidate in _candidates(problem)]
    allowed = [each for each in found if each.refusal is None and math.isfinite(each.latency_s)]
    if not allowed:
        raise Infeasible("no plan is allowed", hint="`seamline plan` without a front says what binds")
    allowed.sort(key=lambda each: (_criteria(each), len(each.plan.stages) if each.plan else 0, str(each.plan)))
    kept: list[Alternative] = []
    for each in allowed:
        if not any(_beats(_criteria(other), _criteria(each)) for other in kept):
            kept.append(each)
    return tuple(kept)


_Costs = tuple[float, float, float, float]


@dataclass(frozen=True, slots=True)
class _Label:
    """stages: all that are over. target: entered at cut `at`. costs: latency, slowest, joules, busy decoding."""

    stages: tuple[Stage, ...]
    target: NodeId
    at: int
    costs: _Costs


def _finished(label: _Label, problem: Problem) -> Plan:
    return Plan((*label.stages, Stage(label.target, Segment(label.at, problem.last_cut))))


def _candidates(problem: Problem) -> list[Plan]:
    """The local plan, and every complete plan that its prefix labels do not rule out."""
    plans = [Plan.local(problem.origin, len(problem.cuts))]
    labels = _first_labels(problem)
    while labels:
        plans += [_finished(label, problem) for label in labels]
        labels = _undominated(longer for label in labels for longer in _extended(label, problem))
    return plans


def _first_labels(problem: Problem) -> list[_Label]:
    stops = [cut.index for cut in problem.cuts[:-1] if cut.is_candidate or cut.index == 0]
    return _undominated(label for stop in stops for label in _handed_over((), problem.origin, 0, stop, problem))


def _extended(label: _Label, problem: Problem) -> list[_Label]:
    stops = [cut.index for cut in problem.cuts[label.at + 1 : -1] if cut.is_candidate]
    return [longer for stop in stops for longer in _handed_over(label.stages, label.target, label.at, stop, problem)]


def _handed_over(
    stages: tuple[Stage, ...],
    node: NodeId,
    start: int,
    stop: int,
    problem: Problem,
) -> list[_Label]:
    """`node` runs from `start` to `stop` and sends the boundary to every next node with every codec."""
    visited = {stage.node for stage in stages} | {node}
    labels = []
    for codec in offered_codecs(problem.cuts[stop], problem.frame):
        over = (*stages, Stage(node, Segment(start, stop), codec))
        for target in sorted(problem.profiles.keys() - visited):
            rest = Stage(target, Segment(stop, problem.last_cut))
            if prefix_refusal((*over, rest), problem) is None:
                labels.append(_Label(over, target, stop, _costs(Plan((*over, rest)), problem)))
    return labels


def _costs(whole: Plan, problem: Problem) -> _Costs:
    """Of a beginning completed by `whole`'s last stage: what that stage alone costs after decoding is left out."""
    spent = breakdown(whole, problem)
    *done, last = spent.stages
    latency_s = math.fsum(stage.queue_s + stage.busy_s for stage in done) + last.decode_s
    latency_s += math.fsum(link.transfer_s for link in spent.links)
    slowest_s = max(*(stage.busy_s for stage in done), *(link.serialise_s for link in spent.links))
    joules = (waiting_power_w(problem) or 0.0) * latency_s
    for node, busy_s in (*((stage.node, stage.busy_s) for stage in done), (last.node, last.decode_s)):
        joules += (active_power_w(node, problem) or 0.0) * busy_s
    joules += math.fsum(
        link.payload_bytes * radio_j_per_byte(link.source, link.target, problem) for link in spent.links
    )
    return latency_s, slowest_s, joules, last.decode_s


def _undominated(labels: Iterable[_Label]) -> list[_Label]:
    """Per cut, next node and set of visited nodes, those that none beats: the same may follow all of a group."""
    groups: dict[object, list[_Label]] = {}
    for label in labels:
        visited = frozenset(stage.node for stage in label.stages)
        groups.setdefault((label.at, label.target, visited), []).append(label)
    return [label for group in groups.values() for label in _unbeaten(group)]


def _unbeaten(group: list[_Label]) -> list[_Label]:
    kept: list[_Label] = []
    for label in sorted(group, key=lambda label: (label.costs, len(label.stages))):
        if not any(_beats(other.costs, label.costs) for other in kept):
            kept.append(label)
    return kept


def _criteria(found: Alternative) -> tuple[float, ...]:
    joules = math.inf if found.energy_j is None else found.energy_j
    return found.latency_s, _bottleneck_s(found), joules


def _bottleneck_s(found: Alternative) -> float:
    return math.inf if found.throughput_fps == 0.0 else 1.0 / found.throughput_fps


def _beats(one: tuple[float, ...], other: tuple[float, ...]) -> bool:
    """No worse in any respect; then `other`, which comes later, is not needed."""
    return all(mine <= theirs for mine, theirs in zip(one, other, strict=True))
