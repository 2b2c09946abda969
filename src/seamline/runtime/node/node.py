"""One node: its parts, its life in the fabric, and what it asks of others.

A node keeps no state about a stream beyond the segments it was asked to prepare: every frame carries its plan. What
reaches it is sorted in `dispatch.py`, what it is asked to do is done in `service.py`, frames go their `frame_path`.
Threads: the fabric's (frames and link measurement), the dispatcher (all other messages, in order of arrival), the
compute thread (`stages`), one that prepares models and segments, one that profiles, the heartbeat (`presence`) and a
sender per peer (`outbox`).
The stream, its controller and every decision live elsewhere; they listen here through `Listener`.
"""

from __future__ import annotations

import logging
import threading
from collections import Counter
from collections.abc import Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial
from typing import Protocol

from seamline.core.switching import Form
from seamline.core.vocabulary.errors import FabricError
from seamline.core.vocabulary.links import LinkEstimate
from seamline.core.vocabulary.nodes import NodeId, Tier
from seamline.core.vocabulary.plans import Plan, Segment
from seamline.core.vocabulary.ports import Array, Engine, Fabric, Lane
from seamline.core.vocabulary.profiles import Profile
from seamline.fabric import messages as msg
from seamline.fabric.wire import pack
from seamline.model import ModelStore
from seamline.runtime.node.dispatch import Dispatcher
from seamline.runtime.node.frame_path import FramePath
from seamline.runtime.node.links import LinkMeter
from seamline.runtime.node.models import ModelExchange
from seamline.runtime.node.presence import Presence
from seamline.runtime.node.profiling import Profiler
from seamline.runtime.node.service import Service
from seamline.runtime.node.stages import StageWorker
from seamline.runtime.segments.compile_cache import Keeper
from seamline.runtime.segments.prepared import PreparedSegments
from seamline.runtime.shared.energy import EnergyAccount
from seamline.runtime.shared.outbox import Outbox, Outgoing
from seamline.runtime.shared.requests import Requests

log = logging.getLogger(__name__)

VISITOR = Tier("visitor")
"""The tier of a node that only looks (`seamline nodes`): it takes no part in streams."""

INTRODUCTION_TIMEOUT_S = 5.0


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
        self.service = Service(self, profiler)
        self.dispatcher = Dispatcher(self)
        self.presence = Presence(self)
        self._keeper = keeper
        self._listeners: dict[str, Listener] = {}
        self._listening = threading.Lock()
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
        self.dispatcher.start()
        self.fabric.start(
            self.dispatcher.arrived,
            lambda peer, alive: self.dispatcher.put(partial(self._peer_changed, peer, alive)),
        )
        self.presence.start()

    def close(self) -> None:
        """Leave; idempotent. Frames still here are not answered: their origin completes them elsewhere."""
        if self._closed:
            return
        self._closed = True
        self.dispatcher.leave()
        self.presence.close()
        self.requests.close()
        if self._keeper is not None:
            self._keeper.close()
        self.service.close()
        self.stages.close()
        self.segments.close()
        self.outbox.close()
        self.fabric.close()
        self.energy.close()
        self.dispatcher.close()

    def listen(self, stream: str, listener: Listener) -> None:
        """Hear about peers, links and the frames of `stream`; who is here already has been told of on return.

        Told on the dispatcher's thread, where all news of peers come from: one that goes meanwhile is heard of last.
        """
        introduced = threading.Event()

        def introduce() -> None:
            with self._listening:
                self._listeners = {**self._listeners, stream: listener}
            for peer in self.fabric.peers():
                listener.on_peer(peer, True)
            for peer, status in self.presence.statuses().items():
                listener.on_status(peer, status)
            for estimate in self.links.estimates():
                listener.on_link(estimate)
            introduced.set()

        self.dispatcher.put(introduce)
        introduced.wait(INTRODUCTION_TIMEOUT_S)

    def unlisten(self, stream: str) -> None:
        with self._listening:
            self._listeners = {name: listener for name, listener in self._listeners.items() if name != stream}

    def listener(self, stream: str) -> Listener | None:
        """Who hears of the frames of `stream`, if it is ours."""
        return self._listeners.get(stream)

    @property
    def streams(self) -> tuple[str, ...]:
        """Names of the streams that start here."""
        return tuple(self._listeners)

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
            return self.service.prepare(stream, generation, model_id, plan, form)
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

    def release(self, target: NodeId, stream: str, generation: int) -> None:
        """Tell `target` (possibly this node) that a generation is over; one that is gone needs no telling."""
        if target == self.name:
            self.service.release(stream, generation)
            return
        try:
            self.send(target, msg.Release(stream=stream, generation=generation))
        except FabricError as error:
            log.debug("release not sent to %s: %s", target, error)

    def profile(self, target: NodeId, model_id: str, budget_s: float) -> Future[Profile]:
        """Ask `target` (possibly this node) what the model costs there."""
        if target == self.name:
            return self.service.profile(model_id, budget_s)
        request_id, answer = self.requests.open(target)
        ask = msg.ProfileModel(request_id=request_id, model_id=model_id, source=self.name, budget_s=budget_s)
        self._ask(target, request_id, ask)
        return answer

    def time_segment(self, target: NodeId, model_id: str, segment: Segment) -> Future[float]:
        """Ask `target` (possibly this node) what `segment` takes there now, in seconds, without a frame."""
        if target == self.name:
            return self.service.time_segment(model_id, segment)
        request_id, answer = self.requests.open(target)
        self._ask(target, request_id, msg.TimeSegment(request_id, model_id, segment.start, segment.stop))
        return answer

    def _ask(self, target: NodeId, request_id: int, ask: msg.Message) -> None:
        try:
            self.send(target, ask)
        except FabricError as error:
            self.requests.fail(request_id, error)

    def reply(self, target: NodeId, reply: msg.Message) -> None:
        """Answer a question; whoever asked and went away needs none."""
        try:
            self.send(target, reply)
        except FabricError as error:
            log.debug("reply not sent to %s: %s", target, error)

    # -- what the parts tell -------------------------------------------------------------------------------------------

    def status_arrived(self, source: NodeId, status: msg.Status) -> None:
        """Another node has said who it is and how it fares.

        Streams hear it while they can send there: not of a node that went meanwhile, and of one that was not seen yet
        as soon as it is. Nothing is ever sent to a visitor, so its link is not measured.
        """
        self.presence.received(source, status)
        if status.tier == VISITOR:
            self.links.forget(source)
        if source in self.fabric.peers():
            for listener in self._listeners.values():
                listener.on_status(source, status)

    def _peer_changed(self, peer: NodeId, alive: bool) -> None:
        log.info("%s %s", peer, "is here" if alive else "is gone")
        self.links.peer(peer, alive)
        self.presence.peer(peer, alive)
        self.service.peer(peer, alive)
        if not alive:
            self.requests.peer_lost(peer)
            self.outbox.forget(peer)
        status = self.presence.statuses().get(peer)
        for listener in self._listeners.values():
            listener.on_peer(peer, alive)
            if alive and status is not None:  # it came before its sender was seen to live
                listener.on_status(peer, status)

    def _link_moved(self, estimate: LinkEstimate) -> None:
        self.presence.link_moved(estimate)
        for listener in self._listeners.values():
            listener.on_link(estimate)
