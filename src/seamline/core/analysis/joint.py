"""Joint optimum of many streams over shared nodes: what sharing could cost at best, as the oracle of `sharing.py`.

The streams i, each by one of its plans, cost C = sum_i r_i T_i + sum_n C_n seconds a second: T_i is a frame's time when
nobody else is there, C_n what the frames on node n wait for each other (`cost.waiting`). `exact` finds the least C by
branch and bound: what is assigned so far waits at least as long once more are, and the rest takes at least its quickest
plan. `settled` moves one stream after the other to its cheapest plan until none gains, from several starts: for many
streams, the plans that an oracle would hold.

`lower_bound` relaxes it: a stream may split its frames over its plans, and C_n is replaced by a convex function of the
node's work alone that is nowhere above it. By Cauchy and Schwarz (sum r b^2)(sum r) >= (sum r b)^2 = u^2, and
sum (r b)^2 <= w u for the largest work w that one stream brings there; so C_n >= u (u - w)+ F(u). Minimised by the
method of Frank and Wolfe (1956), whose gap makes the value found a bound that needs no convergence.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from seamline.core.adaptation.sharing import busy_by_node
from seamline.core.cost.formulas import latency_s
from seamline.core.cost.loads import NodeLoad, StageLoad
from seamline.core.cost.problem import Problem
from seamline.core.cost.waiting import all_waiting, caused_s, congestion, met_s
from seamline.core.planning.planner import Planner
from seamline.core.vocabulary.errors import Infeasible
from seamline.core.vocabulary.nodes import NodeId
from seamline.core.vocabulary.plans import Plan

Floats = npt.NDArray[np.float64]

N_STEPS = 400
STEP_PROBES = 40


@dataclass(frozen=True, slots=True)
class Option:
    """One way for the frames of a stream. alone_s: of a frame when nobody else is there. busy: its work by shared
    node."""

    plan: Plan
    alone_s: float
    busy: Mapping[NodeId, float]


@dataclass(frozen=True, slots=True)
class Sharer:
    """One of the streams."""

    rate_per_s: float
    options: tuple[Option, ...]


@dataclass(frozen=True, slots=True)
class Joint:
    """A choice for every stream, by number of its option. cost: C, in seconds a second."""

    choice: tuple[int, ...]
    cost: float


@dataclass(slots=True)
class _Loads:
    """Loads of nodes under a choice that is being changed. workers: of nodes with more than one."""

    workers: Mapping[NodeId, int]
    known: dict[NodeId, NodeLoad] = field(default_factory=dict)

    def of(self, node: NodeId) -> NodeLoad:
        return self.known.get(node) or NodeLoad(n_workers=self.workers.get(node, 1))

    def put(self, sharer: Sharer, option: Option) -> None:
        for node, busy_s in option.busy.items():
            self.known[node] = self.of(node).plus(StageLoad(sharer.rate_per_s, busy_s))

    def take(self, sharer: Sharer, option: Option) -> None:
        for node, busy_s in option.busy.items():
            self.known[node] = self.of(node).less(StageLoad(sharer.rate_per_s, busy_s))

    def charge_s(self, sharer: Sharer, option: Option) -> float:
        """Seconds that a frame takes by `option` and lets others wait."""
        own = [(self.of(node), StageLoad(sharer.rate_per_s, busy_s)) for node, busy_s in option.busy.items()]
        return option.alone_s + math.fsum([met_s(load, one) + caused_s(load, one) for load, one in own])


def options_of(problem: Problem) -> tuple[Option, ...]:
    """The best local, offload and split plan of a stream with each other node alone, in which nobody waits."""
    alone = replace(problem, queue_s={})
    planner, plans = Planner(), dict[Plan, None]()
    others = [node for node in alone.profiles if node != alone.origin]
    for nodes in ([], *([node] for node in others)):
        profiles = {node: alone.profiles[node] for node in (alone.origin, *nodes)}
        try:
            found = planner.plan(replace(alone, profiles=profiles))
        except Infeasible:
            continue
        plans.update(dict.fromkeys(one.plan for one in found.alternatives if one.plan is not None))
    return tuple(
        Option(
            plan,
            latency_s(plan, alone),
            {node: busy for node, busy in busy_by_node(plan, alone).items() if node != alone.origin},
        )
        for plan in plans
    )


def cost_of(sharers: Sequence[Sharer], choice: Sequence[int], workers: Mapping[NodeId, int] | None = None) -> float:
    """C of a choice."""
    loads = _Loads(workers or {})
    chosen = [one.options[at] for one, at in zip(sharers, choice, strict=True)]
    for one, option in zip(sharers, chosen, strict=True):
        loads.put(one, option)
    alone = math.fsum([one.rate_per_s * option.alone_s for one, option in zip(sharers, chosen, strict=True)])
    return alone + math.fsum(map(all_waiting, loads.known.values()))


def settled(sharers: Sequence[Sharer], workers: Mapping[NodeId, int] | None = None, *, n_starts: int = 3) -> Joint:
    """The best of the choices at which streams come to rest that move one by one; from the quickest plan of each, and
    from any."""
    best = Joint((), math.inf)
    for start in range(n_starts):
        choice = [
            _mixed(start, number) % len(one.options) if start else _quickest(one) for number, one in enumerate(sharers)
        ]
        rest = _rested(sharers, choice, workers or {})
        cost = cost_of(sharers, rest, workers)
        if cost < best.cost:
            best = Joint(tuple(rest), cost)
    return best


def exact(sharers: Sequence[Sharer], workers: Mapping[NodeId, int] | None = None) -> Joint:
    """The choice of least cost; for few streams."""
    known = workers or {}
    best = settled(sharers, known)
    order = sorted(range(len(sharers)), key=lambda at: -sharers[at].rate_per_s)
    rest = [0.0]
    for at in reversed(order):
        rest.append(rest[-1] + sharers[at].rate_per_s * min(one.alone_s for one in sharers[at].options))
    rest.reverse()
    choice = [0] * len(sharers)

    def extend(depth: int, loads: dict[NodeId, NodeLoad], alone: float) -> None:
        nonlocal best
        waiting = math.fsum(map(all_waiting, loads.values()))
        if alone + waiting + rest[depth] >= best.cost * (1.0 - 1e-12):
            return
        if depth == len(order):
            best = Joint(tuple(choice), alone + waiting)
            return
        at = order[depth]
        for number in sorted(range(len(sharers[at].options)), key=lambda one: sharers[at].options[one].alone_s):
            option, after = sharers[at].options[number], _Loads(known, dict(loads))
            after.put(sharers[at], option)
            choice[at] = number
            extend(depth + 1, after.known, alone + sharers[at].rate_per_s * option.alone_s)

    extend(0, {}, 0.0)
    return best


def lower_bound(sharers: Sequence[Sharer], workers: Mapping[NodeId, int] | None = None) -> float:
    """Seconds a second that no choice goes below."""
    relaxed = _Relaxed(sharers, workers or {})
    shares, bound = relaxed.start(), -math.inf
    for _ in range(N_STEPS):
        value, slope = relaxed.value(shares), relaxed.slope(shares)
        vertex = np.zeros_like(shares)
        vertex[np.arange(len(shares)), np.argmin(slope, axis=1)] = 1.0
        gap = float(np.sum(np.where(np.isfinite(slope), slope, 0.0) * (shares - vertex)))
        bound = max(bound, value - gap)
        if gap <= 1e-4 * abs(value):
            break
        shares = relaxed.step(shares, vertex)
    return bound


class _Relaxed:
    """The relaxed problem as arrays: float64[stream, option] of what is taken alone, [stream, option, node] of work."""

    def __init__(self, sharers: Sequence[Sharer], workers: Mapping[NodeId, int]) -> None:
        nodes = sorted({node for one in sharers for option in one.options for node in option.busy})
        n_options = max(len(one.options) for one in sharers)
        self._alone = np.full((len(sharers), n_options), math.inf)
        self._work = np.zeros((len(sharers), n_options, len(nodes)))
        self._workers = [workers.get(node, 1) for node in nodes]
        index = {node: at for at, node in enumerate(nodes)}
        for row, one in enumerate(sharers):
            for column, option in enumerate(one.options):
                self._alone[row, column] = one.rate_per_s * option.alone_s
                for node, busy_s in option.busy.items():
                    self._work[row, column, index[node]] = one.rate_per_s * busy_s
        self._largest: list[float] = self._work.max(axis=(0, 1)).tolist()
        self._finite = np.where(np.isfinite(self._alone), self._alone, 0.0)

    def start(self) -> Floats:
        """Every stream by its quickest plan."""
        shares = np.zeros(self._alone.shape)
        shares[np.arange(len(shares)), np.argmin(self._alone, axis=1)] = 1.0
        return shares

    def value(self, shares: Floats) -> float:
        return float(np.sum(self._finite * shares)) + self._waiting(self._loads(shares))

    def slope(self, shares: Floats) -> Floats:
        """Derivative by every share; inf where there is no option."""
        prices = np.array([self._price(at, load) for at, load in enumerate(self._loads(shares).tolist())])
        slope: Floats = self._alone + self._work @ prices
        return slope

    def step(
        self,
        shares: Floats,
        vertex: Floats,
    ) -> Floats:
        """The best point between two, by bisection of the derivative."""
        here, there = self._loads(shares), self._loads(vertex)
        alone = float(np.sum(self._finite * (vertex - shares)))
        low, high = 0.0, 1.0
        for _ in range(STEP_PROBES):
            middle = 0.5 * (low + high)
            loads = here + middle * (there - here)
            prices = np.array([self._price(at, load) for at, load in enumerate(loads.tolist())])
            low, high = (middle, high) if alone + float(prices @ (there - here)) < 0.0 else (low, middle)
        return shares + 0.5 * (low + high) * (vertex - shares)

    def _loads(self, shares: Floats) -> Floats:
        loads: Floats = np.einsum("io,ion->n", shares, self._work)
        return loads

    def _waiting(self, loads: Floats) -> float:
        return math.fsum(
            load * max(0.0, load - self._largest[at]) * congestion(load, self._workers[at])
            for at, load in enumerate(loads.tolist())
        )

    def _price(self, at: int, load: float) -> float:
        """Derivative of what is waited on node number `at` by its work, to the right of a kink."""
        largest, n_workers, small = self._largest[at], self._workers[at], 1e-6
        if load < largest:
            return 0.0
        slope = (congestion(load + small, n_workers) - congestion(load, n_workers)) / small
        return (2.0 * load - largest) * congestion(load, n_workers) + load * (load - largest) * slope


def _quickest(one: Sharer) -> int:
    return min(range(len(one.options)), key=lambda at: one.options[at].alone_s)


def _mixed(one: int, other: int) -> int:
    """A number that looks like any, always the same."""
    return zlib.crc32(f"{one} {other}".encode())


def _rested(sharers: Sequence[Sharer], choice: list[int], workers: Mapping[NodeId, int]) -> list[int]:
    """`choice` after moves, one at a time, until none gains more than a rounding error."""
    loads = _Loads(workers)
    for one, at in zip(sharers, choice, strict=True):
        loads.put(one, one.options[at])
    numbers = sorted(range(len(sharers)), key=lambda number: _mixed(0, number))
    has_moved = True
    while has_moved:
        has_moved = False
        for number in numbers:
            one, here = sharers[number], choice[number]
            loads.take(one, one.options[here])
            charges = [loads.charge_s(one, option) for option in one.options]
            best = min(range(len(charges)), key=charges.__getitem__)
            if charges[best] < charges[here] * (1.0 - 1e-9):
                choice[number], has_moved = best, True
            loads.put(one, one.options[choice[number]])
    return choice
