"""The best way to share a model's layers out over two nodes, over *all* downward-closed sets of layers, by minimum cut.

The planner cuts at prefixes of one order of the layers. Where branches run in parallel, one may be worth stopping early
and the other late: a set of layers that no prefix is. Streams cannot run such a set yet; this says what it would bring.
Latency only, two nodes, one after the other, each tensor sent once (DADS, Hu et al. 2019, light workload).

Construction. Every layer is a vertex; on the origin's side of the cut it pays its time there, on the other its time on
the target. A tensor is a vertex behind its maker: the arc to it costs the transfer, arcs from it to its readers cannot
be cut, so it is paid once when any reader is beyond. Arcs from readers back to makers cannot be cut either: nothing
comes back to the origin but the answer, which is charged to the layers that make outputs. The delay of the link is paid
once by every set but the whole one, which is compared in the end.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping, Set
from dataclasses import dataclass, field

from seamline.core.cost.formulas import answer_link, serialise_s
from seamline.core.cost.formulas import transfer_s as transfer_delay_s
from seamline.core.cost.payload import offered_codecs, payload_bytes
from seamline.core.cost.problem import Problem
from seamline.core.graph.cuts import layers_between
from seamline.core.graph.model_graph import ModelGraph
from seamline.core.vocabulary.errors import PlanError
from seamline.core.vocabulary.nodes import NodeId
from seamline.core.vocabulary.plans import LOSSY, Segment
from seamline.core.vocabulary.profiles import Cut, Profile, TensorSpec

_LIGHT_MACS = 1.0
"""Share of a block's time for a layer without multiply-accumulates, so that it is not free."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SharedOut:
    """Layers that stay on the origin (a downward-closed set), and the seconds from frame to answer."""

    on_origin: frozenset[str]
    latency_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerCosts:
    """Costs of sharing out. origin_s, target_s: by layer. transfer_s: by tensor, serialisation and codecs.

    answer_s: by output tensor, for its way back. delay_s: of the round trip, paid once when anything is sent. Tensors
    that cannot be sent have `math.inf`.
    """

    origin_s: Mapping[str, float]
    target_s: Mapping[str, float]
    transfer_s: Mapping[str, float]
    answer_s: Mapping[str, float] = field(default_factory=dict)
    delay_s: float = 0.0


def best_closed_set(graph: ModelGraph, costs: LayerCosts) -> SharedOut:
    """The downward-closed set with the least latency, exactly; the whole model stays where nothing is better."""
    everything = frozenset(layer.name for layer in graph.layers)
    network, vertices = _network(graph, costs)
    reachable = network.source_side()
    kept = frozenset(name for name, vertex in vertices.items() if vertex in reachable)
    candidates = [everything, kept]
    return min((shared_out(graph, costs, names) for names in candidates), key=lambda found: found.latency_s)


def best_prefix(graph: ModelGraph, costs: LayerCosts) -> SharedOut:
    """The best set among prefixes of the order of `graph.layers` alone, as the planner cuts."""
    names = [layer.name for layer in graph.layers]
    prefixes = (frozenset(names[:n]) for n in range(len(names), -1, -1))
    return min((shared_out(graph, costs, prefix) for prefix in prefixes), key=lambda found: found.latency_s)


def shared_out(graph: ModelGraph, costs: LayerCosts, on_origin: Set[str]) -> SharedOut:
    """Latency of keeping `on_origin`; `math.inf` when that is not downward-closed."""
    here = frozenset(on_origin)
    crossing: set[str] = set()
    made_here = set(graph.inputs)
    for layer in graph.layers:
        if layer.name in here:
            made_here.update(layer.outputs)
    total_s = 0.0
    for layer in graph.layers:
        if layer.name in here:
            total_s += costs.origin_s[layer.name]
            if not made_here.issuperset(layer.inputs):
                return SharedOut(on_origin=here, latency_s=math.inf)
        else:
            total_s += costs.target_s[layer.name] + _answer_s(layer.outputs, costs)
            crossing.update(made_here.intersection(layer.inputs))
    if len(here) < len(graph.layers):
        total_s += costs.delay_s
    return SharedOut(on_origin=here, latency_s=total_s + sum(costs.transfer_s.get(t, math.inf) for t in crossing))


def layer_times_s(graph: ModelGraph, profile: Profile) -> dict[str, float]:
    """Seconds of every layer: the blocks of `profile`, shared out by multiply-accumulates. Modelled inside a block."""
    times: dict[str, float] = {}
    for block in profile.blocks:
        inside = layers_between(graph, profile.cuts, Segment(block.from_cut, block.to_cut))
        whole = sum(layer.macs + _LIGHT_MACS for layer in inside)
        for layer in inside:
            times[layer.name] = block.compute_s.median * (layer.macs + _LIGHT_MACS) / whole
    return times


def costs_between(graph: ModelGraph, problem: Problem, target: NodeId) -> LayerCosts:
    """Costs of sharing `graph` out between the origin of `problem` and `target`.

    Each tensor takes the allowed codec with the fewest bytes; encoding, decoding and what a cut adds to computing are
    left out. Tensors of private cuts cannot be sent. Raises `PlanError` when a node has no profile or no link is there.
    """
    there, back = problem.links.get((problem.origin, target)), answer_link(target, problem)
    if target not in problem.profiles or there is None or back is None:
        raise PlanError(f"`{target}` has no profile or no link from `{problem.origin}`", hint="give it both")
    private = {t.name for cut in problem.cuts if not problem.constraints.may_leave(cut, target) for t in cut.tensors}
    transfer_s = {
        spec.name: math.inf if spec.name in private else serialise_s(_fewest_bytes(spec, graph, problem), there)
        for spec in graph.tensors.values()
    }
    ratios = problem.compute_ratio
    times = {
        node: {name: ratios.get(node, 1.0) * s for name, s in layer_times_s(graph, problem.profiles[node]).items()}
        for node in (problem.origin, target)
    }
    return LayerCosts(
        origin_s=times[problem.origin],
        target_s=times[target],
        transfer_s=transfer_s,
        answer_s={spec.name: serialise_s(spec.n_bytes, back) for spec in graph.output_specs},
        delay_s=transfer_delay_s(0, there) + transfer_delay_s(0, back) + problem.queue_s.get(target, 0.0),
    )


def _fewest_bytes(spec: TensorSpec, graph: ModelGraph, problem: Problem) -> int:
    frame = problem.frame if spec.name in graph.inputs else None
    at = 0 if frame is not None else 1
    alone = Cut(index=at, after="", tensors=(spec,), payload_bytes=spec.n_bytes)
    limits = problem.constraints  # a calibration is of cuts, and says nothing of a tensor alone
    lossy = LOSSY if limits.lossy is not None else frozenset()
    offered = [codec for codec in offered_codecs(alone, frame) if codec in limits.codecs and codec not in lossy]
    return min((payload_bytes(alone, codec, frame) for codec in offered), default=spec.n_bytes)


def _answer_s(tensors: tuple[str, ...], costs: LayerCosts) -> float:
    return sum(costs.answer_s.get(tensor, 0.0) for tensor in tensors)


def _network(graph: ModelGraph, costs: LayerCosts) -> tuple[_Network, dict[str, int]]:
    """Vertex 0 is the source (the origin's side), 1 the sink."""
    network = _Network()
    vertices = {layer.name: network.add_vertex() for layer in graph.layers}
    makers = {tensor: vertices[layer.name] for layer in graph.layers for tensor in layer.outputs}
    sent: dict[str, int] = {}
    for layer in graph.layers:
        vertex = vertices[layer.name]
        network.connect(_SOURCE, vertex, costs.target_s[layer.name] + _answer_s(layer.outputs, costs))
        network.connect(vertex, _SINK, costs.origin_s[layer.name])
        for tensor in layer.inputs:
            if tensor not in sent:
                sent[tensor] = network.add_vertex()
                maker = makers.get(tensor, _SOURCE)
                network.connect(maker, sent[tensor], costs.transfer_s.get(tensor, math.inf))
            network.connect(sent[tensor], vertex, math.inf)
            if tensor in makers:
                network.connect(vertex, makers[tensor], math.inf)
    return network, vertices


_SOURCE, _SINK = 0, 1


@dataclass(slots=True)
class _Network:
    """Arcs in pairs: arc a and its way back a ^ 1. Maximum flow by Dinic's algorithm, without recursion."""

    arcs_of: list[list[int]] = field(default_factory=lambda: [[], []])
    heads: list[int] = field(default_factory=list)
    left: list[float] = field(default_factory=list)

    def add_vertex(self) -> int:
        self.arcs_of.append([])
        return len(self.arcs_of) - 1

    def connect(self, tail: int, head: int, capacity: float) -> None:
        for start, end, amount in ((tail, head, capacity), (head, tail, 0.0)):
            self.arcs_of[start].append(len(self.heads))
            self.heads.append(end)
            self.left.append(amount)

    def source_side(self) -> frozenset[int]:
        """The vertices on the source's side of a minimum cut."""
        while True:
            levels = self._levels()
            if levels[_SINK] < 0:
                return frozenset(vertex for vertex, level in enumerate(levels) if level >= 0)
            self._saturate(levels)

    def _levels(self) -> list[int]:
        levels = [-1] * len(self.arcs_of)
        levels[_SOURCE] = 0
        waiting = deque([_SOURCE])
        while waiting:
            vertex = waiting.popleft()
            for arc in self.arcs_of[vertex]:
                head = self.heads[arc]
                if self.left[arc] > 0.0 and levels[head] < 0:
                    levels[head] = levels[vertex] + 1
                    waiting.append(head)
        return levels

    def _saturate(self, levels: list[int]) -> None:
        """Push flow along ways that climb one level per arc until one arc of each is full."""
        tried = [0] * len(self.arcs_of)
        way: list[int] = []
        vertex = _SOURCE
        while True:
            if vertex == _SINK:
                amount = min(self.left[arc] for arc in way)
                for arc in way:
                    self.left[arc] -= amount
                    self.left[arc ^ 1] += amount
                way, vertex = [], _SOURCE
            arcs = self.arcs_of[vertex]
            while tried[vertex] < len(arcs):
                arc = arcs[tried[vertex]]
                if self.left[arc] > 0.0 and levels[self.heads[arc]] == levels[vertex] + 1:
                    break
                tried[vertex] += 1
            if tried[vertex] < len(arcs):
                way.append(arcs[tried[vertex]])
                vertex = self.heads[way[-1]]
            elif way:
                vertex = self.heads[way.pop() ^ 1]
                tried[vertex] += 1
            else:
                return
