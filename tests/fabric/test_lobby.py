"""Claims about `fabric.lobby`: what comes before its sender's token is kept for a moment, in little memory."""

from __future__ import annotations

from seamline.core.vocabulary.nodes import NodeId
from seamline.core.vocabulary.ports import Lane
from seamline.fabric.inbox import Arrival
from seamline.fabric.lobby import MAX_BYTES, MAX_BYTES_PER_NAME, MAX_NAMES, WAIT_S, Lobby

EDGE = NodeId("edge")


def arrival(source: str, payload: bytes = b"x") -> Arrival:
    return Arrival(NodeId(source), Lane.DATA, payload)


def test_what_waits_is_admitted_once_in_order_and_of_that_run_alone():
    lobby = Lobby()
    for payload in (b"one", b"two"):
        assert lobby.put("a", arrival("edge", payload), 0.0)
    lobby.put("b", arrival("edge", b"false"), 0.0)
    assert [one.payload for one in lobby.admit(EDGE, "a", 1.0)] == [b"one", b"two"]
    assert lobby.admit(EDGE, "a", 1.0) == ()


def test_what_waits_too_long_is_dropped():
    lobby = Lobby()
    lobby.put("a", arrival("edge"), 100.0)
    lobby.put("b", arrival("edge"), 101.0)
    assert lobby.admit(EDGE, "a", 100.0 + WAIT_S) == ()
    assert lobby.n_dropped == 1
    assert len(lobby.admit(EDGE, "b", 100.0 + WAIT_S)) == 1
    assert lobby._n_bytes == 0


def test_invented_names_and_floods_take_little_and_room_comes_back():
    lobby = Lobby()
    n_kept = sum(lobby.put("a", arrival(f"src{number}", bytes(1000)), 0.0) for number in range(10 * MAX_NAMES))
    assert n_kept == MAX_NAMES
    assert lobby.n_dropped == 9 * MAX_NAMES
    n_kept = sum(lobby.put("a", arrival("src0", bytes(60_000)), 0.0) for _ in range(1000))
    assert n_kept < MAX_BYTES_PER_NAME / 60_000
    for name in range(MAX_NAMES):
        for _ in range(100):
            lobby.put("a", arrival(f"src{name}", bytes(60_000)), 0.0)
    assert lobby._n_bytes <= MAX_BYTES
    assert not lobby.put("a", arrival("edge", bytes(60_000)), WAIT_S - 0.1)
    assert lobby.put("a", arrival("edge", bytes(60_000)), WAIT_S)
    assert lobby._n_bytes < 61_000
