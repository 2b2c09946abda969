"""Claims about sealed messages: no sockets, two seals that hand each other bytes."""

from __future__ import annotations

import base64
import secrets
import shutil

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature

from seamline.core.vocabulary.errors import IdentityError, PeerLost
from seamline.core.vocabulary.nodes import NodeId
from seamline.identity import sealing
from seamline.identity.members import Role
from seamline.identity.sealing import REPLAY_WINDOW, Seal

ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
"""Of P-256."""


@pytest.fixture
def seal(member):
    def make(name: str, owner: str | None = None, role: Role = Role.NODE) -> Seal:
        return Seal(member(owner or name, role), NodeId(name), f"{secrets.randbits(63):016x}")

    return make


def introduce(one: Seal, name: str, to: Seal) -> None:
    to.admit(name, one.incarnation, one.credential)


@pytest.fixture
def pair(seal) -> tuple[Seal, Seal]:
    edge, fog = seal("edge"), seal("fog")
    introduce(edge, "edge", fog)
    introduce(fog, "fog", edge)
    return edge, fog


def test_what_is_sealed_for_a_peer_it_can_open(pair):
    edge, fog = pair
    for kind in ("control", "data", "credit"):
        for payload in (b"", b"frame", bytes(64_512)):
            sealed = edge.seal(NodeId("fog"), fog.incarnation, kind, payload)
            assert len(sealed) == len(payload) + 24
            assert fog.open("edge", edge.incarnation, kind, sealed) == payload


def test_nobody_else_can_open_it(pair, seal):
    edge, fog = pair
    eve = seal("eve")
    introduce(edge, "edge", eve)
    sealed = edge.seal(NodeId("fog"), fog.incarnation, "data", b"a picture")
    assert b"a picture" not in sealed
    with pytest.raises(IdentityError, match="not from `edge`, or was changed"):
        eve.open("edge", edge.incarnation, "data", sealed)


def test_a_member_cannot_speak_in_anothers_name(pair, seal):
    edge, fog = pair
    eve = seal("eve")
    introduce(eve, "eve", fog)
    introduce(fog, "fog", eve)
    forged = eve.seal(NodeId("fog"), fog.incarnation, "control", b"switch")
    with pytest.raises(IdentityError, match="`edge` has not shown who it is"):
        fog.open("edge", eve.incarnation, "control", forged)
    with pytest.raises(IdentityError, match="not from `edge`"):
        fog.open("edge", edge.incarnation, "control", forged)


def test_a_changed_or_moved_message_is_refused(pair):
    edge, fog = pair
    sealed = edge.seal(NodeId("fog"), fog.incarnation, "control", b"release")
    with pytest.raises(IdentityError, match="was changed"):
        fog.open("edge", edge.incarnation, "control", sealed[:-1] + bytes([sealed[-1] ^ 1]))
    with pytest.raises(IdentityError, match="not from `edge`"):
        fog.open("edge", edge.incarnation, "credit", sealed)
    with pytest.raises(IdentityError, match="not sealed"):
        fog.open("edge", edge.incarnation, "control", b"short")


def test_a_repeated_message_is_refused_and_an_overtaken_one_taken(pair):
    edge, fog = pair
    first, second = (edge.seal(NodeId("fog"), fog.incarnation, "control", text) for text in (b"1", b"2"))
    assert fog.open("edge", edge.incarnation, "control", second) == b"2"
    assert fog.open("edge", edge.incarnation, "control", first) == b"1"
    for sealed in (first, second):
        with pytest.raises(IdentityError, match="repeated"):
            fog.open("edge", edge.incarnation, "control", sealed)


def test_what_is_far_behind_counts_as_repeated(pair):
    edge, fog = pair
    old = edge.seal(NodeId("fog"), fog.incarnation, "control", b"old")
    for _ in range(REPLAY_WINDOW):
        fog.open("edge", edge.incarnation, "control", edge.seal(NodeId("fog"), fog.incarnation, "control", b""))
    with pytest.raises(IdentityError, match="repeated"):
        fog.open("edge", edge.incarnation, "control", old)


def test_a_credential_is_good_for_its_name_and_run_only(pair, seal):
    edge, fog = pair
    eve = seal("eve")
    with pytest.raises(IdentityError, match="`fog` shows a certificate that is for `eve`"):
        edge.admit("fog", eve.incarnation, eve.credential)
    with pytest.raises(IdentityError, match="credential of another run"):
        edge.admit("fog", "00000000deadbeef", fog.credential)
    for nonsense in ("", "!", "A" * 5000, fog.credential[:-40], f"{fog.credential}="):
        with pytest.raises(IdentityError):
            edge.admit("fog", fog.incarnation, nonsense)


def test_a_credential_has_one_spelling(pair, authority):
    """Else whoever has seen it could show a second token for that run, and end the run by taking it back."""
    edge, fog = pair
    shown = base64.urlsafe_b64decode(fog.credential + "=" * (-len(fog.credential) % 4))
    public, signature, der = shown[:32], shown[32:96], shown[96:]
    certificate = x509.load_der_x509_certificate(der)
    assert respelled(certificate, certificate.signature) == der
    r, s = decode_dss_signature(certificate.signature)
    other = respelled(certificate, encode_dss_signature(r, ORDER - s))
    x509.load_der_x509_certificate(other).verify_directly_issued_by(authority.certificate)
    negated = signature[:32] + (ORDER - int.from_bytes(signature[32:])).to_bytes(32)
    for spelling, words in (
        (public + negated + der, "shows a credential of another run"),
        (public + signature + other, "shows no credential"),
    ):
        with pytest.raises(IdentityError, match=words):
            edge.admit("fog", fog.incarnation, base64.urlsafe_b64encode(spelling).decode().rstrip("="))


def respelled(certificate: x509.Certificate, signature: bytes) -> bytes:
    """`certificate` in DER with that signature: what is signed, ``ecdsa-with-SHA256``, a bit string."""
    body = certificate.tbs_certificate_bytes + bytes.fromhex("300a06082a8648ce3d040302")
    body += bytes([3, len(signature) + 1, 0]) + signature
    return b"\x30\x82" + len(body).to_bytes(2) + body


def test_nothing_is_sealed_for_who_has_not_shown_itself(seal):
    with pytest.raises(PeerLost, match="has not shown who it is"):
        seal("edge").seal(NodeId("fog"), "0" * 16, "control", b"")


def test_another_run_of_a_peer_has_other_keys(pair):
    edge, fog = pair
    sealed = edge.seal(NodeId("fog"), fog.incarnation, "control", b"to the old run")
    again = Seal(fog._identity, NodeId("fog"), f"{secrets.randbits(63):016x}")
    introduce(edge, "edge", again)
    with pytest.raises(IdentityError, match="not from `edge`"):
        again.open("edge", edge.incarnation, "control", sealed)
    introduce(again, "fog", edge)
    assert edge.leave("fog", fog.incarnation, fog.credential)
    to_new = edge.seal(NodeId("fog"), again.incarnation, "control", b"hello")
    assert again.open("edge", edge.incarnation, "control", to_new) == b"hello"


def test_a_run_that_was_missed_and_is_back_goes_on_where_it_was(pair):
    edge, fog = pair
    before = edge.seal(NodeId("fog"), fog.incarnation, "control", b"before")
    assert fog.open("edge", edge.incarnation, "control", before) == b"before"
    for one, name, other in ((edge, "fog", fog), (fog, "edge", edge)):
        assert one.leave(name, other.incarnation, other.credential)
        introduce(other, name, one)
        after = edge.seal(NodeId("fog"), fog.incarnation, "control", b"after")
        assert after[:8] != before[:8], "no number is used twice with one key"
        assert fog.open("edge", edge.incarnation, "control", after) == b"after"
        with pytest.raises(IdentityError, match="repeated"):
            fog.open("edge", edge.incarnation, "control", before)


def test_only_the_token_that_admitted_a_run_ends_it(pair):
    edge, fog = pair
    assert not edge.leave("fog", fog.incarnation, "AAAA")
    assert not edge.leave("cloud", fog.incarnation, fog.credential)
    assert edge.leave("fog", fog.incarnation, fog.credential)


def test_who_left_longest_ago_makes_room_and_who_is_here_does_not(seal, monkeypatch):
    monkeypatch.setattr(sealing, "MAX_PEERS", 2)
    edge, fog, cloud, eve = (seal(name) for name in ("edge", "fog", "cloud", "eve"))
    introduce(fog, "fog", edge)
    introduce(cloud, "cloud", edge)
    with pytest.raises(IdentityError, match="no room for `eve`"):
        introduce(eve, "eve", edge)
    edge.leave("fog", fog.incarnation, fog.credential)
    introduce(eve, "eve", edge)
    assert edge.role_of("cloud", cloud.incarnation) is Role.NODE
    with pytest.raises(PeerLost):
        edge.seal(NodeId("fog"), fog.incarnation, "control", b"")


def test_a_revoked_peer_is_dropped_and_admitted_no_more(pair, authority):
    edge, fog = pair
    authority.revoke("fog")
    assert edge.on_notice(authority.revoked()) == {"fog"}
    assert edge.on_notice(authority.revoked()) is None, "it is no news"
    with pytest.raises(PeerLost):
        edge.seal(NodeId("fog"), fog.incarnation, "data", b"frame")
    with pytest.raises(IdentityError, match="`fog` has been revoked"):
        introduce(fog, "fog", edge)
    assert fog.on_notice(edge.notice()) == {"fog"}, "it learns it from its peers"
    with pytest.raises(IdentityError, match="revoked"):
        Seal(fog._identity, NodeId("fog"), "0" * 16)


def test_a_revocation_counts_where_it_cannot_be_kept(pair, authority):
    edge, _ = pair
    authority.revoke("fog")
    shutil.rmtree(edge._identity.folder)
    assert edge.on_notice(authority.revoked()) == {"fog"}


def test_an_identity_is_used_for_its_own_name(member):
    with pytest.raises(IdentityError, match="the certificate is for `fog`, not for `cloud`"):
        Seal(member("fog"), NodeId("cloud"), "0" * 16)


def test_a_tool_speaks_with_its_owners_role(pair, member):
    _, fog = pair
    eye = Seal(member("eye", Role.OBSERVER), NodeId("observer-1a2b3c4d-eye"), "1" * 16)
    introduce(eye, "observer-1a2b3c4d-eye", fog)
    assert fog.role_of("observer-1a2b3c4d-eye", eye.incarnation) is Role.OBSERVER
    assert fog.role_of("edge", pair[0].incarnation) is Role.NODE
    assert fog.role_of("somebody", "0" * 16) is Role.OBSERVER, "the least of them"


def test_a_run_stands_as_it_has_shown_itself(seal, pair):
    edge, fog = pair
    assert (fog.standing(edge.incarnation), fog.standing(edge.incarnation.lstrip("0"))) == (True, True)
    assert fog.standing("a1") is None, "it may still be starting"
    eve = seal("eve")
    with pytest.raises(IdentityError, match="for `eve`"):
        introduce(eve, "edge", fog)
    assert fog.standing(eve.incarnation) is False
    with pytest.raises(IdentityError, match="another run"):
        fog.admit("edge", "00000000000000a2", eve.credential)
    assert fog.standing("a2") is None, "of that run nothing is proved"
    introduce(eve, "eve", fog)
    assert fog.standing(eve.incarnation) is True
