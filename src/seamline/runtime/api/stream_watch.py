"""Watch of one stream: puts together what whoever looks gets to see (`stream_state.py`). Decides nothing.

Nothing is done where nobody looks: cuts are priced every few seconds, and only for those who ask for them; who looks in
the same moment gets the same bytes.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace

import msgspec

from seamline.core.adaptation.view import View, problem_of
from seamline.core.analysis.sweep import SweptCut, best_of, sweep
from seamline.core.cost.problem import Problem
from seamline.core.planning.planner import Planner
from seamline.core.vocabulary.complaints import quoted
from seamline.core.vocabulary.documented import copied
from seamline.core.vocabulary.errors import PlanError
from seamline.core.vocabulary.nodes import NodeId
from seamline.core.vocabulary.plans import Codec, Plan
from seamline.fabric import messages as msg
from seamline.model import StoredModel
from seamline.runtime.api.snapshot import StreamSnapshot
from seamline.runtime.api.stream_state import (
    Change,
    Costs,
    Curve,
    CutCost,
    Decision,
    NodeState,
    Rival,
    StreamBrief,
    StreamState,
)
from seamline.runtime.node.node import Node
from seamline.runtime.shared.clock import now_s

MAX_DECISIONS = 20
MAX_CHANGES = 50
SAME_LOOK_S = 0.2
PRICED_EVERY_S = 3.0
"""Pricing 144 cuts to each of two nodes takes 28 ms of a processor (docs/observing.md)."""

RIVALS_OF_S = 3.0
"""A switch that nobody saw for longer is shown without its alternatives: those of now are others."""


class StreamWatch:
    """Watches one stream for all who look at it; from any thread. view: all that its decisions rest on, as it is now.

    others: the nodes that may take part beside `node`, where it starts.
    """

    def __init__(
        self,
        name: str,
        node: Node,
        model: StoredModel,
        others: tuple[NodeId, ...],
        *,
        snapshot: Callable[[], StreamSnapshot],
        view: Callable[[], View],
    ) -> None:
        self.title = model.name
        self._name = name
        self._node = node
        self._model = model
        self._others = others
        self._snapshot = snapshot
        self._view = view
        self._forbidden = frozenset(view().constraints.forbidden_nodes)  # by the stream's limits, not by hand
        self._lock = threading.Lock()
        self._planner = Planner()
        self._rivals: list[tuple[Rival, ...]] = []
        self._changes: tuple[Change, ...] = ()  # read by other threads: replaced as a whole
        self._n_changes = 0
        self._costs = Costs()
        self._priced_s = -PRICED_EVERY_S
        self._state: tuple[float, bool, bytes] = (-SAME_LOOK_S, False, b"")

    def changed(self, at_s: float, by: str, what: str) -> None:
        """Somebody has changed the stream by hand. at_s: since it began."""
        self._changes = (*self._changes[1 - MAX_CHANGES :], Change(at_s=at_s, by=by, what=what))
        self._n_changes += 1

    def brief(self) -> bytes:
        """`StreamBrief` as JSON."""
        now = self._snapshot()
        return msgspec.json.encode(
            copied(
                StreamBrief,
                now,
                name=self._name,
                title=self.title,
                parts={part.name: part.duration_s for part in now.parts},
                n_events=len(now.switches) + self._n_changes,
            )
        )

    def look(self, *, with_costs: bool) -> bytes:
        """`StreamState` as JSON: what there is to see now. with_costs: what every cut would cost, too."""
        with self._lock:
            looked_s, had_costs, found = self._state
            if now_s() - looked_s >= SAME_LOOK_S or had_costs < with_costs:
                found = msgspec.json.encode(self._look(with_costs))
                self._state = (now_s(), with_costs, found)
            return found

    def _look(self, with_costs: bool) -> StreamState:
        snapshot, view = self._snapshot(), self._view()
        plan = Plan.parse(snapshot.plan)
        newest_s = snapshot.switches[-1].at_s if len(snapshot.switches) > len(self._rivals) else None
        has_switched = newest_s is not None and snapshot.at_s - newest_s < RIVALS_OF_S
        costs = self._costs_of(problem_of(view), view, plan, with_costs=with_costs, is_urgent=has_switched)
        del self._rivals[len(snapshot.switches) :]  # a run began anew
        n_unseen = len(snapshot.switches) - len(self._rivals)
        if n_unseen:
            self._rivals += [()] * (n_unseen - 1)
            self._rivals.append(costs.rivals if has_switched else ())
        decisions = [
            Decision(number=number, switch=switch, rivals=known)
            for number, (switch, known) in enumerate(zip(snapshot.switches, self._rivals, strict=True), 1)
        ]
        return StreamState(
            name=self._name,
            title=self.title,
            model=self._model.name,
            n_cuts=len(self._model.cuts) - 1,
            snapshot=replace(snapshot, switches=()),
            boundaries=tuple(stage.segment.stop for stage in plan.stages[:-1]),
            nodes=self._nodes(plan, view),
            avoided=tuple(node for node in view.constraints.forbidden_nodes if node not in self._forbidden),
            costs=costs,
            decisions=tuple(decisions[-MAX_DECISIONS:]),
            changes=self._changes,
        )

    def _costs_of(self, problem: Problem | None, view: View, plan: Plan, *, with_costs: bool, is_urgent: bool) -> Costs:
        """Priced at every switch, and every few seconds for those who ask."""
        if problem is None or not (with_costs or is_urgent):
            return Costs()
        if is_urgent or now_s() - self._priced_s >= PRICED_EVERY_S or (with_costs and not self._costs.curves):
            curves = _curves(problem, view, plan) if with_costs else ()
            self._costs = Costs(curves=curves, rivals=_rivals(problem, self._planner))
            self._priced_s = now_s()
        return self._costs

    def _nodes(self, plan: Plan, view: View) -> tuple[NodeState, ...]:
        """Those of the plan in its order, then the others; one that is gone keeps its place and its tier."""
        statuses = {**self._node.membership.statuses(), self._node.name: self._node.status.compose()}
        known = (*plan.nodes, *sorted({self._node.name, *self._others} - {*plan.nodes}))
        return tuple(self._node_state(name, statuses.get(name), plan, view) for name in known)

    def _node_state(self, name: NodeId, status: msg.Status | None, plan: Plan, view: View) -> NodeState:
        layers = next((f"{s.segment.start}:{s.segment.stop}" for s in plan.stages if s.node == name), None)
        is_origin = name == self._node.name
        if status is None:
            return NodeState(name=name, is_here=False, is_origin=is_origin, layers=layers)
        return copied(
            NodeState,
            status,
            name=name,
            is_here=True,
            is_origin=is_origin,
            tier=quoted(status.tier, 40),
            engine=quoted(status.engine, 80),
            compute_ratio=view.compute_ratio.get(name),
            layers=layers,
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
    return copied(CutCost, swept, codec=str(swept.plan.stages[0].codec or ""))
