"""The beat of a node: it sleeps until something is due, says what is news at once, and goes on whatever fails."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator

import pytest
from msgspec.structs import replace

from seamline.core.vocabulary.nodes import NodeId
from seamline.fabric import messages as msg
from seamline.fabric.wire import unpack
from seamline.runtime.node import heartbeat as heartbeat_module
from seamline.runtime.node.heartbeat import Heartbeat
from seamline.runtime.node.links import LinkMeter
from seamline.runtime.node.uplink import Uplink
from seamline.runtime.shared.energy import EnergyAccount

EDGE, FOG, CLOUD = NodeId("edge"), NodeId("fog"), NodeId("cloud")
STATUS = msg.Status(
    tier="edge", incarnation="1", version="1", engine="none", threads=1, n_cores=1, memory_bytes=1,
    free_memory_bytes=1, queue_s=0.0, models=(), links=(),
)  # fmt: skip


class RecordingFabric:
    """A fabric with two peers, that keeps who was sent which kind of message."""

    def __init__(self) -> None:
        self.sent: list[tuple[NodeId, type[msg.Message]]] = []

    def peers(self) -> frozenset[NodeId]:
        return frozenset({FOG, CLOUD})

    def send(self, target, message, lane) -> None:
        self.sent.append((target, type(unpack(message)[0])))

    def n(self, kind: type[msg.Message], target: NodeId | None = None) -> int:
        return sum(one is kind and target in (None, to) for to, one in self.sent)


@pytest.fixture
def fabric() -> RecordingFabric:
    return RecordingFabric()


@pytest.fixture
def uplink(fabric) -> Iterator[Uplink]:
    uplink = Uplink(fabric, LinkMeter(EDGE, lambda estimate: None), EnergyAccount())
    uplink.links.peer(FOG, True)
    uplink.links.peer(CLOUD, True)
    yield uplink
    uplink.close()


@pytest.fixture
def beating(fabric, uplink) -> Iterator[Callable[..., Heartbeat]]:
    started: list[Heartbeat] = []

    def start(status=lambda: STATUS, tidy=lambda now_s: None) -> Heartbeat:
        started.append(Heartbeat(fabric, uplink, status, tidy))
        started[-1].start()
        return started[-1]

    yield start
    for heartbeat in started:
        heartbeat.close()


def test_a_node_without_interest_sends_its_status_once_and_sleeps(fabric, uplink, beating, wait_until):
    n_beats, beat = itertools.count(), uplink.links.beat
    uplink.links.beat = lambda: (next(n_beats), beat())[1]
    beating()
    wait_until(lambda: fabric.n(msg.Status) == 2)
    time.sleep(0.3)
    assert next(n_beats) == 1
    assert sorted(fabric.sent, key=str) == [(CLOUD, msg.Status), (FOG, msg.Status)]


def test_who_asks_is_reported_to_and_his_links_are_pinged_at_once(fabric, uplink, beating, wait_until):
    beating()
    wait_until(lambda: fabric.n(msg.Status) == 2)
    uplink.links.ask(CLOUD, "stream", ["fog"], 60.0)
    wait_until(lambda: fabric.n(msg.Ping, FOG) >= 3)
    assert fabric.n(msg.Ping, CLOUD) == 0
    wait_until(lambda: fabric.n(msg.Status, CLOUD) >= 3)
    assert fabric.n(msg.Status, FOG) == 1


def test_all_are_told_when_the_standing_part_of_the_status_has_changed(fabric, beating, wait_until):
    said = [STATUS]
    heartbeat = beating(lambda: said[-1])
    wait_until(lambda: fabric.n(msg.Status) == 2)
    said.append(replace(STATUS, free_memory_bytes=2, queue_s=1.0))
    heartbeat.look_soon()
    heartbeat.greet(FOG)
    wait_until(lambda: fabric.n(msg.Status, FOG) == 2)
    assert fabric.n(msg.Status, CLOUD) == 1
    said.append(replace(STATUS, streams=("edge-1",)))
    heartbeat.look_soon()
    wait_until(lambda: fabric.n(msg.Status, CLOUD) == 2)


def test_a_peer_that_came_while_the_beat_failed_is_greeted_when_it_works_again(
    fabric, beating, wait_until, monkeypatch
):
    monkeypatch.setattr(heartbeat_module, "RETRY_S", 0.01)
    fails = [False]

    def status() -> msg.Status:
        if fails[0]:
            fails.append(True)
            raise OSError("stale file handle")
        return STATUS

    heartbeat = beating(status)
    wait_until(lambda: fabric.n(msg.Status) == 2)
    fails[0] = True
    heartbeat.greet(FOG)
    wait_until(lambda: len(fails) > 2)
    assert fabric.n(msg.Status) == 2
    fails[0] = False
    wait_until(lambda: fabric.n(msg.Status, FOG) == 2)


def test_a_peer_that_is_greeted_again_during_a_beat_is_sent_another_status(fabric, beating, wait_until):
    greeted_again = False

    def greet_again(now_s: float) -> None:
        nonlocal greeted_again
        if fabric.n(msg.Status, FOG) == 1 and not greeted_again:
            greeted_again = True
            heartbeat.greet(FOG)

    heartbeat = beating(tidy=greet_again)
    wait_until(lambda: fabric.n(msg.Status, FOG) == 1)
    heartbeat.greet(FOG)
    wait_until(lambda: fabric.n(msg.Status, FOG) == 3)
