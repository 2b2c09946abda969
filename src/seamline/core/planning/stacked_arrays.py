"""Stacked arrays: a problem as one block over nodes, candidate cuts and codecs, for the label-setting searches.

`problem_arrays.py` has the same by node and by link; here all of them stand in one array, so that bounds for every
node are one operation. What they cost per second and per joule is `prices.py`'s. Nothing is decided here.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import product

import numpy as np
import numpy.typing as npt

from seamline.core.cost.rates import Rates
from seamline.core.planning.model_arrays import Floats
from seamline.core.planning.prices import Prices
from seamline.core.planning.problem_arrays import ProblemArrays
from seamline.core.vocabulary.nodes import NodeId

Places = npt.NDArray[np.intp]


@dataclass(frozen=True, slots=True)
class StackedArrays:
    """N nodes, C candidate cuts, Q codecs; nodes are numbered by their place in `nodes`.

    until_s, before_s: float64[N, C], as in `NodeArrays`. encode_s: float64[N, Q, C]. enter_s: float64[N, Q, C],
    decoding and, at cut 0, preprocessing. serialise_s: float64[N, N, Q, C], inf where a boundary cannot be crossed,
    where another codec dominates it, and to the origin. reach: int[N, C], the last candidate at which a segment that
    begins at each may end. preprocess_s, queue_s: float64[N]. answer_s: float64[N], serialisation of the way back, inf
    where there is none. required: nodes that must take part.
    """

    arrays: ProblemArrays
    nodes: tuple[NodeId, ...]
    origin: int
    until_s: Floats
    before_s: Floats
    encode_s: Floats
    enter_s: Floats
    serialise_s: Floats
    reach: Places
    preprocess_s: Floats
    queue_s: Floats
    answer_s: Floats
    required: frozenset[int]

    @property
    def n_nodes(self) -> int:
        return len(self.nodes)

    @property
    def n_cuts(self) -> int:
        """Candidates, the last cut among them."""
        return len(self.arrays.index)


@dataclass(frozen=True, slots=True)
class PricedCosts:
    """Priced costs of the parts of plans, at some rates.

    crossing: float64[N, N, Q, C], encoding, sending and entering. busy, queue, back: float64[N], for a second of work,
    for waiting before a stage, for the way back of the answer (inf where there is none).
    """

    crossing: Floats
    busy: Floats
    queue: Floats
    back: Floats


def stacked_arrays(arrays: ProblemArrays) -> StackedArrays:
    """`arrays` in one block. The origin must be among its nodes."""
    nodes = tuple(arrays.nodes)
    each = [arrays.nodes[node] for node in nodes]
    encode_s, enter_s = np.array([node.encode_s for node in each]), np.array([node.enter_s for node in each])
    serialise_s = np.full((len(nodes), *encode_s.shape), math.inf)
    for (source, target), link in arrays.links.items():
        if target != arrays.origin:
            serialise_s[nodes.index(source), nodes.index(target)] = link.serialise_s
    if all((arrays.idle_w or 0.0) + (0.0 if math.isnan(node.active_w) else node.active_w) >= 0.0 for node in each):
        _close_dominated(serialise_s, encode_s, enter_s)
    return StackedArrays(
        arrays=arrays,
        nodes=nodes,
        origin=nodes.index(arrays.origin),
        until_s=np.array([node.until_s for node in each]),
        before_s=np.array([node.before_s for node in each]),
        encode_s=encode_s,
        enter_s=enter_s,
        serialise_s=serialise_s,
        reach=_reach(arrays),
        preprocess_s=np.array([node.preprocess_s for node in each]),
        queue_s=np.array([node.queue_s for node in each]),
        answer_s=np.array([arrays.answers[node][1] if node in arrays.answers else math.inf for node in nodes]),
        required=frozenset(nodes.index(node) for node in arrays.required),
    )


def priced_costs(stacked: StackedArrays, rates: Rates) -> PricedCosts:
    prices = Prices(stacked.arrays, rates)
    crossing = np.full(stacked.serialise_s.shape, math.inf)
    for source, target in stacked.arrays.links:
        crossing[stacked.nodes.index(source), stacked.nodes.index(target)] = prices.crossing(source, target)
    crossing[np.isinf(stacked.serialise_s)] = math.inf
    return PricedCosts(
        crossing,
        np.array([prices.busy[node] for node in stacked.nodes]),
        np.array([prices.queue(node) for node in stacked.nodes]),
        np.array([prices.way_back[node] for node in stacked.nodes]),
    )


def interchangeable_before(stacked: StackedArrays, *charges: PricedCosts) -> tuple[int, ...]:
    """Symmetry breaking: per node, those before it that could change places with it at the same cost in every plan.

    A bit each. Such are machines of one kind behind the same links; who visits the earlier one first misses no plan.
    """
    found = []
    for node in range(stacked.n_nodes):
        interchangeable = (other for other in range(node) if _are_interchangeable(stacked, charges, other, node))
        found.append(sum(1 << other for other in interchangeable))
    return tuple(found)


def _are_interchangeable(stacked: StackedArrays, charges: tuple[PricedCosts, ...], one: int, other: int) -> bool:
    if stacked.origin in (one, other) or (one in stacked.required) != (other in stacked.required):
        return False
    own = [stacked.until_s, stacked.before_s, stacked.queue_s, stacked.preprocess_s, stacked.answer_s, stacked.reach]
    own += [array for costs in charges for array in (costs.busy, costs.queue, costs.back)]
    own += [stacked.encode_s, stacked.enter_s]
    if not all(np.array_equal(array[one], array[other]) for array in own):
        return False
    changed = np.arange(stacked.n_nodes)
    changed[[one, other]] = other, one
    links = [stacked.serialise_s, *(costs.crossing for costs in charges)]
    return all(np.array_equal(array[np.ix_(changed, changed)], array) for array in links)


def _close_dominated(serialise_s: Floats, encode_s: Floats, enter_s: Floats) -> None:
    """Leave out codecs that another dominates at the same boundary, where a second less is never worse.

    No slower in encoding, sending and decoding; of equal ones the first stays.
    """
    codecs = range(encode_s.shape[1])
    for row, other in product(codecs, codecs):
        if row == other:
            continue
        sent, encoded, entered = (
            (serialise_s[:, :, row], serialise_s[:, :, other]),
            (encode_s[:, np.newaxis, row], encode_s[:, np.newaxis, other]),
            (enter_s[np.newaxis, :, row], enter_s[np.newaxis, :, other]),
        )
        dominated = np.greater_equal(*sent) & np.greater_equal(*encoded) & np.greater_equal(*entered)
        if row < other:
            dominated &= np.greater(*sent) | np.greater(*encoded) | np.greater(*entered)
        serialise_s[:, :, row][dominated] = math.inf


def _reach(arrays: ProblemArrays) -> Places:
    """int[N, C]: memory is monotone, so what fits ends at a last candidate; the place itself where nothing fits."""
    n_cuts = len(arrays.index)
    reach = np.full((len(arrays.nodes), n_cuts), n_cuts - 1, dtype=np.intp)
    for place, node in enumerate(arrays.nodes.values()):
        if node.window is not None:
            first = np.maximum.accumulate(node.window.first)
            reach[place] = np.searchsorted(first, np.arange(n_cuts), side="right") - 1
    return reach
