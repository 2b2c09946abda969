"""State of the page: all that it shows of streams at one moment, as plain data. Decides nothing.

It is the terminal's snapshot (`runtime.api.snapshot`) with the nodes around the stream and what other plans would cost
now. A `StreamWatch` keeps what the snapshot forgets: the alternatives of each decision, and ten minutes of figures.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from seamline.core.adaptation.view import View, problem_of
from seamline.core.analysis.sweep import SweptCut, best_of, sweep
from seamline.core.cost.problem import Problem
from seamline.core.planning.planner import Planner
from seamline.core.vocabulary.complaints import quoted
from seamline.core.vocabulary.errors import PlanError
from seamline.core.vocabulary.nodes import NodeId
from seamline.core.vocabulary.plans import Codec, Plan
from seamline.fabric import messages as msg
from seamline.runtime.api.snapshot import StreamSnapshot, SwitchSnapshot
from seamline.runtime.api.stream import Stream
from seamline.runtime.node.node import Node

SCHEMA = "seamline.dashboard/1"
HISTORY_S = 600
MAX_DECISIONS = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeState:
    """One node of the stream. is_here: it lives. layers: its part of the plan, ``0:5``; None when it has none.

    compute_ratio: measured over profiled compute time, None where nothing was measured.
    """

    name: str
    is_here: bool
    is_origin: bool
    tier: str = ""
    engine: str = ""
    threads: int = 0
    memory_bytes: int = 0
    free_memory_bytes: int = 0
    queue_s: float = 0.0
    compute_ratio: float | None = None
    layers: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CutCost:
    """A cut as the only one between the origin and a node, priced now. codec: how it is crossed; empty at the last
    one, where nothing is. refusal: why it may not be used."""

    cut: int
    after: str
    codec: str
    sent_bytes: int
    origin_s: float
    transfer_s: float
    target_s: float
    refusal: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Curve:
    """Latency over every cut between the origin and `target` (NEUKONFIG, figure 2), with the best allowed one."""

    target: str
    best_cut: int
    cuts: tuple[CutCost, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rival:
    """The best plan of one kind, or why there is none."""

    kind: str
    plan: str | None
    latency_s: float | None
    throughput_fps: float | None
    energy_j: float | None
    refusal: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Costs:
    """What plans would cost by the estimates of now."""

    curves: tuple[Curve, ...] = ()
    rivals: tuple[Rival, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """One switch, and the alternatives as they were priced within a second of it."""

    number: int
    switch: SwitchSnapshot
    rivals: tuple[Rival, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Tick:
    """Figures of one second, for lines over time. parts: seconds by name, in the order of a frame's way."""

    at_s: float
    generation: int
    frame_rate_fps: float
    latency_s: float | None
    parts: Mapping[str, float]
    n_dropped: int


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamState:
    """One stream. snapshot: as in the terminal, without its switches, which `decisions` has. n_cuts: the last cut's
    number. boundaries: cuts where the plan in use sends something."""

    name: str
    title: str
    model: str
    n_cuts: int
    snapshot: StreamSnapshot
    boundaries: tuple[int, ...]
    nodes: tuple[NodeState, ...]
    costs: Costs
    decisions: tuple[Decision, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class PageState:
    """All streams of the process. number: counts up by one a second. time_s: since the epoch."""

    number: int
    time_s: float
    version: str
    streams: tuple[StreamState, ...]
    schema: str = SCHEMA


class StreamWatch:
    """Watches one stream for the page; `look` is called once a second, by one thread."""

    def __init__(self, stream: Stream, node: Node, title: str) -> None:
        self.stream = stream
        self.name = stream.name
        self.title = title
        self.ticks: tuple[Tick, ...] = ()
        self._node = node
        self._planner = Planner()
        self._rivals: list[tuple[Rival, ...]] = []

    def look(self, *, with_costs: bool) -> StreamState:
        """What there is to see now. with_costs: price every cut too, which is for nothing where nobody looks."""
        snapshot, view = self.stream.snapshot(), self.stream.controller.view
        problem = problem_of(view)
        plan = Plan.parse(snapshot.plan)
        self.ticks = (*self.ticks[1 - HISTORY_S :], _tick(snapshot))  # read by another thread: replaced as a whole
        has_switched = len(snapshot.switches) > len(self._rivals)
        rivals = _rivals(problem, self._planner) if problem is not None and (with_costs or has_switched) else ()
        del self._rivals[len(snapshot.switches) :]  # a run began anew
        self._rivals += [rivals] * (len(snapshot.switches) - len(self._rivals))
        curves = _curves(problem, view, plan) if problem is not None and with_costs else ()
        decisions = [
            Decision(number=number, switch=switch, rivals=known)
            for number, (switch, known) in enumerate(zip(snapshot.switches, self._rivals, strict=True), 1)
        ]
        return StreamState(
            name=self.name,
            title=self.title,
            model=self.stream.model.name,
            n_cuts=len(self.stream.model.cuts) - 1,
            snapshot=replace(snapshot, switches=()),
            boundaries=tuple(stage.segment.stop for stage in plan.stages[:-1]),
            nodes=self._nodes(plan, view),
            costs=Costs(curves=curves, rivals=rivals),
            decisions=tuple(decisions[-MAX_DECISIONS:]),
        )

    def _nodes(self, plan: Plan, view: View) -> tuple[NodeState, ...]:
        """Those of the plan in its order, then the others; one that is gone keeps its place and its tier."""
        statuses = {**self._node.membership.statuses(), self._node.name: self._node.status.compose()}
        known = (*plan.nodes, *sorted({self._node.name, *self.stream.others} - {*plan.nodes}))
        return tuple(self._node_state(name, statuses.get(name), plan, view) for name in known)

    def _node_state(self, name: NodeId, status: msg.Status | None, plan: Plan, view: View) -> NodeState:
        layers = next((f"{s.segment.start}:{s.segment.stop}" for s in plan.stages if s.node == name), None)
        is_origin = name == self._node.name
        if status is None:
            return NodeState(name=name, is_here=False, is_origin=is_origin, layers=layers)
        return NodeState(
            name=name,
            is_here=True,
            is_origin=is_origin,
            tier=quoted(status.tier, 40),
            engine=quoted(status.engine, 80),
            threads=status.threads,
            memory_bytes=status.memory_bytes,
            free_memory_bytes=status.free_memory_bytes,
            queue_s=status.queue_s,
            compute_ratio=view.compute_ratio.get(name),
            layers=layers,
        )


def _tick(snapshot: StreamSnapshot) -> Tick:
    return Tick(
        at_s=snapshot.at_s,
        generation=snapshot.generation,
        frame_rate_fps=snapshot.frame_rate_fps,
        latency_s=snapshot.latency_s,
        parts={part.name: part.duration_s for part in snapshot.parts},
        n_dropped=snapshot.n_dropped,
    )


def _rivals(problem: Problem, planner: Planner) -> tuple[Rival, ...]:
    try:
        planned = planner.plan(problem)
    except PlanError:
        return ()
    return tuple(
        Rival(
            kind=str(each.kind),
            plan=None if each.plan is None else str(each.plan),
            latency_s=None if each.plan is None else each.latency_s,
            throughput_fps=None if each.plan is None else each.throughput_fps,
            energy_j=each.energy_j,
            refusal=each.refusal,
        )
        for each in planned.alternatives
    )


def _curves(problem: Problem, view: View, plan: Plan) -> tuple[Curve, ...]:
    """One for each other node that is there and profiled, crossed as the plan in use crosses its first boundary."""
    codec = _codec(problem, plan)
    targets = sorted(name for name in problem.profiles if name != view.origin)
    return tuple(_curve(problem, target, codec) for target in targets)


def _codec(problem: Problem, plan: Plan) -> Codec:
    used = plan.stages[0].codec
    if used is not None and used is not Codec.JPEG:
        return used
    return Codec.F16 if Codec.F16 in problem.constraints.codecs else Codec.LOSSLESS


def _curve(problem: Problem, target: NodeId, codec: Codec) -> Curve:
    swept = sweep(problem, target, codec)
    return Curve(target=target, best_cut=best_of(swept).cut, cuts=tuple(_cut_cost(each) for each in swept))


def _cut_cost(swept: SweptCut) -> CutCost:
    return CutCost(
        cut=swept.cut,
        after=swept.after,
        codec=str(swept.plan.stages[0].codec or ""),
        sent_bytes=swept.sent_bytes,
        origin_s=swept.origin_s,
        transfer_s=swept.transfer_s,
        target_s=swept.target_s,
        refusal=swept.refusal,
    )
