"""The controller of a simulated stream: events -> view -> decision -> switch, in the rhythm of
`runtime/origin/controller.py`.

Estimators, planner, view and policy are the core's own. What is simulated is only when things become known: estimates
of other nodes' links arrive with a status, a lost peer is noticed after its lease, a new plan serves after it has been
prepared, and decisions follow events within milliseconds and come every second anyway.
"""

from __future__ import annotations

import math
import statistics
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, replace

from seamline.core.adaptation import events as ev
from seamline.core.adaptation.pipeline_depth import pipeline_depth, wants_pace
from seamline.core.adaptation.policy import Decision, Switch
from seamline.core.adaptation.view import View, apply, problem_of
from seamline.core.cost.feasibility import why_infeasible
from seamline.core.cost.formulas import compute_s, times
from seamline.core.cost.problem import Problem
from seamline.core.link.news import has_moved
from seamline.core.speed import estimator as speed
from seamline.core.speed import reprofiling as rc
from seamline.core.vocabulary.links import LinkEstimate
from seamline.core.vocabulary.nodes import NodeId, Tier
from seamline.core.vocabulary.plans import Plan, Segment
from seamline.sim.deciders import Decider
from seamline.sim.journey import Journeys
from seamline.sim.network import Network
from seamline.sim.scene import Scene
from seamline.sim.schedule import Schedule
from seamline.sim.stream import Frame, Route, Stream

GATHER_S = 0.005
"""Events this close together lead to one decision."""

FLOOR_S = 1.0
N_WATCHED_FRAMES = 8
RESCUE_WAIT_S = 0.25
COMPUTE_MOVED_RATIO = 0.01
"""Smaller moves of a compute estimate are not worth a decision: the next second's sees them too."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SwitchMade:
    """A switch as it happened: decided, and serving prepare time later."""

    at_s: float
    from_plan: Plan
    to_plan: Plan
    reason: str


class Controller:
    """Owner of a simulated stream's view. `attach` it to its stream before `start`."""

    def __init__(
        self, scene: Scene, schedule: Schedule, network: Network, journeys: Journeys, decider: Decider
    ) -> None:
        self._scene = scene
        self._schedule = schedule
        self._network = network
        self._journeys = journeys
        self._decider = decider
        self._stream: Stream | None = None
        self._is_decision_due = False
        self._latencies: deque[float] = deque(maxlen=N_WATCHED_FRAMES)
        self._n_measured = 0
        self._is_learning_speeds = bool(scene.slowdowns) or not decider.is_told
        self._compute = dict.fromkeys(scene.profiles, speed.ComputeState())
        self._stages_of: Plan | None = None
        self._stages: Sequence[tuple[NodeId, Segment, float]] = ()
        self._rechecks: dict[NodeId, rc.ReprofilingState] = {}
        self._computed: dict[NodeId, tuple[Segment, float]] = {}
        self._pending_reason = ""
        self._decision: Decision | None = None
        self.switches: list[SwitchMade] = []
        self.view = View(
            origin=scene.origin,
            objective=scene.objective,
            constraints=scene.constraints,
            energy_scope=scene.energy_scope,
        )
        for node, profile in scene.profiles.items():
            self._apply(ev.NodeJoined(node, Tier(node), "1", 0.0))
            self._apply(ev.ProfileKnown(node, profile, 0.0))

    def attach(self, stream: Stream) -> None:
        self._stream = stream

    @property
    def stream(self) -> Stream:
        assert self._stream is not None, "attach a stream first"
        return self._stream

    def first_route(self) -> Route:
        """The plan that serves the first frame; prepared before it comes, like profiles and links."""
        decision = self._decider.decide(self.view, is_floor=True)
        plan = decision.plan if isinstance(decision, Switch) else Plan.local(self.view.origin, len(self._problem.cuts))
        self._apply(ev.SwitchStarted(plan, 0.0))
        self._apply(ev.PlanServing(plan, 1, 0.0))
        return self._route_of(1, plan)

    def start(self) -> None:
        self._schedule.at(FLOOR_S, self._floor)
        for at_s in self._decider.moments_s:
            self._schedule.at(at_s, self._decide)
        if self._decider.is_told:  # its meters learn nothing that could tell it
            for link in self._scene.links:
                for at_s, *_ in link.trace.conditions(self._scene.duration_s):
                    self._schedule.at(at_s, self._tell_links)

    def link(self, estimate: LinkEstimate) -> None:
        """News of a link. When it only says that nothing has moved, the next second's decision is soon enough."""
        known = self.view.links.get((estimate.source, estimate.target))
        self._apply(ev.LinkMeasured(estimate, self._schedule.now_s))
        if known is None or has_moved(known, estimate):
            self._decide_soon()

    def peer(self, node: NodeId, is_alive: bool) -> None:
        """`node` was lost, or is back."""
        now_s = self._schedule.now_s
        if is_alive:
            self.stream.lost_nodes -= {node}
            self._apply(ev.NodeJoined(node, Tier(node), "1", now_s))
        else:
            self.stream.lost_nodes |= {node}
            self._apply(ev.NodeLeft(node, now_s))
            if self.view.pending is not None and node in self.view.pending.nodes:
                self._apply(ev.SwitchFailed(self.view.pending, f"`{node}` is gone", node, now_s))
            self._schedule.at(now_s + RESCUE_WAIT_S, self.stream.rescue)
        self._decide_soon()

    def answered(self, frame: Frame) -> None:
        """Learn from a frame's answer."""
        if self._is_learning_speeds:
            self._learn_speeds(frame)
        if self._decider.is_watching:
            self._watch(frame)

    def _learn_speeds(self, frame: Frame) -> None:
        now_s = self._schedule.now_s
        for node, segment, profiled_s in self._computing(frame.route.plan):
            if (measured_s := frame.computed_s.get(node)) is not None:
                self._learn_compute(node, measured_s, profiled_s)
                self._computed[node] = (segment, now_s)

    def _watch(self, frame: Frame) -> None:
        """What the frames of a plan take is compared with what it promised."""
        if frame.n_attempts == 1 and frame.route.generation == self.view.generation:
            self._latencies.append(frame.latency_s)
            self._n_measured += 1
            if len(self._latencies) == N_WATCHED_FRAMES and self._n_measured % (N_WATCHED_FRAMES // 2) == 0:
                median_s = statistics.median(self._latencies)
                measured = ev.LatencyMeasured(self.view.generation, median_s, N_WATCHED_FRAMES, self._schedule.now_s)
                self._apply(measured)

    @property
    def _problem(self) -> Problem:
        problem = problem_of(self.view)
        assert problem is not None, "profiles are known from the start"
        return problem

    def _apply(self, event: ev.Event) -> None:
        self.view = apply(self.view, event)

    def _computing(self, plan: Plan) -> Sequence[tuple[NodeId, Segment, float]]:
        """Who computes what under `plan`, and how long by its profile; remembered, as most frames follow one plan."""
        if plan is not self._stages_of:
            self._stages_of = plan
            self._stages = [
                (stage.node, stage.segment, self._profiled_s(stage.node, stage.segment))
                for stage in plan.stages
                if not stage.segment.is_empty
            ]
        return self._stages

    def _profiled_s(self, node: NodeId, segment: Segment) -> float:
        return compute_s(node, segment, self._journeys.problem)

    def _learn_compute(self, node: NodeId, measured_s: float, profiled_s: float) -> None:
        now_s = self._schedule.now_s
        state = self._compute[node] = speed.observe_compute(self._compute[node], measured_s, profiled_s, now_s)
        ratio, known = speed.compute_ratio(state), self.view.compute_ratio.get(node, 1.0)
        if abs(ratio - known) > COMPUTE_MOVED_RATIO * known:
            self._apply(ev.ComputeMeasured(node, ratio, now_s))
            self._decide_soon()

    def _recheck(self) -> None:
        """Measure anew what was left because it was slow, as `runtime.origin.reprofiling` does; once a second at
        most.
        """
        now_s = self._schedule.now_s
        for node, (
            segment,
            at_s,
        ) in self._computed.items():  # of all frames since the last time, the newest says it all
            self._rechecks[node] = rc.computed(self._rechecks.get(node), segment, at_s)
        self._computed.clear()
        plans = [plan for plan in (self.view.current, self.view.pending) if plan is not None]
        in_use = {stage.node for plan in plans for stage in plan.stages if not stage.segment.is_empty}
        for node in sorted(self._rechecks.keys() - in_use - self.stream.lost_nodes):
            known, believed = self._rechecks[node], self.view.compute_ratio.get(node, 1.0)
            if not rc.is_due(known, believed, now_s):
                continue
            profiled_s = self._profiled_s(node, known.segment)
            known = rc.asked(known, believed * profiled_s, now_s)
            ratio = self._scene.slowdown(node, now_s)
            self._rechecks[node] = rc.answered(known, ratio / believed, now_s)
            self._learn_compute(node, ratio * profiled_s, profiled_s)

    def _tell_links(self) -> None:
        """Links that carry something now; that one carries nothing is noticed as it always is."""
        now_s = self._schedule.now_s
        for pair, known in self.view.links.items():
            truth = self._network.truth(pair, now_s)
            if known.goodput_bps > 0.0 and truth.goodput_bps > 0.0:
                self._apply(ev.LinkMeasured(truth, now_s))
        self._decide_soon()

    def _decide_soon(self) -> None:
        if not self._is_decision_due and self._stream is not None:
            self._is_decision_due = True
            self._schedule.at(self._schedule.now_s + GATHER_S, self._decide)

    def _floor(self) -> None:
        self._recheck()
        self._decide(is_floor=True)
        self._schedule.at(self._schedule.now_s + FLOOR_S, self._floor)

    def _decide(self, is_floor: bool = False) -> None:
        self._is_decision_due = False
        now_s = self._schedule.now_s
        self._apply(ev.Tick(now_s))
        decision = self._decider.decide(self.view, is_floor=is_floor)
        if isinstance(decision, Switch):
            self._pending_reason = decision.reason
            self._apply(ev.SwitchStarted(decision.plan, now_s))
            for node in decision.plan.nodes:
                self.stream.occupy(node, self._scene.prepare_busy_s)
            self._schedule.at(now_s + self._scene.prepare_s, self._serve, decision.plan)
        if decision is not self._decision:  # an old one that stands: beliefs have hardly moved, and so has the route
            self._refresh_route()
        self._decision = decision

    def _serve(self, plan: Plan) -> None:
        """Preparation is done; unless it was given up meanwhile, frames take `plan` from now on."""
        if self.view.pending != plan:
            return
        now_s, before = self._schedule.now_s, self.view.current
        assert before is not None
        self._apply(ev.PlanServing(plan, self.view.generation + 1, now_s))
        self._latencies.clear()
        self.switches.append(SwitchMade(at_s=now_s, from_plan=before, to_plan=plan, reason=self._pending_reason))
        self.stream.set_route(self._route_of(self.view.generation, plan))

    def _route_of(self, generation: int, plan: Plan) -> Route:
        """How many frames may be under way on `plan`, and how long one takes, as believed now."""
        problem = self._problem
        if self._decider.is_told:
            at_s = self._schedule.now_s
            problem = replace(problem, links={pair: self._network.truth(pair, at_s) for pair in self._network.paths})
        if why_infeasible(plan, problem) is not None:
            return Route(generation=generation, plan=plan)
        latency_s, bottleneck_s = times(plan, problem)
        period_s = 1.0 / self._scene.fps
        is_paced = wants_pace(self.view.objective)
        n_window = pipeline_depth(latency_s, bottleneck_s, period_s=period_s, wants_pace=is_paced)
        expected_s = math.inf if self._decider.is_patient else latency_s
        return Route(generation=generation, plan=plan, n_window=n_window, expected_s=expected_s)

    def _refresh_route(self) -> None:
        route = self.stream.route
        fresh = self._route_of(route.generation, route.plan)
        is_as_expected = math.isclose(fresh.expected_s, route.expected_s, rel_tol=0.1)
        if fresh.n_window != route.n_window or not is_as_expected:
            self.stream.set_route(replace(route, n_window=fresh.n_window, expected_s=fresh.expected_s))
