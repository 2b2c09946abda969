"""Cost formulas of a plan: seconds and joules per frame, frames per second. One formula per function, source cited.

Here lives the arithmetic of one given plan, and what its sums are made of: seconds per byte, watts, joules per byte.
What goes over a cut is `payload.py`, what a profile says of a segment `profiled.py`. The planner's arrays take the same
terms from here (`problem_arrays.py`) and price them in `prices.py`; measuring what goes in is `estimator.py` and the
profiler. Any plan can be evaluated, also one that may not be used, which is `feasibility.py`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from itertools import pairwise
from typing import NamedTuple, TypeVar, overload

import numpy as np
import numpy.typing as npt

from seamline.core.cost.payload import sent_bytes, uncompressed_bytes
from seamline.core.cost.problem import Problem
from seamline.core.cost.profiled import codec_cost, profiled_s
from seamline.core.vocabulary.errors import PlanError
from seamline.core.vocabulary.links import LinkEstimate
from seamline.core.vocabulary.nodes import NodeId
from seamline.core.vocabulary.plans import Codec, Plan, Segment, Stage
from seamline.core.vocabulary.profiles import Profile

Floats = npt.NDArray[np.float64]
Amount = TypeVar("Amount", float, npt.NDArray[np.float64])


class StageCost(NamedTuple):
    """Seconds one frame spends on one node. queue_s passes waiting; the rest keeps the node busy."""

    node: NodeId
    segment: Segment
    queue_s: float
    decode_s: float
    compute_s: float
    encode_s: float

    @property
    def busy_s(self) -> float:
        return self.decode_s + self.compute_s + self.encode_s


class LinkCost(NamedTuple):
    """Seconds one frame spends on one link: serialise_s occupies it, transfer_s adds half a round trip.

    codec: None for the answer, which travels as it is.
    """

    source: NodeId
    target: NodeId
    codec: Codec | None
    payload_bytes: int
    serialise_s: float
    transfer_s: float


class Breakdown(NamedTuple):
    """Time of one frame by part. links: between neighbouring stages. answer: the way back, None when local."""

    stages: tuple[StageCost, ...]
    links: tuple[LinkCost, ...]
    answer: LinkCost | None

    @property
    def latency_s(self) -> float:
        on_nodes = math.fsum([stage.queue_s + stage.busy_s for stage in self.stages])
        on_links = math.fsum([link.transfer_s for link in self.all_links])
        return on_nodes + on_links

    @property
    def waiting_s(self) -> float:
        """Seconds of `latency_s` in which the frame waits for nodes to be free."""
        return math.fsum([stage.queue_s for stage in self.stages])

    @property
    def bottleneck_s(self) -> float:
        """Seconds per frame of the slowest stage or link."""
        return max([stage.busy_s for stage in self.stages] + [link.serialise_s for link in self.all_links])

    @property
    def all_links(self) -> tuple[LinkCost, ...]:
        return self.links if self.answer is None else (*self.links, self.answer)


class Sums(NamedTuple):
    """Totals of a plan: `Breakdown.latency_s`, its `bottleneck_s`, and `energy_of` it."""

    latency_s: float
    bottleneck_s: float
    energy_j: float | None


def latency_s(plan: Plan, problem: Problem) -> float:
    """Seconds from frame to answer at the origin; `math.inf` over a link that is down.

    Source: NEUKONFIG eq. 1, T_inf = T_e + T_t + T_c, with any number of stages; codec, queueing and return are ours.
    """
    return times(plan, problem)[0]


def throughput_fps(plan: Plan, problem: Problem) -> float:
    """Frames per second of a full pipeline: the slowest stage or link bounds it. 0.0 over a link that is down.

    Source: pipeline bound, e.g. ParetoPipe and DEFER; a stage's codec work shares the node with its compute.
    """
    _, bottleneck_s = times(plan, problem)
    return math.inf if bottleneck_s == 0.0 else 1.0 / bottleneck_s


def energy_j(plan: Plan, problem: Problem) -> float | None:
    """Joules per frame: what busy nodes and radios draw above idle, plus what the origin idles until the answer.

    E = sum_n (busy_w - idle_w) busy_s + sum_links (tx_j_per_byte + rx_j_per_byte) bytes + idle_w(origin) latency_s,
    each node's joules times what they count in the problem's `EnergyScope`; a node other than the origin idles for
    others too.
    None when the origin or a node of the plan that counts has no power figures. Modelled, not metered.
    """
    return sums(plan, problem).energy_j


def energy_of(costs: Breakdown, problem: Problem, latency_s: float | None = None) -> float | None:
    """`energy_j` of a plan whose times are known already; latency_s: that of `costs`, where it is."""
    taken_s = costs.latency_s if latency_s is None else latency_s
    if math.isinf(taken_s):
        return None if waiting_power_w(problem) is None else math.inf
    busy = [(stage.node, stage.busy_s) for stage in costs.stages]
    sent = [(link.source, link.target, link.payload_bytes) for link in costs.all_links]
    return joules(taken_s, busy, sent, problem)


def joules(
    in_flight_s: Amount,
    busy: Iterable[tuple[NodeId, Amount]],
    sent: Iterable[tuple[NodeId, NodeId, float]],
    problem: Problem,
) -> Amount | None:
    """The sum of `energy_j`, of one frame or of many: floats, or an array of frames.

    in_flight_s: seconds from frame to answer. busy: (node, seconds). sent: (source, target, bytes).
    """
    waiting_w = waiting_power_w(problem)
    if waiting_w is None:
        return None
    total_j = waiting_w * in_flight_s
    for node, busy_s in busy:
        above_idle_w = active_power_w(node, problem)
        if above_idle_w is None:
            return None
        total_j = total_j + above_idle_w * busy_s
    return total_j + sum(n_bytes * radio_j_per_byte(source, target, problem) for source, target, n_bytes in sent)


def sums(plan: Plan, problem: Problem) -> Sums:
    """All three criteria of one plan; raises as `breakdown` does."""
    costs = breakdown(plan, problem)
    taken_s = costs.latency_s
    return Sums(taken_s, costs.bottleneck_s, energy_of(costs, problem, taken_s))


def times(plan: Plan, problem: Problem) -> tuple[float, float]:
    """`latency_s` and the bottleneck's seconds of `sums`, without its joules."""
    costs = breakdown(plan, problem)
    return costs.latency_s, costs.bottleneck_s


def breakdown(plan: Plan, problem: Problem) -> Breakdown:
    """Every term of `plan` by itself. Raises `PlanError` for a node without profile or a stage outside the model."""
    _check(plan, problem)
    links = [
        _boundary_cost(before, before.codec, stage, problem)
        for before, stage in pairwise(plan.stages)
        if before.codec is not None
    ]
    return Breakdown(stages=stage_costs(plan, problem), links=tuple(links), answer=_answer_cost(plan, problem))


def stage_costs(plan: Plan, problem: Problem) -> tuple[StageCost, ...]:
    """What every node spends on a frame by `plan`."""
    further = [_stage_cost(before, stage, problem) for before, stage in pairwise(plan.stages)]
    return (_stage_cost(None, plan.stages[0], problem), *further)


def _check(plan: Plan, problem: Problem) -> None:
    """Raises `PlanError` where `plan` is of another origin or model."""
    if plan.origin != problem.origin:
        raise PlanError(f"plan `{plan}` starts on `{plan.origin}`, frames enter at `{problem.origin}`")
    if plan.stages[-1].segment.stop != problem.last_cut:
        raise PlanError(
            f"plan `{plan}` stops at cut {plan.stages[-1].segment.stop}, the model at {problem.last_cut}",
            hint=f"let the last stage end at {problem.last_cut}",
        )


def transfer_s(payload_bytes: int, link: LinkEstimate) -> float:
    """Seconds until the last byte has crossed `link`: half a round trip, serialisation, and the message's overhead.

    A link that is down costs `math.inf`, so a planner avoids it without a special case.
    Source: T_t of NEUKONFIG eq. 1; the round-trip term is ours.
    """
    return fixed_s(link) + serialise_s(payload_bytes, link)


def fixed_s(link: LinkEstimate) -> float:
    """Seconds of `transfer_s` that do not depend on the size of a message."""
    return link.rtt_s / 2 + link.overhead_s


@overload
def serialise_s(payload_bytes: float, link: LinkEstimate) -> float: ...
@overload
def serialise_s(payload_bytes: Floats, link: LinkEstimate) -> Floats: ...
def serialise_s(payload_bytes: float | Floats, link: LinkEstimate) -> float | Floats:
    """Seconds during which `payload_bytes`, a number or an array, occupy `link`; `math.inf` when it is down."""
    return payload_bytes / (link.goodput_bps / 8.0) if link.goodput_bps > 0.0 else math.inf


def compute_s(node: NodeId, segment: Segment, problem: Problem) -> float:
    """Seconds `node` computes `segment`: what its profile says times its measured ratio; 0.0 when empty."""
    if segment.is_empty:
        return 0.0
    return profiled_s(_profile(node, problem), segment) * problem.compute_ratio.get(node, 1.0)


def waiting_power_w(problem: Problem) -> float | None:
    """Watts that a frame in flight is charged with: the origin's idling as it counts, None without power figures."""
    idle_w = _profile(problem.origin, problem).device.idle_w
    return None if idle_w is None else idle_w * problem.energy_scope.weight(problem.origin, problem.origin)


def active_power_w(node: NodeId, problem: Problem) -> float | None:
    """Watts above idle that `node` is charged with while busy: 0.0 outside the scope, None without power figures."""
    weight = problem.energy_scope.weight(node, problem.origin)
    if weight == 0.0:
        return 0.0
    device = _profile(node, problem).device
    if device.busy_w is None or device.idle_w is None:
        return None
    return weight * (device.busy_w - device.idle_w)


def radio_j_per_byte(source: NodeId, target: NodeId, problem: Problem) -> float:
    """Joules that the radios at both ends of a link draw for one byte, as far as they are in the scope."""
    weight = problem.energy_scope.weight
    sent_j = _profile(source, problem).device.tx_j_per_byte
    read_j = _profile(target, problem).device.rx_j_per_byte
    if sent_j:  # a cable draws nothing, whatever it counts
        sent_j *= weight(source, problem.origin)
    return sent_j + (read_j * weight(target, problem.origin) if read_j else 0.0)


def answer_link(node: NodeId, problem: Problem) -> LinkEstimate | None:
    """The way back from `node` to the origin. Where it has not been measured, the way there stands for it."""
    back = problem.links.get((node, problem.origin))
    return back if back is not None else problem.links.get((problem.origin, node))


def forward_link(source: Stage, target: Stage, problem: Problem) -> LinkEstimate | None:
    return problem.links.get((source.node, target.node))


def _stage_cost(before: Stage | None, stage: Stage, problem: Problem) -> StageCost:
    node, segment = stage.node, stage.segment
    profile, decode_s, encode_s = _profile(node, problem), 0.0, 0.0
    if before is not None and before.codec is not None:
        cost = codec_cost(profile, before.codec, segment.start)
        read_bytes = uncompressed_bytes(problem.cuts[segment.start], problem.frame)
        decode_s = 0.0 if cost is None else cost.decode_s_per_byte * read_bytes
    if stage.codec is not None:
        cost = codec_cost(profile, stage.codec, segment.stop)
        read_bytes = uncompressed_bytes(problem.cuts[segment.stop], problem.frame)
        encode_s = 0.0 if cost is None else cost.encode_s_per_byte * read_bytes
    return StageCost(
        node=node,
        segment=segment,
        queue_s=0.0 if segment.is_empty else problem.queue_s.get(node, 0.0),
        decode_s=decode_s,
        compute_s=profiled_s(profile, segment) * problem.compute_ratio.get(node, 1.0),
        encode_s=encode_s,
    )


def _boundary_cost(source: Stage, codec: Codec, target: Stage, problem: Problem) -> LinkCost:
    payload = sent_bytes(problem.cuts[source.segment.stop], codec, problem)
    return _link_cost(source.node, target.node, codec, payload, forward_link(source, target, problem))


def _link_cost(
    source: NodeId, target: NodeId, codec: Codec | None, payload: int, link: LinkEstimate | None
) -> LinkCost:
    return LinkCost(
        source=source,
        target=target,
        codec=codec,
        payload_bytes=payload,
        serialise_s=math.inf if link is None else serialise_s(payload, link),
        transfer_s=math.inf if link is None else transfer_s(payload, link),
    )


def _answer_cost(plan: Plan, problem: Problem) -> LinkCost | None:
    if plan.is_local:
        return None
    last = plan.stages[-1].node
    payload = problem.answer_bytes
    return _link_cost(last, problem.origin, None, payload, answer_link(last, problem))


def _profile(node: NodeId, problem: Problem) -> Profile:
    try:
        return problem.profiles[node]
    except KeyError:
        raise PlanError(f"`{node}` has no profile", hint=f"known: {', '.join(sorted(problem.profiles))}") from None
