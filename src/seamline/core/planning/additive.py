"""The search for objectives that are sums: latency, energy, or both. See `planner.py` for the theory of operation.

Latency charges 1 per second everywhere. Energy charges a node's busy second with its power above idle, every second
until the answer with the origin's idle power, and what radios draw (`cost.energy_j`); so both, and any sum of them, are
one dynamic programme with other weights.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np

from seamline.core.planning.model_arrays import Floats
from seamline.core.planning.problem_arrays import N_KINDS, OFFLOAD, SPLIT, Found, Tables
from seamline.core.vocabulary.nodes import NodeId

_TIE_RATIO = 1e-12


@dataclass(frozen=True, slots=True)
class Rates:
    """What is charged: per second until the answer, and per joule."""

    per_s: float = 1.0
    per_j: float = 0.0


def search_additive(tables: Tables, rates: Rates | None = None) -> tuple[Found | None, Found | None]:
    """The cheapest offload plan and the cheapest split plan; None where no finite one exists.

    rates: energy alone where the goal counts it, latency alone otherwise, when not given.
    """
    if tables.origin not in tables.nodes:
        return None, None
    search = Charges(tables, rates or (Rates(0.0, 1.0) if tables.is_energy else Rates()))
    search.extend((tables.origin,), search.origin_leaves())
    return search.found(OFFLOAD), search.found(SPLIT)


@dataclass(slots=True)
class _Best:
    cost: float = math.inf
    order: tuple[NodeId, ...] = ()


@dataclass(slots=True)
class Charges:
    """What seconds and crossings cost, and the depth-first search over orders that minimises it.

    Vectors are float64[kind, C], kind being OFFLOAD or SPLIT.
    """

    tables: Tables
    rates: Rates
    crossings: dict[tuple[NodeId, NodeId], Floats] = field(default_factory=dict)
    cheapest: dict[tuple[NodeId, NodeId], Floats] = field(default_factory=dict)
    best: tuple[_Best, _Best] = field(default_factory=lambda: (_Best(), _Best()))

    def waiting_weight(self) -> float:
        """Cost of one second in which the frame is under way."""
        return self.rates.per_s + self.rates.per_j * (self.tables.idle_w or 0.0)

    def busy_weight(self, node: NodeId) -> float:
        """Cost of one second in which `node` works on the frame."""
        above_idle = self.rates.per_j * self.tables.nodes[node].active_w if self.rates.per_j else 0.0
        return self.waiting_weight() + above_idle

    def origin_leaves(self) -> Floats:
        """float64[kind, C]: cost until the origin has computed up to each cut."""
        origin = self.tables.nodes[self.tables.origin]
        leave = np.full((N_KINDS, len(self.tables.index)), math.inf)
        if self.tables.problem.constraints.allow_offload:
            leave[OFFLOAD, 0] = 0.0
        busy = self.busy_weight(self.tables.origin)
        waited = self.waiting_weight() * origin.queue_s
        leave[SPLIT, 1:] = waited + busy * (origin.preprocess_s + origin.until_s[1:])
        if origin.window is not None:
            leave[SPLIT, origin.window.first > 0] = math.inf
        return leave

    def extend(self, order: tuple[NodeId, ...], leave: Floats) -> None:
        """Try every next node behind `order` and remember the cheapest ends."""
        for node in self.tables.next_nodes(order):
            longer = (*order, node)
            after = self.behind(node, self.arrive(order[-1], node, leave))
            self.remember(longer, after[:, -1])
            if self.is_worth_extending(after):
                self.extend(longer, after)

    def arrive(self, source: NodeId, target: NodeId, leave: Floats) -> Floats:
        """float64[kind, C]: cost until each boundary is decoded on `target`, minus its compute before the cut."""
        table = self.tables.nodes[target]
        busy = self.busy_weight(target)
        arrive: Floats = leave + (self.cheapest_crossing(source, target) - busy * table.before_s)
        arrive[:, 0] += busy * table.preprocess_s
        return arrive

    def behind(self, node: NodeId, arrive: Floats) -> Floats:
        """float64[kind, C]: cost until `node`, entered at the best earlier cut, has computed up to each cut."""
        table = self.tables.nodes[node]
        after = table.best_entry(arrive)
        after[:, 1:] += self.busy_weight(node) * table.until_s[1:] + self.waiting_weight() * table.queue_s
        return after

    def crossing(self, source: NodeId, target: NodeId) -> Floats:
        """float64[Q, C]: cost of encoding on `source`, sending, and decoding on `target`."""
        known = self.crossings.get((source, target))
        if known is not None:
            return known
        link = self.tables.links[source, target]
        encoding = self.busy_weight(source) * self.tables.nodes[source].encode_s
        codec_cost = encoding + self.busy_weight(target) * self.tables.nodes[target].decode_s
        if not self.rates.per_j and self.waiting_weight() > 0.0:  # endless stays endless without further care
            seconds = link.half_rtt_s + link.serialise_s
            return self._known_crossing(source, target, codec_cost + self.waiting_weight() * seconds)
        closed = np.isinf(link.serialise_s)
        serialise_s = np.where(closed, 0.0, link.serialise_s)  # 0 W times endless is not a number
        cost = codec_cost + self.waiting_weight() * (link.half_rtt_s + serialise_s)
        if self.rates.per_j:
            cost = cost + self.rates.per_j * link.radio_w * serialise_s
        cost[closed] = math.inf
        return self._known_crossing(source, target, cost)

    def _known_crossing(self, source: NodeId, target: NodeId, cost: Floats) -> Floats:
        if len(cost) == 0:
            cost = np.full((1, len(self.tables.index)), math.inf)
        self.crossings[source, target] = cost
        return cost

    def cheapest_crossing(self, source: NodeId, target: NodeId) -> Floats:
        """float64[C]: `crossing` with the best codec at each cut."""
        known = self.cheapest.get((source, target))
        if known is None:
            known = self.cheapest[source, target] = self.crossing(source, target).min(axis=0)
        return known

    def way_back(self, node: NodeId) -> float | None:
        """Cost of the answer's way from `node` to the origin; None where there is none."""
        answer = self.tables.answers.get(node)
        if answer is None:
            return None
        radio_j = self.tables.answer_radio_j[node] if self.rates.per_j else 0.0
        return self.waiting_weight() * sum(answer) + self.rates.per_j * radio_j

    def remember(self, order: tuple[NodeId, ...], ends: Floats) -> None:
        back = self.way_back(order[-1])
        if back is None or not self.tables.required.issubset(order):
            return
        for kind in (OFFLOAD, SPLIT):
            cost, best = float(ends[kind]) + back, self.best[kind]
            is_tie = math.isfinite(cost) and math.isclose(cost, best.cost, rel_tol=_TIE_RATIO)
            wins = (len(order), order) < (len(best.order), best.order) if is_tie else cost < best.cost
            if wins:
                best.cost, best.order = cost, order

    def is_worth_extending(self, after: Floats) -> bool:
        """Whether an end behind this prefix could still be the best of its kind; every further second costs >= 0."""
        cheapest = after[:, :-1].min(axis=1)
        if self.rates.per_j and any(self.busy_weight(node) < 0.0 for node in self.tables.nodes):
            return bool(np.isfinite(cheapest).any())
        return any(cheapest[kind] < self.best[kind].cost for kind in (OFFLOAD, SPLIT))

    def found(self, kind: int) -> Found | None:
        """Walk the best order of `kind` again and read off its cuts and codecs, from the last boundary back."""
        best = self.best[kind]
        if not best.order:
            return None
        leave, arrivals = self.origin_leaves(), []
        for source, target in pairwise(best.order):
            arrivals.append(self.arrive(source, target, leave))
            leave = self.behind(target, arrivals[-1])
        cuts, codecs, stop = [], [], len(self.tables.index) - 1
        for at in range(len(arrivals) - 1, -1, -1):
            first = self.tables.nodes[best.order[at + 1]].lowest_entry(stop)
            stop = first + int(np.argmin(arrivals[at][kind, first:stop]))
            row = int(np.argmin(self.crossing(best.order[at], best.order[at + 1])[:, stop]))
            cuts.append(int(self.tables.index[stop]))
            codecs.append(self.tables.codecs[row])
        return Found(best.cost, best.order, tuple(reversed(cuts)), tuple(reversed(codecs)))
