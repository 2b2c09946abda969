"""Pilot: takes the decisions of one session. Every report becomes an event, and every change of the view a decision.

Theory of operation. Reports and measurements move the view (`stream_view.py`, `peers.py`). A `Tick` decides when
something has moved that is worth it, and every second without; drivers tick when `due_s` has come, after they have
handed over all that waits, so that what happens together leads to one decision. A decision to switch goes through the
tables of `core.switching` (`switcher.py`): nodes prepare, the ledger swaps its route, what has drained is released.
Overdue frames are retried at once, or as soon as the route that is being prepared serves.

    event              what it does
    -----------------  -----------------------------------------------------------------------------------------------
    ProfileKnown       the node counts
    ProfileFailed      its profile is asked for again later
    StatusReceived     the node is there; its links, queue and memory are known
    LinkEstimated      an own link is known; whether its peer is silent is the ledger's too
    MemoryMeasured     so is the own memory
    PeerChanged        a lost node leaves, and what it was preparing fails; one that is back says so by a status,
                       for which it is asked
    FrameFinished      compute ratios, sizes that codecs sent, the latency of the plan in use; links stay measured
    StageFailed        a link is down, or the node's circuit breaker opens
    DeadlineMissed     after some in a row the breakers of the plan's other nodes open until each has computed something
    SegmentTimed       the answer to re-profiling counts as a frame's time would; a node that hung computes again
    NodePrepared       one node fewer is missing
    NodePrepareFailed  the plan is refused
    Routed             the switch is complete
    Drained            a generation is released after a grace time
    CodecWithdrawn     no plan may use it at that cut any more
    Begin              the first plan is chosen from now on
    Tick               grace times, deadlines, breakers; links to measure; a decision; re-profiling; retries; a standby
    SwitchAsked        a plan is prepared and pinned; settled when it serves, or rejected with a reason
    UnpinAsked         the policy decides again
    ObjectiveAsked     plans are compared again; rejected where joules count and are not known
    EnergyScopeAsked   other joules count; rejected where it names a stranger
    AvoidAsked         plans without these nodes are looked for; rejected where it names the origin or a stranger
    StandbyAsked       a plan is prepared beside the one that serves, where the strategy does so
    StopAsked          everything is released; after it requests are rejected, and nothing else is news

No exception leaves `handle`: an event that cannot be is answered by a `Say` with the reason, a request by a `Reject`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import assert_never

from seamline.core.adaptation import events as ae
from seamline.core.adaptation.decision import Decision, Switch
from seamline.core.adaptation.pipeline_depth import wants_pace
from seamline.core.adaptation.policy import Policy, decide
from seamline.core.adaptation.view import View
from seamline.core.cost.feasibility import why_infeasible
from seamline.core.cost.formulas import breakdown, waiting_power_w
from seamline.core.link.asking import Asking
from seamline.core.link.interest import INTEREST_S
from seamline.core.planning.planner import Planner
from seamline.core.session import commands as cmd
from seamline.core.session import events as ev
from seamline.core.session.events import LOCAL_GENERATION, Route
from seamline.core.session.manual_override import ManualOverride
from seamline.core.session.peers import Peers
from seamline.core.session.releases import Releases
from seamline.core.session.reprofiling import Reprofiling
from seamline.core.session.spec import SessionSpec
from seamline.core.session.standby import StandbyGuess
from seamline.core.session.stream_view import StreamView
from seamline.core.session.switcher import FellBack, Outcome, Refused, Switched, Switcher
from seamline.core.session.terms import Terms
from seamline.core.switching.named import strategy_named
from seamline.core.vocabulary.errors import Infeasible, SeamlineError, SwitchError
from seamline.core.vocabulary.links import LinkEstimate
from seamline.core.vocabulary.nodes import NodeId
from seamline.core.vocabulary.objectives import Objective, Within
from seamline.core.vocabulary.plans import Plan

DECISION_INTERVAL_S = 1.0
"""Longest time between two decisions; one is taken whenever something has moved."""

RETRY_WAIT_S = 0.25
"""Frames of a lost node wait at most so long for the route that is being prepared, and no longer than they take on the
origin: waiting costs at most as much again as not waiting."""

Decide = Callable[[View, Policy], Decision]


class Pilot:
    """Owner of a stream's decisions. decides: asked for every one of them, the policy itself by default."""

    def __init__(self, spec: SessionSpec, decides: Decide | None = None) -> None:
        self._origin, self._local = spec.origin, spec.local
        self._planner = Planner()
        self._decides = decides or (lambda view, policy: decide(view, policy, self._planner))
        self._out: list[cmd.PilotOutput] = []
        view = View(
            origin=spec.origin,
            objective=spec.objective,
            constraints=spec.constraints,
            energy_scope=spec.energy_scope,
            answer_bytes=spec.answer_bytes,
            rate_per_s=spec.rate_per_s,
        )
        self._view = StreamView(view)
        self._terms = Terms(spec, self._view, self._out)
        self._peers = Peers(spec.others, self._view, self._out)
        self._links = Asking((spec.origin, *spec.others))
        self._reprofiling = Reprofiling(self._view, self._out)
        self._override = ManualOverride(spec.policy, self._out)
        self._standby = StandbyGuess()
        self._releases = Releases(self._out)
        self._switcher = Switcher(
            spec.local,
            self._out,
            self._releases,
            route_of=self._route_of,
            loads_of=self._view.loads_of,
            outcome=self._switch_ended,
            strategy=spec.strategy,
        )
        self._has_begun = self._is_serving = self._has_failed = self._has_stopped = False
        self._decided_s = self._guessed_s = self._lost_at_s = -math.inf
        self._last: Decision | None = None

    # -- to look at ----------------------------------------------------------------------------------------------------

    @property
    def view(self) -> View:
        """View that decisions rest on, as it is now."""
        return self._view.view

    @property
    def strategy(self) -> str:
        return self._switcher.strategy.name

    @property
    def is_pinned(self) -> bool:
        """Whether one plan is held, by hand or from the start."""
        return self._override.is_pinned

    @property
    def standby(self) -> Plan | None:
        """The plan of the standby pipeline, if one is ready."""
        return self._switcher.standby

    @property
    def loaded(self) -> tuple[int, ...]:
        """Numbers of the generations that nodes have loaded or are loading beside the local one, oldest first."""
        return tuple(generation.number for generation in self._switcher.loaded)

    @property
    def due_s(self) -> float:
        """Time at which a `Tick` is due; -inf for at once, inf for never. Overdue frames are the ledger's."""
        if self._has_stopped:
            return math.inf
        due_s = min(self._switcher.due_s, self._peers.due_s, self._links.due_s)
        if self._has_begun:
            due_s = min(due_s, -math.inf if self._view.has_moved else self._decided_s + DECISION_INTERVAL_S)
        return due_s

    @property
    def retry_from_s(self) -> float:
        """Overdue frames are not retried before; -inf when they may be at once, inf when the stream has ended."""
        if self._has_stopped:
            return math.inf
        if not self._switcher.is_preparing:
            return -math.inf
        profile = self._view.view.profiles.get(self._origin)
        return self._lost_at_s + (RETRY_WAIT_S if profile is None else min(RETRY_WAIT_S, profile.whole_s.median))

    def validate(self) -> None:
        """Raises `AssertionError` when an invariant does not hold; for tests."""
        self._switcher.validate()
        view = self.view
        assert view.pending is None or self._switcher.is_preparing or self._has_stopped, "a plan is pending for ever"

    # -- the door ------------------------------------------------------------------------------------------------------

    def handle(self, event: ev.PilotEvent, now_s: float) -> list[cmd.PilotOutput]:
        """Commands that follow from `event`, in order."""
        request = event.request if isinstance(event, _REQUESTS) else None
        if self._has_stopped:
            return [] if request is None else [cmd.Reject(request, SwitchError("the stream has ended"))]
        try:
            self._handle(event, now_s)
        except SeamlineError as error:
            if request is not None:
                self._out.append(cmd.Reject(request, error))
            else:
                self._out.append(cmd.Say(cmd.Level.WARNING, f"{type(event).__name__}: {error}", error))
        except Exception as error:  # a fault of ours must not leave frames in flight without a pilot
            words = f"this went wrong: {type(error).__name__}: {error}"
            self._out.append(cmd.Say(cmd.Level.ERROR, f"{type(event).__name__}: {words}", error))
            if request is not None:
                self._out.append(cmd.Reject(request, SwitchError(words)))
        found = self._out.copy()
        self._out.clear()
        return found

    def _handle(self, event: ev.PilotEvent, now_s: float) -> None:
        match event:
            case ev.FrameFinished():
                self._frame_finished(event, now_s)
            case ev.Tick():
                self._tick(now_s)
            case ev.LinkEstimated(estimate):
                self._link_estimated(estimate, now_s)
            case ev.StatusReceived():
                if event.node in self._peers.names:
                    self._releases.seen(event.node, is_same_process=self._peers.is_same_process(event))
                    self._peers.status_received(event, now_s)
            case ev.PeerChanged(node, is_alive):
                if node in self._peers.names:
                    self._peers.seen(node) if is_alive else self._peer_lost(node, now_s)
            case ev.StageFailed():
                self._stage_failed(event, now_s)
            case ev.DeadlineMissed():
                if event.generation == self._switcher.routed.generation:
                    self._peers.deadline_missed(event, now_s)
            case ev.NodePrepared(generation, node, load_s):
                self._switcher.node_prepared(generation, node, load_s, now_s)
            case ev.NodePrepareFailed(generation, node, reason):
                self._switcher.node_failed(generation, node, reason, now_s)
            case ev.Routed():
                self._peers.met_deadline()
                self._switcher.swapped(event, now_s)
            case ev.Drained(generation):
                self._switcher.drained(generation, now_s)
            case ev.MemoryMeasured(n_bytes):
                self._view.memory_measured(self._origin, n_bytes, now_s)
            case ev.ProfileKnown(node, profile):
                self._peers.profile_known(node, profile, now_s)
                if node == self._origin:
                    self._out.append(ev.SetLocalExpected(profile.whole_s.median))
            case ev.ProfileFailed(node, reason):
                self._peers.profile_failed(node, reason, now_s)
            case ev.SegmentTimed(node, segment, took_s):
                self._reprofiling.answered(node, segment, took_s, now_s)
                self._peers.segment_timed(node, segment, took_s, now_s)
            case ev.CodecWithdrawn(cut, codec, reason):
                self._terms.withdraw(cut, codec, reason, now_s)
            case ev.Begin():
                self._has_begun = self._view.has_moved = True
                self._links.active(now_s)
            case ev.StandbyAsked(plan):
                self._switcher.stand_by(plan, now_s)
            case ev.StopAsked():
                self._stop(now_s)
            case (
                ev.SwitchAsked() | ev.UnpinAsked() | ev.ObjectiveAsked() | ev.EnergyScopeAsked() | ev.AvoidAsked()
            ):  # fmt: skip
                self._asked(event, now_s)
            case _:
                assert_never(event)

    # -- what has happened ---------------------------------------------------------------------------------------------

    def _frame_finished(self, finished: ev.FrameFinished, now_s: float) -> None:
        self._links.active(now_s)
        if finished.error is not None:
            return
        if finished.generation == self._switcher.routed.generation:
            self._peers.met_deadline()
        if finished.refused is not None:  # the origin answered what a node refused: the node is at fault
            self._refused(finished.refused, now_s)
        segments = {stage.node: stage.segment for stage in finished.plan.stages}
        for report in finished.reports:
            node = NodeId(report.node)
            if node in segments and self._view.segment_computed(node, segments[node], report.compute_s, now_s):
                self._reprofiling.computed(node, segments[node], now_s)
        self._view.payload_sent(finished, now_s)
        self._view.frame_came(finished.period_s, now_s)
        if finished.excess_s is not None and finished.transfer_s > 0.0:
            self._view.apply(ae.ExcessMeasured(finished.excess_s, finished.transfer_s, now_s))
        is_of_route = finished.generation == self._switcher.routed.generation != LOCAL_GENERATION
        if finished.n_attempts == 1 and is_of_route:
            self._view.latency_measured(finished, now_s)

    def _link_estimated(self, estimate: LinkEstimate, now_s: float) -> None:
        node, before = estimate.target, self.view.silent
        self._view.link_estimated(estimate, now_s)
        if (is_silent := node in self.view.silent) != (node in before):
            self._out.append(ev.SilenceChanged(node, is_silent))

    def _peer_lost(self, node: NodeId, now_s: float) -> None:
        self._lost_at_s = now_s
        self._links.lost(node)
        self._peers.lost(node, now_s)
        self._releases.lost(node, now_s)
        self._reprofiling.lost(node)
        self._switcher.node_lost(node, now_s)

    def _stage_failed(self, failure: ev.StageFailed, now_s: float) -> None:
        if failure.lost is not None:
            self._view.link_lost(failure.node, failure.lost, now_s)
        elif not failure.is_input:
            self._refused(failure, now_s)

    def _refused(self, failure: ev.StageFailed, now_s: float) -> None:
        if failure.generation == self._switcher.routed.generation and failure.node in self._peers.names:
            self._peers.open_breaker(failure.node, failure.reason, now_s)

    def _switch_ended(self, outcome: Outcome, now_s: float) -> None:
        match outcome:
            case Switched(to_plan=plan, generation=generation, request=request, record=record):
                is_first, self._is_serving = not self._is_serving, True
                self._standby.serving(plan)
                self._view.plan_serving(plan, generation, now_s)
                self._lost_at_s = -math.inf  # frames that waited for this route are retried in the same round
                self._out.append(cmd.SwitchDone(request, record, is_first))
                if request is not None:
                    self._override.serves(plan, record)
                if is_first:
                    self._out.append(cmd.Started())
            case Refused(plan=plan, reason=reason, node=node):
                self._view.apply(ae.SwitchFailed(plan, reason, node, now_s))
                self._override.fails(plan, reason)
            case FellBack(plan=plan):
                self._view.plan_serving(plan, LOCAL_GENERATION, now_s)
                self._out.append(cmd.FallBackDone(plan))

    # -- what is due ---------------------------------------------------------------------------------------------------

    def _tick(self, now_s: float) -> None:
        self._switcher.tick(now_s)
        self._peers.tick(now_s)
        for node, targets in self._links.due((self._origin, *self._peers.present), now_s):
            self._out.append(cmd.MeasureLinks(node, targets, INTEREST_S))
        try:
            if self._has_begun and (self._view.has_moved or now_s >= self._decided_s + DECISION_INTERVAL_S):
                self._decide(now_s)
                self._reprofiling.ask()
        finally:  # after the decision: frames of a node that was just lost wait for the plan that comes
            if now_s >= self.retry_from_s:
                self._out.append(ev.RetryOverdue())
        self._guess(now_s)

    def _decide(self, now_s: float) -> None:
        self._decided_s, self._view.has_moved = now_s, False
        self._view.pass_time(now_s)
        decision = self._decides(self.view, self._override.policy)
        if isinstance(decision, Switch):
            self._out.append(cmd.Say(cmd.Level.INFO, f"switch to {decision.plan}: {decision.reason}"))
            self._override.superseded(decision.plan, decision.reason)
            self._view.apply(ae.SwitchStarted(decision.plan, now_s, decision.is_by_load))
            self._switcher.request(decision.plan, decision.reason, now_s)
        else:
            self._view.move_held(decision.is_held, now_s)
        if decision is not self._last:  # the same object comes from the cache: estimates have hardly moved
            self._last = decision
            self._refresh_route()
            plan = decision.plan if isinstance(decision, Switch) else None
            self._out.append(cmd.Decided(plan, decision.reason, self._switcher.routed.expected_s))
        if not self._is_serving:
            self._check_feasible()

    def _switch(self, plan: Plan, reason: str, now_s: float) -> None:
        self._view.apply(ae.SwitchStarted(plan, now_s))
        self._switcher.request(plan, reason, now_s)

    def _check_feasible(self) -> None:
        """Before the first plan serves, no allowed plan at all is the caller's error; one that is late will do."""
        if self._has_failed or (problem := self._view.problem) is None:
            return
        if isinstance(problem.objective, Within) and waiting_power_w(problem) is not None:
            problem = replace(problem, objective=Objective.LATENCY)
        try:
            self._planner.plan(problem)
        except Infeasible as error:
            self._has_failed = True
            self._out.append(cmd.StartFailed(error))

    def _route_of(self, generation: int, plan: Plan) -> Route:
        """Route of `plan` for the ledger, as estimated now."""
        problem = self._view.problem
        if problem is None or why_infeasible(plan, problem) is not None:
            return Route(generation=generation, plan=plan)
        costs = breakdown(plan, problem)
        return Route(
            generation=generation,
            plan=plan,
            expected_s=costs.latency_s,
            transfer_s=sum(link.transfer_s for link in costs.all_links if self._origin in (link.source, link.target)),
            waiting_s=costs.waiting_s,
            bottleneck_s=costs.bottleneck_s,
            wants_pace=wants_pace(self.view.objective),
            within_s=self.view.objective.slo_s if isinstance(self.view.objective, Within) else None,
        )

    def _refresh_route(self) -> None:
        """Pipeline depth and deadlines follow the estimates between switches too."""
        known = self._switcher.routed
        fresh = self._route_of(known.generation, known.plan)
        if fresh != known:
            self._switcher.routed = fresh
            self._out.append(ev.AdjustRoute(fresh))

    def _guess(self, now_s: float) -> None:
        """Keep the likeliest next plan as a standby, where the strategy wants one."""
        if not self._switcher.strategy.keeps_standby or self._switcher.is_preparing or not self._is_serving:
            return
        self._standby.observe(self.view.links, now_s)
        if now_s < self._guessed_s + DECISION_INTERVAL_S or (problem := self._view.problem) is None:
            return
        self._guessed_s = now_s
        # while a plan is pinned speeds decide nothing, and the plan before is the likeliest
        guess = self._standby.before if self._override.is_pinned else self._standby.best(problem)
        if guess is not None and why_infeasible(guess, problem) is None and guess != self._switcher.standby:
            self._switcher.stand_by(guess, now_s)

    # -- requests ------------------------------------------------------------------------------------------------------

    def _asked(
        self,
        event: ev.SwitchAsked | ev.UnpinAsked | ev.ObjectiveAsked | ev.EnergyScopeAsked | ev.AvoidAsked,
        now_s: float,
    ) -> None:
        match event:
            case ev.SwitchAsked(request, plan, strategy, reason):
                problem = self._view.problem
                if problem is not None and (why_not := why_infeasible(plan, problem)) is not None:
                    raise SwitchError(f"`{plan}` will not serve: {why_not}")
                named = None if strategy is None else strategy_named(strategy)
                self._override.pin(plan, request)
                if named is not None:
                    self._switcher.use(named, now_s)
                self._out.append(cmd.Decided(plan, reason, None))
                self._switch(plan, reason, now_s)
            case ev.UnpinAsked(request, strategy):
                self._override.unpin()
                if strategy is not None:
                    self._switcher.use(strategy_named(strategy), now_s)
                self._view.has_moved = True
                self._out.append(cmd.Settle(request, self._unpinned(now_s)))
            case ev.ObjectiveAsked() | ev.EnergyScopeAsked() | ev.AvoidAsked():
                self._terms.asked(event, now_s)
            case _:
                assert_never(event)

    def _unpinned(self, now_s: float) -> cmd.SwitchRecord:
        here = self._switcher.routed.plan
        return cmd.SwitchRecord(
            at_s=now_s,
            from_plan=here,
            to_plan=here,
            reason="the policy decides again",
            prepare_s=0.0,
            switch_s=0.0,
            strategy=self._switcher.strategy.name,
        )

    def _stop(self, now_s: float) -> None:
        self._has_stopped = True
        self._out.append(ev.PauseFrames(LOCAL_GENERATION))  # none is begun on a plan that is released
        self._switcher.stop(now_s)
        self._override.end()


_REQUESTS = (ev.SwitchAsked, ev.UnpinAsked, ev.ObjectiveAsked, ev.EnergyScopeAsked, ev.AvoidAsked)
