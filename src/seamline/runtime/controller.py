"""One stream's controller, at its origin: everything that happens becomes an event, every change a new decision.

    events -> View (core.events) -> decide (core.policy) -> Switcher (core.switching) -> route

One thread does all of it, so nothing here needs a lock: other threads only `post`. It decides after every batch of
events, and every `FLOOR_S` without any. Beside deciding it looks after frames in trouble: those past their deadline or
whose node is gone run again, at once or as soon as a route without that node serves.

A node that refuses frames is not used for a while (longer each time), then taken as new: it has to prepare again. That
covers a node that has lost its segments as well as one that cannot run them.
"""

from __future__ import annotations

import logging
import queue
import statistics
import threading
from collections import deque
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from functools import partial

from seamline.core import estimate as est
from seamline.core import events as ev
from seamline.core.cost import compute_s, payload_bytes, refusal, waiting_power_w
from seamline.core.errors import Infeasible, SeamlineError, SwitchError, UsageError
from seamline.core.goals import Goal, Weights, Within, counts_energy
from seamline.core.planner import evaluate
from seamline.core.planner import plan as best_plan
from seamline.core.policy import Fixed, Keep, Policy, Switch, decide
from seamline.core.problem import EnergyScope
from seamline.core.switching import STRATEGIES, NamedStrategy
from seamline.core.values import Codec, Constraints, LinkEstimate, NodeId, Objective, Plan, Profile, Segment, Tier
from seamline.fabric import messages as msg
from seamline.model import StoredModel
from seamline.runtime.clock import now_s
from seamline.runtime.node import Node
from seamline.runtime.rechecks import Rechecks
from seamline.runtime.record import Recorder, SwitchRecord
from seamline.runtime.spare import SpareGuess
from seamline.runtime.stream import LOCAL_GENERATION, Result, Route, StreamFrames
from seamline.runtime.switcher import Outcome, Refused, Retreated, Switched, Switcher

log = logging.getLogger(__name__)

TICK_S = 0.02
FLOOR_S = 1.0
FIRST_ROUTE_TIMEOUT_S = 60.0
RESCUE_WAIT_S = 0.25
MAX_WINDOW = 8
N_WATCHED_FRAMES = 8
SENT_MEMORY, SENT_MOVED_RATIO = 0.9, 0.03
MEMORY_SHRUNK_RATIO, MEMORY_GROWN_RATIO = 0.98, 1.1
"""A node's memory counts anew when it has changed so much: soon when less is left, later when more is."""
FIRST_EJECTION_S, LAST_EJECTION_S = 1.0, 30.0

Stimulus = Callable[[], None]


@dataclass(slots=True)
class _Peer:
    """What the controller remembers of another node. ejected_s: how long it was last left out; n_ejections: so far."""

    alive: bool = False
    status: msg.Status | None = None
    is_profiling: bool = False
    ejected_until_s: float | None = None
    ejected_s: float = 0.0
    n_ejections: int = 0
    compute: est.ComputeState = field(default_factory=est.ComputeState)


class Controller:
    """Owner of a stream's view and decisions; `start` blocks until the first plan serves."""

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
        self._model = model
        self._policy = policy
        self._profile_budget_s = profile_budget_s
        self._peers = {name: _Peer() for name in others}
        self._own = _Peer(alive=True)
        self._view = ev.View(origin=node.name, objective=objective, constraints=constraints, energy_scope=energy_scope)
        self._charge(energy_scope)
        self._inbox: queue.SimpleQueue[Stimulus | None] = queue.SimpleQueue()
        self._switcher = Switcher(
            node, frames, model.model_id, post=self._inbox.put, route_of=self._route_of, outcome=self._switch_ended,
            strategy=strategy,
        )  # fmt: skip
        self._rechecks = Rechecks(node, model.model_id, post=self._inbox.put, timed=self._computed)
        self._asked: tuple[Plan, Future[SwitchRecord]] | None = None
        self._policy_at_start = self._policy_before = policy
        self._spare_guess = SpareGuess()
        self._guessed_s = 0.0
        self._latencies: deque[float] = deque(maxlen=N_WATCHED_FRAMES)
        self._sent_ratio: dict[tuple[int, Codec], float] = {}
        self._n_measured = 0
        self._lost_at_s = -1e9
        self._failure: SeamlineError | None = None
        self._serving = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"control-{frames.stream}", daemon=True)
        self.last_reason = "starting"
        self.predicted_s: float | None = None

    # -- told by others, on their threads ------------------------------------------------------------------------------

    def start(self, profiles: Mapping[NodeId, Profile]) -> None:
        """Choose the first plan and make it serve. Raises `Infeasible` when none is allowed."""
        for name, profile in profiles.items():
            self._inbox.put(partial(self._profiled, name, profile))
        self._thread.start()
        self._serving.wait(FIRST_ROUTE_TIMEOUT_S)
        if self._failure is not None:
            raise self._failure
        if not self._serving.is_set():
            raise Infeasible(f"no plan came into service: {self.last_reason}")

    def close(self) -> None:
        """End the thread, after releasing what was prepared."""
        if self._thread.is_alive():
            self._inbox.put(self._switcher.stop)
            self._inbox.put(None)
            self._thread.join(timeout=5.0)
            self._give_up_asked("the stream has ended")

    def peer(self, name: NodeId, alive: bool) -> None:
        if name in self._peers:
            self._inbox.put(partial(self._peer_changed, name, alive))

    def status(self, name: NodeId, status: msg.Status) -> None:
        if name in self._peers:
            self._inbox.put(partial(self._status_arrived, name, status))

    def link(self, estimate: LinkEstimate) -> None:
        self._inbox.put(partial(self._apply, ev.LinkMeasured(estimate, now_s())))

    def answered(self, result: Result) -> None:
        self._inbox.put(partial(self._frame_answered, result))

    def refused(self, failure: msg.FrameFailed) -> None:
        self._inbox.put(partial(self._frame_refused, failure))

    def drained(self, generation: int) -> None:
        self._inbox.put(partial(self._switcher.drained, generation))

    def switch(self, plan: Plan, strategy: NamedStrategy | None, reason: str) -> Future[SwitchRecord]:
        """Move to `plan` and hold it. Settles with the record when it serves, with `SwitchError` when it will not."""
        answer: Future[SwitchRecord] = Future()
        self._inbox.put(partial(self._switch_by_hand, plan, strategy, reason, answer))
        return answer

    def release_plan(self, strategy: NamedStrategy | None) -> Future[SwitchRecord]:
        """Let the policy decide again that was there before plans were given by hand; settles at once."""
        answer: Future[SwitchRecord] = Future()

        def release() -> None:
            self._policy = self._policy_at_start
            if strategy is not None:
                self._switcher.use(strategy)
            here, now = self._frames.route.plan, now_s()
            answer.set_result(
                SwitchRecord(at_s=now, from_plan=here, to_plan=here, reason="the policy decides again",
                             prepare_s=0.0, switch_s=0.0, strategy=self._switcher.strategy.name)
            )  # fmt: skip

        self._inbox.put(release)
        return answer

    def set_objective(self, objective: Goal) -> Future[Goal]:
        """Judge plans by `objective` from now on. Settles with the one before, or with `UsageError`: no figures."""
        answer: Future[Goal] = Future()

        def change() -> None:
            view, here = self._view, self._view.profiles.get(self._node.name)
            if counts_energy(objective) and (here is None or here.device.idle_w is None):
                answer.set_exception(
                    UsageError(f"`{self._node.name}` has no power figures", hint="start it with --power PROFILE")
                )
                return
            self._apply(ev.ObjectiveSet(objective, view.constraints, now_s()))
            log.info("plans are judged by %s from now on, before by %s", objective, view.objective)
            answer.set_result(view.objective)

        self._inbox.put(change)
        return answer

    def set_energy_scope(self, scope: EnergyScope) -> Future[EnergyScope]:
        """Count joules as `scope` says from now on. Settles with the scope before."""
        answer: Future[EnergyScope] = Future()

        def change() -> None:
            before = self._view.energy_scope
            self._apply(ev.EnergyScopeSet(scope, now_s()))
            self._charge(scope)
            log.info("joules that count are those of %s from now on, before of %s", scope, before)
            answer.set_result(before)

        self._inbox.put(change)
        return answer

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
    def view(self) -> ev.View:
        """All that decisions rest on, as it is now."""
        return self._view

    @property
    def links(self) -> tuple[LinkEstimate, ...]:
        """Current estimates between the stream's nodes."""
        nodes = {self._node.name, *self._peers}
        return tuple(e for (source, target), e in sorted(self._view.links.items()) if {source, target} <= nodes)

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
                self._readmit(now)
                self._rescue(now)
                if now - memory_s >= FLOOR_S:
                    memory_s = now
                    self._memory_measured(self._node.name, self._node.presence.usable_memory_bytes())
                if n_stimuli or now - decided_s >= FLOOR_S:
                    decided_s = now
                    self._decide()
                    self._rechecks.ask(self._view)
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

    def _apply(self, event: ev.Event) -> None:
        self._view = ev.apply(self._view, event)

    def _decide(self) -> None:
        self._apply(ev.Tick(now_s()))
        decision = decide(self._view, self._policy)
        match decision:
            case Switch(plan, reason):
                log.info("switch to %s: %s", plan, reason)
                if self._asked is not None and self._asked[0] != plan:
                    self._give_up_asked(reason)
                self.last_reason = reason
                self._apply(ev.SwitchStarted(plan, now_s()))
                self._switcher.request(plan, reason)
            case Keep(reason):
                self.last_reason = reason
        self._refresh_route()
        self._check_feasible()

    def _check_feasible(self) -> None:
        """Before the first plan serves, no allowed plan at all is the caller's error; one that is late will do."""
        if self._serving.is_set() or (problem := ev.problem_of(self._view)) is None:
            return
        if isinstance(problem.objective, Within) and waiting_power_w(problem) is not None:
            problem = replace(problem, objective=Objective.LATENCY)
        try:
            best_plan(problem)
        except Infeasible as error:
            self._failure = error
            self._serving.set()

    # -- routes and switches -------------------------------------------------------------------------------------------

    def _route_of(self, generation: int, plan: Plan) -> Route:
        """How many frames fill the plan's pipeline without queueing, and how long one takes, as believed now."""
        problem = ev.problem_of(self._view)
        if problem is None or refusal(plan, problem) is not None:
            return Route(generation=generation, plan=plan)
        cost = evaluate(plan, problem)
        n_filling = cost.latency_s * cost.throughput_fps
        goal = self._view.objective
        is_pipelined = goal.bottleneck_s > 0.0 if isinstance(goal, Weights) else goal is Objective.THROUGHPUT
        n_window = int(n_filling) + 1 if is_pipelined else round(n_filling)
        return Route(
            generation=generation, plan=plan, n_window=max(1, min(MAX_WINDOW, n_window)), expected_s=cost.latency_s
        )

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
                is_first = not self._serving.is_set()
                self._spare_guess.serving(outcome.to_plan)
                self._apply(ev.PlanServing(outcome.to_plan, outcome.generation, now))
                self._latencies.clear()
                self._recorder.plan_in_use(now, outcome.to_plan)
                if not is_first and outcome.from_plan is not None and not outcome.is_restored:
                    record = _record_of(outcome, outcome.from_plan)
                    self._recorder.switched(record)
                    self._settle(outcome.to_plan, record)
                self._serving.set()
                self._lost_at_s = -1e9  # frames that waited for this route are rescued in the same round
            case Refused(plan=plan, reason=reason, node=node):
                self._apply(ev.SwitchFailed(plan, reason, node, now))
                if self._asked is not None and self._asked[0] == plan:
                    self._give_up_asked(reason)
            case Retreated(plan=plan):
                self._apply(ev.PlanServing(plan, LOCAL_GENERATION, now))
                self._recorder.plan_in_use(now, plan)

    def _switch_by_hand(
        self, plan: Plan, strategy: NamedStrategy | None, reason: str, answer: Future[SwitchRecord]
    ) -> None:
        problem = ev.problem_of(self._view)
        if problem is not None and (why_not := refusal(plan, problem)) is not None:
            answer.set_exception(SwitchError(f"`{plan}` will not serve: {why_not}"))
            return
        if self._asked is not None:
            self._settle(self._asked[0], SwitchError("another switch was asked for before this one was over"))
        else:
            self._policy_before = self._policy
        self._asked = (plan, answer)
        self._policy = Fixed(plan)
        if strategy is not None:
            self._switcher.use(strategy)
        self.last_reason = reason
        self._apply(ev.SwitchStarted(plan, now_s()))
        self._switcher.request(plan, reason)

    def _give_up_asked(self, reason: str) -> None:
        """The plan given by hand will not serve; the policy before decides again."""
        if self._asked is not None:
            self._policy = self._policy_before
            self._settle(self._asked[0], SwitchError(f"`{self._asked[0]}` will not serve: {reason}"))

    def _settle(self, plan: Plan, answer: SwitchRecord | SwitchError) -> None:
        """Answer whoever asked for `plan` by hand, if anybody did."""
        if self._asked is None or self._asked[0] != plan:
            return
        asked, self._asked = self._asked[1], None
        if isinstance(answer, SwitchError):
            asked.set_exception(answer)
        else:
            asked.set_result(answer)

    def _guess(self, now: float) -> None:
        """Keep the likeliest next plan ready, where the strategy wants one."""
        if not self._switcher.strategy.keeps_spare or self._switcher.is_warming or not self._serving.is_set():
            return
        self._spare_guess.observe(self._view.links, now)
        if now < self._guessed_s + FLOOR_S or (problem := ev.problem_of(self._view)) is None:
            return
        self._guessed_s = now
        is_held = isinstance(self._policy, Fixed)  # then speeds decide nothing, and the plan before is likeliest
        guess = self._spare_guess.before if is_held else self._spare_guess.best(problem)
        if guess is not None and refusal(guess, problem) is None and guess != self._switcher.spare:
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
            source, target = NodeId(failure.node), NodeId(failure.lost)
            known = self._view.links.get((source, target))
            if known is not None:
                self._apply(ev.LinkMeasured(replace(known, goodput_bps=0.0), now_s()))
        elif failure.generation == self._frames.route.generation and failure.node in self._peers:
            self._eject(NodeId(failure.node), failure.error)

    def _eject(self, name: NodeId, reason: str) -> None:
        peer = self._peers[name]
        if peer.ejected_until_s is not None:
            return
        peer.ejected_s = min(LAST_EJECTION_S, max(FIRST_EJECTION_S, 2 * peer.ejected_s))
        peer.ejected_until_s = now_s() + peer.ejected_s
        peer.n_ejections += 1
        log.warning("`%s` is left out for %.0f s: %s", name, peer.ejected_s, reason)
        self._apply(ev.NodeLeft(name, now_s()))

    def _readmit(self, now: float) -> None:
        for name, peer in self._peers.items():
            if peer.ejected_until_s is not None and now >= peer.ejected_until_s:
                peer.ejected_until_s = None
                self._welcome(name, peer)

    # -- nodes ---------------------------------------------------------------------------------------------------------

    def _peer_changed(self, name: NodeId, alive: bool) -> None:
        peer = self._peers[name]
        peer.alive = alive
        if not alive:
            peer.status = None
            peer.ejected_until_s = None
            self._lost_at_s = now_s()
            self._apply(ev.NodeLeft(name, now_s()))
            self._switcher.peer_lost(name)

    def _status_arrived(self, name: NodeId, status: msg.Status) -> None:
        peer = self._peers[name]
        is_new = peer.status is None or peer.status.incarnation != status.incarnation
        peer.status = status
        peer.alive = True
        now = now_s()
        for report in status.links:
            self._apply(ev.LinkMeasured(_estimate_of(name, report, now), now))
        self._apply(ev.LoadMeasured(name, status.queue_s, now))
        if status.usable_memory_bytes:
            self._memory_measured(name, status.usable_memory_bytes)
        if is_new:
            peer.compute = est.ComputeState()
            self._welcome(name, peer)

    def _memory_measured(self, name: NodeId, n_bytes: int) -> None:
        known = self._view.free_memory_bytes.get(name)
        if known is None or not MEMORY_SHRUNK_RATIO * known <= n_bytes <= MEMORY_GROWN_RATIO * known:
            self._apply(ev.MemoryMeasured(name, n_bytes, now_s()))

    def _welcome(self, name: NodeId, peer: _Peer) -> None:
        """A node is there (again): it counts once its profile is known.

        A new process is asked anew: it may have other power figures, threads or a slowdown. Until it answers, the
        profile of the one before stands.
        """
        if peer.status is None:
            return
        before, incarnation = self._view.incarnations.get(name), f"{peer.status.incarnation}.{peer.n_ejections}"
        self._apply(ev.NodeJoined(name, Tier(peer.status.tier), incarnation, now_s()))
        is_known = name in self._view.profiles and (before is None or _process(before) == _process(incarnation))
        if not is_known and not peer.is_profiling and self._serving.is_set():
            peer.is_profiling = True
            answer = self._node.profile(name, self._model.model_id, self._profile_budget_s)
            answer.add_done_callback(lambda done: self._inbox.put(partial(self._profile_answered, name, done)))

    def _profile_answered(self, name: NodeId, answer: Future[Profile]) -> None:
        self._peers[name].is_profiling = False
        if answer.cancelled() or answer.exception() is not None:
            log.warning("`%s` could not profile the model: %s", name, answer.exception())
            return
        self._profiled(name, answer.result())

    def _profiled(self, name: NodeId, profile: Profile) -> None:
        self._apply(ev.ProfileKnown(name, profile, now_s()))
        if name == self._node.name:
            self._frames.set_local_expected(profile.whole_s.median)

    # -- measurements --------------------------------------------------------------------------------------------------

    def _frame_answered(self, result: Result) -> None:
        if result.error is not None:
            return
        self._learn_compute(result)
        self._learn_sizes(result)
        if result.n_attempts == 1 and result.generation == self._frames.route.generation != LOCAL_GENERATION:
            waited_s = result.reports[0].queue_s if result.reports else 0.0
            self._latencies.append(result.latency_s - waited_s)
            self._n_measured += 1
            if len(self._latencies) == N_WATCHED_FRAMES and self._n_measured % (N_WATCHED_FRAMES // 2) == 0:
                median_s = statistics.median(self._latencies)
                self._apply(ev.LatencyMeasured(result.generation, median_s, N_WATCHED_FRAMES, now_s()))

    def _learn_compute(self, result: Result) -> None:
        segments = {stage.node: stage.segment for stage in result.plan.stages}
        for report in result.reports:
            name = NodeId(report.node)
            if name in segments and self._computed(name, segments[name], report.compute_s):
                self._rechecks.computed(name, segments[name])

    def _computed(self, name: NodeId, segment: Segment, measured_s: float) -> bool:
        """`segment` took `measured_s` on `name`; whether that could be compared with its profile."""
        problem = ev.problem_of(self._view)
        peer = self._own if name == self._node.name else self._peers.get(name)
        if problem is None or peer is None or name not in problem.profiles or segment.is_empty:
            return False
        expected_s = compute_s(name, segment, replace(problem, compute_ratio={}))
        before = est.compute_ratio(peer.compute)
        peer.compute = est.observe_compute(peer.compute, measured_s, expected_s, now_s())
        if (ratio := est.compute_ratio(peer.compute)) != before:
            self._apply(ev.ComputeMeasured(name, ratio, now_s()))
        return True

    def _learn_sizes(self, result: Result) -> None:
        """What a codec sent at a cut, averaged over some frames, beside what its formula says."""
        problem = ev.problem_of(self._view)
        if problem is None:
            return
        stages = {stage.node: stage for stage in result.plan.stages}
        for report in result.reports:
            stage = stages.get(NodeId(report.node))
            if stage is None or stage.codec is None or report.sent_bytes <= 0:
                continue
            cut = problem.cuts[stage.segment.stop]
            by_formula = payload_bytes(cut, stage.codec, problem.frame)
            if by_formula <= 0:
                continue
            key, ratio = (cut.index, stage.codec), report.sent_bytes / by_formula
            self._sent_ratio[key] = mean = ratio + SENT_MEMORY * (self._sent_ratio.get(key, ratio) - ratio)
            told = self._view.sent_ratio.get(key)
            if told is None or abs(mean - told) > SENT_MOVED_RATIO * told:
                self._apply(ev.SentMeasured(cut.index, stage.codec, mean, now_s()))


def _process(incarnation: str) -> str:
    """The part of an incarnation that is the same as long as the node's process lives."""
    return incarnation.partition(".")[0]


def _record_of(outcome: Switched, from_plan: Plan) -> SwitchRecord:
    return SwitchRecord(
        at_s=outcome.decided_s,
        from_plan=from_plan,
        to_plan=outcome.to_plan,
        reason=outcome.reason,
        prepare_s=outcome.prepare_s,
        switch_s=outcome.switch_s,
        strategy=outcome.strategy,
        pause_s=outcome.pause_s,
        load_s=outcome.load_s,
        sent_bytes=outcome.sent_bytes,
    )


def _estimate_of(source: NodeId, report: msg.LinkReport, now: float) -> LinkEstimate:
    """Another node's estimate of its link, with its age turned into our clock's time."""
    return LinkEstimate(
        source=source,
        target=NodeId(report.target),
        rtt_s=report.rtt_s,
        goodput_bps=report.goodput_bps,
        goodput_std_ratio=report.goodput_std_ratio,
        measured_at_s=now - report.age_s,
        n_samples=report.n_samples,
        overhead_s=report.overhead_s,
    )
