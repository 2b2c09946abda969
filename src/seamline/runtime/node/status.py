"""The status of this node: its identity, its memory, its queue and its links, as announced to peers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass

import msgspec
import psutil

from seamline import __version__
from seamline.config.cgroup import n_usable_cores
from seamline.core.cost.loads import SegmentLoad
from seamline.core.link.report import report_of
from seamline.core.vocabulary.nodes import NodeId, Tier
from seamline.core.vocabulary.ports import Engine
from seamline.fabric import messages as msg
from seamline.meters.device import memory_available_bytes
from seamline.meters.gpu import Gpu
from seamline.model import ModelStore
from seamline.runtime.node.links import LinkMeter
from seamline.runtime.node.stages import StageWorker
from seamline.runtime.shared.bounds import bounded_status
from seamline.runtime.shared.clock import now_s
from seamline.runtime.shared.energy import EnergyAccount
from seamline.runtime.shared.load import NodeLoadMeter

OBSERVER = Tier("observer")
"""The tier of a node that only looks (`seamline nodes`): it takes no part in streams."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """Identity of a node. memory_bytes: what it may use. n_threads: of its engine. incarnation: unique per start."""

    name: NodeId
    tier: Tier
    incarnation: str
    n_threads: int
    memory_bytes: int


class OwnStatus:
    """Composer of a node's status, out of the parts that know. streams: names of the streams that start here.

    gpu: where the engine computes, if it has memory of its own.
    """

    def __init__(
        self,
        identity: Identity,
        *,
        engine: Engine,
        store: ModelStore,
        stages: StageWorker,
        load: NodeLoadMeter,
        links: LinkMeter,
        energy: EnergyAccount,
        streams: Callable[[], tuple[str, ...]],
        gpu: Gpu | None = None,
    ) -> None:
        self._identity = identity
        self._engine = engine
        self._store = store
        self._stages = stages
        self._load = load
        self._links = links
        self._energy = energy
        self._streams = streams
        self._gpu = gpu
        self._own_at_start_bytes = _own_bytes()

    def usable_memory_bytes(self) -> int:
        """Return what segments may take here in all: what is available, and what those here have taken already.

        Weights are mapped from their file, so the system counts them as available; what a segment holds beside them is
        seen as this process's own memory grown since the start. On a GPU they must fit into its memory as well.
        """
        grown = max(0, _own_bytes() - self._own_at_start_bytes)
        usable_bytes = min(self._identity.memory_bytes, memory_available_bytes() + grown)
        if self._gpu is not None:
            usable_bytes = min(usable_bytes, max(1, self._gpu.usable_bytes()))  # 0 would mean that nothing is known
        return int(usable_bytes)

    def compose(self) -> msg.Status:
        """Return the status as of now."""
        identity, now = self._identity, now_s()
        status = msg.Status(
            tier=identity.tier,
            incarnation=identity.incarnation,
            version=__version__,
            engine=self._engine.name,
            provider=self._engine.provider,
            gpu=None if self._gpu is None else self._gpu_report(self._gpu),
            threads=identity.n_threads,
            n_cores=n_usable_cores(),
            memory_bytes=identity.memory_bytes,
            free_memory_bytes=min(identity.memory_bytes, memory_available_bytes()),
            queue_s=self._stages.queue_s,
            models=tuple(self._store.ids()),
            streams=self._streams(),
            energy=self._energy_report(),
            usable_memory_bytes=self.usable_memory_bytes(),
            links=tuple(msg.LinkReport(**asdict(report_of(estimate, now))) for estimate in self._links.estimates()),
            loads=tuple(map(_load_report, self._load.report())),
            n_workers=self._stages.n_workers,
        )
        return bounded_status(status)

    def _gpu_report(self, gpu: Gpu) -> msg.GpuReport:
        return msg.GpuReport(name=gpu.name, memory_bytes=gpu.memory_bytes, free_memory_bytes=gpu.free_bytes())

    def _energy_report(self) -> msg.EnergyReport | None:
        reading = self._energy.reading()
        if reading is None:
            return None
        return msg.EnergyReport(source=reading.source, scope=reading.scope, energy_j=reading.energy_j)


def standing_of(status: msg.Status) -> msg.Status:
    """`status` without what moves all the time, so that two are equal until the node has become another one."""
    return msgspec.structs.replace(
        status, free_memory_bytes=0, usable_memory_bytes=0, queue_s=0.0, links=(), energy=None, loads=()
    )


def _load_report(load: SegmentLoad) -> msg.SegmentLoadReport:
    return msg.SegmentLoadReport(
        model_id=load.model_id,
        start=load.segment.start,
        stop=load.segment.stop,
        n_streams=load.n_streams,
        rate_per_s=load.rate_per_s,
        busy_s=load.busy_s,
        wait_s=load.wait_s,
    )


def _own_bytes() -> int:
    """Return the memory of this process that no file backs."""
    info = psutil.Process().memory_info()
    return int(info.rss - getattr(info, "shared", 0))  # only Linux tells them apart
