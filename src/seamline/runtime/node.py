"""One node: takes part in the fabric, prepares segments, answers what others ask; frames go their way (`frame_path`).

A node keeps no state about a stream beyond the segments it was asked to prepare: every frame carries its plan.
Threads: the fabric's (frames and link measurement), the dispatcher (all other messages, in order of arrival), the
compute thread (`stages`), one that prepares models and segments, one that profiles, the heartbeat (`presence`) and a
sender per peer (`outbox`).
The stream, its controller and every decision live elsewhere; they listen here through `Listener`.
"""

from __future__ import annotations

import logging
import queue
import threading
from collections import Counter
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial
from typing import Protocol

from seamline.core.errors import FabricError, ModelError, PeerLost, PlanError, SeamlineError, SwitchError, UsageError
from seamline.core.ports import Array, Engine, Fabric, Lane
from seamline.core.switching import Form
from seamline.core.values import LinkEstimate, NodeId, Plan, Profile, Segment, Tier
from seamline.fabric import messages as msg
from seamline.fabric.wire import pack, unpack
from seamline.model import ModelStore
from seamline.runtime.clock import now_s
from seamline.runtime.energy import EnergyAccount
from seamline.runtime.frame_path import FramePath, parse_plan
from seamline.runtime.keeper import Keeper
from seamline.runtime.links import LinkMeter
from seamline.runtime.models import ModelExchange
from seamline.runtime.outbox import Outbox, Outgoing
from seamline.runtime.prepared import PreparedSegments
from seamline.runtime.presence import Presence
from seamline.runtime.profiling import Profiler, profile_from_bytes, profile_to_bytes, time_segment
from seamline.runtime.requests import Requests
from seamline.runtime.stages import StageWorker
from seamline.runtime.worker import Worker

log = logging.getLogger(__name__)

ORPHAN_S = 10.0
"""How long the segments of a stream outlive the loss of its origin: it may have been a moment's silence."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """Who a node is. memory_bytes: what it may use. n_threads: what its engine uses. incarnation: unique per start."""

    name: NodeId
    tier: Tier
    incarnation: str
    n_threads: int
    memory_bytes: int


class Listener(Protocol):
    """What a stream wants to hear from its node. Called on the node's threads: enqueue and return."""

    def on_peer(self, node: NodeId, alive: bool) -> None: ...

    def on_status(self, node: NodeId, status: msg.Status) -> None: ...

    def on_link(self, estimate: LinkEstimate) -> None: ...

    def on_result(self, result: msg.ResultData, outputs: dict[str, Array]) -> None: ...

    def on_frame_failed(self, failure: msg.FrameFailed) -> None: ...

    def on_switch_plan(self, source: NodeId, ask: msg.SwitchPlan) -> None: ...

    def on_set_objective(self, source: NodeId, ask: msg.SetObjective) -> None: ...


class Node:
    """One running node. `start` joins the fabric, `close` leaves it and ends every thread."""

    def __init__(
        self,
        identity: Identity,
        fabric: Fabric,
        store: ModelStore,
        engine: Engine,
        profiler: Profiler,
        engines: Mapping[Form, Engine] | None = None,
        energy: EnergyAccount | None = None,
        keeper: Keeper | None = None,
    ) -> None:
        self.identity = identity
        self.fabric = fabric
        self.store = store
        self.engine = engine
        self.requests = Requests()
        self.outbox = Outbox(fabric)
        self.segments = PreparedSegments(engine, engines=engines, made=keeper.made if keeper is not None else None)
        self.switching_bytes: Counter[str] = Counter()
        self.energy = energy or EnergyAccount()
        self.stages = StageWorker(identity.name, self.energy)
        self.links = LinkMeter(identity.name, self._link_moved)
        self.exchange = ModelExchange(store, self.requests, self.send)
        self.frames = FramePath(self)
        self.presence = Presence(self)
        self._profiler = profiler
        self._keeper = keeper
        self._listeners: dict[str, Listener] = {}
        self._inbox: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._dispatcher = threading.Thread(target=self._dispatch, name="dispatch", daemon=True)
        self._preparer = Worker("prepare")
        self._measurer = Worker("profile")
        self._origins: dict[str, NodeId] = {}
        self._gone_s: dict[NodeId, float] = {}
        self._closed = False

    @property
    def name(self) -> NodeId:
        return self.identity.name

    @property
    def endpoints(self) -> tuple[str, ...]:
        """Where others can connect to this node; empty on a fabric without addresses."""
        return tuple(getattr(self.fabric, "endpoints", ()))

    def start(self) -> None:
        """Join the fabric. Raises `FabricError` when the name or the port is taken."""
        self._dispatcher.start()
        self.fabric.start(
            self._arrived,
            lambda peer, alive: self._inbox.put(partial(self._peer_changed, peer, alive)),
        )
        self.presence.start()

    def close(self) -> None:
        """Leave; idempotent. Frames still here are not answered: their origin completes them elsewhere."""
        if self._closed:
            return
        self._closed = True
        self.presence.close()
        self.requests.close()
        if self._keeper is not None:
            self._keeper.close()
        self._preparer.close()
        self._measurer.close()
        self.stages.close()
        self.segments.close()
        self.outbox.close()
        self.fabric.close()
        self.energy.close()
        self._inbox.put(None)
        if self._dispatcher.is_alive():
            self._dispatcher.join(timeout=3.0)

    def listen(self, stream: str, listener: Listener) -> None:
        """Hear about peers, links and the frames of `stream`; those already here are told at once."""
        self._listeners = {**self._listeners, stream: listener}
        for peer in self.fabric.peers():
            listener.on_peer(peer, True)
        for peer, status in self.presence.statuses().items():
            listener.on_status(peer, status)
        for estimate in self.links.estimates():
            listener.on_link(estimate)

    def tidy(self, now: float) -> None:
        """Release what streams of origins that are long gone had prepared here, and what nothing uses any more."""
        self.segments.tidy(now)
        for origin in [peer for peer, gone_s in self._gone_s.items() if now - gone_s > ORPHAN_S]:
            del self._gone_s[origin]
            for stream in [stream for stream, source in self._origins.items() if source == origin]:
                log.info("releasing stream %s: its origin %s is gone", stream, origin)
                del self._origins[stream]
                self.segments.release(stream, -1)

    def unlisten(self, stream: str) -> None:
        self._listeners = {name: listener for name, listener in self._listeners.items() if name != stream}

    def listener(self, stream: str) -> Listener | None:
        """Who hears of the frames of `stream`, if it is ours."""
        return self._listeners.get(stream)

    # -- asking others -----------------------------------------------------------------------------------------------

    def send(self, target: NodeId, header: msg.Message, tensors: tuple[Array, ...] = ()) -> None:
        """Send one message: bulk through the outbox, a bare header at once. Raises `FabricError`."""
        if tensors:
            self.outbox.put(target, Outgoing(message=pack(header, tensors)))
        else:
            message = pack(header)
            if isinstance(header, msg.Prepare | msg.Release):
                self.switching_bytes[type(header).__name__] += len(message)
            self.fabric.send(target, message, Lane.CONTROL)

    def prepare(
        self,
        target: NodeId,
        stream: str,
        generation: int,
        model_id: str,
        plan: Plan,
        form: Form = Form.SHARED,
    ) -> Future[float]:
        """Ask `target` (possibly this node) to get ready for `plan`; settles with its seconds or its error."""
        if target == self.name:
            done = self._preparer.submit(self._prepare_here, stream, generation, model_id, plan, self.name, form)
            self._preparer.submit(self._tidy_segments)
            return done
        request_id, answer = self.requests.open(target)
        ask = msg.Prepare(
            request_id=request_id,
            stream=stream,
            generation=generation,
            model_id=model_id,
            plan=str(plan),
            source=self.name,
            form=form,
        )
        self._ask(target, request_id, ask)
        return answer

    def switch_plan(self, target: NodeId, stream: str, plan: str, strategy: str) -> Future[bytes]:
        """Ask the origin of `stream` to move it to `plan`; settles with the switch's record as JSON, or its error."""
        request_id, answer = self.requests.open(target)
        self._ask(target, request_id, msg.SwitchPlan(request_id, stream, plan, strategy))
        return answer

    def set_objective(self, target: NodeId, stream: str, objective: str) -> Future[str]:
        """Ask the origin of `stream` to judge its plans by `objective`; settles with the one before, or its error."""
        request_id, answer = self.requests.open(target)
        self._ask(target, request_id, msg.SetObjective(request_id, stream, objective))
        return answer

    def set_energy_scope(self, target: NodeId, stream: str, scope: str) -> Future[str]:
        """The same for whose joules count."""
        request_id, answer = self.requests.open(target)
        self._ask(target, request_id, msg.SetObjective(request_id, stream, "", energy_scope=scope))
        return answer

    @property
    def streams(self) -> tuple[str, ...]:
        """Names of the streams that start here."""
        return tuple(self._listeners)

    def release(self, target: NodeId, stream: str, generation: int) -> None:
        """Tell `target` (possibly this node) that a generation is over; one that is gone needs no telling."""
        if target == self.name:
            self.segments.release(stream, generation)
            return
        try:
            self.send(target, msg.Release(stream=stream, generation=generation))
        except FabricError as error:
            log.debug("release not sent to %s: %s", target, error)

    def profile(self, target: NodeId, model_id: str, budget_s: float) -> Future[Profile]:
        """Ask `target` (possibly this node) what the model costs there."""
        if target == self.name:
            return self._measurer.submit(self._profile_here, model_id, budget_s, self.name)
        request_id, answer = self.requests.open(target)
        ask = msg.ProfileModel(request_id=request_id, model_id=model_id, source=self.name, budget_s=budget_s)
        self._ask(target, request_id, ask)
        return answer

    def time_segment(self, target: NodeId, model_id: str, segment: Segment) -> Future[float]:
        """Ask `target` (possibly this node) what `segment` takes there now, in seconds, without a frame."""
        if target == self.name:
            return self._measurer.submit(time_segment, self.engine, model_id, segment)
        request_id, answer = self.requests.open(target)
        self._ask(target, request_id, msg.TimeSegment(request_id, model_id, segment.start, segment.stop))
        return answer

    def _ask(self, target: NodeId, request_id: int, ask: msg.Message) -> None:
        try:
            self.send(target, ask)
        except FabricError as error:
            self.requests.fail(request_id, error)

    # -- what others ask of us ---------------------------------------------------------------------------------------

    def _prepare_here(
        self, stream: str, generation: int, model_id: str, plan: Plan, source: NodeId, form: Form
    ) -> float:
        started_s = now_s()
        self.exchange.obtain(model_id, source)
        mine = tuple(number for number, stage in enumerate(plan.stages) if stage.node == self.name)
        if not mine:
            raise PlanError(f"`{plan}` has no stage for `{self.name}`")
        self.segments.prepare(stream, generation, model_id, plan, mine, form)
        return now_s() - started_s

    def _tidy_segments(self) -> None:
        """Right after preparing, which needs more memory than what it makes; a few ms, and nobody waits."""
        self.segments.tidy(now_s())

    def _prepare_for(self, source: NodeId, ask: msg.Prepare) -> None:
        spent_s, error = 0.0, None
        self._origins[ask.stream] = source
        try:
            plan, form = parse_plan(ask.plan), _form(ask.form)
            spent_s = self._prepare_here(ask.stream, ask.generation, ask.model_id, plan, NodeId(ask.source), form)
        except SeamlineError as exc:
            error = str(exc)
        except Exception as exc:  # whoever asked waits for an answer, whatever an engine throws
            log.exception("preparing `%s` failed", ask.plan)
            error = f"{type(exc).__name__}: {exc}"
        reply = msg.Prepared(
            request_id=ask.request_id, stream=ask.stream, generation=ask.generation, prepare_s=spent_s, error=error
        )
        self._reply(source, reply)
        self._tidy_segments()

    def _profile_here(self, model_id: str, budget_s: float, source: NodeId) -> Profile:
        return self._profiler.profile(self.exchange.obtain(model_id, source), budget_s)

    def _profile_for(self, source: NodeId, ask: msg.ProfileModel) -> None:
        try:
            profile = self._profile_here(ask.model_id, ask.budget_s, NodeId(ask.source))
            reply = msg.Profiled(request_id=ask.request_id, profile=profile_to_bytes(profile))
        except SeamlineError as exc:
            reply = msg.Profiled(request_id=ask.request_id, error=str(exc))
        self._reply(source, reply)

    def _time_for(self, source: NodeId, ask: msg.TimeSegment) -> None:
        try:
            took_s = time_segment(self.engine, ask.model_id, Segment(ask.start, ask.stop))
            reply = msg.SegmentTimed(request_id=ask.request_id, compute_s=took_s)
        except Exception as exc:  # whoever asked waits for an answer, whatever an engine throws
            reply = msg.SegmentTimed(request_id=ask.request_id, error=f"{type(exc).__name__}: {exc}")
        self._reply(source, reply)

    def _reply(self, target: NodeId, reply: msg.Message) -> None:
        try:
            self.send(target, reply)
        except FabricError as error:
            log.debug("reply not sent to %s: %s", target, error)

    # -- arriving messages -------------------------------------------------------------------------------------------

    def _dispatch(self) -> None:
        while (work := self._inbox.get()) is not None:
            self._guarded(work)

    def _arrived(self, source: NodeId, data: memoryview) -> None:
        """A message, on the fabric's thread."""
        self._guarded(partial(self._sort, source, data))

    def _guarded(self, work: Callable[[], None]) -> None:
        """Do `work`; one bad message must not end the node. What fails because the node is leaving is no news."""
        try:
            work()
        except PeerLost as error:  # it asked and went away; those who wait for it are told by `_peer_changed`
            log.debug("%s", error)
        except SeamlineError as error:
            log.log(logging.DEBUG if self._closed else logging.WARNING, "%s", error)
        except Exception:
            log.exception("a message could not be handled")

    def _sort(self, source: NodeId, data: memoryview) -> None:
        """What frames and link measurements wait for is done at once, since it only enqueues; the rest is dispatched.

        Waking one more thread takes about 0.3 ms there and back again when the node was idle.
        """
        header, tensors = unpack(data)
        match header:
            case msg.FrameData():
                try:
                    self.frames.arrived(source, header, tensors)
                finally:  # after it, because the stage need not wait for the sending
                    self._receipt(source, header.seq)
            case msg.ResultData():
                self.frames.answered(header, tensors)
            case msg.Receipt(seq):
                self.links.receipt(source, seq)
            case msg.Ping(seq):
                self.send(source, msg.Pong(seq=seq))
            case msg.Pong(seq):
                self.links.pong(source, seq)
            case msg.Probe(seq):
                self._receipt(source, seq)
            case _:
                self._inbox.put(partial(self._receive, source, header, tensors))

    def _receive(self, source: NodeId, header: msg.Message, tensors: list[Array]) -> None:
        match header:
            case msg.Status():
                self.presence.received(source, header)
                for listener in self._listeners.values():
                    listener.on_status(source, header)
            case msg.FrameFailed():
                self.frames.refused(header)
            case msg.Prepare():
                self._preparer.submit(self._prepare_for, source, header)
            case msg.Prepared(request_id=request_id, prepare_s=prepare_s, error=error):
                answer = prepare_s if error is None else PlanError(f"`{source}` cannot prepare: {error}")
                self.requests.settle(request_id, source, answer)
            case msg.Release(stream=stream, generation=generation):
                self.segments.release(stream, generation)
                if generation == -1:
                    self._origins.pop(stream, None)
            case msg.SwitchPlan():
                self._switch_asked(source, header)
            case msg.PlanSwitched(request_id=request_id, record=record, error=error):
                done = record if record is not None else SwitchError(f"`{source}` did not switch: {error}")
                self.requests.settle(request_id, source, done)
            case msg.SetObjective():
                self._objective_asked(source, header)
            case msg.ObjectiveChanged(request_id=request_id, before=before, error=error):
                changed = before if before is not None else UsageError(f"`{source}` refuses: {error}")
                self.requests.settle(request_id, source, changed)
            case msg.ProfileModel():
                self._measurer.submit(self._profile_for, source, header)
            case msg.Profiled():
                self._profile_arrived(source, header)
            case msg.TimeSegment():
                self._measurer.submit(self._time_for, source, header)
            case msg.SegmentTimed(request_id=request_id, compute_s=took_s, error=error):
                timed = took_s if took_s is not None else ModelError(f"`{source}` cannot run it: {error}")
                self.requests.settle(request_id, source, timed)
            case msg.FetchModel():
                self.exchange.serve(source, header)
            case msg.ModelPart():
                self.exchange.received(source, header, tensors)

    def _switch_asked(self, source: NodeId, ask: msg.SwitchPlan) -> None:
        listener = self._listeners.get(ask.stream)
        if listener is not None:
            listener.on_switch_plan(source, ask)
            return
        self._reply(source, msg.PlanSwitched(ask.request_id, error=self._no_stream(ask.stream)))

    def _objective_asked(self, source: NodeId, ask: msg.SetObjective) -> None:
        listener = self._listeners.get(ask.stream)
        if listener is not None:
            listener.on_set_objective(source, ask)
        else:
            self._reply(source, msg.ObjectiveChanged(ask.request_id, error=self._no_stream(ask.stream)))

    def _no_stream(self, name: str) -> str:
        return f"no stream `{name[:80]}` starts here; streams: {', '.join(self._listeners) or 'none'}"

    def reply(self, target: NodeId, reply: msg.Message) -> None:
        """Answer a question; whoever asked and went away needs none."""
        self._reply(target, reply)

    def _receipt(self, target: NodeId, seq: int) -> None:
        try:
            self.send(target, msg.Receipt(seq=seq))
        except PeerLost:
            log.debug("receipt not sent to %s", target)

    def _profile_arrived(self, source: NodeId, reply: msg.Profiled) -> None:
        answer: object
        if reply.profile is None:
            answer = PlanError(f"`{source}` cannot profile: {reply.error}")
        else:
            try:
                answer = profile_from_bytes(reply.profile, source)
            except SeamlineError as exc:
                answer = exc
        self.requests.settle(reply.request_id, source, answer)

    def _peer_changed(self, peer: NodeId, alive: bool) -> None:
        log.info("%s %s", peer, "is here" if alive else "is gone")
        self.links.peer(peer, alive)
        self.presence.peer(peer, alive)
        if alive:
            self._gone_s.pop(peer, None)
        else:
            self._gone_s[peer] = now_s()
            self.requests.peer_lost(peer)
        for listener in self._listeners.values():
            listener.on_peer(peer, alive)

    def _link_moved(self, estimate: LinkEstimate) -> None:
        self.presence.link_moved(estimate)
        for listener in self._listeners.values():
            listener.on_link(estimate)


def _form(text: str) -> Form:
    try:
        return Form(text)
    except ValueError:
        raise PlanError(f"`{text[:40]}` is no form of segments known here") from None
