"""The slow work of a node for streams, its own and others': fetching models, preparing, profiling, timing a segment.

It runs on two threads of its own, one that prepares and one that measures, so that a switch does not wait for a
profile. What needs a model that is not here joins their queues when it has come, so nobody waits for another's.
Running frames is `frame_path.py`; asking other nodes for the same is `peer_client.py`.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from concurrent.futures import Future

from seamline.core.speed.reprofiling import N_RUNS
from seamline.core.switching import PreparationMode
from seamline.core.vocabulary.complaints import quoted
from seamline.core.vocabulary.errors import PlanError, SeamlineError, WireError
from seamline.core.vocabulary.nodes import NodeId
from seamline.core.vocabulary.plans import Plan, Segment
from seamline.core.vocabulary.ports import Engine
from seamline.core.vocabulary.profiles import Profile
from seamline.fabric import messages as msg
from seamline.model import StoredModel
from seamline.runtime.node.frame_path import parse_plan
from seamline.runtime.node.models import ModelExchange
from seamline.runtime.node.profiling import Profiler, profile_to_bytes, time_segment
from seamline.runtime.segments.prepared import PreparedSegments
from seamline.runtime.shared.clock import now_s
from seamline.runtime.shared.energy import EnergyAccount
from seamline.runtime.shared.news import News
from seamline.runtime.shared.worker import Worker

log = logging.getLogger(__name__)

ORPHAN_S = 10.0
"""Seconds that the segments of a stream outlive the loss of its origin: it may have been a moment's silence."""


class Service:
    """Owner of a node's slow work, and of the knowledge whose streams its segments serve.

    reply: answers a node. after_frames: calls back once the frames that wait are computed, never while that hangs.
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
        after_frames: Callable[[Callable[[], None]], None],
        reply: Callable[[NodeId, msg.Message], None],
        news: News,
    ) -> None:
        self._node = node
        self._exchange = exchange
        self._segments = segments
        self._engine = engine
        self._profiler = profiler
        self._energy = energy
        self._after_frames = after_frames
        self._reply = reply
        self._news = news
        self._preparer = Worker("prepare")
        self._measurer = Worker("profile")
        self._lock = threading.Lock()
        self._origins: dict[str, NodeId] = {}
        self._gone_s: dict[NodeId, float] = {}
        self._awaiting: dict[tuple[str, int], int] = {}
        self._serving: set[str] = set()

    def close(self) -> None:
        """Begin nothing more; what has begun is left to end by itself."""
        self._preparer.close()
        self._measurer.close()

    # -- for streams that start here -----------------------------------------------------------------------------------

    def prepare(self, stream: str, generation: int, model_id: str, plan: Plan, form: PreparationMode) -> Future[float]:
        """Get this node ready for its stages of `plan`; settles with the seconds that took, or the error."""
        with self._lock:
            self._origins[stream] = self._node
        model = self._exchange.obtain(model_id, self._node)
        done = self._preparer.submit(self._prepare, stream, generation, model, plan, form)
        self._preparer.submit(self._tidy_segments)
        return done

    def profile(self, model_id: str, budget_s: float) -> Future[Profile]:
        """Profile the model here; settles with the profile, or the error."""
        return self._measurer.submit(self._profile, self._exchange.obtain(model_id, self._node), budget_s)

    def time_segment(self, model_id: str, segment: Segment) -> Future[float]:
        """Time `segment` here now; settles with its seconds, or the error."""
        return self._measurer.submit(self._time, model_id, segment)

    # -- for others ----------------------------------------------------------------------------------------------------

    def on_prepare(self, source: NodeId, ask: msg.Prepare) -> None:
        key = (ask.stream, ask.generation)
        with self._lock:
            owner = self._origins.setdefault(ask.stream, source)
            is_its_own = owner == source
            if is_its_own:
                self._awaiting[key] = self._awaiting.get(key, 0) + 1
        if not is_its_own:
            self._refuse(source, ask, f"stream `{quoted(ask.stream, 80)}` is of `{owner}`")
            return
        model = self._exchange.obtain(ask.model_id, NodeId(ask.source))
        model.add_done_callback(lambda model: self._preparer.submit(self._answer_prepare, source, ask, model))

    def on_profile(self, source: NodeId, ask: msg.ProfileModel) -> None:
        model = self._exchange.obtain(ask.model_id, NodeId(ask.source))
        model.add_done_callback(lambda model: self._measurer.submit(self._answer_profile, source, ask, model))

    def on_time_segment(self, source: NodeId, ask: msg.TimeSegment) -> None:
        def begin() -> None:
            self._measurer.submit(self._answer_time, source, ask)

        self._after_frames(begin)

    def on_release(self, source: NodeId, ask: msg.Release) -> None:
        """Let go of what `source` had prepared here. Raises `WireError` when the stream is another's."""
        with self._lock:
            owner = self._origins.get(ask.stream)
        if owner == source:
            self.release(ask.stream, ask.generation)
        elif owner is not None:
            raise WireError(f"`{source}` released stream `{quoted(ask.stream, 80)}`, which is of `{owner}`")

    def release(self, stream: str, generation: int) -> None:
        """Let a generation of a stream go; all that it has here for -1.

        At once, and once more behind what waits to be prepared: it may be what is released. What waits for its model
        is not prepared at all.
        """
        with self._lock:
            for key in [key for key in self._awaiting if key[0] == stream and generation in (key[1], -1)]:
                del self._awaiting[key]
        self._let_go(stream, generation)
        self._preparer.submit(self._let_go, stream, generation)

    def on_peer(self, name: NodeId, alive: bool) -> None:
        """A node came or went; its streams' segments stay for a while."""
        with self._lock:
            if alive:
                self._gone_s.pop(name, None)
            else:
                self._gone_s[name] = now_s()

    def tidy(self, now: float) -> None:
        """Release what streams of origins that are long gone had prepared here, and what nothing uses any more."""
        self._segments.tidy(now)
        with self._lock:
            gone = {peer for peer, gone_s in self._gone_s.items() if now - gone_s > ORPHAN_S}
            for origin in gone:
                del self._gone_s[origin]
            orphans = [(stream, origin) for stream, origin in self._origins.items() if origin in gone]
        for stream, origin in orphans:
            log.info("releasing stream %s: its origin %s is gone", stream, origin)
            self.release(stream, -1)

    # -- on the two threads --------------------------------------------------------------------------------------------

    def _prepare(
        self, stream: str, generation: int, model: Future[StoredModel], plan: Plan, form: PreparationMode
    ) -> float:
        """model: settled, whatever became of it."""
        started_s = now_s()
        model_id = model.result(timeout=0).model_id
        mine = tuple(number for number, stage in enumerate(plan.stages) if stage.node == self._node)
        if not mine:
            raise PlanError(f"`{plan}` has no stage for `{self._node}`")
        self._segments.prepare(stream, generation, model_id, plan, mine, form)
        return now_s() - started_s

    def _let_go(self, stream: str, generation: int) -> None:
        self._segments.release(stream, generation)
        if generation == -1:
            with self._lock:
                is_known = self._origins.pop(stream, None) is not None
                is_known = is_known and stream in self._serving
                self._serving.discard(stream)
            if is_known:
                self._news.stream_ended(stream)

    def _tidy_segments(self) -> None:
        """Right after preparing, which needs more memory than what it makes; a few ms, and nobody waits."""
        self._segments.tidy(now_s())

    def _profile(self, model: Future[StoredModel], budget_s: float) -> Profile:
        return self._profiler.profile(model.result(timeout=0), budget_s)

    def _answer_prepare(self, source: NodeId, ask: msg.Prepare, model: Future[StoredModel]) -> None:
        spent_s, error = 0.0, None
        is_wanted = self._take_awaited(ask.stream, ask.generation, source)
        try:
            if not is_wanted:
                raise PlanError("it was released before it was prepared")
            plan, form = parse_plan(ask.plan), _form(ask.form)
            spent_s = self._prepare(ask.stream, ask.generation, model, plan, form)
            self._say_ready(ask.stream, source, plan)
        except Exception as exc:
            error = _words(exc, f"preparing `{quoted(ask.plan)}`")
            if is_wanted:
                self._news.failed(f"preparing {quoted(ask.plan)}", ask.stream, error)
        reply = msg.Prepared(
            request_id=ask.request_id, stream=ask.stream, generation=ask.generation, prepare_s=spent_s, error=error
        )
        self._reply(source, reply)
        self._tidy_segments()

    def _refuse(self, source: NodeId, ask: msg.Prepare, reason: str) -> None:
        reply = msg.Prepared(
            request_id=ask.request_id, stream=ask.stream, generation=ask.generation, prepare_s=0.0, error=reason
        )
        self._reply(source, reply)

    def _take_awaited(self, stream: str, generation: int, source: NodeId) -> bool:
        """Whether a generation that was to be prepared has not been released meanwhile; its turn has come."""
        with self._lock:
            if (n_asked := self._awaiting.pop((stream, generation), 0)) == 0:
                return False
            if n_asked > 1:
                self._awaiting[stream, generation] = n_asked - 1
            self._origins.setdefault(stream, source)
            return True

    def _say_ready(self, stream: str, source: NodeId, plan: Plan) -> None:
        with self._lock:
            is_first = stream not in self._serving and stream in self._origins
            self._serving.add(stream)
        if is_first:
            self._news.stream_began(stream, source, plan)
        else:
            self._news.plan_ready(stream, plan)

    def _answer_profile(self, source: NodeId, ask: msg.ProfileModel, model: Future[StoredModel]) -> None:
        try:
            profile = self._profile(model, ask.budget_s)
            reply = msg.Profiled(request_id=ask.request_id, profile=profile_to_bytes(profile))
        except Exception as exc:
            reply = msg.Profiled(request_id=ask.request_id, error=_words(exc, "profiling"))
            self._news.failed(f"profiling model {ask.model_id[:12]}", source, reply.error)
        self._reply(source, reply)

    def _time(self, model_id: str, segment: Segment) -> float:
        took_s = time_segment(self._engine, model_id, segment)
        self._energy.worked(N_RUNS * took_s)
        return took_s

    def _answer_time(self, source: NodeId, ask: msg.TimeSegment) -> None:
        try:
            took_s = self._time(ask.model_id, Segment(ask.start, ask.stop))
            reply = msg.SegmentTimed(request_id=ask.request_id, compute_s=took_s)
        except Exception as exc:
            reply = msg.SegmentTimed(request_id=ask.request_id, error=_words(exc, "timing a segment"))
        self._reply(source, reply)


def _words(error: Exception, what: str) -> str:
    """Return the error in words: whoever asked waits for an answer, whatever an engine throws."""
    if isinstance(error, SeamlineError):
        return str(error)
    log.error("%s failed", what, exc_info=error)
    return f"{type(error).__name__}: {error}"


def _form(text: str) -> PreparationMode:
    try:
        return PreparationMode(text)
    except ValueError:
        raise PlanError(f"`{text[:40]}` is no form of segments known here") from None
