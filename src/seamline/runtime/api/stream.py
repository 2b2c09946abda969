"""A stream: frames in, answers out in order, and a controller that moves the cut meanwhile.

This is the face of the runtime for a user: `run` takes frames from a source or an iterable and yields results. The
rules are those of `core.session`; `frames.py` and `controller.py` drive it. What a frame may be is `input_adapter.py`,
what happened is `record.py`, what there is to see `snapshot.py`.
"""

from __future__ import annotations

import json
import logging
import math
import secrets
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import msgspec

from seamline.core.adaptation.policy import Policy
from seamline.core.cost.feasibility import check_fits
from seamline.core.cost.payload import with_calibrated_sizes
from seamline.core.cost.problem import EnergyScope
from seamline.core.session import events as ev
from seamline.core.session.commands import SwitchRecord
from seamline.core.session.events import LOCAL_GENERATION
from seamline.core.session.frame_counts import FrameCounts
from seamline.core.session.ledger import Ledger
from seamline.core.session.pilot import Pilot
from seamline.core.session.spec import SessionSpec
from seamline.core.switching import STRATEGIES, NamedStrategy, strategy_named
from seamline.core.vocabulary.calibration import CutCalibration
from seamline.core.vocabulary.complaints import quoted
from seamline.core.vocabulary.constraints import Constraints
from seamline.core.vocabulary.documented import to_json
from seamline.core.vocabulary.errors import UsageError
from seamline.core.vocabulary.links import LinkEstimate
from seamline.core.vocabulary.nodes import NodeId, node_id
from seamline.core.vocabulary.objectives import Goal, goal_named
from seamline.core.vocabulary.plans import Plan
from seamline.core.vocabulary.ports import Array
from seamline.fabric import messages as msg
from seamline.heads.agreement import judge_of
from seamline.model import StoredModel
from seamline.runtime.api.dynamic_shapes import Frame
from seamline.runtime.api.preview import preview
from seamline.runtime.api.snapshot import StreamSnapshot, take_snapshot
from seamline.runtime.api.stream_watch import StreamWatch
from seamline.runtime.node.node import Node
from seamline.runtime.origin.answer_check import AnswerCheck
from seamline.runtime.origin.answer_reading import AnswerReading
from seamline.runtime.origin.audit import Auditor
from seamline.runtime.origin.controller import Controller
from seamline.runtime.origin.feed_back import FeedBack
from seamline.runtime.origin.feeder import Feeder, See
from seamline.runtime.origin.frames import StreamFrames
from seamline.runtime.origin.input_adapter import InputAdapter, source_of
from seamline.runtime.origin.record import Recorder, switch_to_dict
from seamline.runtime.origin.recording import Recording
from seamline.runtime.origin.results import Result
from seamline.runtime.origin.seen import seen_by
from seamline.runtime.origin.summary import run_summary
from seamline.runtime.origin.warm_up import ask_links, needed_at_start, profile_nodes, wait_links
from seamline.runtime.shared.clock import now_s
from seamline.runtime.shared.stream_requests import then
from seamline.runtime.sources.frames import FrameSource, StampedSource

log = logging.getLogger(__name__)

DRAIN_TIMEOUT_S = 60.0
TAKE_TIMEOUT_S = 0.05
MAX_BY = 40


class Stream:
    """One stream of frames through one model; made by `Cluster.stream`, opened once, closed once.

    record: a file that its events and decisions are written to, for `seamline replay`. reading: what nodes read of the
    outputs before they send them back; None where these are wanted themselves. calibration: the model's. min_agreement:
    what audits of its frames must find, see `runtime.origin.audit`; none are made when None. priority: of its frames
    where they wait to be computed, -4 to 4.
    """

    def __init__(
        self,
        node: Node,
        model: StoredModel,
        *,
        others: tuple[NodeId, ...],
        objective: Goal,
        constraints: Constraints,
        energy_scope: EnergyScope = EnergyScope.ALL,
        policy: Policy,
        profile_budget_s: float,
        strategy: NamedStrategy = STRATEGIES["live"],
        record: Path | None = None,
        reading: AnswerReading | None = None,
        calibration: Sequence[CutCalibration] = (),
        min_agreement: float | None = None,
        priority: int = 0,
    ) -> None:
        self.model = model
        self.name = f"{node.name}-{secrets.token_hex(4)}"
        self._node = node
        self._others = others
        self._policy = policy
        self._profile_budget_s = profile_budget_s
        self._calibration = calibration
        self._local = Plan.local(node.name, len(model.cuts))
        self.recorder = Recorder(now_s())
        spec = SessionSpec(
            origin=node.name,
            others=others,
            local=self._local,
            objective=objective,
            constraints=constraints,
            energy_scope=energy_scope,
            policy=policy,
            strategy=strategy,
            answer_bytes=None if reading is None else reading.expected_bytes,
        )
        self.controller = Controller(
            node,
            Pilot(spec),
            self.recorder,
            others=others,
            stream=self.name,
            model_id=model.model_id,
            profile_budget_s=profile_budget_s,
            recording=None if record is None else Recording(record, spec),
        )
        self._auditor = (
            None
            if min_agreement is None
            else Auditor(node, self.name, judge_of(model), min_agreement, self.controller.post)
        )
        self.frames = self.controller.frames = StreamFrames(
            node,
            self.name,
            model.model_id,
            Ledger(self._local),
            to_pilot=self.controller.post,
            answered=self._on_answered,
            check=AnswerCheck(model.graph.output_specs),
            reading=reading,
            auditor=self._auditor,
            priority=priority,
        )
        self.controller.charge(energy_scope)
        self._watch = StreamWatch(
            self.name, node, model, others, snapshot=self.snapshot, view=lambda: self.controller.view
        )
        self._counted_before = FrameCounts()
        self._n_left = 0
        self._feed_back: FeedBack | None = None
        self._source: StampedSource | None = None
        self._feeder: Feeder | None = None
        self._watchers: tuple[Callable[[Result], None], ...] = ()
        self._is_stopped = False
        self._leave_s = math.inf
        self._closed = False

    # -- life --------------------------------------------------------------------------------------------------------

    def open(self) -> None:
        """Make the local plan ready, profile the origin and whoever is quick, measure links, choose the first plan.

        Nodes whose profiles come later join then; a policy that chooses once waits for them. Raises `ModelError` when
        the origin cannot run the model, `Infeasible` when no plan is allowed.
        """
        self._node.client.prepare(
            self._node.name, self.name, LOCAL_GENERATION, self.model.model_id, self._local
        ).result()
        ask_links(self._node, self._others, self.name)
        needed = needed_at_start(self._policy, self._others)
        model_id, budget_s = self.model.model_id, self._profile_budget_s
        profiles = profile_nodes(self._node, self._others, model_id, budget_s, needed=needed)
        profiles[self._node.name] = with_calibrated_sizes(profiles[self._node.name], self._calibration)
        self.controller.know(profiles)
        self._node.membership.listen(self.name, self)
        wait_links(self._node, profiles.keys() - {self._node.name}, self.name)
        self.controller.start()

    def close(self) -> None:
        """End the stream and release its segments everywhere; idempotent."""
        if self._closed:
            return
        self._closed = True
        if self._feeder is not None:
            self._feeder.stop()
        self.controller.close()
        self._node.membership.unlisten(self.name)
        if (tracer := self._node.frames.tracer) is not None:
            tracer.end(self.name)
        for name in (self._node.name, *self._others):
            self._node.client.release(name, self.name, -1)

    def __enter__(self) -> Stream:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # -- frames ------------------------------------------------------------------------------------------------------

    def run(
        self,
        frames: FrameSource | Iterable[Frame],
        *,
        fps: float | None = None,
        n_frames: int | None = None,
        seconds: float | None = None,
        live: bool | None = None,
        feed_back: Mapping[str, str] | None = None,
        keep_pictures: bool = False,
    ) -> Iterator[Result]:
        """Feed `frames` and yield one result per accepted frame, in order; may be called again when it is over.

        frames: a source (`open_source`) or an iterable of uint8[H, W, 3] RGB arrays of any size; for a model that
        takes no camera frames, of its input array, or of dicts by input name. fps: frames a second of the source's own
        time that are used, all when None; of arrays and pictures, which have no time, the pace. live: newest wins while
        there is no room (default: for video and cameras); otherwise frames wait, and a video is read as fast as that.
        feed_back: inputs that outputs of the frame before become, by output; zeros at first; one frame at a time.
        keep_pictures: each result has its picture, which takes memory until it is let go.
        Raises `UsageError` at once for what is no frames, or a first one in a list that does not fit the model. For a
        later one, and a source that cannot be read, it comes after the answers that are due; so do `SourceError`, when
        a source ends before its time, and whatever `frames` raise.
        """
        if self._feeder is not None:
            raise UsageError("this stream is running already", hint="open another stream for other frames")
        state = FeedBack(feed_back, self.model) if feed_back else None
        adapter = InputAdapter(self.model, state)
        source = source_of(frames, adapter.inputs)
        is_live = state is None and (source.is_live if live is None else live)
        if isinstance(frames, Sequence) and frames:
            adapter.check(frames[0])
        self._feed_back = state
        self.frames.sends_outputs = state is not None
        see = seen_by(self.model, keeps_picture=keep_pictures)
        return self._answers(source, adapter, see, is_live=is_live, fps=fps, n_frames=n_frames, seconds=seconds)

    def _answers(
        self,
        source: StampedSource,
        adapter: InputAdapter,
        see: See,
        *,
        is_live: bool,
        fps: float | None,
        n_frames: int | None,
        seconds: float | None,
    ) -> Iterator[Result]:
        """Results of the frames of `source`; nothing is read before the first is asked for."""
        if self._feeder is not None:
            raise UsageError("this stream is running already", hint="open another stream for other frames")
        self.frames.wait_idle(DRAIN_TIMEOUT_S)  # of a run that was left early frames may still be on their way
        before = self._counted_before = self.frames.counts()
        self._n_left = 0
        self._source = source
        failure: list[BaseException] = []
        ended = threading.Event()

        def source_ended(error: BaseException | None) -> None:
            if error is not None:
                failure.append(error)
            ended.set()

        self._feeder = Feeder(
            source,
            self.frames,
            adapter,
            wait_ready=adapter.wait_ready,
            see=see,
            is_live=is_live,
            fps=fps,
            n_frames=n_frames,
            seconds=seconds,
            ended=source_ended,
        )
        self._read_own_meter()
        self.recorder.restart(now_s(), self.frames.route.plan)
        if self._is_stopped:  # looked at after `_feeder` is set: `stop` does it the other way round
            self._feeder.end()
        self._feeder.start()
        try:
            yield from self._results(ended, before.accepted)
        except GeneratorExit:  # the caller has seen enough: what is on its way is left, not lost
            self._feeder.stop()
            self._n_left = self.frames.n_in_flight()
            raise
        finally:
            self._feeder.stop()
            self._feeder = None
            self._is_stopped, self._leave_s = False, math.inf
        if failure:
            raise failure[0]

    def stop(self, *, within_s: float = DRAIN_TIMEOUT_S) -> None:
        """Accept no more frames; `run` ends once those accepted are answered, at once when it has not begun.

        within_s: answers that are due are waited for no longer. From any thread or a signal handler.
        """
        self._leave_s = min(self._leave_s, now_s() + within_s)
        self._is_stopped = True
        if (feeder := self._feeder) is not None:
            feeder.end()

    def _results(self, ended: threading.Event, first: int) -> Iterator[Result]:
        """Of frames from number `first` on; those before it belong to a run that was left before they came."""
        n_due = first
        give_up_s: float | None = None
        while True:
            result = self.frames.take(TAKE_TIMEOUT_S)
            if result is None:
                n_accepted = self.frames.counts().accepted
                if ended.is_set() and n_due >= n_accepted:
                    return
                if now_s() > self._leave_s:
                    self._n_left = self.frames.n_in_flight()
                    return
                if ended.is_set():
                    give_up_s = give_up_s or now_s() + DRAIN_TIMEOUT_S
                    if now_s() > give_up_s:
                        log.error("%d accepted frames were not answered", n_accepted - n_due)
                        return
                continue
            if result.frame >= first:
                n_due += 1
                self.show(result)
                yield result

    # -- moving the cut by hand --------------------------------------------------------------------------------------

    def switch(
        self, plan: Plan | str, *, strategy: str | None = None, reason: str = "asked for"
    ) -> Future[SwitchRecord]:
        """Move to `plan` and hold it; ``auto`` gives the decision back to the policy (and settles at once).

        strategy: how, from now on. The future settles with the record of the switch when the plan serves, or with
        `SwitchError` (and the plan before goes on) when the stream's limits do not allow it, a node refused it, or
        another request came in between.
        Raises `UsageError` for an unknown strategy, `PlanError` for a plan that does not fit the model or the nodes.
        """
        if strategy is not None:
            strategy_named(strategy)
        if plan == "auto":
            return self.controller.unpin(strategy)
        wanted = Plan.parse(plan) if isinstance(plan, str) else plan
        self._check_fits(wanted)
        return self.controller.switch(wanted, strategy, reason)

    def stand_by(self, plan: Plan) -> None:
        """Guess that `plan` is the next one, for the strategies that keep a second pipeline ready."""
        self._check_fits(plan)
        self.controller.stand_by(plan)

    def _check_fits(self, plan: Plan) -> None:
        nodes = (self._node.name, *self._others)
        check_fits(plan, nodes, last_cut=len(self.model.cuts) - 1, model=self.model.name)

    def switch_plan(self, source: NodeId, ask: msg.SwitchPlan) -> Future[bytes]:
        """A user asks by hand, at this node or another one; settles with the switch's record as JSON."""
        who = _who(self._node.name, source, ask.by)
        asked = self.switch(
            ask.plan, strategy=ask.strategy or None, reason=f"{'pinned' if ask.by else 'asked for'} {who}"
        )

        def record(switched: SwitchRecord) -> bytes:
            self._changed(who, "released the plan" if ask.plan == "auto" else f"pinned {switched.to_plan}")
            return json.dumps(switch_to_dict(switched, self.recorder.started_s)).encode()

        return then(asked, record)

    def set_objective(self, objective: Goal | str) -> Future[Goal]:
        """Judge plans by `objective`, or what `core.vocabulary.objectives.goal_named` reads, from now on; settles with
        the one before.

        Raises `UsageError` for an unknown one; the future does for energy where the origin has no power figures.
        """
        wanted = goal_named(objective) if isinstance(objective, str) else objective
        return self.controller.set_objective(wanted)

    def set_energy_scope(self, scope: EnergyScope | str) -> Future[EnergyScope]:
        """Count joules of ``all`` nodes, of the ``origin``, or by weights (``fog=0.5,cloud=0``) from now on.

        Settles with the scope before, or with `UsageError` for a node that takes no part. Raises `UsageError` for one
        that means nothing.
        """
        return self.controller.set_energy_scope(EnergyScope.parse(scope) if isinstance(scope, str) else scope)

    def avoid(self, nodes: Sequence[str]) -> Future[tuple[NodeId, ...]]:
        """Let `nodes` run nothing from now on, beside those that the stream's limits forbid; none to end that.

        Settles with those before, or with `UsageError` for one that takes no part, or the origin.
        """
        return self.controller.avoid(tuple(node_id(name) for name in nodes))

    def set(self, source: NodeId, ask: msg.SetObjective) -> Future[str]:
        """A user asks for another objective, energy scope or nodes to avoid; settles with what was set before."""
        who = _who(self._node.name, source, ask.by)
        if ask.avoid is not None:
            words = ", ".join(ask.avoid) or "no node"
            asked = self.avoid(ask.avoid)
            return then(asked, lambda before: self._set(who, f"avoids {words}", ", ".join(before) or "none"))
        if ask.energy_scope:
            scope = self.set_energy_scope(ask.energy_scope)
            return then(scope, lambda before: self._set(who, f"counts joules of {ask.energy_scope}", str(before)))
        objective = self.set_objective(ask.objective)
        return then(
            objective, lambda before: self._set(who, f"judged by {ask.objective}, before by {before}", str(before))
        )

    def _set(self, who: str, what: str, before: str) -> str:
        self._changed(who, what)
        return before

    def _changed(self, who: str, what: str) -> None:
        self._watch.changed(now_s() - self.recorder.started_s, who, quoted(what))

    # -- what the node tells (on its threads) --------------------------------------------------------------------------

    def on_peer(self, node: NodeId, alive: bool) -> None:
        event = ev.PeerChanged(node, alive)
        self.frames.handle(event)
        self.controller.post(event)

    def on_status(self, node: NodeId, status: msg.Status) -> None:
        if status.energy is not None and node in self._others:
            self.recorder.drew(node, status.energy)
        self.controller.status(node, status)

    def on_link(self, estimate: LinkEstimate) -> None:
        self.controller.post(ev.LinkEstimated(estimate))

    def _on_answered(self, result: Result) -> None:
        self.recorder.answered(result)
        if self._feed_back is not None:
            self._feed_back.answered(result)

    def on_result(self, source: NodeId, result: msg.ResultData, outputs: dict[str, Array]) -> None:
        self.frames.answer(source, result, outputs)

    def on_frame_failed(self, source: NodeId, failure: msg.FrameFailed) -> None:
        """Nobody but the node itself is believed, and only one that may have a stage."""
        if failure.node != source or source not in (self._node.name, *self._others):
            self.frames.strange(source, "a failure", "it is of another node, or of none of this stream's")
            return
        reason = failure.error if source == self._node.name else quoted(failure.error)
        log.info("frame %d failed on %s: %s", failure.frame, source, reason)
        event = ev.StageFailed(
            failure.frame,
            failure.attempt,
            failure.generation,
            source,
            reason,
            None if failure.lost is None else NodeId(failure.lost),
            failure.is_input,
        )
        self.controller.post(event)
        self.frames.handle(event)

    # -- to look at --------------------------------------------------------------------------------------------------

    def watch(self, watcher: Callable[[Result], None]) -> None:
        """Show `watcher` every result of `run` as it is taken, on the thread that takes them."""
        self._watchers = (*self._watchers, watcher)

    def show(self, result: Result) -> None:
        """Show `result`, which is taken now, to all who watch; one at a time."""
        for watcher in self._watchers:
            watcher(result)

    @property
    def others(self) -> tuple[NodeId, ...]:
        """The nodes that may take part beside the origin."""
        return self._others

    @property
    def plan(self) -> Plan:
        """The plan that new frames follow."""
        return self.frames.route.plan

    def snapshot(self) -> StreamSnapshot:
        """What the stream is doing right now."""
        self._read_own_meter()
        return take_snapshot(self.frames, self.recorder, self.controller)

    def brief(self) -> bytes:
        """The same in brief, as JSON (`stream_state.StreamBrief`), for whoever looks from another node."""
        return self._watch.brief()

    def look(self, ask: msg.LookAt) -> bytes:
        """What is asked for, as JSON: the stream's state, or a preview of a plan. Raises `PlanError` for no plan."""
        if not ask.plan:
            return self._watch.look(with_costs=ask.with_costs)
        plan = Plan.parse(ask.plan)
        self._check_fits(plan)
        return msgspec.json.encode(preview(plan, self.controller.view))

    @property
    def title(self) -> str:
        """What it is called where people look; the model's name at first."""
        return self._watch.title

    @title.setter
    def title(self, words: str) -> None:
        self._watch.title = words

    def summary(self) -> dict[str, Any]:
        """The stream's figures since `run` was last called, see docs/cli.md under `run`."""
        self._read_own_meter()
        counts = self.frames.counts().since(self._counted_before)
        source = None if self._source is None else self._source.figures()
        audited = None if self._auditor is None else self._auditor.found()
        figures = run_summary(self.recorder.history(), counts, source, audited, n_left=self._n_left)
        found: dict[str, Any] = to_json(figures)
        return found

    def _read_own_meter(self) -> None:
        if (reading := self._node.energy.reading()) is not None:
            self.recorder.drew(
                self._node.name,
                msg.EnergyReport(source=reading.source, scope=reading.scope, energy_j=reading.energy_j),
            )


def _who(here: NodeId, source: NodeId, by: str) -> str:
    """Who asked, in words: ``by `fog` ``, ``on the dashboard``, ``on the dashboard by `observer-1a2b3c4d-fog` ``."""
    where = quoted(by, MAX_BY) if by else ""
    return where if where and source == here else f"{where} by `{source}`".lstrip()
