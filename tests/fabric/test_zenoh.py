"""Claims about `fabric.zenoh`, over real loopback sockets; the dying peer is a real process."""

from __future__ import annotations

import queue
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from seamline.config import LinkSpec, NodeSpec, Testbed
from seamline.core.vocabulary.errors import FabricError, PeerLost, UsageError
from seamline.core.vocabulary.nodes import NodeId
from seamline.core.vocabulary.ports import Lane
from seamline.fabric.zenoh import LEASE_S, MAX_CONTROL_BYTES, ZenohFabric
from seamline.testbed.relay import Network

PATIENCE_S = 10.0  # how long a test waits before it fails; nothing passes by waiting this long
EDGE, FOG, CLOUD = NodeId("edge"), NodeId("fog"), NodeId("cloud")


class Node:
    """A started fabric and what it was told, as queues."""

    def __init__(self, name: str, connect: tuple[str, ...] = (), **options: Any) -> None:
        self.fabric = ZenohFabric(NodeId(name), connect=connect, **options)
        self.messages: queue.Queue[tuple[NodeId, bytes]] = queue.Queue()
        self.changes: queue.Queue[tuple[NodeId, bool]] = queue.Queue()
        self.fabric.start(
            lambda source, message: self.messages.put((source, bytes(message))),
            lambda node, alive: self.changes.put((node, alive)),
        )

    def message(self) -> tuple[NodeId, bytes]:
        return self.messages.get(timeout=PATIENCE_S)

    def answer_to(self, peer: NodeId, message: bytes) -> bytes:
        """The first answer of `peer` to `message`, sent again while a busy machine makes the two lose each other."""
        while True:
            try:
                self.fabric.send(peer, message, Lane.DATA)
                source, answer = self.messages.get(timeout=2.0)
            except (PeerLost, queue.Empty):
                threading.Event().wait(0.02)
                continue
            if source == peer:
                return answer

    def change(self) -> tuple[NodeId, bool]:
        return self.changes.get(timeout=PATIENCE_S)


Start = Callable[..., Node]


@pytest.fixture
def start() -> Iterator[Start]:
    """Starts nodes, closes them, and sees to it that they leave no thread behind."""
    before = _own_threads()
    nodes: list[Node] = []

    def start_node(name: str, connect: tuple[str, ...] = (), **options: Any) -> Node:
        nodes.append(Node(name, connect, **options))
        return nodes[-1]

    yield start_node
    for node in nodes:
        node.fabric.close()
    for thread in _own_threads() - before:
        thread.join(PATIENCE_S)  # Zenoh's own threads end a moment after its session
    assert _own_threads() <= before


def _own_threads() -> set[threading.Thread]:
    """Threads that Python started; Zenoh's, which call into it, stay with the process."""
    return {thread for thread in threading.enumerate() if not isinstance(thread, threading._DummyThread)}


@pytest.fixture
def start_process() -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Starts a node in a process of its own, which answers each message with its size as soon as it sees its sender."""
    script = (
        "import sys\n"
        "from seamline.core.vocabulary.ports import Lane\n"
        "from seamline.fabric.zenoh import ZenohFabric\n"
        "name, lease, *endpoints = sys.argv[1:]\n"
        "fabric = ZenohFabric(name, connect=tuple(endpoints), lease_s=float(lease))\n"
        "def answer(source, message):\n"
        "    fabric.wait_peer(source, 30.0)  # a message may overtake the token of its sender\n"
        "    fabric.send(source, str(len(message)).encode(), Lane.CONTROL)\n"
        "fabric.start(answer, lambda node, alive: None)\n"
        "print('ready', flush=True); sys.stdin.read()"
    )
    processes: list[subprocess.Popen[str]] = []

    def start_one(name: str, connect: tuple[str, ...], lease_s: float = LEASE_S) -> subprocess.Popen[str]:
        command = [sys.executable, "-c", script, name, str(lease_s), *connect]
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        processes.append(process)
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        return process

    yield start_one
    for process in processes:
        process.kill()
        process.communicate()


def test_messages_arrive_whole_and_in_order_on_both_lanes(start: Start) -> None:
    fog = start("fog")
    edge = start("edge", fog.fabric.endpoints)
    edge.fabric.wait_peer(FOG, PATIENCE_S)
    sent = [bytes([number]) * size for number, size in enumerate((1, 600_000, 70_000, 0, 1_500_000))]
    for message in sent:
        edge.fabric.send(FOG, message, Lane.DATA)
    assert [fog.message() for _ in sent] == [(EDGE, message) for message in sent]
    fog.fabric.wait_peer(EDGE, PATIENCE_S)
    fog.fabric.send(EDGE, bytearray(b"pong"), Lane.CONTROL)
    fog.fabric.send(EDGE, memoryview(b"pong"), Lane.CONTROL)
    assert [edge.message(), edge.message()] == [(FOG, b"pong")] * 2


def test_two_nodes_that_know_only_a_third_reach_each_other_through_it(start: Start) -> None:
    fog = start("fog")
    edge, cloud = start("edge", fog.fabric.endpoints), start("cloud", fog.fabric.endpoints)
    edge.fabric.wait_peer(CLOUD, PATIENCE_S)
    message = bytes(range(256)) * 2000
    edge.fabric.send(CLOUD, message, Lane.DATA)
    assert cloud.message() == (EDGE, message)
    assert edge.fabric.peers() == {FOG, CLOUD}
    links = {link.dst for link in edge.fabric._session.info.links()}
    assert links == set(fog.fabric.endpoints), "a link was opened that nobody asked for"


def test_bulk_that_overtakes_its_senders_token_waits_for_it_and_is_taken_to_its_end(start: Start) -> None:
    fog = start("fog")
    tokens: queue.Queue[Any] = queue.Queue()
    take, fog.fabric._on_token = fog.fabric._on_token, tokens.put  # type: ignore[method-assign] # a slow network
    hidden = fog.fabric._session.liveliness().declare_subscriber("seamline/default/edge/alive/*", tokens.put)
    fog.fabric._declared[-1].undeclare()
    fog.fabric._declared[-1] = hidden
    edge = start("edge", fog.fabric.endpoints)
    edge.fabric.wait_peer(FOG, PATIENCE_S)
    sender = threading.Thread(target=edge.fabric.send, args=(FOG, bytes(1_000_000), Lane.DATA))  # beyond the window
    sender.start()
    token = tokens.get(timeout=PATIENCE_S)
    while not fog.fabric._lobby._waiting:
        threading.Event().wait(0.01)
    assert fog.messages.empty()
    take(token)
    assert fog.message() == (EDGE, bytes(1_000_000))
    assert fog.change() == (EDGE, True)
    sender.join()


def test_without_relay_only_neighbours_see_each_other(start: Start) -> None:
    fog = start("fog", relay=False)
    edge = start("edge", fog.fabric.endpoints, relay=False)
    cloud = start("cloud", fog.fabric.endpoints, relay=False)
    assert {fog.change(), fog.change()} == {(EDGE, True), (CLOUD, True)}
    edge.fabric.wait_peer(FOG, PATIENCE_S)
    with pytest.raises(PeerLost, match="there is fog"):
        edge.fabric.wait_peer(CLOUD, 0.5)
    assert cloud.fabric.peers() == {FOG}


def test_a_killed_peer_is_lost_and_found_again_when_it_returns(start: Start, start_process: Any) -> None:
    patient = {"lease_s": 5.0}  # a busy machine loses nobody; the end of a process is seen at once all the same
    edge = start("edge", **patient)
    process = start_process("fog", edge.fabric.endpoints, **patient)
    assert edge.change() == (FOG, True)
    edge.fabric.send(FOG, bytes(300_000), Lane.DATA)
    assert edge.message() == (FOG, b"300000")
    process.send_signal(signal.SIGKILL)
    assert edge.change() == (FOG, False)
    assert edge.fabric.peers() == frozenset()
    for lane in Lane:
        with pytest.raises(PeerLost, match="`fog` is not alive"):
            edge.fabric.send(FOG, b"x", lane)
    start_process("fog", edge.fabric.endpoints, **patient)
    assert edge.change() == (FOG, True)
    edge.fabric.send(FOG, bytes(300_001), Lane.DATA)
    assert edge.message() == (FOG, b"300001")


def test_a_send_to_a_hung_peer_ends_with_peer_lost_and_leaves_nothing_behind(start: Start, start_process: Any) -> None:
    edge = start("edge")
    process = start_process("fog", edge.fabric.endpoints)
    assert edge.change() == (FOG, True)
    process.send_signal(signal.SIGSTOP)
    with pytest.raises(PeerLost, match="fog"):
        edge.fabric.send(FOG, bytes(64 << 20), Lane.DATA)  # more than all buffers on the way hold
    assert edge.change() == (FOG, False)
    process.send_signal(signal.SIGCONT)
    assert edge.answer_to(FOG, bytes(200_000)) == b"200000", "what was cut short must not come through"


def test_a_hung_peer_does_not_hold_up_the_others(start: Start, start_process: Any) -> None:
    edge = start("edge")
    hung = start_process("fog", edge.fabric.endpoints)
    assert edge.change() == (FOG, True)
    start_process("cloud", edge.fabric.endpoints)
    assert edge.change() == (CLOUD, True)
    hung.send_signal(signal.SIGSTOP)
    ended = threading.Event()

    def send_to_hung() -> None:
        with pytest.raises(PeerLost):
            edge.fabric.send(FOG, bytes(64 << 20), Lane.DATA)
        ended.set()

    sender = threading.Thread(target=send_to_hung)
    sender.start()
    n_answers = 0
    while not ended.wait(0.01):
        edge.fabric.send(CLOUD, bytes(200_000), Lane.DATA)
        assert edge.message() == (CLOUD, b"200000")
        n_answers += 1
    sender.join()
    assert n_answers >= 5  # in the 0.4 s until the hung one is lost; 0 when its full queue stops the session


@pytest.fixture
def network() -> Iterator[Network]:
    """A shaped link of 1 Mbit/s between edge and fog."""
    nodes = tuple(NodeSpec(name=name, tier=name) for name in (EDGE, FOG))
    with Network(Testbed(name="t", nodes=nodes, links=(LinkSpec(between=(EDGE, FOG), rate_bps=1e6),))) as network:
        yield network


def test_bulk_on_a_slow_link_does_not_make_the_peer_seem_lost(start: Start, network: Network) -> None:
    fog = start("fog", listen=(network.listen("fog"),), lease_s=0.4)
    edge = start("edge", (network.endpoint("edge", "fog"),), lease_s=0.4)
    edge.fabric.wait_peer(FOG, PATIENCE_S)
    assert fog.change() == (EDGE, True)
    edge.fabric.send(FOG, bytes(150_000), Lane.DATA)  # 1.2 s, three times the lease
    assert fog.message() == (EDGE, bytes(150_000))
    assert fog.changes.empty()


@pytest.mark.needs("linux")
def test_memory_is_shared_on_one_machine_but_not_past_a_relay(start: Start, network: Network) -> None:
    fog = start("fog", listen=(network.listen("fog"), "tcp/127.0.0.1:0"))
    for endpoint, is_shared in ((network.endpoint("edge", "fog"), False), (fog.fabric.endpoints[1], True)):
        edge = start("edge", (endpoint,))
        edge.fabric.wait_peer(FOG, PATIENCE_S)
        before = _n_shared()
        assert fog.change() == (EDGE, True)
        for _ in range(2):
            edge.fabric.send(FOG, bytes(20_000), Lane.DATA)
            assert fog.message() == (EDGE, bytes(20_000))
        assert (_n_shared() > before + 1) is is_shared  # one is what the sender offers; the reader has two more
        edge.fabric.close()
        assert fog.change() == (EDGE, False)


def _n_shared() -> int:
    return Path("/proc/self/maps").read_text().count("memfd:seamline")


def test_a_silent_link_loses_the_peer_on_both_sides_until_it_carries_again(start: Start, network: Network) -> None:
    fog = start("fog", listen=(network.listen("fog"),), lease_s=0.4)
    edge = start("edge", (network.endpoint("edge", "fog"),), lease_s=0.4)
    assert (edge.change(), fog.change()) == ((FOG, True), (EDGE, True))
    network.silence("edge", "fog")
    with pytest.raises(PeerLost):
        edge.fabric.send(FOG, bytes(10_000_000), Lane.DATA)
    assert (edge.change(), fog.change()) == ((FOG, False), (EDGE, False))
    network.restore("edge", "fog")
    assert (edge.change(), fog.change()) == ((FOG, True), (EDGE, True))
    edge.fabric.send(FOG, b"again", Lane.DATA)
    assert fog.message() == (EDGE, b"again")


def test_a_closed_peer_is_lost_and_a_closed_fabric_refuses(start: Start) -> None:
    fog = start("fog")
    edge = start("edge", fog.fabric.endpoints)
    assert fog.change() == (EDGE, True)
    edge.fabric.close()
    edge.fabric.close()
    assert fog.change() == (EDGE, False)
    with pytest.raises(FabricError):
        edge.fabric.send(FOG, b"x", Lane.CONTROL)
    assert edge.fabric.peers() == frozenset()


def test_a_second_node_with_a_name_in_use_cannot_start(start: Start) -> None:
    fog = start("fog")
    start("edge", fog.fabric.endpoints)
    with pytest.raises(FabricError, match="a node named `edge` is already in cluster `default`"):
        start("edge", fog.fabric.endpoints)
    assert fog.fabric.peers() == {EDGE}


def test_of_two_nodes_of_one_name_the_first_one_met_stays_and_the_other_hears_nothing(
    start: Start, caplog: pytest.LogCaptureFixture
) -> None:
    first, second = start("fog"), start("fog")
    edge = start("edge", first.fabric.endpoints)
    assert edge.change() == (FOG, True)
    bridge = start("cloud", (*edge.fabric.endpoints, *second.fabric.endpoints))
    while FOG not in edge.fabric.duplicates() or EDGE not in second.fabric.peers():
        threading.Event().wait(0.02)
    edge.fabric.send(FOG, b"to the first", Lane.CONTROL)
    second.fabric.send(EDGE, b"from the second", Lane.CONTROL)
    first.fabric.wait_peer(EDGE, PATIENCE_S)
    first.fabric.send(EDGE, b"from the first", Lane.CONTROL)
    assert first.message() == (EDGE, b"to the first")
    assert edge.message() == (FOG, b"from the first")
    assert second.messages.empty()
    words = [record.getMessage() for record in caplog.records]
    assert any("two live nodes are named `fog`; the one that was here first stays" in said for said in words)
    assert any("another live node is named `fog` too" in said for said in words)
    first.fabric.close()
    seen = [edge.change() for _ in range(3)]
    assert [change for change in seen if change[0] == FOG] == [(FOG, False), (FOG, True)], "now the second is the node"
    edge.fabric.send(FOG, b"to the second", Lane.DATA)
    assert second.message() == (EDGE, b"to the second")
    bridge.fabric.close()


def test_foreign_tokens_with_a_nodes_name_change_nothing(start: Start) -> None:
    fog = start("fog")
    edge, mallory = start("edge", fog.fabric.endpoints), start("mallory", fog.fabric.endpoints)
    assert edge.change()[1]
    edge.fabric.wait_peer(FOG, PATIENCE_S)
    mallory.fabric.wait_peer(EDGE, PATIENCE_S)
    for number in range(20):
        token = mallory.fabric._session.liveliness().declare_token(f"seamline/default/fog/alive/{number:016x}")
        while FOG not in edge.fabric.duplicates():
            threading.Event().wait(0.005)
        token.undeclare()
        while FOG in edge.fabric.duplicates():
            threading.Event().wait(0.005)
    edge.fabric.send(FOG, b"still", Lane.DATA)
    assert fog.message() == (EDGE, b"still")
    assert [edge.change()] == [(NodeId("mallory"), True)] or edge.changes.empty()
    assert edge.changes.empty()


def test_what_comes_in_the_name_of_a_node_or_of_nobody_is_not_heard(start: Start) -> None:
    fog = start("fog")
    edge, mallory = start("edge", fog.fabric.endpoints), start("mallory", fog.fabric.endpoints)
    fog.fabric.wait_peer(EDGE, PATIENCE_S)
    mallory.fabric.wait_peer(FOG, PATIENCE_S)
    here, there = mallory.fabric._session, fog.fabric.incarnation
    for name in ("edge", "fog", "nobody", "Not A Name!"):
        here.put(f"seamline/default/fog/control/{name}/0123456789abcdef/{there}", b"false")
    mallory.fabric.send(FOG, b"last", Lane.CONTROL)
    assert fog.message() == (NodeId("mallory"), b"last")
    edge.fabric.wait_peer(FOG, PATIENCE_S)
    edge.fabric.send(FOG, b"true", Lane.CONTROL)
    assert fog.message() == (EDGE, b"true")
    assert fog.messages.empty()


def test_clusters_on_one_network_do_not_see_each_other(start: Start) -> None:
    fog = start("fog", cluster="one")
    other = start("edge", fog.fabric.endpoints, cluster="two")
    edge = start("edge", fog.fabric.endpoints, cluster="one")
    edge.fabric.wait_peer(FOG, PATIENCE_S)
    assert other.fabric.peers() == frozenset()


def test_an_endpoint_out_of_reach_is_retried_until_it_is_there(start: Start) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        endpoint = f"tcp/127.0.0.1:{probe.getsockname()[1]}"
    edge = start("edge", (endpoint,))
    assert edge.fabric.peers() == frozenset()
    start("fog", listen=(endpoint,))
    edge.fabric.wait_peer(FOG, PATIENCE_S)


def test_a_port_in_use_is_said_with_a_hint(start: Start) -> None:
    fog = start("fog")
    with pytest.raises(FabricError, match=r"cannot listen on tcp/127.*hint: is the port in use"):
        start("edge", listen=fog.fabric.endpoints)


@pytest.mark.parametrize("endpoint", ["tcp", "127.0.0.1:7447", "smoke/127.0.0.1:1", "tcp/256.0.0.1:0"])
def test_an_endpoint_that_is_none_is_refused(start: Start, endpoint: str) -> None:
    with pytest.raises(FabricError):
        start("edge", listen=(endpoint,))


def test_messages_beyond_the_limit_are_refused_before_they_are_sent(start: Start) -> None:
    fog = start("fog")
    edge = start("edge", fog.fabric.endpoints, max_message_bytes=1000)
    edge.fabric.wait_peer(FOG, PATIENCE_S)
    with pytest.raises(FabricError, match="1001 bytes exceeds the limit of 1000"):
        edge.fabric.send(FOG, bytes(1001), Lane.DATA)
    with pytest.raises(FabricError, match="control"):
        edge.fabric.send(FOG, bytes(MAX_CONTROL_BYTES + 1), Lane.CONTROL)


def test_noise_from_a_peer_and_a_failing_callback_do_not_stop_delivery(start: Start) -> None:
    fog = ZenohFabric(FOG)
    arrived: queue.Queue[bytes] = queue.Queue()

    def fails_first(source: NodeId, message: memoryview) -> None:
        arrived.put(bytes(message))
        if arrived.qsize() == 1:
            raise ValueError("a fault in the caller")

    fog.start(fails_first, lambda node, alive: None)
    try:
        edge = start("edge", fog.endpoints)
        edge.fabric.wait_peer(FOG, PATIENCE_S)
        ends = f"{edge.fabric.incarnation}/{fog.incarnation}"
        edge.fabric._session.put(f"seamline/default/fog/data/edge/{ends}", b"no chunk at all")
        edge.fabric._session.put(f"seamline/default/fog/data/UPPER/{ends}", b"SLC")
        edge.fabric.send(FOG, b"one", Lane.DATA)
        edge.fabric.send(FOG, b"two", Lane.DATA)
        assert [arrived.get(timeout=PATIENCE_S) for _ in range(2)] == [b"one", b"two"]
    finally:
        fog.close()


@pytest.mark.parametrize("n_connections", [110, 500])
def test_silent_connections_do_not_keep_a_new_peer_out_for_long(start: Start, n_connections: int) -> None:
    fog = start("fog")
    address = fog.fabric.endpoints[0].removeprefix("tcp/").split(":")
    silent = [socket.create_connection((address[0], int(address[1])), timeout=5) for _ in range(n_connections)]
    try:
        edge = start("edge", fog.fabric.endpoints)
        edge.fabric.wait_peer(FOG, 0.8 * PATIENCE_S)  # with Zenoh's own settings it takes 10 s
    finally:
        for connection in silent:
            connection.close()


def test_names_that_are_no_node_names_are_refused() -> None:
    for name in ("Edge", "a/b", "*", ""):
        with pytest.raises(UsageError):
            ZenohFabric(NodeId(name))
