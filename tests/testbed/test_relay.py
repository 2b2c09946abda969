"""The relay with real sockets: what arrives, in which order, and what is held. How fast is a benchmark's business."""

import contextlib
import hashlib
import random
import socket
import threading
from collections.abc import Iterator

import pytest

from seamline.config import LinkSpec, NodeSpec, Testbed
from seamline.core.vocabulary.errors import ConfigError, FabricError, UsageError
from seamline.testbed.relay import Network

EDGE_FOG = LinkSpec(between=("edge", "fog"), rate_bps=200e6, delay_s=0.001)
FOG_CLOUD = LinkSpec(between=("fog", "cloud"), rate_bps=400e6, delay_s=0.001)
WAIT_S = 20.0
"""Bounds a test that hangs; no test measures time."""


def bed(*links: LinkSpec) -> Testbed:
    return Testbed(name="t", nodes=tuple(NodeSpec(name=n, tier=n) for n in ("edge", "fog", "cloud")), links=links)


@pytest.fixture
def network() -> Iterator[Network]:
    with Network(bed(EDGE_FOG, FOG_CLOUD)) as made:
        yield made


def address(endpoint: str) -> tuple[str, int]:
    host, port = endpoint.removeprefix("tcp/").split(":")
    return host, int(port)


@contextlib.contextmanager
def joined(network: Network, source: str, target: str) -> Iterator[tuple[socket.socket, socket.socket]]:
    """A connection from `source` to `target`: both of its ends."""
    with socket.create_server(address(network.listen(target))) as server:
        server.settimeout(WAIT_S)
        with socket.create_connection(address(network.endpoint(source, target)), timeout=WAIT_S) as near:
            far, _ = server.accept()
            with far:
                far.settimeout(WAIT_S)
                yield near, far


def read_all(end: socket.socket) -> bytes:
    parts = []
    while part := end.recv(65536):
        parts.append(part)
    return b"".join(parts)


def pushed_until_full(near: socket.socket) -> int:
    """Bytes that fit in before `near` would block for a while."""
    near.settimeout(0.3)
    n_sent = 0
    with contextlib.suppress(TimeoutError):
        while n_sent < 64 << 20:
            n_sent += near.send(bytes(65536))
    near.settimeout(WAIT_S)
    return n_sent


@pytest.mark.parametrize("target", ["fog", "cloud"])
def test_bytes_arrive_whole_and_in_order_both_ways_at_once(network: Network, target: str) -> None:
    there, back = random.Random(1).randbytes(1_500_000), random.Random(2).randbytes(1_000_000)
    received: dict[str, bytes] = {}

    with joined(network, "edge", target) as (near, far):

        def talk(name: str, end: socket.socket, data: bytes) -> None:
            sender = threading.Thread(target=lambda: (end.sendall(data), end.shutdown(socket.SHUT_WR)))
            sender.start()
            received[name] = read_all(end)
            sender.join()

        other = threading.Thread(target=talk, args=("far", far, back))
        other.start()
        talk("near", near, there)
        other.join()
    assert hashlib.sha256(received["far"]).digest() == hashlib.sha256(there).digest()
    assert hashlib.sha256(received["near"]).digest() == hashlib.sha256(back).digest()


def test_a_pair_without_a_link_crosses_the_links_between(network: Network) -> None:
    with joined(network, "edge", "cloud") as (near, far):
        near.sendall(bytes(50_000))
        near.shutdown(socket.SHUT_WR)
        assert len(read_all(far)) == 50_000
    assert network.carried_bytes("edge", "fog") == 50_000
    assert network.carried_bytes("fog", "cloud") == 50_000
    assert network.carried_bytes("fog", "edge") == 0


def test_a_pair_whose_way_has_nothing_shaped_connects_directly() -> None:
    with Network(bed(EDGE_FOG, LinkSpec(between=("fog", "cloud")))) as network:
        assert network.endpoint("fog", "cloud") == network.listen("cloud")
        assert network.endpoint("edge", "fog") != network.listen("fog")
        assert network.endpoint("edge", "cloud") != network.listen("cloud")
        with pytest.raises(UsageError, match="is unshaped: nodes connect directly"):
            network.set_link("fog", "cloud", rate_mbps=1)


def test_a_half_closed_connection_still_carries_the_other_way(network: Network) -> None:
    with joined(network, "edge", "fog") as (near, far):
        near.shutdown(socket.SHUT_WR)
        assert far.recv(1) == b""
        far.sendall(b"still here")
        far.shutdown(socket.SHUT_WR)
        assert read_all(near) == b"still here"


def test_a_reset_reaches_the_other_end_as_a_reset(network: Network) -> None:
    with joined(network, "edge", "cloud") as (near, far):
        far.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        far.close()
        with pytest.raises(ConnectionError):
            near.recv(1)


def test_a_target_that_does_not_listen_resets_the_connection(network: Network) -> None:
    with (
        socket.create_connection(address(network.endpoint("edge", "fog")), timeout=WAIT_S) as near,
        pytest.raises(ConnectionError),
    ):
        near.recv(1)


def test_a_silent_link_holds_bytes_and_closes_until_it_is_restored(network: Network) -> None:
    with joined(network, "edge", "fog") as (near, far):
        near.sendall(b"before")
        assert far.recv(6) == b"before"
        network.silence("edge", "fog")
        near.sendall(b"held")
        near.shutdown(socket.SHUT_WR)
        far.settimeout(0.2)
        with pytest.raises(TimeoutError):
            far.recv(1)
        network.restore("fog", "edge")
        far.settimeout(WAIT_S)
        assert read_all(far) == b"held"


def test_a_link_that_is_silent_one_way_carries_the_other_way(network: Network) -> None:
    with joined(network, "edge", "fog") as (near, far):
        network.silence("edge", "fog", is_one_way=True)
        near.sendall(b"held")
        far.sendall(b"carried")
        assert near.recv(7) == b"carried"
        far.settimeout(0.2)
        with pytest.raises(TimeoutError):
            far.recv(1)
        network.restore("fog", "edge")
        far.settimeout(WAIT_S)
        assert far.recv(4) == b"held"


def test_connections_that_a_link_loses_are_reset_at_both_ends_and_new_ones_carried(network: Network) -> None:
    with joined(network, "edge", "cloud") as (near, far):
        near.sendall(b"before")
        assert far.recv(6) == b"before"
        near.settimeout(WAIT_S)
        network.disconnect("cloud", "fog")
        for end in (near, far):
            with pytest.raises(ConnectionResetError):
                end.recv(1)
    with joined(network, "edge", "cloud") as (near, far):
        near.sendall(b"again")
        assert far.recv(5) == b"again"


def test_silence_of_one_link_leaves_the_other_alone(network: Network) -> None:
    network.silence("edge", "fog")
    with joined(network, "fog", "cloud") as (near, far):
        near.sendall(b"x")
        assert far.recv(1) == b"x"


def test_a_silent_link_is_felt_by_the_sender_soon(network: Network) -> None:
    with joined(network, "edge", "fog") as (near, _):
        near.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 16384)
        network.silence("edge", "fog")
        # The sender's own buffer, the relay's, and what may wait before a 200 Mbit/s link; each doubled by the kernel.
        assert pushed_until_full(near) < 600_000


def test_a_reader_that_does_not_read_is_felt_by_the_sender(network: Network) -> None:
    with joined(network, "edge", "cloud") as (near, far):
        n_sent = pushed_until_full(near)
        assert n_sent < 8 << 20
        near.shutdown(socket.SHUT_WR)
        assert len(read_all(far)) == n_sent


def test_a_new_rate_acts_on_bytes_that_already_wait() -> None:
    slow = LinkSpec(between=("edge", "fog"), rate_bps=1000.0)  # a minute and more for what follows
    with Network(bed(slow)) as network, joined(network, "edge", "fog") as (near, far):
        near.sendall(bytes(8192))
        near.shutdown(socket.SHUT_WR)
        network.set_link("fog", "edge", rate_mbps=100, delay_ms=1)
        assert len(read_all(far)) == 8192


def test_a_byte_of_one_connection_does_not_wait_for_all_of_another(network: Network) -> None:
    network.set_link("edge", "fog", rate_mbps=1)
    n_bulk_bytes = 200_000
    with socket.create_server(address(network.listen("fog"))) as server:
        server.settimeout(WAIT_S)
        entrance = address(network.endpoint("edge", "fog"))
        with socket.create_connection(entrance, timeout=WAIT_S) as bulk, server.accept()[0] as bulk_far:
            sender = threading.Thread(target=bulk.sendall, args=(bytes(n_bulk_bytes),))
            sender.start()
            assert bulk_far.recv(1)
            with socket.create_connection(entrance, timeout=WAIT_S) as small, server.accept()[0] as small_far:
                small.sendall(b"x")
                assert small_far.recv(1) == b"x"
                assert network.carried_bytes("edge", "fog") < n_bulk_bytes
            network.set_link("edge", "fog", rate_mbps=0)
            sender.join()
            bulk.shutdown(socket.SHUT_WR)
            assert len(read_all(bulk_far)) == n_bulk_bytes - 1


def test_reset_undoes_changes_and_silence(network: Network) -> None:
    network.set_link("edge", "fog", rate_mbps=0.001)
    network.silence("edge", "fog")
    network.reset()
    with joined(network, "edge", "fog") as (near, far):
        near.sendall(bytes(100_000))
        near.shutdown(socket.SHUT_WR)
        assert len(read_all(far)) == 100_000


def test_unknown_names_are_refused(network: Network) -> None:
    with pytest.raises(ConfigError, match="no node `fogg`; hint: did you mean `fog`"):
        network.endpoint("edge", "fogg")
    with pytest.raises(UsageError, match="no link between `edge` and `cloud`; hint: its links: edge-fog, fog-cloud"):
        network.silence("edge", "cloud")


def test_a_closed_network_says_so_and_leaves_no_process() -> None:
    network = Network(bed(EDGE_FOG))
    network.close()
    network.close()
    with pytest.raises(FabricError, match="relay of the testbed's links"):
        network.set_link("edge", "fog", rate_mbps=1)
    assert network._process.returncode == 0
