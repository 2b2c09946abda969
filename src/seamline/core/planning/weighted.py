"""The search for goals that mix: the least energy within a deadline, or a weighted sum with the slowest part in it.

Theory of operation. Where neither a deadline binds nor the slowest stage or link counts, one additive search is all.
Otherwise known plans are the first to beat, and walks over beginnings of plans (`label_setting.py`) look for better
ones; what keeps them short is how much a plan costs at least behind a beginning (`cost_to_go.py`):

- a deadline is priced: every plan in time costs at least cost + price * (seconds - deadline). The price that makes this
  bound highest comes from a few additive searches, whose plans in time are known plans (LARAC, Juttner 2001);
- where the slowest part counts, plans are looked at by slices of how long that part takes. In a slice it costs its
  lower end at least, and its upper end closes boundaries and stages. The slice with the lowest bound comes first; one
  that a walk cannot see all of is halved, and what it did see gives plans to beat.

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
from seamline.core.planning.cost_to_go import Rest, least_of, rest_of
from seamline.core.planning.label_setting import Bounds, Walk
from seamline.core.planning.lattice import charged, lattice_of
from seamline.core.planning.problem_arrays import OFFLOAD, SPLIT, Found, Tables
from seamline.core.vocabulary.objectives import SLO_TIE_RATIO, Weights, Within

_TIE_RATIO = 1e-12
_SLACK_RATIO = 1e-9
_MOST_PRICES = 24
_MOST_PAIRS = 20_000
"""Of the first walk: a few milliseconds, and it finds good plans."""
_GROWTH = 3
"""Of that, per halving."""


def search_mixed(tables: Tables, goal: Within | Weights) -> tuple[Found | None, Found | None]:
    """The offload plan and the split plan that cost least by `goal`; None where none is in time or can be judged."""
    if tables.origin not in tables.nodes or not tables.codecs or not tables.required <= set(tables.nodes):
        return None, None
    if isinstance(goal, Within):
        weights, limit_s = Weights(energy_j=1.0), goal.slo_s * (1.0 + SLO_TIE_RATIO)
    else:
        weights, limit_s = goal, math.inf
    cheapest = search_additive(tables, Rates(weights.latency_s, weights.energy_j))
    if weights.bottleneck_s == 0.0 and math.isinf(limit_s):
        return cheapest
    other = search_bottleneck(tables) if weights.bottleneck_s else search_additive(tables, Rates())
    lattice = lattice_of(tables)
    costs, seconds = charged(lattice, Rates(weights.latency_s, weights.energy_j)), charged(lattice, Rates())
    walks = [Walk(lattice, kind, weights, limit_s, costs, seconds) for kind in (OFFLOAD, SPLIT)]
    offload, split = (
        None if first is None or second is None else _Search(walk).run(first, second)
        for walk, first, second in zip(walks, cheapest, other, strict=True)
    )
    return offload, split


@dataclass(frozen=True, slots=True)
class _Spent:
    """What a whole plan takes. slowest_s: of the slowest stage or link. joules: inf where not known."""

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
    rest: Rest = field(compare=False)


@dataclass(slots=True)
class _Search:
    """One kind of plan: that of `walk`, which holds the best so far."""

    walk: Walk

    @property
    def weights(self) -> Weights:
        return self.walk.weights

    @property
    def limit_s(self) -> float:
        return self.walk.limit_s

    def run(self, cheapest: Found, other: Found) -> Found | None:
        """The best plan. cheapest: by cost alone. other: the quickest, or, for `by_slices`, of the least bottleneck."""
        known = self.consider(cheapest), self.consider(other)
        if self.weights.bottleneck_s:
            self.by_slices(other.cost, known[0].slowest_s)
        elif known[1].seconds > self.limit_s:
            return None
        elif known[0].seconds > self.limit_s:
            self.by_price(*known)
        return self.walk.best

    def consider(self, found: Found) -> _Spent:
        """Take `found` as the plan to beat, if it is in time and beats the one so far; what it takes."""
        problem = self.walk.lattice.tables.problem
        costs = breakdown(found.plan(problem.last_cut), problem)
        joules = energy_of(costs, problem)
        spent = _Spent(costs.latency_s, costs.bottleneck_s, math.inf if joules is None else joules)
        cost = self.cost(spent)
        if spent.seconds <= self.limit_s and cost < self.walk.least:
            self.walk.best, self.walk.least = Found(cost, found.order, found.cuts, found.codecs), cost
        return spent

    def cost(self, spent: _Spent, per_s: float = 0.0) -> float:
        """By the weights, and `per_s` more for a second."""
        joules = self.weights.energy_j * spent.joules if self.weights.energy_j else 0.0
        return (self.weights.latency_s + per_s) * spent.seconds + self.weights.bottleneck_s * spent.slowest_s + joules

    # -- a deadline ----------------------------------------------------------------------------------------------------

    def by_price(self, late: _Spent, timely: _Spent) -> None:
        """The least cost in time; `late` and `timely` are the cheapest plan and the quickest."""
        lattice, price = self.walk.lattice, self.price(late, timely)
        priced = charged(lattice, Rates(self.weights.latency_s + price, self.weights.energy_j))
        bounds = Bounds(
            cost=rest_of(lattice, self.walk.costs),
            price=price,
            late=rest_of(lattice, priced),
            soon=rest_of(lattice, self.walk.seconds),
        )
        if not self.walk.run(bounds, _MOST_PAIRS):
            self.walk.run(bounds)

    def price(self, late: _Spent, timely: _Spent) -> float:
        """What a second must cost for the bound to be highest; plans in time that are met on the way are considered."""
        price = 0.0
        for _ in range(_MOST_PRICES):
            if late.seconds <= timely.seconds:
                break
            price = max(0.0, (self.cost(timely) - self.cost(late)) / (late.seconds - timely.seconds))
            rates = Rates(self.weights.latency_s + price, self.weights.energy_j)
            found = search_additive(self.walk.lattice.tables, rates)[self.walk.kind]
            if found is None:
                break
            here = self.consider(found)
            known = min(self.cost(each, price) for each in (late, timely))
            if self.cost(here, price) >= known * (1.0 - _TIE_RATIO):
                break
            late, timely = (late, here) if here.seconds <= self.limit_s else (here, timely)
        return price

    # -- the slowest part ----------------------------------------------------------------------------------------------

    def by_slices(self, low_s: float, high_s: float) -> None:
        """The least cost of plans whose slowest part takes low_s to high_s; beyond, a known plan is as good."""
        everything = self.slice(low_s, high_s, 0)
        slices = [self.slice(low_s, self.highest(everything), 0)]
        while slices and slices[0].least < self.walk.to_beat:
            first = heappop(slices)
            high_s = self.highest(first)
            bounds = Bounds(cost=first.rest, low_s=first.low_s, high_s=high_s * (1.0 + _SLACK_RATIO))
            if not self.walk.run(bounds, _MOST_PAIRS * _GROWTH**first.n_halvings):
                middle_s = (first.low_s + high_s) / 2
                heappush(slices, self.slice(middle_s, high_s, first.n_halvings + 1))
                heappush(slices, self.slice(first.low_s, middle_s, first.n_halvings + 1))

    def slice(self, low_s: float, high_s: float, n_halvings: int) -> _Slice:
        lattice, costs = self.walk.lattice, self.walk.costs
        rest = rest_of(lattice, costs, high_s)
        least = least_of(lattice, costs, rest, self.walk.kind, high_s) + self.weights.bottleneck_s * low_s
        return _Slice(least, low_s, high_s, n_halvings, rest)

    def highest(self, one: _Slice) -> float:
        """How long the slowest part of a plan in `one` may take, for it to cost less than the plan to beat."""
        return min(one.high_s, one.low_s + (self.walk.least - one.least) / self.weights.bottleneck_s)
