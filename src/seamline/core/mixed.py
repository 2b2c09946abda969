"""The search for goals that mix: the least energy within a deadline, or a weighted sum with the slowest part in it.

Theory of operation. A label is the beginning of a plan, up to a boundary that has been decoded on the next node: the
seconds and joules so far, the slowest stage or link so far, and how long that node has been busy decoding. Orders of
nodes are walked depth first as in `additive.py`, all labels of an order as arrays. Three rules keep them few, and none
loses the best plan:

- what is left costs at least what it would if nodes might be visited again, a small dynamic programme from the end
  (`_Rest`), for the cost and for the seconds alone;
- a deadline is priced: every plan in time costs at least cost + price * (seconds - deadline). The price that makes this
  bound highest comes from a few additive searches, whose plans in time are the first to beat (LARAC, Juttner 2001);
- of two labels at the same cut of the same order, one that is worse in every respect goes.

Exact: equal to `brute_force`. Where neither a deadline binds nor the slowest part counts, one additive search is all.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from seamline.core.additive import Charges, Rates, search_additive
from seamline.core.bottleneck import search_bottleneck
from seamline.core.goals import SLO_TIE_RATIO, Weights, Within
from seamline.core.tables import OFFLOAD, SPLIT, Floats, Found, Tables
from seamline.core.values import NodeId

_TIE_RATIO = 1e-12
_MOST_PRICES = 24
_FEW = 64
"""Labels that are not worth comparing with each other."""

Ints = npt.NDArray[np.int64]


def search_mixed(tables: Tables, goal: Within | Weights) -> tuple[Found | None, Found | None]:
    """The offload plan and the split plan that cost least by `goal`; None where none is in time or can be judged."""
    if tables.origin not in tables.nodes or not tables.codecs:
        return None, None
    if isinstance(goal, Within):
        weights, limit_s = Weights(energy_j=1.0), goal.slo_s * (1.0 + SLO_TIE_RATIO)
    else:
        weights, limit_s = goal, math.inf
    rates = Rates(weights.latency_s, weights.energy_j)
    if weights.bottleneck_s == 0.0 and math.isinf(limit_s):
        return search_additive(tables, rates)
    offload = _search(OFFLOAD, tables, weights, limit_s) if tables.problem.constraints.allow_offload else None
    return offload, _search(SPLIT, tables, weights, limit_s)


def _search(kind: int, tables: Tables, weights: Weights, limit_s: float) -> Found | None:
    """One kind of plan: known ones and a price first, labels only where those leave a gap."""
    rates = Rates(weights.latency_s, weights.energy_j)
    search = _Search(kind, tables, weights, limit_s)
    price = 0.0
    if weights.bottleneck_s:
        for known in (search_additive(tables, rates)[kind], search_bottleneck(tables)[kind]):
            search.consider(known)
    else:
        cheapest, quickest = (search_additive(tables, each)[kind] for each in (rates, Rates()))
        for known in (cheapest, quickest):
            search.consider(known)
        if cheapest is None or quickest is None or search.spent(quickest).seconds > limit_s:
            return None
        if search.spent(cheapest).seconds <= limit_s:
            return search.best
        price = _price(search, cheapest, quickest)
    search.start(price)
    return search.best


def _price(search: _Search, cheapest: Found, quickest: Found) -> float:
    """What a second must cost for the bound to be highest; plans in time that are met on the way are considered."""
    weights, price = search.weights, 0.0
    late, timely = search.spent(cheapest), search.spent(quickest)
    for _ in range(_MOST_PRICES):
        if late.seconds <= timely.seconds:
            break
        price = max(0.0, (timely.sum(weights) - late.sum(weights)) / (late.seconds - timely.seconds))
        found = search_additive(search.tables, Rates(weights.latency_s + price, weights.energy_j))[search.kind]
        if found is None:
            break
        search.consider(found)
        here = search.spent(found)
        known = min(each.sum(weights) + price * each.seconds for each in (late, timely))
        if here.sum(weights) + price * here.seconds >= known * (1.0 - _TIE_RATIO):
            break
        late, timely = (late, here) if here.seconds <= search.limit_s else (here, timely)
    return price


@dataclass(frozen=True, slots=True)
class _Spent:
    """seconds: latency. slowest_s: of the slowest stage or link. All of a whole plan."""

    seconds: float
    joules: float
    slowest_s: float

    def sum(self, weights: Weights) -> float:
        return weights.latency_s * self.seconds + weights.bottleneck_s * self.slowest_s + weights.energy_j * self.joules


@dataclass(frozen=True, slots=True)
class _Labels:
    """int64[L] and float64[L]: at, the candidate where the next node was entered. cuts, rows: int64[L, hops], how."""

    at: Ints
    seconds: Floats
    joules: Floats
    slowest_s: Floats
    busy_s: Floats
    cuts: Ints
    rows: Ints

    def __len__(self) -> int:
        return len(self.at)

    def only(self, keep: npt.NDArray[np.bool_] | Ints) -> _Labels:
        return _Labels(
            self.at[keep], self.seconds[keep], self.joules[keep], self.slowest_s[keep], self.busy_s[keep],
            self.cuts[keep], self.rows[keep],
        )  # fmt: skip


@dataclass(slots=True)
class _Search:
    """Depth-first over orders, with the best plan so far. kind: OFFLOAD or SPLIT. limit_s: the deadline, or endless."""

    kind: int
    tables: Tables
    weights: Weights
    limit_s: float
    best: Found | None = None
    least: float = math.inf
    rests: list[_Rest] = field(default_factory=list)

    @property
    def idle_w(self) -> float:
        return self.tables.idle_w or 0.0

    def active_w(self, node: NodeId) -> float:
        return self.tables.nodes[node].active_w if self.weights.energy_j else 0.0

    # -- known plans ---------------------------------------------------------------------------------------------------

    def consider(self, found: Found | None) -> None:
        """Take `found` as the plan to beat, if it is in time and beats the one so far."""
        if found is None:
            return
        spent = self.spent(found)
        cost = spent.sum(self.weights)
        if spent.seconds <= self.limit_s and cost < self.least:
            self.best, self.least = Found(cost, found.order, found.cuts, found.codecs), cost

    def spent(self, found: Found) -> _Spent:
        """What the whole plan `found` costs."""
        labels = self.empty()
        for at, (source, target) in enumerate(pairwise(found.order)):
            cut = int(np.searchsorted(self.tables.index, found.cuts[at]))
            row = self.tables.codecs.index(found.codecs[at])
            labels = self.hand_over(labels, np.array([0]), np.array([cut]), np.array([row]), (source, target))
        done = self.finish(labels, found.order[-1])
        return _Spent(float(done.seconds[0]), float(done.joules[0]), float(done.slowest_s[0]))

    # -- the walk ------------------------------------------------------------------------------------------------------

    def start(self, price: float) -> None:
        rates = Rates(self.weights.latency_s, self.weights.energy_j)
        self.rests = [_Rest.of(self.tables, rates)]
        if math.isfinite(self.limit_s):
            self.rests += [_Rest.of(self.tables, Rates(rates.per_s + price, rates.per_j))]
            self.rests += [_Rest.of(self.tables, Rates())]
        self.extend((self.tables.origin,), self.empty(), price)

    def extend(self, order: tuple[NodeId, ...], labels: _Labels, price: float) -> None:
        for node in self.tables.next_nodes(order):
            longer = (*order, node)
            handed = self.unbeaten(self.promising(self.all_handed_over(labels, order[-1], node), node, price))
            if len(handed):
                self.remember(longer, handed)
                self.extend(longer, handed, price)

    def empty(self) -> _Labels:
        """The one beginning: at the origin, nothing done."""
        zero, none = np.zeros(1), np.zeros((1, 0), dtype=np.int64)
        return _Labels(np.zeros(1, dtype=np.int64), zero, zero, zero, zero, none, none)

    def all_handed_over(self, labels: _Labels, source: NodeId, target: NodeId) -> _Labels:
        """Every label, run on `source` up to every later candidate and sent on with every codec."""
        n_cuts, n_rows = len(self.tables.index) - 1, len(self.tables.codecs)
        cuts = np.arange(n_cuts)
        lowest = np.array([self.tables.nodes[source].lowest_entry(int(cut)) for cut in cuts])
        if labels.cuts.shape[1] == 0:  # the origin: it runs nothing, or something
            allowed = (cuts == 0 if self.kind == OFFLOAD else (cuts > 0) & (lowest == 0))[None, :]
        else:
            allowed = (cuts[None, :] > labels.at[:, None]) & (lowest[None, :] <= labels.at[:, None])
        crosses = np.isfinite(self.tables.links[source, target].serialise_s[:, :n_cuts])
        which, cut, row = np.nonzero(allowed[:, :, None] & crosses.T[None, :, :n_rows])
        return self.hand_over(labels, which, cut, row, (source, target))

    def hand_over(self, labels: _Labels, which: Ints, cut: Ints, row: Ints, ends: tuple[NodeId, NodeId]) -> _Labels:
        """The labels `which`, run on the source up to candidate `cut`, sent with codec `row` and decoded."""
        source, target = ends
        here, there, link = self.tables.nodes[source], self.tables.nodes[target], self.tables.links[ends]
        computed_s, queue_s = self.computed_s(labels, which, cut, source)
        encode_s, decode_s, sent_s = here.encode_s[row, cut], there.decode_s[row, cut], link.serialise_s[row, cut]
        entering_s = decode_s + np.where(cut == 0, there.preprocess_s, 0.0)
        passed_s = queue_s + computed_s + encode_s + link.half_rtt_s + sent_s + entering_s
        joules = self.idle_w * passed_s + link.radio_w * sent_s
        joules = joules + self.active_w(source) * (computed_s + encode_s) + self.active_w(target) * entering_s
        busy_s = labels.busy_s[which] + computed_s + encode_s
        slowest_s = np.maximum(labels.slowest_s[which], np.maximum(busy_s, sent_s))
        return _Labels(
            cut, labels.seconds[which] + passed_s, labels.joules[which] + joules, slowest_s, entering_s,
            np.column_stack([labels.cuts[which], cut]), np.column_stack([labels.rows[which], row]),
        )  # fmt: skip

    def computed_s(self, labels: _Labels, which: Ints, cut: Ints, node: NodeId) -> tuple[Floats, Floats]:
        """float64[len(which)] twice: seconds of computing up to `cut` and of waiting before; 0 where nothing runs."""
        table = self.tables.nodes[node]
        if labels.cuts.shape[1]:
            return table.until_s[cut] - table.before_s[labels.at[which]], np.full(len(cut), table.queue_s)
        runs = cut > 0
        return np.where(runs, table.until_s[cut] + table.preprocess_s, 0.0), np.where(runs, table.queue_s, 0.0)

    def finish(self, labels: _Labels, node: NodeId) -> _Labels:
        """Every label, run on `node` to the end and answered."""
        last = np.full(len(labels), len(self.tables.index) - 1)
        computed_s, queue_s = self.computed_s(labels, np.arange(len(labels)), last, node)
        half_rtt_s, sent_s = self.tables.answers[node]
        passed_s = queue_s + computed_s + half_rtt_s + sent_s
        joules = self.idle_w * passed_s + self.active_w(node) * computed_s
        joules = joules + (self.tables.answer_radio_j[node] if self.weights.energy_j else 0.0)
        slowest_s = np.maximum(labels.slowest_s, np.maximum(labels.busy_s + computed_s, sent_s))
        return _Labels(
            last, labels.seconds + passed_s, labels.joules + joules, slowest_s, labels.busy_s, labels.cuts, labels.rows
        )

    def promising(self, labels: _Labels, node: NodeId, price: float) -> _Labels:
        """Those whose rest, at its cheapest, could still beat the best plan so far, in time."""
        weights = self.weights
        spent = weights.latency_s * labels.seconds + weights.energy_j * labels.joules
        costs = spent + self.rests[0].least[node][labels.at] + weights.bottleneck_s * labels.slowest_s
        keep = costs < self.least * (1.0 - _TIE_RATIO)
        if math.isfinite(self.limit_s):
            priced = spent + price * (labels.seconds - self.limit_s) + self.rests[1].least[node][labels.at]
            keep &= priced < self.least * (1.0 - _TIE_RATIO)
            keep &= labels.seconds + self.rests[2].least[node][labels.at] <= self.limit_s * (1.0 + _TIE_RATIO)
        return labels.only(keep)

    def unbeaten(self, labels: _Labels) -> _Labels:
        """Without those that another at the same cut beats in every respect."""
        if len(labels) <= _FEW:
            return labels
        weights = self.weights
        spent = weights.latency_s * labels.seconds + weights.energy_j * labels.joules
        criteria = [spent] + ([labels.seconds] if math.isfinite(self.limit_s) else [])
        criteria += [labels.slowest_s, labels.busy_s] if weights.bottleneck_s else []
        columns = np.column_stack(criteria)
        kept: list[int] = []
        left = np.lexsort((spent, labels.at))
        while len(left):
            first, left = left[0], left[1:]
            kept.append(int(first))
            beaten = (columns[left] >= columns[first]).all(axis=1) & (labels.at[left] == labels.at[first])
            left = left[~beaten]
        return labels.only(np.array(kept))

    def remember(self, order: tuple[NodeId, ...], labels: _Labels) -> None:
        """The best end of this order, if it beats the best plan so far."""
        node = order[-1]
        if node not in self.tables.answers or not self.tables.required.issubset(order):
            return
        last = len(self.tables.index) - 1
        labels = labels.only(labels.at >= self.tables.nodes[node].lowest_entry(last))
        done = self.finish(labels, node)
        weights = self.weights
        costs = weights.latency_s * done.seconds + weights.energy_j * done.joules
        costs = np.where(done.seconds <= self.limit_s, costs + weights.bottleneck_s * done.slowest_s, math.inf)
        if len(costs) == 0 or not costs.min() < self.least * (1.0 - _TIE_RATIO):
            return
        best = int(np.argmin(costs))
        cuts = tuple(int(self.tables.index[cut]) for cut in done.cuts[best])
        codecs = tuple(self.tables.codecs[row] for row in done.rows[best])
        self.best, self.least = Found(float(costs[best]), order, cuts, codecs), float(costs[best])


@dataclass(frozen=True, slots=True)
class _Rest:
    """least: per node, float64[C], the least that can follow once it has been entered at a candidate and has decoded.

    Nodes may be visited again and memories hold anything here, so that no plan is cheaper.
    """

    least: dict[NodeId, Floats]

    @staticmethod
    def of(tables: Tables, rates: Rates) -> _Rest:
        charges = Charges(tables, rates)
        ends = {node: _alone(node, charges) for node in tables.nodes}
        crossings = {link: charges.crossing(*link).min(axis=0) for link in tables.links}
        least = ends
        for _ in range(len(tables.nodes) - 2):
            longer = {node: _best_rest(node, charges, crossings, least) for node in tables.nodes}
            least = {node: np.minimum(ends[node], longer[node]) for node in tables.nodes}
        return _Rest(least)


def _alone(node: NodeId, charges: Charges) -> Floats:
    """float64[C]: the cost of running everything that is left on `node`."""
    table, back = charges.tables.nodes[node], charges.way_back(node)
    if back is None:
        return np.full(len(table.until_s), math.inf)
    waited = charges.waiting_weight() * table.queue_s
    alone: Floats = waited + back + charges.busy_weight(node) * (table.until_s[-1] - table.before_s)
    return alone


def _best_rest(
    node: NodeId,
    charges: Charges,
    crossings: dict[tuple[NodeId, NodeId], Floats],
    least: dict[NodeId, Floats],
) -> Floats:
    """float64[C]: the least cost of running up to the best later candidate on `node` and handing over there."""
    table, busy = charges.tables.nodes[node], charges.busy_weight(node)
    handed = np.full(len(table.until_s), math.inf)
    for (source, target), crossing in crossings.items():
        if source == node:
            handed = np.minimum(handed, crossing + least[target])
    later = np.minimum.accumulate((busy * table.until_s + handed)[::-1])[::-1]
    best = np.full(len(handed), math.inf)
    best[:-1] = later[1:] - busy * table.before_s[:-1] + charges.waiting_weight() * table.queue_s
    return best
