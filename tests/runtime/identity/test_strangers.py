"""Claims about whose links are cut: no session, only numbers and a clock; and that a connection ends."""

from __future__ import annotations

import socket

from seamline.fabric.zenoh import Neighbour
from seamline.runtime.identity.strangers import FORGET_S, Strangers, cut

EDGE = Neighbour(session="e1", local="tls/10.0.0.1:7447", remote="tls/10.0.0.2:40000")
AGAIN = Neighbour(session="e1", local="tls/10.0.0.1:7447", remote="tls/10.0.0.2:40001")


def among(strangers: Strangers, neighbour: Neighbour, standing: bool | None, now_s: float) -> bool:
    return strangers.among([neighbour], lambda session: standing, now_s) == (neighbour,)


def test_one_that_shows_who_it_is_in_time_keeps_its_link():
    strangers = Strangers(grace_s=3.0)
    assert not among(strangers, EDGE, None, 0.0)
    assert not among(strangers, EDGE, None, 3.0)
    assert not among(strangers, EDGE, True, 4.0)
    assert not among(strangers, EDGE, None, 5.0)


def test_one_that_never_does_is_cut_after_a_while_and_again_when_it_comes_back():
    strangers = Strangers(grace_s=3.0)
    assert not among(strangers, EDGE, None, 0.0)
    assert among(strangers, EDGE, None, 3.1)
    assert among(strangers, AGAIN, None, 3.2)
    assert not among(strangers, AGAIN, None, 3.3 + FORGET_S), "a number that was not seen for long may try again"


def test_one_that_is_excluded_is_cut_at_once_until_it_is_admitted():
    strangers = Strangers(grace_s=3.0)
    assert not among(strangers, EDGE, True, 0.0)
    assert among(strangers, EDGE, False, 0.1)
    assert among(strangers, AGAIN, False, 0.2)
    assert not among(strangers, AGAIN, True, 0.3)


def test_the_connection_of_that_address_ends_and_no_other():
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with (
            socket.create_connection(("127.0.0.1", port)) as one, server.accept()[0] as one_here,
            socket.create_connection(("127.0.0.1", port)) as other, server.accept()[0] as other_here,
        ):  # fmt: skip
            here, there = f"tls/127.0.0.1:{port}", f"tls/127.0.0.1:{one.getsockname()[1]}"
            assert cut(Neighbour(session="e1", local=here, remote=there))
            assert one.recv(1) == b"" == one_here.recv(1)
            other.sendall(b"x")
            assert other_here.recv(1) == b"x"
            assert not cut(Neighbour(session="e1", local=here, remote="tls/127.0.0.1:1"))
