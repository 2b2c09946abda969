"""A problem as arrays over candidate cuts: what the searches of the planner read.

What depends on model, profiles and constraints alone comes from `model_arrays.py`; times are cheap products of that.
Nothing is decided here.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from seamline.core.cost.formulas import (
    active_power_w,
    answer_link,
    fixed_s,
    radio_j_per_byte,
    serialise_s,
    waiting_power_w,
)
from seamline.core.cost.problem import Problem
from seamline.core.planning.constraint_masks import EntryWindow, entry_window
from seamline.core.planning.model_arrays import BoundaryBytes, Floats, ModelArrays
from seamline.core.vocabulary.links import Link, LinkEstimate
from seamline.core.vocabulary.nodes import NodeId
from seamline.core.vocabulary.objectives import counts_energy
from seamline.core.vocabulary.plans import Codec, Plan, Segment, Stage

OFFLOAD, SPLIT, N_KINDS = 0, 1, 2
"""Rows of the searches: the origin runs no layer; it runs some."""


@dataclass(frozen=True, slots=True)
class Found:
    """A plan in the making: nodes in order, the cut and the codec of every boundary, and its cost."""

    cost: float
    order: tuple[NodeId, ...]
    cuts: tuple[int, ...]
    codecs: tuple[Codec, ...]

    def plan(self, last_cut: int) -> Plan:
        """Plan of these stages, for a model that ends at `last_cut`."""
        edges, codec_of = (0, *self.cuts, last_cut), (*self.codecs, None)
        stages = (Stage(node, Segment(edges[at], edges[at + 1]), codec_of[at]) for at, node in enumerate(self.order))
        return Plan(tuple(stages))


@dataclass(frozen=True, slots=True)
class NodeArrays:
    """One node's times, measured ratio included.

    encode_s, enter_s: float64[Q, C]; entering is decoding and, at cut 0, preprocessing.
    until_s, before_s: float64[C], computing cut a to b takes ``until_s[b] - before_s[a]``; see `Profile.until_s`.
    active_w: watts above idle while busy; `math.nan` when unknown.
    """

    until_s: Floats
    before_s: Floats
    preprocess_s: float
    queue_s: float
    encode_s: Floats
    enter_s: Floats
    active_w: float
    window: EntryWindow | None = None

    def lowest_entry(self, stop: int) -> int:
        """The lowest candidate at which a segment that ends at candidate `stop` may begin, `stop` when none."""
        return 0 if self.window is None else int(self.window.first[stop])

    def best_entry(self, arrive: Floats) -> Floats:
        """float64[K, C]: the least of `arrive` at the cuts before each where a segment that ends there may begin."""
        if self.window is not None:
            return self.window.least(arrive)
        best = np.empty_like(arrive)
        best[:, 0] = math.inf
        np.minimum.accumulate(arrive[:, :-1], axis=1, out=best[:, 1:])
        return best


@dataclass(slots=True)
class LinkArrays:
    """One direction between two nodes, worked out as it is asked for: of many nodes' links a search comes to few."""

    ends: Link
    link: LinkEstimate
    crossing: BoundaryBytes
    problem: Problem
    _serialise_s: Floats | None = None

    @property
    def half_rtt_s(self) -> float:
        """Seconds that do not depend on what is sent."""
        return fixed_s(self.link)

    @property
    def serialise_s(self) -> Floats:
        """float64[Q, C]: seconds of serialisation, inf where a cut may not cross."""
        if self._serialise_s is None:
            self._serialise_s = serialise_s(self.crossing.sent_bytes(*self.ends), self.link)
        return self._serialise_s

    @property
    def radio_w(self) -> float:
        """Watts that the radios at both ends draw beyond idle while it is serialised."""
        return radio_j_per_byte(*self.ends, self.problem) * self.link.goodput_bps / 8.0


@dataclass(frozen=True, slots=True)
class ProblemArrays:
    """Arrays of one problem. codecs: the Q allowed ones. index: int[C], model's cuts.

    answers: per node, (half round trip, serialisation) of the way back in seconds; absent when there is none.
    answer_radio_j: per node, what the radios draw for the way back.
    idle_w: the origin's as it counts, None without power figures. required: nodes where layers are pinned, the
    origin aside.
    """

    problem: Problem
    codecs: tuple[Codec, ...]
    index: npt.NDArray[np.int64]
    nodes: dict[NodeId, NodeArrays]
    links: dict[tuple[NodeId, NodeId], LinkArrays]
    answers: dict[NodeId, tuple[float, float]]
    answer_radio_j: dict[NodeId, float]
    idle_w: float | None
    required: frozenset[NodeId] = frozenset()

    @property
    def origin(self) -> NodeId:
        return self.problem.origin

    @property
    def is_energy(self) -> bool:
        return counts_energy(self.problem.objective)

    def next_nodes(self, order: tuple[NodeId, ...]) -> list[NodeId]:
        """Nodes that may follow the last of `order`: reachable, not visited, by name."""
        here = order[-1]
        return [node for node in self.nodes if node not in order and (here, node) in self.links]


def arrays_of(problem: Problem, model: ModelArrays | None = None) -> ProblemArrays:
    """Arrays for `problem`. A node or link that cannot be used at all is left out.

    model: what is kept from problem to problem, by whoever asks more than once.
    """
    model = ModelArrays() if model is None else model
    sizes = model.sizes(problem)
    codecs = tuple(codec for codec in Codec if codec in problem.constraints.codecs)
    nodes = {node: _node_arrays(node, codecs, model, problem) for node in sorted(problem.profiles)}
    idle_w = waiting_power_w(problem)
    if counts_energy(problem.objective):
        nodes = {node: known for node, known in nodes.items() if not math.isnan(known.active_w)}
        idle_w = idle_w if problem.origin in nodes else None
    may_use, crossing = problem.constraints.may_use, model.boundary_bytes(codecs, problem)
    links = {
        ends: LinkArrays(ends, link, crossing, problem)
        for ends, link in problem.links.items()
        if link.goodput_bps > 0.0 and ends[0] in nodes and ends[1] in nodes and may_use(*ends)
    }
    answers, answer_radio_j = {}, {}
    for node in nodes:
        back = answer_link(node, problem)
        if back is not None and back.goodput_bps > 0.0 and may_use(node, problem.origin):
            answers[node] = fixed_s(back), serialise_s(problem.answer_bytes, back)
            answer_radio_j[node] = problem.answer_bytes * radio_j_per_byte(node, problem.origin, problem)
    required = frozenset(node for _, node in problem.constraints.pins) - {problem.origin}
    return ProblemArrays(problem, codecs, sizes.index, nodes, links, answers, answer_radio_j, idle_w, required)


def _node_arrays(node: NodeId, codecs: tuple[Codec, ...], model: ModelArrays, problem: Problem) -> NodeArrays:
    profile = problem.profiles[node]
    profiled = model.profiled(node, codecs, problem)
    ratio = problem.compute_ratio.get(node, 1.0)
    active_w = active_power_w(node, problem)
    preprocess_s = 0.0 if profile.frame is None else ratio * profile.frame.preprocess_s
    enter_s = profiled.decode_s.copy()
    enter_s[:, 0] += preprocess_s
    return NodeArrays(
        until_s=ratio * profiled.until_s,
        before_s=ratio * profiled.before_s,
        preprocess_s=preprocess_s,
        queue_s=problem.queue_s.get(node, 0.0),
        encode_s=profiled.encode_s,
        enter_s=enter_s,
        active_w=math.nan if active_w is None else active_w,
        window=entry_window(node, len(profiled.until_s), lambda: model.memory_bytes(problem), problem),
    )
