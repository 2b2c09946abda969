"""Claims about `fabric.memory`: virtual links behave as said, by a clock the test holds, or in real time."""

from __future__ import annotations

import math
import queue
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seamline.core.vocabulary.errors import FabricError, PeerLost, UsageError
from seamline.core.vocabulary.nodes import NodeId
from seamline.core.vocabulary.ports import Fabric, Lane
from seamline.fabric.memory import MemoryFabric, VirtualNetwork

EDGE, FOG, CLOUD = NodeId("edge"), NodeId("fog"), NodeId("cloud")
PATIENCE_S = 10.0


class Clock:
    def __init__(self) -> None:
        self.at_s = 100.0

    def now_s(self) -> float:
        return self.at_s


class Stepped:
    """A network on a held clock, and a diary of (seconds since the start, node, what happened)."""

    def __init__(self, *nodes: NodeId) -> None:
        self.clock = Clock()
        self.network = VirtualNetwork(clock=self.clock, lease_s=0.4)
        self.diary: list[tuple[float, NodeId, object]] = []
        self.fabrics: dict[NodeId, MemoryFabric] = {}
        for node in nodes:
            self.join(node)
        self.run_until(0.0)
        self.diary.clear()

    def join(self, node: NodeId) -> None:
        fabric = self.network.fabric(node)
        fabric.start(
            lambda source, message: self.note(node, (source, bytes(message[:8]))),
            lambda peer, alive: self.note(node, (peer, alive)),
        )
        self.fabrics[node] = fabric

    def note(self, node: NodeId, what: object) -> None:
        self.diary.append((round(self.clock.at_s - 100.0, 6), node, what))

    def run_until(self, at_s: float) -> None:
        while (due_s := self.network.next_due_s()) <= 100.0 + at_s:
            self.clock.at_s = max(self.clock.at_s, due_s)
            self.network.advance()
        self.clock.at_s = 100.0 + at_s
        self.network.advance()


def test_it_is_a_fabric() -> None:
    fabric: Fabric = VirtualNetwork(clock=Clock()).fabric("edge")
    assert fabric.node == EDGE


def test_nodes_meet_before_messages_arrive_at_once_on_unlimited_links() -> None:
    net = Stepped()
    net.join(EDGE)
    net.join(FOG)
    net.fabrics[EDGE].send(FOG, b"hello", Lane.DATA)
    net.run_until(0.0)
    assert [entry for entry in net.diary if entry[1] == FOG] == [(0.0, FOG, (EDGE, True)), (0.0, FOG, (EDGE, b"hello"))]


def test_a_message_takes_its_bits_over_the_rate_plus_the_delay() -> None:
    net = Stepped(EDGE, FOG)
    net.network.set_link("edge", "fog", rate_bps=20e6, delay_s=0.010)
    net.fabrics[EDGE].send(FOG, b"a" * 600_000, Lane.DATA)
    net.fabrics[EDGE].send(FOG, b"b" * 600_000, Lane.DATA)
    net.fabrics[FOG].send(EDGE, b"back", Lane.DATA)
    net.run_until(1.0)
    assert net.diary == [
        (0.0, EDGE, (FOG, b"back")),
        (0.25, FOG, (EDGE, b"aaaaaaaa")),
        (0.49, FOG, (EDGE, b"bbbbbbbb")),
    ]


def test_control_overtakes_bulk_that_is_still_waiting() -> None:
    net = Stepped(EDGE, FOG)
    net.network.set_link("edge", "fog", rate_bps=8e6)
    net.fabrics[EDGE].send(FOG, b"bulk" * 250_000, Lane.DATA)
    net.run_until(0.5)
    net.fabrics[EDGE].send(FOG, b"ping" * 250, Lane.CONTROL)
    net.run_until(2.0)
    assert net.diary == [(0.501, FOG, (EDGE, b"pingping")), (1.001, FOG, (EDGE, b"bulkbulk"))]


def test_a_new_rate_holds_for_the_rest_of_a_message_under_way() -> None:
    net = Stepped(EDGE, FOG)
    net.network.set_link("edge", "fog", rate_bps=20e6)
    net.fabrics[EDGE].send(FOG, bytes(1_000_000), Lane.DATA)
    net.run_until(0.2)  # half of it has crossed
    net.network.set_link("edge", "fog", rate_bps=5e6)
    net.run_until(2.0)
    assert net.diary == [(1.0, FOG, (EDGE, bytes(8)))]


def test_a_shorter_delay_does_not_let_messages_overtake() -> None:
    net = Stepped(EDGE, FOG)
    net.network.set_link("edge", "fog", delay_s=0.5)
    net.fabrics[EDGE].send(FOG, b"first", Lane.DATA)
    net.network.set_link("edge", "fog", delay_s=0.1)
    net.fabrics[EDGE].send(FOG, b"second", Lane.DATA)
    net.run_until(1.0)
    assert [what for _, _, what in net.diary] == [(EDGE, b"first"), (EDGE, b"second")]


def test_a_silent_link_is_noticed_after_the_lease_on_both_sides_and_heals() -> None:
    net = Stepped(EDGE, FOG, CLOUD)
    net.network.silence("edge", "fog")
    net.fabrics[EDGE].send(FOG, b"lost", Lane.DATA)
    net.run_until(1.0)
    assert sorted(net.diary) == [(0.4, EDGE, (FOG, False)), (0.4, FOG, (EDGE, False))]
    assert net.fabrics[EDGE].peers() == {CLOUD}
    with pytest.raises(PeerLost, match="`fog` is not alive"):
        net.fabrics[EDGE].send(FOG, b"x", Lane.CONTROL)
    net.diary.clear()
    net.network.heal("fog", "edge")
    net.fabrics[EDGE].send(FOG, b"again", Lane.DATA)
    net.run_until(2.0)
    assert net.diary[-1][2] == (EDGE, b"again")
    assert sorted(net.diary[:2]) == [(1.0, EDGE, (FOG, True)), (1.0, FOG, (EDGE, True))]


def test_a_silence_shorter_than_the_lease_only_delays() -> None:
    net = Stepped(EDGE, FOG)
    net.network.silence("edge", "fog")
    net.fabrics[EDGE].send(FOG, b"late", Lane.DATA)
    net.run_until(0.3)
    net.network.heal("edge", "fog")
    net.run_until(0.35)
    net.network.silence("edge", "fog")
    net.run_until(0.7)
    assert net.diary == [(0.3, FOG, (EDGE, b"late"))]
    net.run_until(0.8)
    assert net.diary[-1][0] == 0.75


def test_a_killed_node_is_lost_at_once_and_what_was_on_its_way_never_arrives() -> None:
    net = Stepped(EDGE, FOG, CLOUD)
    net.network.set_link("edge", "fog", rate_bps=8e6, delay_s=0.1)
    net.fabrics[EDGE].send(FOG, bytes(1000), Lane.DATA)
    net.run_until(0.05)
    old = net.fabrics[FOG]
    net.network.kill("fog")
    net.join(FOG)
    net.run_until(1.0)
    told = [what for _, node, what in net.diary if node == EDGE]
    assert told == [(FOG, False), (FOG, True)]
    assert (EDGE, bytes(8)) not in [what for _, _, what in net.diary]
    with pytest.raises(FabricError, match="not open"):
        old.send(EDGE, b"x", Lane.CONTROL)


def test_a_node_killed_behind_a_silent_link_is_noticed_after_the_lease() -> None:
    net = Stepped(EDGE, FOG)
    net.network.silence_node("fog")
    net.run_until(0.1)
    net.network.kill("fog")
    net.run_until(1.0)
    assert net.diary == [(0.4, EDGE, (FOG, False))]
    net.join(FOG)
    net.network.heal_node("fog")
    net.run_until(2.0)
    assert (1.0, EDGE, (FOG, True)) in net.diary


def test_names_are_unique_and_sizes_and_links_are_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    net = Stepped(EDGE, FOG)
    with pytest.raises(FabricError, match="`edge` is already there"):
        net.network.fabric("edge").start(lambda *_: None, lambda *_: None)
    with pytest.raises(UsageError):
        net.network.fabric("No Name")
    for rate_bps, delay_s in [(0.0, 0.0), (-1.0, 0.0), (math.nan, 0.0), (1.0, -1.0)]:
        with pytest.raises(UsageError):
            net.network.set_link("edge", "fog", rate_bps=rate_bps, delay_s=delay_s)
    monkeypatch.setattr("seamline.fabric.memory.MAX_MESSAGE_BYTES", 10)
    with pytest.raises(FabricError, match="limit of 10"):
        net.fabrics[EDGE].send(FOG, bytes(11), Lane.DATA)


@given(
    st.lists(st.tuples(st.integers(0, 2000), st.sampled_from([0.0, 0.01, 0.3])), max_size=12),
    st.lists(st.tuples(st.floats(0.01, 1), st.sampled_from([1e3, 1e5, math.inf]), st.floats(0, 0.2)), max_size=5),
)
def test_every_message_arrives_once_and_in_order_whatever_the_link_does(
    messages: list[tuple[int, float]], changes: list[tuple[float, float, float]]
) -> None:
    net = Stepped(EDGE, FOG)
    now_s = 0.0
    for number, (n_bytes, pause_s) in enumerate(messages):
        net.fabrics[EDGE].send(FOG, number.to_bytes(8, "big") + bytes(n_bytes), Lane.DATA)
        if number < len(changes):
            wait_s, rate_bps, delay_s = changes[number]
            net.run_until(now_s := now_s + wait_s)
            net.network.set_link("edge", "fog", rate_bps=rate_bps, delay_s=delay_s)
        net.run_until(now_s := now_s + pause_s)
    net.run_until(1e4)
    assert [what for _, _, what in net.diary] == [(EDGE, number.to_bytes(8, "big")) for number in range(len(messages))]


def test_in_real_time_messages_are_delivered_by_one_thread_that_close_joins() -> None:
    before = set(threading.enumerate())
    arrived: queue.Queue[tuple[str, bytes]] = queue.Queue()
    with VirtualNetwork() as network:
        edge, fog = network.fabric("edge"), network.fabric("fog")
        edge.start(lambda *_: None, lambda *_: None)
        fog.start(lambda s, m: arrived.put((threading.current_thread().name, bytes(m))), lambda *_: None)
        network.set_link("edge", "fog", rate_bps=1e9, delay_s=0.001)
        for number in range(50):
            edge.send(FOG, bytes([number]), Lane.DATA)
        got = [arrived.get(timeout=PATIENCE_S) for _ in range(50)]
    assert got == [("virtual-network", bytes([number])) for number in range(50)]
    assert set(threading.enumerate()) <= before
    with pytest.raises(FabricError, match="closed"):
        network.fabric("late").start(lambda *_: None, lambda *_: None)


def test_in_real_time_a_send_blocks_on_a_congested_link_until_it_flows_again() -> None:
    with VirtualNetwork(lease_s=math.inf) as network:
        edge, fog = network.fabric("edge"), network.fabric("fog")
        arrived: queue.Queue[int] = queue.Queue()
        edge.start(lambda *_: None, lambda *_: None)
        fog.start(lambda s, m: arrived.put(len(m)), lambda *_: None)
        network.set_link("edge", "fog", rate_bps=1.0)
        returned = threading.Event()
        sender = threading.Thread(target=lambda: (edge.send(FOG, bytes(1_000_000), Lane.DATA), returned.set()))
        sender.start()
        assert not returned.wait(0.05)
        network.set_link("edge", "fog")
        assert arrived.get(timeout=PATIENCE_S) == 1_000_000
        assert returned.wait(PATIENCE_S)
        sender.join()


def test_in_real_time_a_blocked_send_ends_when_the_target_dies_or_falls_silent() -> None:
    for fault in ("kill", "silence_node"):
        with VirtualNetwork(lease_s=0.05) as network:
            edge, fog = network.fabric("edge"), network.fabric("fog")
            for fabric in (edge, fog):
                fabric.start(lambda *_: None, lambda *_: None)
            network.set_link("edge", "fog", rate_bps=1.0)
            outcome: queue.Queue[Exception] = queue.Queue()

            def send(edge: MemoryFabric = edge, outcome: queue.Queue[Exception] = outcome) -> None:
                try:
                    edge.send(FOG, bytes(1_000_000), Lane.DATA)
                except PeerLost as exc:
                    outcome.put(exc)

            sender = threading.Thread(target=send)
            sender.start()
            getattr(network, fault)("fog")
            assert "fog" in str(outcome.get(timeout=PATIENCE_S))
            sender.join()


def test_a_failing_callback_does_not_stop_delivery() -> None:
    net = Stepped(EDGE, FOG)
    bad = net.network.fabric("cloud")
    bad.start(lambda source, message: 1 / 0, lambda peer, alive: 1 / 0)  # type: ignore[arg-type, return-value] # raises
    net.fabrics[EDGE].send(CLOUD, b"x", Lane.DATA)
    net.fabrics[EDGE].send(FOG, b"still", Lane.DATA)
    net.run_until(0.1)
    assert (0.0, FOG, (EDGE, b"still")) in net.diary
