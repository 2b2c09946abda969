"""A problem as arrays over candidate cuts: what both searches of the planner read.

Sizes depend on the model alone and are remembered per table of cuts; times are cheap products of them. Nothing is
decided here.
"""

from __future__ import annotations

import math
from collections.abc import Hashable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from seamline.core.cost.formulas import active_power_w, answer_link, radio_j_per_byte, waiting_power_w
from seamline.core.cost.payload import offered_codecs, payload_bytes, uncompressed_bytes
from seamline.core.cost.problem import Problem
from seamline.core.cost.profiled import cumulated_s
from seamline.core.planning.constraint_masks import Closing, Window, window_of
from seamline.core.vocabulary.changed import maker
from seamline.core.vocabulary.constraints import Constraints
from seamline.core.vocabulary.nodes import NodeId
from seamline.core.vocabulary.objectives import counts_energy
from seamline.core.vocabulary.plans import Codec, Plan, Segment, Stage
from seamline.core.vocabulary.profiles import Cut, FrameInfo, Profile

Floats = npt.NDArray[np.float64]

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
        """The same as a plan for a model that ends at `last_cut`."""
        return _plan_of(self.order, self.cuts, self.codecs, last_cut)


@lru_cache(maxsize=256)
def _plan_of(order: tuple[NodeId, ...], cuts: tuple[int, ...], codecs: tuple[Codec, ...], last_cut: int) -> Plan:
    """A plan found again is the same object, which need not be checked or taken apart again (`cost.breakdown`)."""
    edges, codec_of = (0, *cuts, last_cut), (*codecs, None)
    return Plan(tuple(Stage(node, Segment(edges[at], edges[at + 1]), codec_of[at]) for at, node in enumerate(order)))


@dataclass(frozen=True, slots=True)
class Sizes:
    """What a model sends: candidate cuts, bytes per codec and cut (inf where not offered), bytes a codec reads.

    index: int[C]. sent_bytes: float64[n_codecs, C] in the order of `Codec`, by the formula. plain_bytes: float64[C].
    carries_input: bool[C].
    """

    index: npt.NDArray[np.int64]
    sent_bytes: Floats
    plain_bytes: Floats
    carries_input: npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class CodecTables:
    """What one profile says of codecs: float64[n_codecs, C] each, in the order of `Codec`."""

    encode_s: Floats
    decode_s: Floats
    sent_ratio: Floats


@dataclass(frozen=True, slots=True)
class NodeTables:
    """One node's times, measured ratio included. encode_s, decode_s: float64[Q, C].

    until_s, before_s: float64[C], computing cut a to b takes ``until_s[b] - before_s[a]``; see `profiled.Cumulated`.
    active_w: watts above idle while busy; `math.nan` when unknown.
    """

    until_s: Floats
    before_s: Floats
    preprocess_s: float
    queue_s: float
    encode_s: Floats
    decode_s: Floats
    active_w: float
    window: Window | None = None

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


@dataclass(frozen=True, slots=True)
class LinkTables:
    """One direction: half a round trip, and float64[Q, C] seconds of serialisation, inf where a cut may not cross.

    radio_w: what the radios at both ends draw beyond idle while it is serialised.
    """

    half_rtt_s: float
    serialise_s: Floats
    radio_w: float = 0.0


@dataclass(frozen=True, slots=True)
class Tables:
    """Everything of one problem. codecs: the Q allowed ones. index: int[C], model's cuts.

    answers: per node, (half round trip, serialisation) of the way back in seconds; absent when there is none.
    answer_radio_j: per node, what the radios draw for the way back.
    idle_w: the origin's as it counts, None without power figures. required: nodes where layers are pinned, the
    origin aside.
    """

    problem: Problem
    codecs: tuple[Codec, ...]
    index: npt.NDArray[np.int64]
    nodes: dict[NodeId, NodeTables]
    links: dict[tuple[NodeId, NodeId], LinkTables]
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
        """Who may follow the last of `order`: reachable, not visited, by name."""
        here = order[-1]
        return [node for node in self.nodes if node not in order and (here, node) in self.links]


def tables_of(problem: Problem) -> Tables:
    """Arrays for `problem`. A node or link that cannot be used at all is left out."""
    sizes = _sizes_of(problem.cuts, problem.frame)
    codecs = tuple(codec for codec in Codec if codec in problem.constraints.codecs)
    nodes = {node: _node_tables(node, codecs, sizes, problem) for node in sorted(problem.profiles)}
    idle_w = waiting_power_w(problem)
    if counts_energy(problem.objective):
        nodes = {node: table for node, table in nodes.items() if not math.isnan(table.active_w)}
        idle_w = idle_w if problem.origin in nodes else None
    may_use, crossing = problem.constraints.may_use, _boundaries_of(problem, sizes, codecs)
    links, answers, answer_radio_j = {}, {}, {}
    for (source, target), link in problem.links.items():
        if link.goodput_bps > 0.0 and source in nodes and target in nodes and may_use(source, target):
            radio_w = radio_j_per_byte(source, target, problem) * link.goodput_bps / 8.0
            links[source, target] = _make_link(
                link.rtt_s / 2 + link.overhead_s, crossing.bits(source, target) / link.goodput_bps, radio_w
            )
    for node in nodes:
        back = answer_link(node, problem)
        if back is not None and back.goodput_bps > 0.0 and may_use(node, problem.origin):
            answers[node] = (back.rtt_s / 2 + back.overhead_s, 8.0 * problem.cuts[-1].payload_bytes / back.goodput_bps)
            answer_radio_j[node] = problem.cuts[-1].payload_bytes * radio_j_per_byte(node, problem.origin, problem)
    required = frozenset(node for _, node in problem.constraints.pins) - {problem.origin}
    return Tables(problem, codecs, sizes.index, nodes, links, answers, answer_radio_j, idle_w, required)


_make_node, _make_link = maker(NodeTables), maker(LinkTables)


def _node_tables(node: NodeId, codecs: tuple[Codec, ...], sizes: Sizes, problem: Problem) -> NodeTables:
    profile = problem.profiles[node]
    profiled = _profiled(profile, codecs, sizes)
    ratio = problem.compute_ratio.get(node, 1.0)
    active_w = active_power_w(node, problem)
    return _make_node(
        until_s=ratio * profiled.until_s,
        before_s=ratio * profiled.before_s,
        preprocess_s=0.0 if profile.frame is None else ratio * profile.frame.preprocess_s,
        queue_s=problem.queue_s.get(node, 0.0),
        encode_s=profiled.encode_s,
        decode_s=profiled.decode_s,
        active_w=math.nan if active_w is None else active_w,
        window=window_of(node, sizes.index, problem),
    )


@dataclass(frozen=True, slots=True)
class _Profiled:
    """What a profile says at the candidates, for some codecs: as `NodeTables` has it of a node as fast as profiled."""

    profile: Profile
    codecs: tuple[Codec, ...]
    sizes: Sizes
    until_s: Floats
    before_s: Floats
    encode_s: Floats
    decode_s: Floats


def _profiled(profile: Profile, codecs: tuple[Codec, ...], sizes: Sizes) -> _Profiled:
    """Remembered per profile object, as many a problem is made of one."""
    known = _known_profiled.get(id(profile))
    if known is not None and known.profile is profile and known.sizes is sizes and known.codecs == codecs:
        return known
    if len(_known_profiled) >= _MAX_REMEMBERED:
        _known_profiled.clear()
    rows, seconds, costs = _rows(codecs), cumulated_s(profile), _codec_tables(profile, sizes)
    until_s, before_s = seconds.until_s[sizes.index], seconds.before_s[sizes.index]
    known = _Profiled(profile, codecs, sizes, until_s, before_s, costs.encode_s[rows], costs.decode_s[rows])
    _known_profiled[id(profile)] = known  # holding the profile keeps its id from being used again
    return known


_known_profiled: dict[int, _Profiled] = {}


@dataclass(frozen=True, slots=True)
class _Boundaries:
    """Bits at every boundary, by the constraints of `closing` and the origin's profile; `closed_off` per kind of link
    as it is first asked for."""

    closing: Closing
    origin: Profile
    sizes: Sizes
    all_bits: Floats
    closed_off: dict[Hashable, Floats]

    def is_for(self, limits: Constraints, origin: Profile, sizes: Sizes) -> bool:
        return self.closing.problem.constraints is limits and self.origin is origin and self.sizes is sizes

    def bits(self, source: NodeId, target: NodeId) -> Floats:
        """float64[Q, C]: what crosses from `source` to `target`, inf where nothing may."""
        alike = self.closing.alike(source, target)
        known = self.closed_off.get(alike)
        if known is None:
            known = self.closed_off[alike] = self.closing.closed_off(source, target, self.all_bits)
        return known


def _boundaries_of(problem: Problem, sizes: Sizes, codecs: tuple[Codec, ...]) -> _Boundaries:
    """Remembered per constraints object, except where frames have shown other sizes than the profile's."""
    limits, origin = problem.constraints, problem.profiles[problem.origin]
    known = None if problem.sent_ratio else _known_boundaries.get(id(limits))
    if known is not None and known.is_for(limits, origin, sizes):
        return known
    bits = 8.0 * _sent_bytes(sizes, problem)[_rows(codecs)]
    bits[:, sizes.index == problem.last_cut] = math.inf  # nothing is sent behind the last cut
    found = _Boundaries(Closing(problem, sizes.index, sizes.carries_input, codecs), origin, sizes, bits, {})
    if not problem.sent_ratio:
        if len(_known_boundaries) >= _MAX_REMEMBERED:
            _known_boundaries.clear()
        _known_boundaries[id(limits)] = found  # holding the constraints keeps their id from being used again
    return found


_known_boundaries: dict[int, _Boundaries] = {}


def _rows(codecs: tuple[Codec, ...]) -> list[int]:
    return [_ROWS[codec] for codec in codecs]


def _sent_bytes(sizes: Sizes, problem: Problem) -> Floats:
    """float64[n_codecs, C], as `payload.sent_bytes` has it for one cut."""
    ratio = _codec_tables(problem.profiles[problem.origin], sizes).sent_ratio
    if problem.sent_ratio:
        ratio = ratio.copy()
        for (cut, codec), measured in problem.sent_ratio.items():
            ratio[_ROWS[codec], sizes.index == cut] = measured
    return np.ceil(sizes.sent_bytes * ratio)


def _codec_tables(profile: Profile, sizes: Sizes) -> CodecTables:
    """Remembered per profile object: it may cost every codec at every cut."""
    key = (id(profile), id(sizes))
    known = _remembered_codecs.get(key)
    if known is not None and known[0] is profile and known[1] is sizes:
        return known[2]
    if len(_remembered_codecs) >= _MAX_REMEMBERED:
        _remembered_codecs.clear()
    shape = (len(Codec), len(sizes.index))
    tables = CodecTables(np.zeros(shape), np.zeros(shape), np.ones(shape))
    for cost in sorted(profile.codecs, key=lambda cost: cost.cut is not None):
        at = slice(None) if cost.cut is None else sizes.index == cost.cut
        row = _ROWS[cost.codec]
        tables.encode_s[row, at] = cost.encode_s_per_byte * sizes.plain_bytes[at]
        tables.decode_s[row, at] = cost.decode_s_per_byte * sizes.plain_bytes[at]
        tables.sent_ratio[row, at] = cost.sent_ratio
    _remembered_codecs[key] = (profile, sizes, tables)
    return tables


_ROWS = {codec: row for row, codec in enumerate(Codec)}
_remembered_codecs: dict[tuple[int, int], tuple[Profile, Sizes, CodecTables]] = {}


def _sizes_of(cuts: tuple[Cut, ...], frame: FrameInfo | None) -> Sizes:
    key = (id(cuts), frame)
    known = _remembered.get(key)
    if known is not None and known[0] is cuts:
        return known[1]
    if len(_remembered) >= _MAX_REMEMBERED:
        _remembered.clear()
    sizes = _measure_sizes(cuts, frame)
    _remembered[key] = (cuts, sizes)  # holding the cuts keeps their id from being used again
    return sizes


_MAX_REMEMBERED = 64
_remembered: dict[tuple[int, FrameInfo | None], tuple[tuple[Cut, ...], Sizes]] = {}


def _measure_sizes(cuts: tuple[Cut, ...], frame: FrameInfo | None) -> Sizes:
    candidates = [cut for cut in cuts if cut.is_candidate or cut.index in (0, len(cuts) - 1)]
    sent_bytes = np.full((len(Codec), len(candidates)), math.inf)
    for at, cut in enumerate(candidates):
        offered = offered_codecs(cut, frame)
        for row, codec in enumerate(Codec):
            if codec in offered:
                sent_bytes[row, at] = payload_bytes(cut, codec, frame)
    return Sizes(
        index=np.array([cut.index for cut in candidates]),
        sent_bytes=sent_bytes,
        plain_bytes=np.array([float(uncompressed_bytes(cut, frame)) for cut in candidates]),
        carries_input=np.array([cut.carries_input for cut in candidates]),
    )
