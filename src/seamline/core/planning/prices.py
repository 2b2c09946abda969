"""Priced costs: what stages, crossings and answers cost at rates per second and per joule.

Latency charges 1 per second everywhere. Energy charges a node's busy second with its power above idle, every second in
flight with the origin's idle power, and what radios draw (`formulas.energy_j`); so both, and any sum of them, are one
search with other prices. All searches of the planner take their prices from here.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

from seamline.core.cost.rates import Rates
from seamline.core.planning.model_arrays import Floats
from seamline.core.planning.problem_arrays import ProblemArrays
from seamline.core.vocabulary.nodes import NodeId


@dataclass(slots=True)
class Prices:
    """Prices of one problem. waiting: of a second in flight. busy: by node, of a second of its work.

    until: by node, float64[C], a stage up to each cut, its queue included, less what `before` takes off. before: by
    node, float64[C], what it need not compute of a stage that begins at each cut. way_back: by node, of the answer to
    the origin, inf where there is none.
    """

    arrays: ProblemArrays
    rates: Rates
    waiting: float = field(init=False)
    busy: dict[NodeId, float] = field(init=False)
    until: dict[NodeId, Floats] = field(init=False)
    before: dict[NodeId, Floats] = field(init=False)
    way_back: dict[NodeId, float] = field(init=False)
    _crossings: dict[tuple[NodeId, NodeId], Floats] = field(default_factory=dict)
    _entering: dict[tuple[NodeId, NodeId], Floats] = field(default_factory=dict)

    def __post_init__(self) -> None:
        idle_w, nodes = self.arrays.idle_w, self.arrays.nodes
        self.waiting = self.rates.waiting(idle_w)
        self.busy = {node: self.rates.busy(idle_w, known.active_w) for node, known in nodes.items()}
        self.until = {node: self.busy[node] * known.until_s + self.queue(node) for node, known in nodes.items()}
        self.before = {node: self.busy[node] * known.before_s for node, known in nodes.items()}
        self.way_back = {node: self._way_back(node) for node in nodes}

    def queue(self, node: NodeId) -> float:
        """Cost of waiting on `node` before its stage."""
        return self.waiting * self.arrays.nodes[node].queue_s

    def crossing(self, source: NodeId, target: NodeId) -> Floats:
        """float64[Q, C]: cost of encoding on `source`, sending, decoding on `target`, and preprocessing at cut 0."""
        known = self._crossings.get((source, target))
        if known is None:
            known = self._crossings[source, target] = self._crossing(source, target)
        return known

    def entering(self, source: NodeId, target: NodeId) -> Floats:
        """float64[C]: `crossing` with the best codec at each cut, less what `target` need not compute behind it."""
        known = self._entering.get((source, target))
        if known is None:
            cheapest = self.crossing(source, target).min(axis=0, initial=math.inf)
            known = self._entering[source, target] = cheapest - self.before[target]
        return known

    def _way_back(self, node: NodeId) -> float:
        answer = self.arrays.answers.get(node)
        if answer is None:
            return math.inf
        radio_j = self.arrays.answer_radio_j[node] if self.rates.per_j else 0.0
        return self.waiting * sum(answer) + self.rates.per_j * radio_j

    def _crossing(self, source: NodeId, target: NodeId) -> Floats:
        link, nodes = self.arrays.links[source, target], self.arrays.nodes
        sending = self.waiting + (self.rates.per_j * link.radio_w if self.rates.per_j else 0.0)
        cost = self.busy[source] * nodes[source].encode_s + self.busy[target] * nodes[target].enter_s
        if sending > 0.0:  # endless stays endless without further care
            cost += self.waiting * link.half_rtt_s + sending * link.serialise_s
            return cost
        closed = np.isinf(link.serialise_s)  # 0 W times endless is not a number
        cost += self.waiting * link.half_rtt_s + sending * np.where(closed, 0.0, link.serialise_s)
        cost[closed] = math.inf
        return cost
