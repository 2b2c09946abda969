"""Service of a node: drives `core.hosting`, with threads for models, segments and measurements.

What is asked for, here or by another node, and what becomes of the work are the host's events; what it commands is done
here: in bounded numbers of threads, which only ever work for one origin at a time (`core.hosting.lanes`). Running
frames is `frame_path.py`; asking other nodes for the same is `peer_client.py`.
"""

from __future__ import annotations

import itertools
import logging
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from functools import partial
from typing import Any, assert_never

from seamline.core.cost.loads import NO_LOAD, StageLoad
from seamline.core.hosting import commands as cmd
from seamline.core.hosting import events as ev
from seamline.core.hosting.host import RELEASED, Host
from seamline.core.speed.reprofiling import N_RUNS
from seamline.core.switching import PreparationMode
from seamline.core.vocabulary.complaints import quoted
from seamline.core.vocabulary.errors import ModelError, PlanError, SeamlineError, WireError
from seamline.core.vocabulary.nodes import NodeId
from seamline.core.vocabulary.plans import Plan, Segment
from seamline.core.vocabulary.ports import Engine
from seamline.core.vocabulary.profiles import Profile
from seamline.fabric import messages as msg
from seamline.model import OrtEngine
from seamline.model.engine.runnable import CheckedSegment
from seamline.runtime.node.frame_path import parse_plan
from seamline.runtime.node.models import ModelExchange, Sources
from seamline.runtime.node.profiling import Profiler, profile_to_bytes, time_segment
from seamline.runtime.segments.batching import open_batch
from seamline.runtime.segments.prepared import PreparedSegments
from seamline.runtime.shared.bounds import bounded_stage_load
from seamline.runtime.shared.clock import now_s
from seamline.runtime.shared.energy import EnergyAccount
from seamline.runtime.shared.load import NodeLoadMeter
from seamline.runtime.shared.news import News
from seamline.runtime.shared.worker import Worker, shutting_down

log = logging.getLogger(__name__)

N_OBTAINING, N_PREPARING, N_MEASURING = 8, 4, 4
"""Threads at most; how many work at once is the host's choice."""


class Service:
    """Owner of a node's host and of the threads that do its slow work.

    reply: answers a node. after_frames: calls back in its turn among the frames that wait, never while these hang.
    usable_memory_bytes: what segments may take here in all. has_batches: whether frames may run together.
    """

    def __init__(
        self,
        node: NodeId,
        *,
        exchange: ModelExchange,
        segments: PreparedSegments,
        engine: Engine,
        profiler: Profiler,
        energy: EnergyAccount,
        load: NodeLoadMeter,
        has_batches: bool,
        after_frames: Callable[[Callable[[], None]], None],
        usable_memory_bytes: Callable[[], int],
        reply: Callable[[NodeId, msg.Message], None],
        news: News,
    ) -> None:
        self._node = node
        self._exchange = exchange
        self._segments = segments
        self._engine = engine
        self._profiler = profiler
        self._energy = energy
        self._load = load
        self._after_frames = after_frames
        self._usable_memory_bytes = usable_memory_bytes
        self._reply = reply
        self._news = news
        self._obtainer = Worker("fetch", N_OBTAINING)
        self._preparer = Worker("prepare", N_PREPARING)
        self._measurer = Worker("profile", N_MEASURING)
        self._batcher = Worker("batch", 1)
        self._has_batches = has_batches
        self._lock = threading.Lock()
        self._host = Host(node)
        self._commands: deque[cmd.Command] = deque()
        self._is_obeying = False
        self._numbers = itertools.count(1)
        self._asked: dict[int, Future[Any]] = {}
        self._sources: dict[str, Sources] = {}

    def close(self) -> None:
        """Begin nothing more; what has begun is left to end by itself."""
        with self._lock:
            sources, asked = list(self._sources.values()), list(self._asked.values())
            self._asked.clear()
        for each in sources:
            each.give_up()
        for worker in (self._obtainer, self._preparer, self._measurer, self._batcher):
            worker.close()
        for answer in asked:
            answer.set_exception(shutting_down())

    # -- for streams that start here -----------------------------------------------------------------------------------

    def prepare(
        self, stream: str, generation: int, model_id: str, plan: Plan, form: PreparationMode, load: StageLoad = NO_LOAD
    ) -> Future[float]:
        """Get this node ready for its stages of `plan`; settles with the seconds that took, or the error."""
        return self._ask(
            lambda request: ev.PrepareAsked(
                origin=self._node,
                request=request,
                stream=stream,
                generation=generation,
                model_id=model_id,
                source=self._node,
                plan=plan,
                mode=form,
                load=load,
            )
        )

    def profile(self, model_id: str, budget_s: float) -> Future[Profile]:
        """Profile the model here; settles with the profile, or the error."""
        return self._ask(
            lambda request: ev.ProfileAsked(
                origin=self._node, request=request, model_id=model_id, source=self._node, budget_s=budget_s
            )
        )

    def time_segment(self, model_id: str, segment: Segment) -> Future[float]:
        """Time `segment` here now; settles with its seconds, or the error."""
        return self._ask(
            lambda request: ev.TimeAsked(origin=self._node, request=request, model_id=model_id, segment=segment)
        )

    def release(self, stream: str, generation: int) -> None:
        """Let a generation of a stream that starts here go; all that it has here for -1."""
        self._tell(ev.ReleaseAsked(self._node, stream, generation))

    def _ask(self, event_of: Callable[[int], ev.Event]) -> Future[Any]:
        answer: Future[Any] = Future()
        with self._lock:
            request = next(self._numbers)
            self._asked[request] = answer
        self._tell(event_of(request))
        return answer

    # -- for others ----------------------------------------------------------------------------------------------------

    def on_prepare(self, source: NodeId, ask: msg.Prepare) -> None:
        try:
            plan, mode = parse_plan(ask.plan), _mode(ask.form)
        except PlanError as error:
            self._answer_prepare(source, ask.request_id, ask.stream, ask.generation, 0.0, str(error))
            return
        self._tell(
            ev.PrepareAsked(
                origin=source,
                request=ask.request_id,
                stream=ask.stream,
                generation=ask.generation,
                model_id=ask.model_id,
                source=NodeId(ask.source),
                plan=plan,
                mode=mode,
                load=bounded_stage_load(ask.rate_per_s, ask.busy_s),
            )
        )

    def on_release(self, source: NodeId, ask: msg.Release) -> None:
        """Let go of what `source` had prepared here. Raises `WireError` when the stream is another's."""
        with self._lock:
            owner = self._host.streams.get(ask.stream, source)
        if owner != source:
            raise WireError(f"`{source}` released stream `{quoted(ask.stream, 80)}`, which is of `{owner}`")
        self._tell(ev.ReleaseAsked(source, ask.stream, ask.generation))

    def on_profile(self, source: NodeId, ask: msg.ProfileModel) -> None:
        self._tell(
            ev.ProfileAsked(
                origin=source,
                request=ask.request_id,
                model_id=ask.model_id,
                source=NodeId(ask.source),
                budget_s=ask.budget_s,
            )
        )

    def on_time_segment(self, source: NodeId, ask: msg.TimeSegment) -> None:
        segment = Segment(ask.start, ask.stop)
        self._tell(ev.TimeAsked(origin=source, request=ask.request_id, model_id=ask.model_id, segment=segment))

    # -- the world -----------------------------------------------------------------------------------------------------

    def on_peer(self, name: NodeId, alive: bool) -> None:
        """A node came or went."""
        self._tell(ev.PeerChanged(name, alive))

    def on_incarnation(self, name: NodeId, incarnation: str) -> None:
        """A node has said which process it is."""
        self._tell(ev.PeerSeen(name, incarnation))

    def tidy(self, now: float) -> None:
        """Let the host act on what is due, and drop what nothing uses any more."""
        self._segments.tidy(now)
        self._tell(ev.MemoryMeasured(self._usable_memory_bytes()))

    # -- commands ------------------------------------------------------------------------------------------------------

    def _tell(self, event: ev.Event) -> None:
        """Let the host take `event`; commands are carried out in their order, by one thread at a time, outside the
        lock."""
        with self._lock:
            self._commands += self._host.handle(event, now_s())
            if self._is_obeying:
                return
            self._is_obeying = True
        while (command := self._next()) is not None:
            try:
                self._obey(command)
            except Exception:  # the commands behind this one count all the same
                log.exception("%s could not be carried out", type(command).__name__)

    def _next(self) -> cmd.Command | None:
        with self._lock:
            if not self._commands:
                self._is_obeying = False
                return None
            return self._commands.popleft()

    def _obey(self, command: cmd.Command) -> None:
        match command:
            case cmd.Obtain(model_id, source):
                self._sources[model_id] = sources = Sources(source)
                self._obtainer.submit(self._obtain, model_id, sources)
            case cmd.AddSource(model_id, source):
                if (known := self._sources.get(model_id)) is not None:
                    known.add(source)
            case cmd.GiveUp(model_id):
                if (known := self._sources.get(model_id)) is not None:
                    known.give_up()
            case cmd.PrepareSegments():
                self._load.expect(
                    command.stream,
                    command.generation,
                    command.model_id,
                    command.plan.stages[command.stages[0]].segment,
                    command.load,
                )
                self._preparer.submit(self._prepare, command)
            case cmd.ReleaseSegments(stream, generation):
                self._load.released(stream, generation)
                self._segments.release(stream, generation)
            case cmd.Profile(job, model_id, budget_s):
                self._measurer.submit(self._measure, job, "profiling", lambda: self._profile(model_id, budget_s))
            case cmd.TimeSegment(job, model_id, segment):
                self._after_frames(partial(self._begin_timing, job, model_id, segment))
            case cmd.Reply():
                self._answer(command)
            case cmd.StreamBegan(stream, origin, plan):
                self._news.stream_began(stream, origin, plan)
            case cmd.PlanReady(stream, plan):
                self._news.plan_ready(stream, plan)
            case cmd.StreamEnded(stream, reason):
                if reason is not None:
                    log.info("releasing stream %s: %s", stream, reason)
                self._news.stream_ended(stream)
            case _:
                assert_never(command)

    def _begin_timing(self, job: int, model_id: str, segment: Segment) -> None:
        """The compute thread has come to it, so it does not hang."""
        self._measurer.submit(self._measure, job, "timing a segment", lambda: self._time(model_id, segment))

    def _answer(self, reply: cmd.Reply) -> None:
        if reply.origin == self._node:
            self._settle(reply)
            return
        reason = reply.reason
        if reason is not None and reason != RELEASED:
            what = _DOING[reply.question] + ("" if reply.plan is None else f" {quoted(str(reply.plan))}")
            self._news.failed(what, quoted(reply.stream or reply.origin, 80), reason)
        match reply.question:
            case cmd.Question.PREPARE:
                took_s = reply.answer if isinstance(reply.answer, float) else 0.0
                self._answer_prepare(reply.origin, reply.request, reply.stream, reply.generation, took_s, reason)
            case cmd.Question.PROFILE:
                self._answer_profile(reply.origin, reply.request, reply.answer, reason)
            case cmd.Question.TIME:
                timed_s = reply.answer if isinstance(reply.answer, float) else None
                self._reply(reply.origin, msg.SegmentTimed(reply.request, compute_s=timed_s, error=reason))
            case _:
                assert_never(reply.question)

    def _settle(self, reply: cmd.Reply) -> None:
        with self._lock:
            answer = self._asked.pop(reply.request, None)
        if answer is None or not answer.set_running_or_notify_cancel():
            return
        if reply.reason is None:
            answer.set_result(reply.answer)
            return
        fact, _, hint = reply.reason.partition("; hint: ")
        kind = PlanError if reply.question is cmd.Question.PREPARE else ModelError
        answer.set_exception(kind(fact, hint=hint or None))

    def _answer_prepare(
        self, target: NodeId, request: int, stream: str, generation: int, took_s: float, reason: str | None
    ) -> None:
        reply = msg.Prepared(request_id=request, stream=stream, generation=generation, prepare_s=took_s, error=reason)
        self._reply(target, reply)

    def _answer_profile(self, target: NodeId, request: int, answer: object, reason: str | None) -> None:
        data = None
        if isinstance(answer, Profile):
            try:
                data = profile_to_bytes(answer)
            except ModelError as error:
                reason = str(error)
        self._reply(target, msg.Profiled(request_id=request, profile=data, error=reason))

    # -- on the threads ------------------------------------------------------------------------------------------------

    def _obtain(self, model_id: str, sources: Sources) -> None:
        try:
            event: ev.Event = ev.ModelObtained(model_id, self._exchange.obtain(model_id, sources).cuts)
        except Exception as error:
            event = ev.ObtainFailed(model_id, _words(error, "obtaining a model"))
        self._sources.pop(model_id, None)  # before the host hears of it, which may want the model again at once
        self._tell(event)

    def _prepare(self, wanted: cmd.PrepareSegments) -> None:
        started_s = now_s()
        try:
            self._segments.prepare(
                wanted.stream, wanted.generation, wanted.model_id, wanted.plan, wanted.stages, wanted.mode
            )
            event: ev.Event = ev.SegmentsPrepared(wanted.stream, wanted.generation, now_s() - started_s)
        except Exception as error:
            self._load.released(wanted.stream, wanted.generation)
            reason = _words(error, f"preparing `{quoted(str(wanted.plan))}`")
            event = ev.PrepareFailed(wanted.stream, wanted.generation, reason)
        self._tell(event)
        if self._has_batches:
            self._batcher.submit(self._open_batches)
        self._segments.tidy(now_s())  # preparing needs more memory than what it makes; a few ms, and nobody waits

    def _open_batches(self) -> None:
        """Let segments that several streams use run their frames together, where that pays."""
        engine = self._engine
        if not isinstance(engine, OrtEngine):
            return
        for key, segment in self._segments.shared_by_streams():
            try:
                if isinstance(segment, CheckedSegment):
                    open_batch(engine, key.model_id, key.segment, segment)
            except SeamlineError as error:
                log.debug("no batches of %s: %s", key.segment, error)

    def _measure(self, job: int, what: str, measure: Callable[[], object]) -> None:
        try:
            event = ev.Measured(job, measure())
        except Exception as error:
            event = ev.Measured(job, None, _words(error, what))
        self._tell(event)

    def _profile(self, model_id: str, budget_s: float) -> Profile:
        return self._profiler.profile(self._exchange.stored(model_id), budget_s)

    def _time(self, model_id: str, segment: Segment) -> float:
        took_s = time_segment(self._engine, model_id, segment)
        self._energy.worked(N_RUNS * took_s)
        return took_s


_DOING = {
    cmd.Question.PREPARE: "preparing",
    cmd.Question.PROFILE: "profiling",
    cmd.Question.TIME: "timing a segment",
}


def _words(error: Exception, what: str) -> str:
    """Return the error in words: whoever asked waits for an answer, whatever an engine throws."""
    if isinstance(error, SeamlineError):
        return str(error)
    log.error("%s failed", what, exc_info=error)
    return f"{type(error).__name__}: {error}"


def _mode(text: str) -> PreparationMode:
    with suppress(ValueError):
        return PreparationMode(text)
    raise PlanError(f"`{text[:40]}` is no form of segments known here")
