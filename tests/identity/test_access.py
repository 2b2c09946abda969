"""Claims about Zenoh's access rules and mutual TLS, each tried on a live session over loopback.

The intruder is a raw Zenoh session with whatever certificate it has; what it may do is seen at a member's own fabric.
"""

from __future__ import annotations

import json
import queue
import secrets
import socket
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import zenoh
from cryptography.hazmat.primitives.serialization import Encoding

from seamline.core.vocabulary.errors import FabricError
from seamline.core.vocabulary.nodes import NodeId
from seamline.core.vocabulary.ports import Lane
from seamline.fabric.zenoh import ZenohFabric
from seamline.identity.access import access_rules
from seamline.identity.authority import make_authority
from seamline.identity.kept import Identity
from seamline.identity.members import Role
from seamline.identity.sealing import Seal

PATIENCE_S = 30.0  # how long a test waits before it fails; nothing passes by waiting this long
FRAME = b"what a camera saw" * 40


class Peer:
    """A member's fabric, and what reached it."""

    def __init__(self, identity: Identity, connect: tuple[str, ...] = ()) -> None:
        name = identity.member.name
        seal = Seal(identity, name, f"{secrets.randbits(63):016x}")
        self.fabric = ZenohFabric(
            name, connect=connect, listen=("tls/127.0.0.1:0",), cluster="home", lease_s=10.0, guard=seal
        )
        self.messages: queue.Queue[tuple[NodeId, bytes]] = queue.Queue()
        self.fabric.start(lambda source, data: self.messages.put((source, bytes(data))), lambda node, alive: None)


@pytest.fixture
def fog(member) -> Iterator[Peer]:
    peer = Peer(member("fog"))
    yield peer
    peer.fabric.close()


@pytest.fixture
def edge(member, fog) -> Iterator[Peer]:
    peer = Peer(member("edge", Role.ORIGIN), fog.fabric.endpoints)
    peer.fabric.wait_peer(NodeId("fog"), PATIENCE_S)
    fog.fabric.wait_peer(NodeId("edge"), PATIENCE_S)
    yield peer
    peer.fabric.close()


@pytest.fixture
def intrude(fog) -> Iterator[Any]:
    """Opens raw sessions to `fog`; with no identity without a certificate. They have no access rules of their own."""
    sessions = []

    def open_one(identity: Identity | None, authority: Path | None = None) -> Any:
        folder = identity.folder if identity is not None else None
        link = "transport/link/tls/"
        settings: dict[str, Any] = {
            "mode": "client" if identity is None else "peer",
            "connect/endpoints": list(fog.fabric.endpoints),
            "connect/exit_on_failure": False,
            "connect/timeout_ms": 0 if identity is None else -1,
            "scouting/multicast/enabled": False,
            f"{link}root_ca_certificate": str(authority or folder / "authority.pem"),
            f"{link}verify_name_on_connect": False,
            f"{link}enable_mtls": identity is not None,
        }
        if folder is not None:
            settings[f"{link}connect_private_key"] = str(folder / "key.pem")
            settings[f"{link}connect_certificate"] = str(folder / "certificate.pem")
        config: Any = zenoh.Config()
        for key, value in settings.items():
            config.insert_json5(key, json.dumps(value))
        session = zenoh.open(config)
        sessions.append(session)
        return session

    yield open_one
    for session in sessions:
        session.close()


def wait_linked(session: Any) -> None:
    wait_until(lambda: bool(session.info.links()))


def wait_until(is_so: Callable[[], bool]) -> None:
    until_s = time.monotonic() + PATIENCE_S
    while not is_so() and time.monotonic() < until_s:
        time.sleep(0.02)
    assert is_so()


def credential(peer: Peer) -> str:
    """What `peer` shows beside its token, for everybody to see."""
    guard = peer.fabric._guard
    assert guard is not None
    return guard.credential


def frames_pass(source: Peer, there: Peer) -> None:
    """A frame, and after it a message on the urgent lane: what was said before has been routed by then."""
    for lane, payload in ((Lane.DATA, FRAME), (Lane.CONTROL, b"over")):
        source.fabric.send(there.fabric.node, payload, lane)
        assert there.messages.get(timeout=PATIENCE_S) == (source.fabric.node, payload)


def inbox(there: Peer, source: Peer, lane: str) -> str:
    """The key by which a message of `source` reaches `there`."""
    names = (there.fabric.node, lane, source.fabric.node, source.fabric.incarnation, there.fabric.incarnation)
    return "seamline/home/" + "/".join(names)


def test_rules_name_every_role_once_and_deny_the_rest():
    rules = access_rules("home", "abcd")
    assert rules["default_permission"] == "deny"
    assert [one["cert_common_names"] for one in rules["subjects"]] == [[f"{role}.abcd"] for role in Role]
    assert {key for one in rules["rules"] for key in one["key_exprs"]} == {
        f"seamline/home/*/{key}" for key in ("control/*/*/*", "credit/*/*/*", "notice/*", "data/*/*/*", "alive/**")
    }
    tensors = next(one for one in rules["policies"] if "tensors" in one["rules"])
    assert Role.OBSERVER not in tensors["subjects"]


def test_members_reach_each_other_and_through_a_third(member, fog, edge):
    frames_pass(edge, fog)
    cloud = Peer(member("cloud"), fog.fabric.endpoints)
    try:
        edge.fabric.wait_peer(NodeId("cloud"), PATIENCE_S)
        edge.fabric.send(NodeId("cloud"), FRAME * 1000, Lane.DATA)
        assert cloud.messages.get(timeout=PATIENCE_S) == (NodeId("edge"), FRAME * 1000)
    finally:
        cloud.fabric.close()


@pytest.mark.parametrize("how", ["none", "expired", "foreign"])
def test_no_byte_reaches_a_subscriber_without_a_valid_certificate(how, authority, member, fog, edge, intrude, tmp_path,
                                                                  monkeypatch):  # fmt: skip
    trusted = member("witness").folder / "authority.pem"
    heard: list[bytes] = []
    if how == "none":
        with pytest.raises(zenoh.ZError):
            intrude(None, trusted)
    else:
        session = intrude(outsider(how, authority, member, tmp_path, monkeypatch), trusted)
        session.declare_subscriber("seamline/**", lambda sample: heard.append(sample.payload.to_bytes()))
    frames_pass(edge, fog)
    assert heard == []


def outsider(how: str, authority, member, tmp_path, monkeypatch) -> Identity:
    """An identity that is expired, or of an authority of the same name."""
    if how == "expired":
        identity = member("old")
        key = identity.certificate.public_key()
        authority.revoke("old")
        old = authority.issue(key, "old", Role.NODE, timedelta(seconds=-5))
        (identity.folder / "certificate.pem").write_bytes(pem(old))
        return identity
    monkeypatch.setenv("SEAMLINE_DATA", str(tmp_path / "elsewhere"))
    from seamline.identity.founding import issue_here

    return issue_here(make_authority("home"), "stranger")


def pem(certificate: Any) -> bytes:
    return certificate.public_bytes(Encoding.PEM)


def test_a_member_cannot_subscribe_to_more_than_one_inbox_at_a_time(member, fog, edge, intrude):
    session = intrude(member("eve"))
    wait_linked(session)
    heard: list[str] = []
    for wide in ("seamline/**", "seamline/home/**", "**", "seamline/*/fog/data/*/*/*"):
        session.declare_subscriber(wide, lambda sample: heard.append(str(sample.key_expr)))
    frames_pass(edge, fog)
    assert heard == []


def test_a_member_that_listens_at_anothers_inbox_hears_nothing_it_can_read(member, fog, edge, intrude):
    session = intrude(member("eve"))
    wait_linked(session)
    heard: list[bytes] = []
    session.declare_subscriber("seamline/home/fog/data/*/*/*", lambda sample: heard.append(sample.payload.to_bytes()))
    frames_pass(edge, fog)
    assert all(b"camera" not in one for one in heard)


def test_an_observer_hears_no_tensors_at_all_not_even_sealed(member, fog, edge, intrude):
    session = intrude(member("eye", Role.OBSERVER))
    wait_linked(session)
    heard: list[bytes] = []
    session.declare_subscriber("seamline/home/fog/data/*/*/*", lambda sample: heard.append(sample.payload.to_bytes()))
    frames_pass(edge, fog)
    assert heard == []


@pytest.mark.parametrize("role", [Role.NODE, Role.OBSERVER])
def test_a_member_cannot_speak_in_anothers_name(role, member, fog, edge, intrude):
    session = intrude(member("eve", role))
    wait_linked(session)
    for lane in ("control", "data", "credit"):
        session.put(inbox(fog, edge, lane), b"forged" * 10)
    runs = ("00000000deadbeef/AAAA", f"{edge.fabric.incarnation}/AAAA", f"{edge.fabric.incarnation}/{credential(edge)}")
    tokens = [session.liveliness().declare_token(f"seamline/home/edge/alive/{run}") for run in runs]
    frames_pass(edge, fog)
    assert fog.fabric.duplicates() == frozenset()
    assert fog.fabric.peers() == {NodeId("edge")}
    epoch = fog.fabric._roster.epoch(NodeId("edge"))
    for token in tokens:
        token.undeclare()
    frames_pass(edge, fog)
    assert fog.fabric._roster.epoch(NodeId("edge")) == epoch, "it was never lost in between"


def test_a_node_whose_token_went_and_came_back_is_heard_and_hears(fog, edge):
    frames_pass(edge, fog)
    frames_pass(fog, edge)
    token = edge.fabric._declared[-2]
    key = f"seamline/home/edge/alive/{edge.fabric.incarnation}/{credential(edge)}"
    token.undeclare()
    wait_until(lambda: NodeId("edge") not in fog.fabric.peers())
    edge.fabric._declared[-2] = edge.fabric._session.liveliness().declare_token(key)
    fog.fabric.wait_peer(NodeId("edge"), PATIENCE_S)
    frames_pass(edge, fog)
    frames_pass(fog, edge)


def test_the_administration_of_a_node_is_closed(member, fog, edge, intrude):
    session = intrude(member("eve"))
    wait_linked(session)
    own = str(session.info.zid())  # a session answers for itself
    replies = [str(reply.ok.key_expr) for reply in session.get("@/**", timeout=1.0) if reply.ok is not None]
    assert [key for key in replies if not key.startswith(f"@/{own}/")] == []


def test_a_name_that_another_run_uses_is_refused_and_a_forged_token_does_not_take_it(member, fog, edge, intrude):
    session = intrude(member("eve"))
    wait_linked(session)
    session.liveliness().declare_token("seamline/home/cloud/alive/00000000deadbeef/AAAA")
    cloud = Peer(member("cloud"), fog.fabric.endpoints)
    cloud.fabric.close()
    again = Seal(edge.fabric._guard._identity, NodeId("edge"), f"{secrets.randbits(63):016x}")
    second = ZenohFabric(
        NodeId("edge"), connect=fog.fabric.endpoints, listen=("tls/127.0.0.1:0",), cluster="home", lease_s=0.5,
        guard=again,
    )  # fmt: skip
    try:
        with pytest.raises(FabricError, match="a node named `edge` is already in cluster `home`"):
            second.start(lambda source, data: None, lambda node, alive: None)
    finally:
        second.close()


def test_a_revoked_member_is_dropped_by_all_who_hear_of_it(authority, fog, edge):
    assert fog.fabric._guard.standing(edge.fabric.incarnation) is True
    assert {link.session for link in fog.fabric.links()} == {edge.fabric.incarnation.lstrip("0")}
    authority.revoke("edge")
    fog.fabric.take_notice(authority.revoked())
    wait_until(lambda: not fog.fabric.peers() and not edge.fabric.peers())
    assert fog.fabric._guard.standing(edge.fabric.incarnation) is False, "so its links are cut"


def test_a_renewed_certificate_counts_without_a_restart(authority, member, fog, edge):
    frames_pass(edge, fog)
    seal = fog.fabric._guard
    before = certificate_shown_by(fog)
    authority.revoke("fog")  # so that nothing of the old one serves
    renewed = member("fog")
    seal.take_up(renewed)
    fog.fabric.relink()
    edge.fabric.take_notice(authority.revoked())
    edge.fabric.wait_peer(NodeId("fog"), PATIENCE_S)
    fog.fabric.wait_peer(NodeId("edge"), PATIENCE_S)
    frames_pass(edge, fog)
    frames_pass(fog, edge)
    assert before != certificate_shown_by(fog) == renewed.certificate.public_bytes(Encoding.DER)


def certificate_shown_by(peer: Peer) -> bytes | None:
    host, _, port = peer.fabric.endpoints[0].partition("/")[2].rpartition(":")
    context = peer.fabric._guard._identity.tls()
    with socket.create_connection((host, int(port)), timeout=PATIENCE_S) as raw, context.wrap_socket(raw) as tls:
        return tls.getpeercert(binary_form=True)
