"""A problem as one block of arrays over nodes, candidate cuts and codecs: what the search for mixed goals reads.

`problem_arrays.py` has the same by node and by link; here all of them stand in one array, so that bounds for every
node are one operation. What they cost per second and per joule is `prices.py`'s. Nothing is decided here.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from seamline.core.cost.rates import Rates
from seamline.core.planning.model_arrays import Floats
from seamline.core.planning.prices import Prices
from seamline.core.planning.problem_arrays import Tables
from seamline.core.vocabulary.nodes import NodeId

Places = npt.NDArray[np.intp]


@dataclass(frozen=True, slots=True)
class Lattice:
    """N nodes, C candidate cuts, Q codecs; nodes are numbered by their place in `nodes`.

    until_s, before_s: float64[N, C], as in `NodeTables`. encode_s: float64[N, Q, C]. enter_s: float64[N, Q, C],
    decoding and, at cut 0, preprocessing. serialise_s: float64[N, N, Q, C], inf where a boundary cannot be crossed,
    where another codec beats it, and to the origin. reach: int[N, C], the last candidate at which a segment that begins
    at each may end. preprocess_s, queue_s: float64[N]. answer_s: float64[N], serialisation of the way back, inf where
    there is none. required: nodes that must take part.
    """

    tables: Tables
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
        return len(self.tables.index)


@dataclass(frozen=True, slots=True)
class Charged:
    """What parts of a plan cost at some rates.

    crossing: float64[N, N, Q, C], encoding, sending and entering. busy, queue, back: float64[N], for a second of work,
    for waiting before a stage, for the way back of the answer (inf where there is none).
    """

    crossing: Floats
    busy: Floats
    queue: Floats
    back: Floats


def lattice_of(tables: Tables) -> Lattice:
    """`tables` in one block. The origin must be among its nodes."""
    nodes = tuple(tables.nodes)
    each = [tables.nodes[node] for node in nodes]
    encode_s, enter_s = np.array([node.encode_s for node in each]), np.array([node.decode_s for node in each])
    preprocess_s = np.array([node.preprocess_s for node in each])
    enter_s[:, :, 0] += preprocess_s[:, np.newaxis]
    serialise_s = np.full((len(nodes), *encode_s.shape), math.inf)
    for (source, target), link in tables.links.items():
        if target != tables.origin:
            serialise_s[nodes.index(source), nodes.index(target)] = link.serialise_s
    if all((tables.idle_w or 0.0) + (0.0 if math.isnan(node.active_w) else node.active_w) >= 0.0 for node in each):
        _close_beaten(serialise_s, encode_s, enter_s)
    return Lattice(
        tables=tables,
        nodes=nodes,
        origin=nodes.index(tables.origin),
        until_s=np.array([node.until_s for node in each]),
        before_s=np.array([node.before_s for node in each]),
        encode_s=encode_s,
        enter_s=enter_s,
        serialise_s=serialise_s,
        reach=_reach(tables),
        preprocess_s=preprocess_s,
        queue_s=np.array([node.queue_s for node in each]),
        answer_s=np.array([tables.answers[node][1] if node in tables.answers else math.inf for node in nodes]),
        required=frozenset(nodes.index(node) for node in tables.required),
    )


def charged(lattice: Lattice, rates: Rates) -> Charged:
    prices = Prices(lattice.tables, rates)
    crossing = np.full(lattice.serialise_s.shape, math.inf)
    for source, target in lattice.tables.links:
        crossing[lattice.nodes.index(source), lattice.nodes.index(target)] = prices.crossing(source, target)
    crossing[np.isinf(lattice.serialise_s)] = math.inf
    return Charged(
        crossing,
        np.array([prices.busy[node] for node in lattice.nodes]),
        np.array([prices.queue(node) for node in lattice.nodes]),
        np.array([prices.way_back(node) for node in lattice.nodes]),
    )


def earlier_twins(lattice: Lattice, *charges: Charged) -> tuple[int, ...]:
    """Per node, the nodes before it that could change places with it in every plan and nothing would cost otherwise.

    A bit each. Such are machines of one kind behind the same links; who visits the earlier one first misses no plan.
    """
    found = []
    for node in range(lattice.n_nodes):
        twins = (other for other in range(node) if _are_twins(lattice, charges, other, node))
        found.append(sum(1 << other for other in twins))
    return tuple(found)


def _are_twins(lattice: Lattice, charges: tuple[Charged, ...], one: int, other: int) -> bool:
    if lattice.origin in (one, other) or (one in lattice.required) != (other in lattice.required):
        return False
    own = [lattice.until_s, lattice.before_s, lattice.queue_s, lattice.preprocess_s, lattice.answer_s, lattice.reach]
    own += [array for costs in charges for array in (costs.busy, costs.queue, costs.back)]
    own += [lattice.encode_s, lattice.enter_s]
    if not all(np.array_equal(array[one], array[other]) for array in own):
        return False
    changed = np.arange(lattice.n_nodes)
    changed[[one, other]] = other, one
    links = [lattice.serialise_s, *(costs.crossing for costs in charges)]
    return all(np.array_equal(array[np.ix_(changed, changed)], array) for array in links)


def _close_beaten(serialise_s: Floats, encode_s: Floats, enter_s: Floats) -> None:
    """Leave out codecs that another beats at the same boundary, where a second less is never worse.

    No slower in encoding, sending and decoding; of equal ones the first stays.
    """
    n_codecs = encode_s.shape[1]
    for row in range(n_codecs):
        for other in range(n_codecs):
            pairs = (
                (serialise_s[:, :, row], serialise_s[:, :, other]),
                (encode_s[:, np.newaxis, row], encode_s[:, np.newaxis, other]),
                (enter_s[np.newaxis, :, row], enter_s[np.newaxis, :, other]),
            )
            beaten = np.logical_and.reduce([np.broadcast_to(a >= b, serialise_s[:, :, row].shape) for a, b in pairs])
            if row < other:
                differs = [np.broadcast_to(a > b, serialise_s[:, :, row].shape) for a, b in pairs]
                beaten &= np.logical_or.reduce(differs)
            if row != other:
                serialise_s[:, :, row][beaten] = math.inf


def _reach(tables: Tables) -> Places:
    """int[N, C]: memory is monotone, so what fits ends at a last candidate; the place itself where nothing fits."""
    n_cuts = len(tables.index)
    reach = np.full((len(tables.nodes), n_cuts), n_cuts - 1, dtype=np.intp)
    for place, node in enumerate(tables.nodes.values()):
        if node.window is not None:
            first = np.maximum.accumulate(node.window.first)
            reach[place] = np.searchsorted(first, np.arange(n_cuts), side="right") - 1
    return reach
