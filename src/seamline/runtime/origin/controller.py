"""One stream's controller, at its origin: everything that happens becomes an event, every change a new decision.

    events -> View (`stream_view.py`) -> decide (core.policy) -> Switcher (core.switching) -> route

One thread does all of it, so nothing here needs a lock: other threads only put calls into its inbox. It decides after
every batch of events, and every `FLOOR_S` without any. Beside deciding it looks after frames in trouble: those past
their deadline or whose node is gone run again, at once or as soon as a route without that node serves.

What is believed is kept in `stream_view.py`, who else is there in `peers.py`, and which policy decides in
`manual_override.py`.
"""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import Any, TypeVar

from seamline.core.adaptation import events as ev
from seamline.core.adaptation.pipeline_depth import n_under_way
from seamline.core.adaptation.policy import Keep, Policy, Switch, decide
from seamline.core.adaptation.view import View
from seamline.core.cost.feasibility import why_infeasible
from seamline.core.cost.formulas import times, waiting_power_w
from seamline.core.cost.problem import EnergyScope
from seamline.core.planning.planner import Planner
from seamline.core.switching import STRATEGIES, NamedStrategy
from seamline.core.vocabulary.constraints import Constraints
from seamline.core.vocabulary.errors import Infeasible, SeamlineError, SwitchError, UsageError
from seamline.core.vocabulary.links import LinkEstimate
from seamline.core.vocabulary.nodes import NodeId
from seamline.core.vocabulary.objectives import Goal, Objective, Within, counts_energy
from seamline.core.vocabulary.plans import Plan
from seamline.core.vocabulary.profiles import Profile
from seamline.fabric import messages as msg
from seamline.model import StoredModel
from seamline.runtime.node.node import Node
from seamline.runtime.origin.frames import LOCAL_GENERATION, Route, StreamFrames
from seamline.runtime.origin.manual_override import ByHand
from seamline.runtime.origin.peers import Peers
from seamline.runtime.origin.record import Recorder, SwitchRecord
from seamline.runtime.origin.reprofiling import Rechecks
from seamline.runtime.origin.results import Result
from seamline.runtime.origin.standby import SpareGuess
from seamline.runtime.origin.stream_view import Beliefs
from seamline.runtime.origin.switcher import Outcome, Refused, Retreated, Switched, Switcher
from seamline.runtime.shared.clock import now_s

log = logging.getLogger(__name__)

TICK_S = 0.02
FLOOR_S = 1.0
FIRST_ROUTE_TIMEOUT_S = 60.0
RESCUE_WAIT_S = 0.25
MAX_WINDOW = 8

Stimulus = Callable[[], None]
_Answer = TypeVar("_Answer")


class Controller:
    """Owner of a stream's decisions; `start` blocks until the first plan serves."""

    def __init__(
        self,
        node: Node,
        frames: StreamFrames,
        recorder: Recorder,
        model: StoredModel,
        *,
        others: tuple[NodeId, ...],
        objective: Goal,
        constraints: Constraints,
        energy_scope: EnergyScope = EnergyScope.ALL,
        policy: Policy,
        profile_budget_s: float,
        strategy: NamedStrategy = STRATEGIES["live"],
    ) -> None:
        self._node = node
        self._frames = frames
        self._recorder = recorder
        view = View(origin=node.name, objective=objective, constraints=constraints, energy_scope=energy_scope)
        self._beliefs = Beliefs(view)
        self._planner = Planner()
        self._charge(energy_scope)
        self._inbox: queue.SimpleQueue[Stimulus | None] = queue.SimpleQueue()
        self._switcher = Switcher(
            node, frames, model.model_id, post=self._inbox.put, route_of=self._route_of, outcome=self._switch_ended,
            strategy=strategy,
        )  # fmt: skip
        self._peers = Peers(
            others,
            self._beliefs,
            profile=lambda name: node.profile(name, model.model_id, profile_budget_s),
            post=self._inbox.put,
        )
        self._rechecks = Rechecks(node, model.model_id, post=self._inbox.put, timed=self._beliefs.computed)
        self._by_hand = ByHand(policy)
        self._spare_guess = SpareGuess()
        self._guessed_s = 0.0
        self._lost_at_s = -1e9
        self._failure: SeamlineError | None = None
        self._closed = False
        self._asking = threading.Lock()
        self._unanswered: set[Future[Any]] = set()
        self._serving = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"control-{frames.stream}", daemon=True)
        self.last_reason = "starting"
        self.predicted_s: float | None = None

    # -- told by others, on their threads ------------------------------------------------------------------------------

    def know(self, profiles: Mapping[NodeId, Profile]) -> None:
        """What the model costs on some nodes. Before `Node.listen`: one without a profile is asked when it shows."""
        for name, profile in profiles.items():
            self._inbox.put(partial(self._beliefs.apply, ev.ProfileKnown(name, profile, now_s())))
        if (here := profiles.get(self._node.name)) is not None:
            self._frames.set_local_expected(here.whole_s.median)

    def start(self) -> None:
        """Choose the first plan and make it serve. Raises `Infeasible` when none is allowed."""
        self._thread.start()
        self._serving.wait(FIRST_ROUTE_TIMEOUT_S)
        if self._failure is not None:
            raise self._failure
        if not self._serving.is_set():
            raise Infeasible(f"no plan came into service: {self.last_reason}")

    def close(self) -> None:
        """End the thread, after releasing what was prepared; whoever still waits for an answer is told."""
        with self._asking:
            self._closed = True
        if self._thread.is_alive():
            self._inbox.put(self._switcher.stop)
            self._inbox.put(self._by_hand.end)
            self._inbox.put(None)
            self._thread.join(timeout=5.0)
        for answer in tuple(self._unanswered):  # asked before the thread began, or while it hung
            with suppress(InvalidStateError):  # it was answered this moment after all
                answer.set_exception(SwitchError("the stream has ended"))

    def peer(self, name: NodeId, alive: bool) -> None:
        if name in self._peers.names and not alive:
            self._inbox.put(partial(self._peer_lost, name))

    def status(self, name: NodeId, status: msg.Status) -> None:
        if name in self._peers.names:
            self._inbox.put(partial(self._peers.told, name, status))

    def link(self, estimate: LinkEstimate) -> None:
        self._inbox.put(partial(self._beliefs.apply, ev.LinkMeasured(estimate, now_s())))

    def answered(self, result: Result) -> None:
        self._inbox.put(partial(self._frame_answered, result))

    def refused(self, failure: msg.FrameFailed) -> None:
        self._inbox.put(partial(self._frame_refused, failure))

    def drained(self, generation: int) -> None:
        self._inbox.put(partial(self._switcher.drained, generation))

    def switch(self, plan: Plan, strategy: NamedStrategy | None, reason: str) -> Future[SwitchRecord]:
        """Move to `plan` and hold it. Settles with the record when it serves, with `SwitchError` when it will not."""
        return self._ask(lambda answer: self._switch_by_hand(plan, strategy, reason, answer))

    def release_plan(self, strategy: NamedStrategy | None) -> Future[SwitchRecord]:
        """Let the policy decide again that was there before plans were given by hand; settles at once."""

        def release(answer: Future[SwitchRecord]) -> None:
            self._by_hand.release()
            if strategy is not None:
                self._switcher.use(strategy)
            here, now = self._frames.route.plan, now_s()
            answer.set_result(
                SwitchRecord(at_s=now, from_plan=here, to_plan=here, reason="the policy decides again",
                             prepare_s=0.0, switch_s=0.0, strategy=self._switcher.strategy.name)
            )  # fmt: skip

        return self._ask(release)

    def set_objective(self, objective: Goal) -> Future[Goal]:
        """Judge plans by `objective` from now on. Settles with the one before, or with `UsageError`: no figures."""

        def change(answer: Future[Goal]) -> None:
            view, here = self.view, self.view.profiles.get(self._node.name)
            if counts_energy(objective) and (here is None or here.device.idle_w is None):
                raise UsageError(f"`{self._node.name}` has no power figures", hint="start it with --power PROFILE")
            self._beliefs.apply(ev.ObjectiveSet(objective, view.constraints, now_s()))
            log.info("plans are judged by %s from now on, before by %s", objective, view.objective)
            answer.set_result(view.objective)

        return self._ask(change)

    def set_energy_scope(self, scope: EnergyScope) -> Future[EnergyScope]:
        """Count joules as `scope` says from now on. Settles with the one before, or with `UsageError`: no such node."""

        def change(answer: Future[EnergyScope]) -> None:
            before = self.view.energy_scope
            scope.among((self._node.name, *sorted(self._peers.names)))
            self._beliefs.apply(ev.EnergyScopeSet(scope, now_s()))
            self._charge(scope)
            log.info("joules that count are those of %s from now on, before of %s", scope, before)
            answer.set_result(before)

        return self._ask(change)

    def _ask(self, work: Callable[[Future[_Answer]], None]) -> Future[_Answer]:
        """Do `work` on the controller's thread, which settles the future or raises; `SwitchError` after the end."""
        answer: Future[_Answer] = Future()
        with self._asking:
            if not self._closed:
                self._unanswered.add(answer)
                answer.add_done_callback(self._unanswered.discard)
                self._inbox.put(partial(self._do, work, answer))
                return answer
        answer.set_exception(SwitchError("the stream has ended"))
        return answer

    def _do(self, work: Callable[[Future[_Answer]], None], answer: Future[_Answer]) -> None:
        try:
            work(answer)
        except SeamlineError as error:
            answer.set_exception(error)
        except Exception as error:  # whoever asked waits for an answer, whatever it is
            log.exception("the controller of %s could not do what it was asked", self._frames.stream)
            if not answer.done():
                answer.set_exception(SwitchError(f"this went wrong: {type(error).__name__}: {error}"))

    def _charge(self, scope: EnergyScope) -> None:
        self._frames.energy_scope = scope
        self._recorder.charge(scope)

    def stand_by(self, plan: Plan) -> None:
        """Keep `plan` ready beside the one that serves, where the strategy does so."""
        self._inbox.put(partial(self._switcher.stand_by, plan))

    @property
    def strategy(self) -> str:
        return self._switcher.strategy.name

    @property
    def spare(self) -> Plan | None:
        """The plan that stands by, ready."""
        return self._switcher.spare

    @property
    def view(self) -> View:
        """All that decisions rest on, as it is now."""
        return self._beliefs.view

    @property
    def links(self) -> tuple[LinkEstimate, ...]:
        """Current estimates between the stream's nodes."""
        return self._beliefs.links({self._node.name, *self._peers.names})

    # -- the loop ------------------------------------------------------------------------------------------------------

    def _run(self) -> None:
        decided_s = memory_s = 0.0
        while True:
            is_over, n_stimuli = self._take_stimuli()
            if is_over:
                return
            try:
                now = now_s()
                self._switcher.tick(now)
                self._peers.readmit(now)
                self._rescue(now)
                if now - memory_s >= FLOOR_S:
                    memory_s = now
                    self._beliefs.memory(self._node.name, self._node.presence.usable_memory_bytes())
                if n_stimuli or now - decided_s >= FLOOR_S:
                    decided_s = now
                    self._decide()
                    self._rechecks.ask(self.view)
                    self._guess(now)
            except Exception:  # the controller must not die with frames in flight
                log.exception("the controller of %s stumbled", self._frames.stream)

    def _take_stimuli(self) -> tuple[bool, int]:
        """Handle everything that waits; whether the end was among it, and how many there were."""
        n_stimuli = 0
        try:
            stimulus = self._inbox.get(timeout=TICK_S)
            while True:
                if stimulus is None:
                    return True, n_stimuli
                n_stimuli += 1
                try:
                    stimulus()
                except Exception:  # one bad report must not end the controller
                    log.exception("the controller of %s could not take a report", self._frames.stream)
                stimulus = self._inbox.get_nowait()
        except queue.Empty:
            return False, n_stimuli

    def _decide(self) -> None:
        self._beliefs.apply(ev.Tick(now_s()))
        decision = decide(self.view, self._by_hand.policy, self._planner)
        match decision:
            case Switch(plan, reason):
                log.info("switch to %s: %s", plan, reason)
                self._by_hand.overruled(plan, reason)
                self.last_reason = reason
                self._beliefs.apply(ev.SwitchStarted(plan, now_s()))
                self._switcher.request(plan, reason)
            case Keep(reason):
                self.last_reason = reason
        self._refresh_route()
        self._check_feasible()

    def _check_feasible(self) -> None:
        """Before the first plan serves, no allowed plan at all is the caller's error; one that is late will do."""
        if self._serving.is_set() or (problem := self._beliefs.problem) is None:
            return
        if isinstance(problem.objective, Within) and waiting_power_w(problem) is not None:
            problem = replace(problem, objective=Objective.LATENCY)
        try:
            self._planner.plan(problem)
        except Infeasible as error:
            self._failure = error
            self._serving.set()

    # -- routes and switches -------------------------------------------------------------------------------------------

    def _route_of(self, generation: int, plan: Plan) -> Route:
        """How many frames may be under way on `plan`, and how long one takes, as believed now."""
        problem = self._beliefs.problem
        if problem is None or why_infeasible(plan, problem) is not None:
            return Route(generation=generation, plan=plan)
        latency_s, bottleneck_s = times(plan, problem)
        period_s, goal = self._frames.period_s, self.view.objective
        n_window = n_under_way(latency_s, bottleneck_s, period_s=period_s, goal=goal, most=MAX_WINDOW)
        return Route(generation=generation, plan=plan, n_window=n_window, expected_s=latency_s)

    def _refresh_route(self) -> None:
        """Window and deadlines follow the estimates between switches too."""
        route = self._frames.route
        fresh = self._route_of(route.generation, route.plan)
        self.predicted_s = fresh.expected_s
        if fresh.n_window != route.n_window or abs(fresh.expected_s - route.expected_s) > 0.1 * route.expected_s:
            self._frames.adjust_route(fresh)

    def _switch_ended(self, outcome: Outcome) -> None:
        now = now_s()
        match outcome:
            case Switched():
                is_first, record = not self._serving.is_set(), _record_of(outcome)
                self._spare_guess.serving(outcome.to_plan)
                self._beliefs.apply(ev.PlanServing(outcome.to_plan, outcome.generation, now))
                self._beliefs.serves_anew()
                self._recorder.plan_in_use(now, outcome.to_plan)
                if not is_first and not outcome.is_restored:
                    self._recorder.switched(record)
                if not outcome.is_restored:
                    self._by_hand.serves(outcome.to_plan, record)
                self._serving.set()
                self._lost_at_s = -1e9  # frames that waited for this route are rescued in the same round
            case Refused(plan=plan, reason=reason, node=node):
                self._beliefs.apply(ev.SwitchFailed(plan, reason, node, now))
                self._by_hand.fails(plan, reason)
            case Retreated(plan=plan):
                self._beliefs.apply(ev.PlanServing(plan, LOCAL_GENERATION, now))
                self._recorder.plan_in_use(now, plan)

    def _switch_by_hand(
        self, plan: Plan, strategy: NamedStrategy | None, reason: str, answer: Future[SwitchRecord]
    ) -> None:
        problem = self._beliefs.problem
        if problem is not None and (why_not := why_infeasible(plan, problem)) is not None:
            raise SwitchError(f"`{plan}` will not serve: {why_not}")
        self._by_hand.hold(plan, answer)
        if strategy is not None:
            self._switcher.use(strategy)
        self.last_reason = reason
        self._beliefs.apply(ev.SwitchStarted(plan, now_s()))
        self._switcher.request(plan, reason)

    def _guess(self, now: float) -> None:
        """Keep the likeliest next plan ready, where the strategy wants one."""
        if not self._switcher.strategy.keeps_spare or self._switcher.is_warming or not self._serving.is_set():
            return
        self._spare_guess.observe(self.view.links, now)
        if now < self._guessed_s + FLOOR_S or (problem := self._beliefs.problem) is None:
            return
        self._guessed_s = now
        # while a plan is held speeds decide nothing, and the plan before is the likeliest
        guess = self._spare_guess.before if self._by_hand.is_held else self._spare_guess.best(problem)
        if guess is not None and why_infeasible(guess, problem) is None and guess != self._switcher.spare:
            self._switcher.stand_by(guess)

    # -- frames in trouble ---------------------------------------------------------------------------------------------

    def _rescue(self, now: float) -> None:
        """Run stranded frames again; those of a lost node wait a moment for the route that is being prepared."""
        stranded = self._frames.stranded()
        if not stranded or (self._switcher.is_warming and now - self._lost_at_s < RESCUE_WAIT_S):
            return
        for number in stranded:
            self._frames.retry(number, reason="its node is gone, or it took too long")

    def _frame_refused(self, failure: msg.FrameFailed) -> None:
        if failure.lost is not None:
            self._beliefs.link_lost(NodeId(failure.node), NodeId(failure.lost))
        elif failure.generation == self._frames.route.generation and failure.node in self._peers.names:
            self._peers.eject(NodeId(failure.node), failure.error)

    def _peer_lost(self, name: NodeId) -> None:
        self._lost_at_s = now_s()
        self._peers.lost(name)
        self._switcher.peer_lost(name)

    # -- frames that were answered -------------------------------------------------------------------------------------

    def _frame_answered(self, result: Result) -> None:
        if result.error is not None:
            return
        segments = {stage.node: stage.segment for stage in result.plan.stages}
        for report in result.reports:
            name = NodeId(report.node)
            if name in segments and self._beliefs.computed(name, segments[name], report.compute_s):
                self._rechecks.computed(name, segments[name])
        self._beliefs.sent(result)
        if result.n_attempts == 1 and result.generation == self._frames.route.generation != LOCAL_GENERATION:
            self._beliefs.took(result)


def _record_of(outcome: Switched) -> SwitchRecord:
    return SwitchRecord(
        at_s=outcome.decided_s,
        from_plan=outcome.from_plan,
        to_plan=outcome.to_plan,
        reason=outcome.reason,
        prepare_s=outcome.prepare_s,
        switch_s=outcome.switch_s,
        strategy=outcome.strategy,
        pause_s=outcome.pause_s,
        load_s=outcome.load_s,
        sent_bytes=outcome.sent_bytes,
    )
