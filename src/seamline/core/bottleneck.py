"""The search for throughput: the least slowest stage or link, a minimax. See `planner.py` for the theory of operation.

A codec lengthens two stages and shortens a link, so a boundary is a pair (codec, cut) here. For a limit on all stages
and links, one pass over an order tells which boundaries can be reached: O(codecs x cuts) with a cumulative minimum. The
limit is halved between a known failure and the best plan seen, then pressed against that plan until nothing is better:
exact up to 1e-9 relative, which is what plans are compared with. An order that cannot beat the best one so far costs a
single pass, and takes all its extensions with it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from seamline.core.tables import OFFLOAD, SPLIT, Floats, Found, Tables
from seamline.core.values import NodeId

_RESOLUTION_RATIO = 1e-9
_N_HALVINGS = 8
_LARGEST = float(np.finfo(np.float64).max)
"""The first limit: everything but what cannot be crossed at all."""

Reached = npt.NDArray[np.bool_]


def search_bottleneck(tables: Tables) -> tuple[Found | None, Found | None]:
    """The offload plan and the split plan with the least bottleneck; None where no finite one exists."""
    if tables.origin not in tables.nodes or not tables.codecs:
        return None, None
    offload = _Search(tables, OFFLOAD) if tables.problem.constraints.allow_offload else None
    return (offload.run() if offload is not None else None), _Search(tables, SPLIT).run()


@dataclass(slots=True)
class _Search:
    """Orders by number of stages, each against the best plan so far. kind: OFFLOAD or SPLIT."""

    tables: Tables
    kind: int
    best: Found | None = None
    origin_s: Floats = field(init=False)
    entering_s: dict[NodeId, Floats] = field(init=False)
    leaving_s: dict[NodeId, Floats] = field(init=False)

    def __post_init__(self) -> None:
        """origin_s: busy time of the origin per boundary it leaves at. Of the others, float64[Q, C] with compute from
        cut 0: entering_s, decoding and preprocessing minus compute before; leaving_s, compute until plus encoding."""
        self.entering_s, self.leaving_s = {}, {}
        for node, table in self.tables.nodes.items():
            entering_s = table.decode_s - table.before_s
            entering_s[:, 0] += table.preprocess_s
            self.entering_s[node] = entering_s
            self.leaving_s[node] = table.encode_s + table.until_s
        self.origin_s = self.leaving_s[self.tables.origin].copy()
        if self.kind == OFFLOAD:
            self.origin_s[:, 1:] = math.inf
        else:
            self.origin_s[:, 1:] += self.tables.nodes[self.tables.origin].preprocess_s
            self.origin_s[:, 0] = math.inf
            window = self.tables.nodes[self.tables.origin].window
            if window is not None:
                self.origin_s[:, window.first > 0] = math.inf

    def run(self) -> Found | None:
        orders: list[tuple[NodeId, ...]] = [(self.tables.origin,)]
        while orders:  # breadth first: on a tie the plan with fewer stages was there before
            longer = [(*order, node) for order in orders for node in self.tables.next_nodes(order)]
            orders = [order for order in longer if self.improve(order)]
        return None if self.best is None else self.lighten(self.best)

    def lighten(self, found: Found) -> Found:
        """The same stages with the quickest codecs that keep the bottleneck: most codecs of a pipeline do not matter to
        it, and then fewer bytes and less work are better."""
        rows = [self.tables.codecs.index(codec) for codec in found.codecs]
        for at, (source, target) in enumerate(pairwise(found.order)):
            cut = int(np.searchsorted(self.tables.index, found.cuts[at]))
            codec_s = (self.leaving_s[source] + self.entering_s[target])[:, cut]
            total_s = codec_s + self.tables.links[source, target].serialise_s[:, cut]
            for row in np.argsort(total_s, kind="stable"):
                lighter = [*rows[:at], int(row), *rows[at + 1 :]]
                if self.bottleneck_s(found, lighter) <= found.cost:
                    rows = lighter
                    break
        return replace(found, codecs=tuple(self.tables.codecs[row] for row in rows))

    def bottleneck_s(self, found: Found, rows: list[int]) -> float:
        """Seconds of the slowest stage or link of `found` with codec `rows` at its boundaries."""
        cuts = [int(cut) for cut in np.searchsorted(self.tables.index, found.cuts)]
        slowest_s = max(self.tables.answers[found.order[-1]][1], float(self.origin_s[rows[0], cuts[0]]))
        for at, (source, target) in enumerate(pairwise(found.order)):
            crossing_s = float(self.tables.links[source, target].serialise_s[rows[at], cuts[at]])
            is_last = at + 1 == len(cuts)
            left_s = (
                self.tables.nodes[target].until_s[-1] if is_last else self.leaving_s[target][rows[at + 1], cuts[at + 1]]
            )
            slowest_s = max(slowest_s, crossing_s, float(self.entering_s[target][rows[at], cuts[at]] + left_s))
        return slowest_s

    def improve(self, order: tuple[NodeId, ...]) -> bool:
        """Look for something better than `best` in `order`; False when no longer order behind it can be better."""
        limit = _LARGEST if self.best is None else _just_below(self.best.cost)
        reached = self.reach(order, limit)
        if reached is None:
            return False
        found = self.finish(order, reached, limit)
        floor, n_halvings_left = 0.0, _N_HALVINGS
        while found is not None:
            self.best = found
            if found.cost == 0.0:
                break
            is_halving = n_halvings_left > 0
            n_halvings_left -= 1
            limit = (floor + found.cost) / 2 if is_halving else _just_below(found.cost)
            better = self.attempt(order, limit)
            if better is None and is_halving:
                floor = limit
            else:
                found = better
        return True

    def attempt(self, order: tuple[NodeId, ...], limit: float) -> Found | None:
        reached = self.reach(order, limit)
        return None if reached is None else self.finish(order, reached, limit)

    def reach(self, order: tuple[NodeId, ...], limit: float) -> list[Reached] | None:
        """bool[Q, C] per boundary of `order`: can it be reached and crossed within `limit`? None when one is empty."""
        reached: list[Reached] = []
        for at, (source, target) in enumerate(pairwise(order)):
            until_s = self.origin_s if at == 0 else self.stage_s(source, reached[-1])
            boundary = np.maximum(until_s, self.tables.links[source, target].serialise_s) <= limit
            if not boundary.any():
                return None
            reached.append(boundary)
        return reached

    def stage_s(self, node: NodeId, entered: Reached) -> Floats:
        """float64[Q, C]: how long `node` is busy, entered at the best reachable earlier cut, left at each boundary."""
        enter_s = np.where(entered, self.entering_s[node], math.inf).min(axis=0)
        busy_s: Floats = self.leaving_s[node] + self.tables.nodes[node].best_entry(enter_s[np.newaxis])
        return busy_s

    def finish(self, order: tuple[NodeId, ...], reached: list[Reached], limit: float) -> Found | None:
        """A plan within `limit` through the reachable boundaries, from the last one back: fastest, then lowest cut."""
        answer = self.tables.answers.get(order[-1])
        if answer is None or not self.tables.required.issubset(order):
            return None
        end = len(self.tables.index) - 1
        slowest_s, stop, leaving_s = answer[1], end, float(self.tables.nodes[order[-1]].until_s[end])
        boundaries: list[tuple[int, int]] = []
        for at in range(len(reached) - 1, -1, -1):
            node = order[at + 1]
            first = self.tables.nodes[node].lowest_entry(stop)
            if first == stop:
                return None
            stage_s = np.where(reached[at], self.entering_s[node], math.inf)[:, first:stop] + leaving_s
            crossing_s = self.tables.links[order[at], node].serialise_s[:, first:stop]
            worst_s = np.maximum(stage_s, crossing_s)
            place, row = divmod(int(np.argmin(worst_s.T)), len(self.tables.codecs))
            slowest_s = max(slowest_s, float(worst_s[row, place]))
            stop = first + place
            boundaries.append((stop, row))
            leaving_s = float(self.leaving_s[order[at]][row, stop])
        stop, row = boundaries[-1]
        slowest_s = max(slowest_s, float(self.origin_s[row, stop]))
        if slowest_s > limit or not math.isfinite(slowest_s):
            return None
        cuts = tuple(int(self.tables.index[cut]) for cut, _ in reversed(boundaries))
        return Found(slowest_s, order, cuts, tuple(self.tables.codecs[row] for _, row in reversed(boundaries)))


def _just_below(cost: float) -> float:
    return min(cost * (1.0 - _RESOLUTION_RATIO), math.nextafter(cost, 0.0))
