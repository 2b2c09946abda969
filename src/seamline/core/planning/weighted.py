"""Constrained (SLO) and weighted objectives: least energy within a deadline, or a sum with the slowest part in it.

Theory of operation. Where neither a deadline binds nor the slowest stage or link counts, one additive search is all.
Otherwise known plans are the first to beat, and label-setting searches (`label_setting.py`) look for better ones; what
keeps them short are lower bounds on the cost to go of a partial plan (`cost_to_go.py`):

- a deadline is priced: every plan in time costs at least cost + price * (seconds - deadline). The price that makes this
  bound highest comes from a few additive searches, whose plans in time are known plans (LARAC, Juttner 2001);
- where the slowest part counts, plans are looked at by slices of how long that part takes. In a slice it costs its
  lower end at least, and its upper end closes boundaries and stages. The slice with the lowest bound comes first; one
  that a search cannot see all of is halved, and what it did see gives plans to beat.

Exact up to 1e-9 relative, as plans are compared: equal to `brute_force`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from heapq import heappop, heappush

from seamline.core.cost.formulas import breakdown, energy_of
from seamline.core.cost.rates import Rates
from seamline.core.planning.additive import search_additive
from seamline.core.planning.bottleneck import search_bottleneck
from seamline.core.planning.cost_to_go import CostToGo, cost_to_go, least_cost
from seamline.core.planning.label_setting import Bounds, LabelSearch
from seamline.core.planning.problem_arrays import OFFLOAD, SPLIT, Found, ProblemArrays
from seamline.core.planning.stacked_arrays import priced_costs, stacked_arrays
from seamline.core.vocabulary.objectives import SLO_TIE_RATIO, Weights, Within

_TIE_RATIO = 1e-12
_SLACK_RATIO = 1e-9
_MOST_PRICES = 24
_MOST_PAIRS = 20_000
"""Of the first search: a few milliseconds, and it finds good plans."""
_GROWTH = 3
"""Of that, per halving."""


def search_weighted(arrays: ProblemArrays, goal: Within | Weights) -> tuple[Found | None, Found | None]:
    """The offload plan and the split plan that cost least by `goal`; None where none is in time or can be judged."""
    if arrays.origin not in arrays.nodes or not arrays.codecs or not arrays.required <= set(arrays.nodes):
        return None, None
    if isinstance(goal, Within):
        weights, limit_s = Weights(energy_j=1.0), goal.slo_s * (1.0 + SLO_TIE_RATIO)
    else:
        weights, limit_s = goal, math.inf
    cheapest = search_additive(arrays, Rates(weights.latency_s, weights.energy_j))
    if weights.bottleneck_s == 0.0 and math.isinf(limit_s):
        return cheapest
    other = search_bottleneck(arrays) if weights.bottleneck_s else search_additive(arrays, Rates())
    stacked = stacked_arrays(arrays)
    costs, seconds = priced_costs(stacked, Rates(weights.latency_s, weights.energy_j)), priced_costs(stacked, Rates())
    searches = [LabelSearch(stacked, kind, weights, limit_s, costs, seconds) for kind in (OFFLOAD, SPLIT)]
    offload, split = (
        None if first is None or second is None else _Search(labels).run(first, second)
        for labels, first, second in zip(searches, cheapest, other, strict=True)
    )
    return offload, split


@dataclass(frozen=True, slots=True)
class _Totals:
    """Totals of a complete plan. slowest_s: of the slowest stage or link. joules: inf where not known."""

    seconds: float
    slowest_s: float
    joules: float


@dataclass(order=True, slots=True)
class _Slice:
    """Plans whose slowest part takes low_s to high_s, and cost `least` or more."""

    least: float
    low_s: float
    high_s: float
    n_halvings: int = field(compare=False)
    to_go: CostToGo = field(compare=False)


@dataclass(slots=True)
class _Search:
    """Slices and prices for one kind of plan: that of `labels`, which holds the best so far."""

    labels: LabelSearch

    @property
    def weights(self) -> Weights:
        return self.labels.weights

    @property
    def limit_s(self) -> float:
        return self.labels.limit_s

    def run(self, cheapest: Found, other: Found) -> Found | None:
        """The best plan. cheapest: by cost alone. other: the quickest, or, for `by_slices`, of the least bottleneck."""
        known = self.consider(cheapest), self.consider(other)
        if self.weights.bottleneck_s:
            self.by_slices(other.cost, known[0].slowest_s)
        elif known[1].seconds > self.limit_s:
            return None
        elif known[0].seconds > self.limit_s:
            self.by_price(*known)
        return self.labels.best

    def consider(self, found: Found) -> _Totals:
        """Take `found` as the plan to beat, if it is in time and beats the one so far; what it takes."""
        problem = self.labels.stacked.arrays.problem
        costs = breakdown(found.plan(problem.last_cut), problem)
        joules = energy_of(costs, problem)
        spent = _Totals(costs.latency_s, costs.bottleneck_s, math.inf if joules is None else joules)
        cost = self.cost(spent)
        if spent.seconds <= self.limit_s and cost < self.labels.least:
            self.labels.best, self.labels.least = Found(cost, found.order, found.cuts, found.codecs), cost
        return spent

    def cost(self, spent: _Totals, per_s: float = 0.0) -> float:
        """By the weights, and `per_s` more for a second."""
        joules = self.weights.energy_j * spent.joules if self.weights.energy_j else 0.0
        return (self.weights.latency_s + per_s) * spent.seconds + self.weights.bottleneck_s * spent.slowest_s + joules

    # -- a deadline ----------------------------------------------------------------------------------------------------

    def by_price(self, cheap: _Totals, quick: _Totals) -> None:
        """The least cost in time; `cheap` and `quick` are the cheapest plan and the quickest."""
        stacked, price = self.labels.stacked, self.price(cheap, quick)
        priced = priced_costs(stacked, Rates(self.weights.latency_s + price, self.weights.energy_j))
        bounds = Bounds(
            cost=cost_to_go(stacked, self.labels.costs),
            price=price,
            priced=cost_to_go(stacked, priced),
            seconds=cost_to_go(stacked, self.labels.seconds),
        )
        if not self.labels.run(bounds, _MOST_PAIRS):
            self.labels.run(bounds)

    def price(self, cheap: _Totals, quick: _Totals) -> float:
        """Price of a second that makes the bound highest; plans in time that are met on the way are considered."""
        price = 0.0
        for _ in range(_MOST_PRICES):
            if cheap.seconds <= quick.seconds:
                break
            price = max(0.0, (self.cost(quick) - self.cost(cheap)) / (cheap.seconds - quick.seconds))
            rates = Rates(self.weights.latency_s + price, self.weights.energy_j)
            found = search_additive(self.labels.stacked.arrays, rates)[self.labels.kind]
            if found is None:
                break
            here = self.consider(found)
            known = min(self.cost(each, price) for each in (cheap, quick))
            if self.cost(here, price) >= known * (1.0 - _TIE_RATIO):
                break
            cheap, quick = (cheap, here) if here.seconds <= self.limit_s else (here, quick)
        return price

    # -- the slowest part ----------------------------------------------------------------------------------------------

    def by_slices(self, low_s: float, high_s: float) -> None:
        """The least cost of plans whose slowest part takes low_s to high_s; beyond, a known plan is as good."""
        everything = self.slice(low_s, high_s, 0)
        slices = [self.slice(low_s, self.highest(everything), 0)]
        while slices and slices[0].least < self.labels.to_beat:
            first = heappop(slices)
            high_s = self.highest(first)
            bounds = Bounds(cost=first.to_go, low_s=first.low_s, high_s=high_s * (1.0 + _SLACK_RATIO))
            if not self.labels.run(bounds, _MOST_PAIRS * _GROWTH**first.n_halvings):
                middle_s = (first.low_s + high_s) / 2
                heappush(slices, self.slice(middle_s, high_s, first.n_halvings + 1))
                heappush(slices, self.slice(first.low_s, middle_s, first.n_halvings + 1))

    def slice(self, low_s: float, high_s: float, n_halvings: int) -> _Slice:
        stacked, costs = self.labels.stacked, self.labels.costs
        to_go = cost_to_go(stacked, costs, high_s)
        least = least_cost(stacked, costs, to_go, self.labels.kind, high_s) + self.weights.bottleneck_s * low_s
        return _Slice(least, low_s, high_s, n_halvings, to_go)

    def highest(self, one: _Slice) -> float:
        """Most seconds that the slowest part of a plan in `one` may take, for it to cost less than the plan to beat."""
        return min(one.high_s, one.low_s + (self.labels.least - one.least) / self.weights.bottleneck_s)
