"""The beat of a node: it goes on whatever fails, and says what is news without waiting for its time."""

from __future__ import annotations

import threading

from seamline.core.link import beat
from seamline.core.vocabulary.nodes import NodeId
from seamline.fabric import messages as msg
from seamline.fabric.wire import unpack
from seamline.runtime.node.heartbeat import Heartbeat
from seamline.runtime.node.links import LinkMeter
from seamline.runtime.node.uplink import Uplink
from seamline.runtime.shared.energy import EnergyAccount

EDGE, FOG = NodeId("edge"), NodeId("fog")
STATUS = msg.Status(
    tier="edge", incarnation="1", version="1", engine="none", threads=1, n_cores=1, memory_bytes=1,
    free_memory_bytes=1, queue_s=0.0, models=(), links=(),
)  # fmt: skip


class RecordingFabric:
    """A fabric with one peer, that keeps the kinds of messages sent."""

    def __init__(self) -> None:
        self.sent: list[type[msg.Message]] = []

    def peers(self) -> frozenset[NodeId]:
        return frozenset({FOG})

    def send(self, target, message, lane) -> None:
        self.sent.append(type(unpack(message)[0]))


def test_a_status_is_announced_when_it_is_due_or_when_something_is_news(wait_until, monkeypatch):
    monkeypatch.setattr(beat, "STATUS_INTERVAL_S", 3600.0)
    fabric, tidied = RecordingFabric(), []
    uplink = Uplink(fabric, LinkMeter(EDGE, lambda estimate: None), EnergyAccount())
    uplink.links.peer(FOG, True)
    heartbeat = Heartbeat(fabric, uplink, lambda: STATUS, tidied.append)
    heartbeat.start()
    wait_until(lambda: fabric.sent.count(msg.Ping) >= 3)
    assert fabric.sent.count(msg.Status) == len(tidied) == 1
    heartbeat.announce_soon()
    wait_until(lambda: fabric.sent.count(msg.Status) == 2)
    heartbeat.close()
    uplink.close()


def test_the_heartbeat_goes_on_after_what_it_asked_has_failed(bench, wait_until, monkeypatch):
    edge, fog = bench.start("edge"), bench.start("fog")
    failed = threading.Event()

    def fail() -> tuple[str, ...]:
        failed.set()
        raise OSError("stale file handle")

    with monkeypatch.context() as broken:
        broken.setattr(fog.store, "ids", fail)
        assert failed.wait(10)
    seen = edge.membership.statuses().get(FOG)
    wait_until(lambda: edge.membership.statuses().get(FOG) not in (None, seen))
