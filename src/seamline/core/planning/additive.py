"""Additive objectives: dynamic programming for latency, energy, or a sum of both.

One programme with other prices (`prices.py`) for each; its theory of operation is in `planner.py`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

from seamline.core.cost.rates import Rates
from seamline.core.planning.model_arrays import Floats
from seamline.core.planning.prices import Prices
from seamline.core.planning.problem_arrays import N_KINDS, OFFLOAD, SPLIT, Found, ProblemArrays
from seamline.core.vocabulary.nodes import NodeId

_TIE_RATIO = 1e-12


def search_additive(arrays: ProblemArrays, rates: Rates | None = None) -> tuple[Found | None, Found | None]:
    """The cheapest offload plan and the cheapest split plan; None where no finite one exists.

    rates: energy alone where the goal counts it, latency alone otherwise, when not given.
    """
    if arrays.origin not in arrays.nodes:
        return None, None
    search = _Search(Prices(arrays, rates or (Rates(0.0, 1.0) if arrays.is_energy else Rates())))
    search.extend((arrays.origin,), (), search.origin_leaves())
    return search.found(OFFLOAD), search.found(SPLIT)


@dataclass(slots=True)
class _Best:
    """The cheapest plan of a kind so far. arrivals: by boundary, what `_Search.arrive` gave."""

    cost: float = math.inf
    order: tuple[NodeId, ...] = ()
    arrivals: tuple[Floats, ...] = ()


@dataclass(slots=True)
class _Search:
    """Depth-first search over orders of nodes for the least cost at `prices`.

    Vectors are float64[kind, C], kind being OFFLOAD or SPLIT. may_cost_less: whether a longer stage may be cheaper, on
    a node that draws less while it works.
    """

    prices: Prices
    may_cost_less: bool = field(init=False)
    best: tuple[_Best, _Best] = field(default_factory=lambda: (_Best(), _Best()))

    def __post_init__(self) -> None:
        self.may_cost_less = min(self.prices.busy.values()) < 0.0

    @property
    def arrays(self) -> ProblemArrays:
        return self.prices.arrays

    def origin_leaves(self) -> Floats:
        """float64[kind, C]: cost until the origin has computed up to each cut."""
        arrays, prices = self.arrays, self.prices
        origin = arrays.nodes[arrays.origin]
        leave = np.full((N_KINDS, len(arrays.index)), math.inf)
        if arrays.problem.constraints.allow_offload:
            leave[OFFLOAD, 0] = 0.0
        leave[SPLIT, 1:] = prices.until[arrays.origin][1:] + prices.busy[arrays.origin] * origin.preprocess_s
        if origin.window is not None:
            leave[SPLIT, origin.window.first > 0] = math.inf
        return leave

    def extend(self, order: tuple[NodeId, ...], arrivals: tuple[Floats, ...], leave: Floats) -> None:
        """Try every next node behind `order` and remember the cheapest ends."""
        for node in self.arrays.next_nodes(order):
            longer, arrived = (*order, node), (*arrivals, self.arrive(order[-1], node, leave))
            after = self.behind(node, arrived[-1])
            self.remember(longer, arrived, after[:, -1])
            if self.is_worth_extending(after):
                self.extend(longer, arrived, after)

    def arrive(self, source: NodeId, target: NodeId, leave: Floats) -> Floats:
        """float64[kind, C]: cost until each boundary is decoded on `target`, minus its compute before the cut."""
        arrive: Floats = leave + self.prices.entering(source, target)
        return arrive

    def behind(self, node: NodeId, arrive: Floats) -> Floats:
        """float64[kind, C]: cost until `node`, entered at the best earlier cut, has computed up to each cut."""
        after = self.arrays.nodes[node].best_entry(arrive)
        after[:, 1:] += self.prices.until[node][1:]
        return after

    def remember(self, order: tuple[NodeId, ...], arrivals: tuple[Floats, ...], ends: Floats) -> None:
        back = self.prices.way_back[order[-1]]
        if math.isinf(back) or not self.arrays.required.issubset(order):
            return
        for kind in (OFFLOAD, SPLIT):
            cost, best = float(ends[kind]) + back, self.best[kind]
            is_tie = math.isfinite(cost) and math.isclose(cost, best.cost, rel_tol=_TIE_RATIO)
            wins = (len(order), order) < (len(best.order), best.order) if is_tie else cost < best.cost
            if wins:
                best.cost, best.order, best.arrivals = cost, order, arrivals

    def is_worth_extending(self, after: Floats) -> bool:
        """Whether an end behind this prefix could still be the best of its kind; every further second costs >= 0."""
        cheapest = after[:, :-1].min(axis=1)
        if self.may_cost_less:
            return bool(np.isfinite(cheapest).any())
        return any(cheapest[kind] < self.best[kind].cost for kind in (OFFLOAD, SPLIT))

    def found(self, kind: int) -> Found | None:
        """Cuts and codecs of the best order of `kind`, read off its arrivals from the last boundary back."""
        best = self.best[kind]
        if not best.order:
            return None
        cuts, codecs, stop = [], [], len(self.arrays.index) - 1
        for at in range(len(best.arrivals) - 1, -1, -1):
            first = self.arrays.nodes[best.order[at + 1]].lowest_entry(stop)
            stop = first + int(np.argmin(best.arrivals[at][kind, first:stop]))
            row = int(np.argmin(self.prices.crossing(best.order[at], best.order[at + 1])[:, stop]))
            cuts.append(int(self.arrays.index[stop]))
            codecs.append(self.arrays.codecs[row])
        return Found(best.cost, best.order, tuple(reversed(cuts)), tuple(reversed(codecs)))
