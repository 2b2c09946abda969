"""A stream: frames in, answers out in order, and a controller that moves the cut meanwhile.

This is the face of the runtime for a user: `run` takes frames from a source or an iterable and yields results. The
frames' bookkeeping is `stream.py`, decisions are `controller.py`, history is `record.py`.
"""

from __future__ import annotations

import json
import logging
import queue
import secrets
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
from dataclasses import dataclass
from typing import Any

import numpy as np

from seamline.core.errors import ModelError, PlanError, SeamlineError, UsageError
from seamline.core.goals import Goal, goal_named
from seamline.core.policy import Policy
from seamline.core.ports import Array, FrameArray, Tensors
from seamline.core.problem import EnergyScope
from seamline.core.switching import STRATEGIES, NamedStrategy, strategy_named
from seamline.core.values import Constraints, LinkEstimate, NodeId, Objective, Plan, Profile
from seamline.fabric import messages as msg
from seamline.model import StoredModel
from seamline.runtime.clock import now_s
from seamline.runtime.controller import Controller
from seamline.runtime.feeder import Feeder
from seamline.runtime.frames import FrameSource, fit
from seamline.runtime.node import Node
from seamline.runtime.record import Part, Recorder, SwitchRecord
from seamline.runtime.stream import LOCAL_GENERATION, Result, StreamFrames

log = logging.getLogger(__name__)

PROFILE_TIMEOUT_S = 600.0
LINK_TIMEOUT_S = 3.0
DRAIN_TIMEOUT_S = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkSnapshot:
    source: str
    target: str
    goodput_bps: float
    rtt_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class SwitchSnapshot:
    at_s: float
    from_plan: str
    to_plan: str
    reason: str
    prepare_s: float
    switch_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamSnapshot:
    """All that can be seen of a stream at one moment; plain data, times since the stream began."""

    at_s: float
    plan: str
    generation: int
    frame_rate_fps: float
    latency_s: float | None
    predicted_s: float | None
    parts: tuple[Part, ...]
    links: tuple[LinkSnapshot, ...]
    switches: tuple[SwitchSnapshot, ...]
    n_answered: int
    n_in_flight: int
    n_dropped: int
    decision: str
    energy_j_per_frame: float | None = None
    energy_source: str | None = None
    objective: str = Objective.LATENCY
    energy_scope: str = "all"


class Stream:
    """One stream of frames through one model; made by `Cluster.stream`, opened once, closed once."""

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
    ) -> None:
        self.model = model
        self.name = f"{node.name}-{secrets.token_hex(4)}"
        self._node = node
        self._others = others
        self._profile_budget_s = profile_budget_s
        self._local = Plan.local(node.name, len(model.cuts))
        self.recorder = Recorder(now_s())
        self.frames = StreamFrames(node, self.name, model.model_id, self._local, self._drained)
        self.controller = Controller(
            node,
            self.frames,
            self.recorder,
            model,
            others=others,
            objective=objective,
            constraints=constraints,
            energy_scope=energy_scope,
            policy=policy,
            profile_budget_s=profile_budget_s,
            strategy=strategy,
        )
        self._feeder: Feeder | None = None
        self._closed = False

    # -- life --------------------------------------------------------------------------------------------------------

    def open(self) -> None:
        """Make the local plan ready, profile the nodes, wait for the first link estimates, choose the first plan.

        Raises `ModelError` when the origin cannot run the model, `Infeasible` when no plan is allowed.
        """
        self._node.prepare(self._node.name, self.name, LOCAL_GENERATION, self.model.model_id, self._local).result()
        profiles = self._profile_nodes()
        self._node.listen(self.name, self)
        self._wait_links()
        self.controller.start(profiles)

    def _profile_nodes(self) -> dict[NodeId, Profile]:
        asked: dict[NodeId, Future[Profile]] = {
            name: self._node.profile(name, self.model.model_id, self._profile_budget_s)
            for name in (self._node.name, *self._others)
        }
        profiles: dict[NodeId, Profile] = {}
        for name, answer in asked.items():
            try:
                profiles[name] = answer.result(timeout=PROFILE_TIMEOUT_S)
            except FutureTimeout:
                log.warning("`%s` did not profile the model within %.0f s", name, PROFILE_TIMEOUT_S)
            except SeamlineError as error:
                if name == self._node.name:
                    raise
                log.warning("the stream starts without `%s`: %s", name, error)
        return profiles

    def _wait_links(self) -> None:
        """Measure the links now that no profile keeps the machine busy; a silent one is not waited for long."""
        self._node.links.measure_anew()
        until_s = now_s() + LINK_TIMEOUT_S
        missing = set(self._others)
        while missing and now_s() < until_s:
            missing = {name for name in self._others if not self._node.links.is_measured(name)}
            time.sleep(0.02)
        for name in missing:
            log.warning("no estimate of the link to `%s` yet", name)

    def close(self) -> None:
        """End the stream and release its segments everywhere; idempotent."""
        if self._closed:
            return
        self._closed = True
        if self._feeder is not None:
            self._feeder.stop()
        self.controller.close()
        self._node.unlisten(self.name)
        for name in (self._node.name, *self._others):
            self._node.release(name, self.name, -1)

    def __enter__(self) -> Stream:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # -- frames ------------------------------------------------------------------------------------------------------

    def run(
        self,
        frames: FrameSource | Iterable[Array],
        *,
        fps: float | None = None,
        n_frames: int | None = None,
        seconds: float | None = None,
        live: bool | None = None,
    ) -> Iterator[Result]:
        """Feed `frames` and yield one result per accepted frame, in order.

        frames: a source (`open_source`) or an iterable of uint8[H, W, 3] RGB arrays of any size; for a model that
        takes no camera frames, of its input array, or of dicts by input name. fps: pace, the source's own when
        None. live: newest wins while there is no room (default: for video and cameras); otherwise frames wait.
        Raises `UsageError` when the source cannot be read, and whatever `frames` raise, after the answers that are due.
        """
        if self._feeder is not None:
            raise UsageError("this stream is running already", hint="open another stream for other frames")
        source = _source(frames, live)
        failure: list[Exception] = []
        ended = threading.Event()

        def source_ended(error: Exception | None) -> None:
            if error is not None:
                failure.append(error)
            ended.set()

        self._feeder = Feeder(
            source, self.frames, self._shape, fps=fps, n_frames=n_frames, seconds=seconds, ended=source_ended
        )
        self._read_own_meter()
        self.recorder.restart(now_s(), self.frames.route.plan)
        self._feeder.start()
        try:
            yield from self._results(ended)
        finally:
            self._feeder.stop()
            self._feeder = None
        if failure:
            raise failure[0]

    def stop(self) -> None:
        """Accept no more frames; `run` ends once those accepted are answered. From any thread or a signal handler."""
        if (feeder := self._feeder) is not None:
            feeder.end()

    def _results(self, ended: threading.Event) -> Iterator[Result]:
        n_given = 0
        give_up_s: float | None = None
        while True:
            try:
                result = self.frames.results.get(timeout=0.05)
            except queue.Empty:
                counts = self.frames.counts()
                if ended.is_set() and n_given >= counts.accepted:
                    return
                if ended.is_set():
                    give_up_s = give_up_s or now_s() + DRAIN_TIMEOUT_S
                    if now_s() > give_up_s:
                        log.error("%d accepted frames were not answered", counts.accepted - n_given)
                        return
                continue
            n_given += 1
            self.frames.taken()
            yield result

    def _shape(self, frame: Array | dict[str, Array]) -> Tensors:
        """The tensors that the model's first segment takes, from one frame of the source."""
        preprocess = self.model.preprocess
        if preprocess is not None:
            if isinstance(frame, dict) or frame.ndim != 3 or frame.shape[2] != 3 or frame.dtype != np.uint8:
                raise UsageError("frames of this model are uint8[H, W, 3] arrays in RGB order")
            fitted: FrameArray = fit(frame, preprocess.height, preprocess.width)
            return {"frame": np.ascontiguousarray(fitted)}
        if isinstance(frame, dict):
            return frame
        inputs = self.model.cuts[0].tensors
        if len(inputs) != 1:
            raise UsageError(f"the model takes {len(inputs)} inputs", hint="give dicts of arrays by input name")
        if frame.dtype == np.uint8 and inputs[0].dtype != "uint8":
            raise ModelError(
                f"model `{self.model.name}` does not say how a camera frame becomes its input `{inputs[0].name}`",
                hint="its file carries no pre-processing; give arrays of the input's shape and dtype",
            )
        return {inputs[0].name: frame}

    # -- moving the cut by hand --------------------------------------------------------------------------------------

    def switch(
        self, plan: Plan | str, *, strategy: str | None = None, reason: str = "asked for"
    ) -> Future[SwitchRecord]:
        """Move to `plan` and hold it; ``auto`` gives the decision back to the policy (and settles at once).

        strategy: how, from now on. The future settles with the record of the switch when the plan serves, or with
        `SwitchError` when it was refused (the plan before goes on) or another request came in between.
        Raises `UsageError` for an unknown strategy, `PlanError` for a plan that does not fit the model or the nodes.
        """
        how = strategy_named(strategy) if strategy is not None else None
        if plan == "auto":
            return self.controller.release_plan(how)
        wanted = Plan.parse(plan) if isinstance(plan, str) else plan
        self._check_plan(wanted)
        return self.controller.switch(wanted, how, reason)

    def _check_plan(self, plan: Plan) -> None:
        known = {self._node.name, *self._others}
        if plan.origin != self._node.name:
            raise PlanError(f"`{plan}` starts on `{plan.origin}`, but frames enter at `{self._node.name}`")
        if missing := set(plan.nodes) - known:
            raise PlanError(f"`{plan}` uses `{min(missing)}`, which may not take part in this stream")
        if plan.stages[-1].segment.stop != len(self.model.cuts) - 1:
            raise PlanError(f"`{plan}` does not end at cut {len(self.model.cuts) - 1}, the last of `{self.model.name}`")

    def stand_by(self, plan: Plan) -> None:
        """Guess that `plan` is the next one, for the strategies that keep a second pipeline ready."""
        self._check_plan(plan)
        self.controller.stand_by(plan)

    def on_switch_plan(self, source: NodeId, ask: msg.SwitchPlan) -> None:
        """Another node asks for a switch by hand; it gets the switch's record, or why there is none."""

        def answer(done: Future[SwitchRecord]) -> None:
            error = done.exception()
            if error is None:
                record = json.dumps(done.result().to_dict(self.recorder.started_s)).encode()
                self._node.reply(source, msg.PlanSwitched(ask.request_id, record=record))
            else:
                self._node.reply(source, msg.PlanSwitched(ask.request_id, error=str(error)))

        try:
            reason = f"asked for by `{source}`"
            self.switch(ask.plan, strategy=ask.strategy or None, reason=reason).add_done_callback(answer)
        except SeamlineError as error:
            self._node.reply(source, msg.PlanSwitched(ask.request_id, error=str(error)))

    def set_objective(self, objective: Goal | str) -> Future[Goal]:
        """Judge plans by `objective`, or what `core.goals.goal_named` reads, from now on; settles with the one before.

        Raises `UsageError` for an unknown one; the future does for energy where the origin has no power figures.
        """
        wanted = goal_named(objective) if isinstance(objective, str) else objective
        return self.controller.set_objective(wanted)

    def set_energy_scope(self, scope: EnergyScope | str) -> Future[EnergyScope]:
        """Count joules of ``all`` nodes, of the ``origin``, or by weights (``fog=0.5,cloud=0``) from now on.

        Settles with the scope before. Raises `UsageError` for one that means nothing.
        """
        return self.controller.set_energy_scope(EnergyScope.parse(scope) if isinstance(scope, str) else scope)

    def on_set_objective(self, source: NodeId, ask: msg.SetObjective) -> None:
        """Another node asks for another objective or scope; it gets the one before, or why it stays."""

        def answer(done: Future[Goal] | Future[EnergyScope]) -> None:
            error = done.exception()
            before = None if error is not None else str(done.result())
            words = None if error is None else str(error)
            self._node.reply(source, msg.ObjectiveChanged(ask.request_id, before=before, error=words))

        try:
            if ask.energy_scope:
                self.set_energy_scope(ask.energy_scope).add_done_callback(answer)
            else:
                self.set_objective(ask.objective).add_done_callback(answer)
        except SeamlineError as error:
            self._node.reply(source, msg.ObjectiveChanged(ask.request_id, error=str(error)))

    # -- what the node tells (on its threads) --------------------------------------------------------------------------

    def on_peer(self, node: NodeId, alive: bool) -> None:
        self.frames.peer(node, alive)
        self.controller.peer(node, alive)

    def on_status(self, node: NodeId, status: msg.Status) -> None:
        if status.energy is not None and node in self._others:
            self.recorder.drew(node, status.energy)
        self.controller.status(node, status)

    def on_link(self, estimate: LinkEstimate) -> None:
        self.controller.link(estimate)

    def on_result(self, result: msg.ResultData, outputs: dict[str, Array]) -> None:
        answer = self.frames.answer(result, outputs)
        if answer is not None:
            self.recorder.answered(answer)
            self.controller.answered(answer)

    def on_frame_failed(self, failure: msg.FrameFailed) -> None:
        log.info("frame %d failed on %s: %s", failure.frame, failure.node, failure.error)
        self.controller.refused(failure)
        self.frames.retry(failure.frame, attempt=failure.attempt, reason=failure.error)

    def _drained(self, generation: int) -> None:
        self.controller.drained(generation)

    # -- to look at --------------------------------------------------------------------------------------------------

    @property
    def plan(self) -> Plan:
        """The plan that new frames follow."""
        return self.frames.route.plan

    def snapshot(self) -> StreamSnapshot:
        """What the stream is doing right now."""
        now = now_s()
        split = self.recorder.split(now)
        counts, route = self.frames.counts(), self.frames.route
        return StreamSnapshot(
            at_s=now - self.recorder.started_s,
            plan=str(route.plan),
            generation=route.generation,
            frame_rate_fps=split.fps,
            latency_s=split.latency_s,
            predicted_s=self.controller.predicted_s,
            parts=split.parts,
            links=tuple(
                LinkSnapshot(source=e.source, target=e.target, goodput_bps=e.goodput_bps, rtt_s=e.rtt_s)
                for e in self.controller.links
            ),
            switches=tuple(self._switch_snapshot(switch) for switch in self.recorder.switches),
            n_answered=counts.answered,
            n_in_flight=self.frames.n_in_flight(),
            n_dropped=counts.dropped_before_acceptance,
            decision=self.controller.last_reason,
            energy_j_per_frame=split.energy_j,
            energy_source=split.energy_source,
            objective=str(self.controller.view.objective),
            energy_scope=str(self.controller.view.energy_scope),
        )

    def _switch_snapshot(self, switch: SwitchRecord) -> SwitchSnapshot:
        return SwitchSnapshot(
            at_s=switch.at_s - self.recorder.started_s,
            from_plan=str(switch.from_plan),
            to_plan=str(switch.to_plan),
            reason=switch.reason,
            prepare_s=switch.prepare_s,
            switch_s=switch.switch_s,
        )

    def summary(self) -> dict[str, Any]:
        """The stream's figures so far, see docs/cli.md under `run`."""
        self._read_own_meter()
        return self.recorder.summary(self.frames.counts())

    def _read_own_meter(self) -> None:
        if (reading := self._node.energy.reading()) is not None:
            self.recorder.drew(
                self._node.name,
                msg.EnergyReport(source=reading.source, scope=reading.scope, energy_j=reading.energy_j),
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Source:
    """An iterable as a source, or a source whose `is_live` the caller has chosen."""

    name: str
    fps: float | None
    is_live: bool
    open: Callable[[float], Iterator[Any]]

    def frames(self, stride: float = 1.0) -> Iterator[Any]:
        return self.open(stride)


def _source(frames: FrameSource | Iterable[Any], live: bool | None) -> FrameSource:
    if isinstance(frames, FrameSource):
        is_live = frames.is_live if live is None else live
        return _Source(name=frames.name, fps=frames.fps, is_live=is_live, open=frames.frames)
    return _Source(name="frames", fps=None, is_live=bool(live), open=lambda stride: iter(frames))
