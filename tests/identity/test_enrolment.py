"""Claims about joining over the network: a real server on loopback, real TLS."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta

import pytest

from seamline.core.vocabulary.errors import FabricError, IdentityError
from seamline.core.vocabulary.nodes import NodeId
from seamline.identity.authority import Authority, make_authority
from seamline.identity.enrolment import Enrolment
from seamline.identity.founding import found, invite, is_served, join_once, receive, revoke
from seamline.identity.joining import join, renew
from seamline.identity.kept import Contact, names
from seamline.identity.members import Role

HOUR = timedelta(hours=1)


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def server(authority: Authority, said) -> Iterator[Enrolment]:
    before = set(threading.enumerate())
    enrolment = Enrolment(authority, ("127.0.0.1", 0), node_port=7447, say=said.append)
    yield enrolment
    port = enrolment.port
    enrolment.close()
    enrolment.close()
    assert set(threading.enumerate()) <= before
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port), timeout=1)


def token_of(server: Enrolment, authority: Authority, **options):
    options = {"role": Role.NODE, "name": None, "valid": HOUR, **options}
    return authority.invite((f"127.0.0.1:{server.port}",), **options)


def test_a_token_makes_a_member_once(server, authority, said):
    token = token_of(server, authority, role=Role.ORIGIN)
    edge = join(token, NodeId("edge"))
    assert (edge.member.name, edge.member.role) == ("edge", Role.ORIGIN)
    assert edge.contact.nodes == ("tls/127.0.0.1:7447",)
    with pytest.raises(IdentityError, match="the authority refused: the token is unknown here, has been used"):
        join(token, NodeId("edge-2"))
    assert said == [
        "`edge` joined as origin from 127.0.0.1",
        "refused an enrolment from 127.0.0.1: the token is unknown here, has been used, or has expired",
    ]


def test_the_key_stays_where_it_was_made(server, authority, own_data):
    edge = join(token_of(server, authority), NodeId("edge"))
    assert authority.certificate.public_key() != edge.certificate.public_key()
    secret = (edge.folder / "key.pem").read_bytes()
    assert all(secret not in path.read_bytes() for path in (own_data / "authority").rglob("*.*"))


def test_a_joiner_shows_its_secret_to_no_other_authority(authority, tmp_path, monkeypatch, said):
    token = authority.invite(("127.0.0.1:1",), role=Role.NODE, name=None, valid=HOUR)
    monkeypatch.setenv("SEAMLINE_DATA", str(tmp_path / "intruder"))
    intruder = Enrolment(make_authority("home"), ("127.0.0.1", 0), say=said.append)
    try:
        with pytest.raises(IdentityError, match="another than the cluster's authority answers there"):
            join(token_at(token, intruder.port), NodeId("edge"))
    finally:
        intruder.close()
    assert names("home") == ()


def test_a_member_that_answers_in_place_of_the_authority_gets_neither_secret_nor_renewal(authority, member):
    eve, edge = member("eve"), member("edge")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(eve.folder / "certificate.pem", eve.folder / "key.pem")
    heard: list[bytes] = []

    def answer() -> None:
        for _ in range(2):
            raw, _ = impostor.accept()
            with raw, context.wrap_socket(raw, server_side=True) as connection:
                heard.append(connection.recv(100))

    with socket.create_server(("127.0.0.1", 0)) as impostor:
        thread = threading.Thread(target=answer)
        thread.start()
        address = f"127.0.0.1:{impostor.getsockname()[1]}"
        token = authority.invite((address,), role=Role.NODE, name=None, valid=HOUR)
        misled = replace(edge, contact=Contact(authority=(address,)))
        for ask in (lambda: join(token, NodeId("fog")), lambda: renew(misled)):
            with pytest.raises(IdentityError, match="another than the cluster's authority answers there"):
                ask()
        thread.join()
    assert heard == [b"", b""]


def token_at(token, port: int):
    return type(token)(**{name: getattr(token, name) for name in token.__struct_fields__}
                       | {"addresses": (f"127.0.0.1:{port}",)})  # fmt: skip


def test_nobody_there_is_said_with_the_addresses(authority):
    token = authority.invite(("127.0.0.1:1",), role=Role.NODE, name=None, valid=HOUR)
    with pytest.raises(FabricError, match=r"no authority answers at 127\.0\.0\.1:1"):
        join(token, NodeId("edge"))


def test_a_member_renews_with_what_it_has_and_a_revoked_one_does_not(server, authority):
    edge = join(token_of(server, authority), NodeId("edge"))
    again = renew(edge)
    assert again.member.serial != edge.member.serial
    assert again.key.public_key() != edge.key.public_key()
    authority.revoke("edge")
    with pytest.raises(IdentityError, match="revoked"):
        renew(again)


def test_strangers_get_nothing(server, said):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    for noise in (b"\n", b"{}\n", b'{"type":"join"}\n', b'{"type":"renew","request":"x"}\n', bytes(70_000)):
        raw = socket.create_connection(("127.0.0.1", server.port), timeout=5)
        with raw, context.wrap_socket(raw) as connection:
            connection.sendall(noise)
            with suppress(ssl.SSLError, ConnectionResetError):
                assert b"granted" not in connection.recv(1000)
    with socket.create_connection(("127.0.0.1", server.port), timeout=5) as raw:
        raw.sendall(b"GET / HTTP/1.0\r\n\r\n")
        with suppress(ConnectionResetError):
            raw.recv(100)
    assert all("failed" in line or "refused" in line for line in said)


def test_one_process_receives_and_others_find_it(authority):
    assert not is_served("home")
    reception = receive("home", "127.0.0.1", node_port=7447, say=print)
    assert reception is not None
    try:
        assert is_served("home")
        assert receive("home", "127.0.0.1", node_port=7447, say=print) is None
        _, token = invite("home", role=Role.NODE, name="fog", valid=HOUR)
        fog = join_once(token, None)
        assert fog.member.name == "fog"
        assert join_once(token, None) == fog, "a service that starts again has joined already"
        _, token = invite("home", role=Role.NODE, name=None, valid=HOUR, addresses=("cloud.example",))
        assert token.addresses[0].startswith("cloud.example:")
    finally:
        reception.close()
    assert not is_served("home")


def test_a_revocation_reaches_the_identities_of_the_same_machine(authority, member):
    fog = member("fog")
    assert revoke("home", "fog") == 1
    with pytest.raises(IdentityError, match="revoked"):
        fog.require_not_revoked()


def test_a_member_of_somebody_elses_cluster_founds_none(authority, member):
    member("fog")
    (authority.folder / "key.pem").unlink()
    with pytest.raises(Exception, match="has joined cluster `home` as fog; its authority is elsewhere"):
        found("home", "fog")
