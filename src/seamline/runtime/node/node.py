"""One node: builds its parts, starts them and closes them. What the parts do is told in their own files.

A node keeps no state about a stream beyond the segments it was asked to prepare: every frame carries its plan. What
reaches it goes through `dispatch` to its `handlers`, what leaves it through `uplink`; frames go their `frame_path`,
slow requests are done in `service`, and streams ask other nodes through `peer_client`.
Threads: the fabric's (frames and link measurement), the dispatcher (all other messages, in order of arrival), the
compute thread (`stages`), some that fetch, prepare and profile (`service`), the heartbeat and a sender per peer
(`outbox`). The stream, its controller and every decision live elsewhere; they listen here through `Listener`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Protocol

from seamline.core.switching import PreparationMode
from seamline.core.vocabulary.nodes import NodeId
from seamline.core.vocabulary.ports import Engine, Fabric
from seamline.meters.gpu import Gpu
from seamline.model import ModelStore
from seamline.runtime.node.dispatch import Dispatcher
from seamline.runtime.node.frame_path import FramePath
from seamline.runtime.node.handlers import message_handlers
from seamline.runtime.node.heartbeat import Heartbeat
from seamline.runtime.node.links import LinkMeter
from seamline.runtime.node.membership import Membership
from seamline.runtime.node.models import ModelExchange
from seamline.runtime.node.peer_client import PeerClient
from seamline.runtime.node.profiling import Profiler
from seamline.runtime.node.service import Service
from seamline.runtime.node.stages import StageWorker
from seamline.runtime.node.status import Identity, OwnStatus
from seamline.runtime.node.uplink import Uplink
from seamline.runtime.segments.compile_cache import BackgroundCompileCache
from seamline.runtime.segments.output_reading import OutputReaders
from seamline.runtime.segments.prepared import PreparedSegments
from seamline.runtime.shared.energy import EnergyAccount
from seamline.runtime.shared.listeners import Listeners
from seamline.runtime.shared.load import NodeLoadMeter
from seamline.runtime.shared.news import News
from seamline.runtime.shared.requests import Requests
from seamline.runtime.shared.rights import RoleOf, uncertified
from seamline.runtime.shared.stream_requests import StreamRequests

if TYPE_CHECKING:
    from seamline.runtime.tracing.frame_tracer import FrameTracer


class Closable(Protocol):
    def close(self) -> None: ...


class Node:
    """One running node. `start` joins the fabric, `close` leaves it and ends every thread.

    For streams that start here: `client` asks nodes, this one included, `frames` runs frames, `uplink` sends replies
    and counts bytes, `links` measures, `membership` says who is there, `status` how this node fares, `energy` what it
    draws. interrupt: breaks off what computes. gpu: where it computes, if that has memory of its own.
    n_workers, batch_wait_s: see `StageWorker`.
    """

    def __init__(
        self,
        identity: Identity,
        fabric: Fabric,
        store: ModelStore,
        engine: Engine,
        profiler: Profiler,
        engines: Mapping[PreparationMode, Engine] | None = None,
        energy: EnergyAccount | None = None,
        compile_cache: BackgroundCompileCache | None = None,
        role_of: RoleOf = uncertified,
        withheld_from: frozenset[NodeId] = frozenset(),
        interrupt: Callable[[], None] = lambda: None,
        gpu: Gpu | None = None,
        n_workers: int = 1,
        batch_wait_s: float = 0.0,
    ) -> None:
        name = identity.name
        self.identity = identity
        self.fabric = fabric
        self.store = store
        self.energy = energy or EnergyAccount()
        self._compile_cache = compile_cache
        self._interrupt = interrupt
        self._closed = False
        # the meter tells of links and is asked for them, so it is the one part whose listener comes later
        self.links = LinkMeter(name, lambda estimate: self.membership.on_link(estimate))
        self.uplink = Uplink(fabric, self.links, self.energy)
        self.requests = Requests(self.uplink.send)
        self.dispatcher = Dispatcher()
        self._companions: list[Closable] = []
        self.listeners = Listeners()
        on_prepared = None if compile_cache is None else compile_cache.on_prepared
        self.segments = PreparedSegments(engine, engines=engines, on_prepared=on_prepared)
        self.stages = StageWorker(name, self.energy, n_workers=n_workers, batch_wait_s=batch_wait_s)
        self.load = NodeLoadMeter()
        news = News(name)
        self.exchange = ModelExchange(store, self.requests, self.uplink.send, news, withheld_from)
        readers = OutputReaders(self.exchange.stored)
        self.frames = FramePath(
            name, self.uplink, self.segments, self.stages, self.load, self.energy, self.listeners, news, readers
        )
        self.service = Service(
            name,
            exchange=self.exchange,
            segments=self.segments,
            engine=engine,
            profiler=profiler,
            energy=self.energy,
            load=self.load,
            has_batches=self.stages.has_batches,
            after_frames=self.stages.in_turn,
            usable_memory_bytes=lambda: self.status.usable_memory_bytes(),
            reply=self.uplink.send_best_effort,
            news=news,
        )
        self.stream_requests = StreamRequests(self.listeners, self.uplink.send_best_effort)
        self.client = PeerClient(name, self.uplink, self.requests, self.service, self.stream_requests)
        self.status = OwnStatus(
            identity,
            engine=engine,
            store=store,
            stages=self.stages,
            load=self.load,
            links=self.links,
            energy=self.energy,
            streams=self.listeners.streams,
            gpu=gpu,
        )
        self.heartbeat = Heartbeat(fabric, self.uplink, self.status.compose, self.service.tidy)
        self.membership = Membership(
            fabric,
            self.links,
            self.listeners,
            post=self.dispatcher.put,
            greet=self.heartbeat.greet,
            changed=self.heartbeat.look_soon,
            parts=(self.uplink.on_peer, self.service.on_peer, self.requests.on_peer),
            seen=self.service.on_incarnation,
            news=news,
            role_of=role_of,
        )
        self.handlers = message_handlers(
            frames=self.frames,
            uplink=self.uplink,
            membership=self.membership,
            streams=self.stream_requests,
            service=self.service,
            exchange=self.exchange,
            client=self.client,
        )

    @property
    def name(self) -> NodeId:
        return self.identity.name

    @property
    def endpoints(self) -> tuple[str, ...]:
        """Endpoints that others can connect to; empty on a fabric without addresses."""
        return tuple(getattr(self.fabric, "endpoints", ()))

    def start(self) -> None:
        """Join the fabric. Raises `FabricError` when the name or the port is taken."""
        self.dispatcher.start(self.handlers)
        self.fabric.start(
            self.dispatcher.on_message,
            lambda peer, alive: self.dispatcher.put(partial(self.membership.on_peer, peer, alive), peer),
        )
        self.heartbeat.start()

    def trace_with(self, tracer: FrameTracer) -> None:
        """Show `tracer` the frames that are traced, until this node closes."""
        self.frames.tracer = tracer
        self.close_with(tracer)

    def close_with(self, companion: Closable) -> None:
        """Close `companion` when this node is closed, before anything else."""
        self._companions.append(companion)

    def close(self) -> None:
        """Leave; idempotent. Frames still here are not answered: their origin completes them elsewhere.

        What takes longer than a moment to compute is broken off, and no thread is waited for longer.
        """
        if self._closed:
            return
        self._closed = True
        for companion in self._companions:
            companion.close()
        self.dispatcher.leave()
        self.heartbeat.close()
        self.requests.close()
        self.stages.close()
        self._interrupt()
        if self._compile_cache is not None:
            self._compile_cache.close()
        self.stream_requests.close()
        self.service.close()
        self.segments.close()
        self.uplink.close()
        self.fabric.close()
        self.energy.close()
        self.dispatcher.close()
