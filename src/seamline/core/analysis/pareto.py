"""All plans that no other plan beats in every respect. Exact; for people who ask once, not for the controller, which
asks `planner.plan`, also for deadlines and weighted sums.

Theory of operation. A label is the beginning of a plan, up to a boundary that has been decoded on the next node, with
what it has cost: seconds so far, the slowest stage or link so far, joules so far, and the seconds that node has already
been busy decoding (they belong to a stage that is not over). Whatever follows adds the same to two labels at the same
cut of the same order of nodes, so one that is worse in all four goes. All labels of an order are arrays; costs of plans
are `formulas.py`'s business: what is left in the end, and costs nearly the same there and here, is evaluated there.

References: label-setting for multi-criteria shortest paths (Martins 1984).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from seamline.core.planning.model_arrays import Floats
from seamline.core.planning.planner import Alternative, Problem, evaluate
from seamline.core.planning.problem_arrays import Tables, tables_of
from seamline.core.vocabulary.errors import Infeasible
from seamline.core.vocabulary.nodes import NodeId
from seamline.core.vocabulary.objectives import Objective
from seamline.core.vocabulary.plans import Plan, Segment, Stage

_N_DIGITS = 12
"""Costs that agree in so many digits are the same: sums in another order differ by less."""

Places = npt.NDArray[np.intp]


def front(problem: Problem) -> tuple[Alternative, ...]:
    """The allowed plans that no other beats, by latency; judged by latency, throughput and, where known, energy.

    Of plans that cost the same in every respect, one is kept. Takes a hundred times as long as `planner.plan`.
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


@dataclass(frozen=True, slots=True)
class _Labels:
    """Beginnings of plans of one order of nodes. at: int[L], the candidate at which the last node is entered.

    costs: float64[L, 4], latency, slowest, joules, and how long that node has been busy. cuts, rows: int[L, hops], how.
    """

    at: Places
    costs: Floats
    cuts: Places
    rows: Places

    def only(self, chosen: Places) -> _Labels:
        return _Labels(self.at[chosen], self.costs[chosen], self.cuts[chosen], self.rows[chosen])


def _candidates(problem: Problem) -> list[Plan]:
    """The local plan, and every other that no plan found here beats."""
    tables = tables_of(replace(problem, objective=Objective.LATENCY))
    none = np.zeros((1, 0), dtype=np.intp)
    start = _Labels(np.zeros(1, dtype=np.intp), np.zeros((1, 4)), none, none)
    wholes = list(_wholes((problem.origin,), start, tables)) if tables.codecs else []
    if not wholes:
        return [Plan.local(problem.origin, len(problem.cuts))]
    costs = np.concatenate([labels.costs[:, :3] for _, labels in wholes])
    of_order = np.repeat(np.arange(len(wholes)), [len(labels.at) for _, labels in wholes])
    place = np.concatenate([np.arange(len(labels.at)) for _, labels in wholes])
    n_stages = np.array([len(order) for order, _ in wholes])[of_order]
    plans = [Plan.local(problem.origin, len(problem.cuts))]
    for each in _unbeaten(costs, n_stages):
        order, labels = wholes[of_order[each]]
        plans.append(_plan(order, labels.cuts[place[each]], labels.rows[place[each]], tables))
    return plans


def _wholes(order: tuple[NodeId, ...], labels: _Labels, tables: Tables) -> Iterator[tuple[tuple[NodeId, ...], _Labels]]:
    """Depth first, every order that begins with `order`, with the complete plans that no other of it beats."""
    for node in tables.next_nodes(order):
        longer, behind = (*order, node), _handed_over(labels, order[-1], node, tables)
        if node in tables.answers and tables.required.issubset(longer):
            done = _finished(behind, longer, tables)
            yield longer, done.only(_unbeaten(done.costs[:, :3], np.zeros(len(done.at))))
        if tables.next_nodes(longer):
            yield from _wholes(longer, _undominated(behind), tables)


def _handed_over(labels: _Labels, source: NodeId, target: NodeId, tables: Tables) -> _Labels:
    """Every label, run on `source` up to every later candidate and sent on to `target` with every codec."""
    here, there, link = tables.nodes[source], tables.nodes[target], tables.links[source, target]
    stops = np.arange(len(tables.index) - 1)
    lowest = np.array([here.lowest_entry(int(stop)) for stop in stops])
    is_origin = labels.cuts.shape[1] == 0
    may_run = (stops > labels.at[:, np.newaxis]) & (lowest <= labels.at[:, np.newaxis])
    if is_origin:
        may_run[:, 0] = tables.problem.constraints.allow_offload
    crosses = np.isfinite(link.serialise_s[:, :-1]).T
    which, stop, row = np.nonzero(may_run[:, :, np.newaxis] & crosses)
    runs = stop > 0 if is_origin else np.ones(len(stop), dtype=np.bool_)
    compute_s = (
        here.until_s[stop] + here.preprocess_s if is_origin else here.until_s[stop] - here.before_s[labels.at[which]]
    )
    encode_s, sent_s = here.encode_s[row, stop], link.serialise_s[row, stop]
    own_s = np.where(runs, compute_s, 0.0) + encode_s
    enter_s = there.decode_s[row, stop] + np.where(stop == 0, there.preprocess_s, 0.0)
    passed_s = np.where(runs, here.queue_s, 0.0) + own_s + link.half_rtt_s + sent_s + enter_s
    latency_s, slowest_s, joules, busy_s = labels.costs[which].T
    spent_j = (tables.idle_w or 0.0) * passed_s + link.radio_w * sent_s
    spent_j = spent_j + _active_w(source, tables) * own_s + _active_w(target, tables) * enter_s
    slowest_s = np.maximum(np.maximum(slowest_s, busy_s + own_s), sent_s)
    costs = np.column_stack([latency_s + passed_s, slowest_s, joules + spent_j, enter_s])
    cuts = np.column_stack([labels.cuts[which], stop])
    return _Labels(stop, costs, cuts, np.column_stack([labels.rows[which], row]))


def _finished(labels: _Labels, order: tuple[NodeId, ...], tables: Tables) -> _Labels:
    """Every label, run on the last of `order` to the end and answered, where memory allows."""
    node, end = tables.nodes[order[-1]], len(tables.index) - 1
    labels = labels.only(np.flatnonzero(labels.at >= node.lowest_entry(end)))
    half_rtt_s, sent_s = tables.answers[order[-1]]
    compute_s = node.until_s[end] - node.before_s[labels.at]
    latency_s, slowest_s, joules, busy_s = labels.costs.T
    passed_s = node.queue_s + compute_s + half_rtt_s + sent_s
    joules = joules + (tables.idle_w or 0.0) * passed_s + _active_w(order[-1], tables) * compute_s
    joules = joules + tables.answer_radio_j[order[-1]]
    if tables.idle_w is None or any(math.isnan(tables.nodes[each].active_w) for each in order):
        joules = np.full(len(joules), math.inf)
    slowest_s = np.maximum(np.maximum(slowest_s, busy_s + compute_s), sent_s)
    costs = np.column_stack([latency_s + passed_s, slowest_s, joules, busy_s + compute_s])
    return _Labels(labels.at, costs, labels.cuts, labels.rows)


def _active_w(node: NodeId, tables: Tables) -> float:
    active_w = tables.nodes[node].active_w
    return 0.0 if math.isnan(active_w) else active_w


def _undominated(labels: _Labels) -> _Labels:
    """Those that none at the same cut beats."""
    kept = []
    for at in np.unique(labels.at):
        group = np.flatnonzero(labels.at == at)
        kept.append(group[_unbeaten(labels.costs[group], np.zeros(len(group)))])
    return labels.only(np.concatenate(kept)) if kept else labels


def _unbeaten(costs: Floats, n_stages: npt.NDArray[np.generic]) -> Places:
    """Rows of `costs`, float64[N, K], that no other beats; of equal ones the first with the fewest stages.

    Taken by rising sum, no row can be beaten by a later one, and the first ones beat the most.
    """
    costs = _rounded(costs)
    finite = np.where(np.isfinite(costs), costs, 0.0)
    scale = finite.max(axis=0, initial=0.0)
    total = (costs / np.where(scale > 0.0, scale, 1.0)).sum(axis=1)
    left = np.lexsort((n_stages, *costs.T[::-1], total))
    kept = []
    while len(left):
        first, left = left[0], left[1:]
        kept.append(first)
        left = left[(costs[left] < costs[first]).any(axis=1)]
    return np.array(kept, dtype=np.intp)


def _rounded(costs: Floats) -> Floats:
    """`costs` to `_N_DIGITS` significant digits, which keeps their order."""
    fraction, exponent = np.frexp(costs)
    rounded: Floats = np.ldexp(np.round(fraction, _N_DIGITS), exponent)
    return rounded


def _plan(order: tuple[NodeId, ...], cuts: Places, rows: Places, tables: Tables) -> Plan:
    edges = [0, *(int(tables.index[cut]) for cut in cuts), tables.problem.last_cut]
    codecs = [*(tables.codecs[row] for row in rows), None]
    return Plan(tuple(Stage(node, Segment(edges[at], edges[at + 1]), codecs[at]) for at, node in enumerate(order)))


def _criteria(found: Alternative) -> tuple[float, ...]:
    joules = math.inf if found.energy_j is None else found.energy_j
    return found.latency_s, _bottleneck_s(found), joules


def _bottleneck_s(found: Alternative) -> float:
    return math.inf if found.throughput_fps == 0.0 else 1.0 / found.throughput_fps


def _beats(one: tuple[float, ...], other: tuple[float, ...]) -> bool:
    """No worse in any respect; then `other`, which comes later, is not needed."""
    return all(mine <= theirs for mine, theirs in zip(one, other, strict=True))
