"""Claims about authority, certificates and what is kept of them."""

from __future__ import annotations

import stat
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from seamline.core.vocabulary.errors import IdentityError, UsageError
from seamline.core.vocabulary.nodes import NodeId
from seamline.identity import kept
from seamline.identity.authority import MAX_ATTEMPTS, Authority, make_authority, newest_list, rotate_authority
from seamline.identity.founding import found
from seamline.identity.keys import key_pem, new_key
from seamline.identity.members import Role, member_of, speaks_for

HOUR = timedelta(hours=1)


def public() -> object:
    return new_key().public_key()


def test_a_certificate_stands_for_one_name_and_role(authority, member):
    edge = member("edge", Role.ORIGIN)
    assert (edge.member.name, edge.member.role, edge.member.cluster) == ("edge", Role.ORIGIN, authority.id)
    assert kept.load("home", "edge") == edge


def test_keys_are_for_their_owner_only(authority, member, own_data: Path):
    member("edge")
    modes = {path: stat.S_IMODE(path.stat().st_mode) for path in own_data.rglob("*")}
    assert {modes[path] for path in modes if path.suffix in (".pem", ".json")} == {0o600}
    assert modes[own_data / "members/home/edge"] == modes[own_data / "authority/home"] == 0o700


def test_a_name_belongs_to_one_member_until_it_is_revoked(authority, member):
    member("fog")
    with pytest.raises(IdentityError, match="the name `fog` belongs to a member already"):
        authority.issue(public(), "fog", Role.NODE)
    with pytest.raises(IdentityError, match="belongs to a member already"):
        authority.invite(("h:1",), role=Role.NODE, name="fog", valid=HOUR)
    assert authority.revoke("fog") == 1
    authority.issue(public(), "fog", Role.NODE)


@pytest.mark.parametrize("name", ["observer-1a2b3c4d-fog", "Fog", "a/b", "x" * 41, ""])
def test_names_that_could_be_taken_for_others_are_never_certified(authority, name):
    with pytest.raises(UsageError):
        authority.issue(public(), name, Role.NODE)


def test_a_member_speaks_for_itself_and_its_tools(member):
    edge = member("edge").member
    assert speaks_for(edge, "edge")
    assert speaks_for(edge, "observer-1a2b3c4d-edge")
    for other in ("edge-2", "fog", "observer-1a2b3c4d-fog", "observer-1a2b3c4d-", "observer-1A2B3C4D-edge"):
        assert not speaks_for(edge, other)


def test_an_invitation_is_good_once(authority):
    token = authority.invite(("h:1",), role=Role.OBSERVER, name=None, valid=HOUR)
    certificate = authority.admit(token.id, token.secret, public(), "eye")
    assert member_of(certificate, authority.certificate).role is Role.OBSERVER
    with pytest.raises(IdentityError, match="has been used"):
        authority.admit(token.id, token.secret, public(), "eye-2")


def test_an_invitation_for_a_name_is_for_no_other(authority):
    token = authority.invite(("h:1",), role=Role.NODE, name="fog", valid=HOUR)
    with pytest.raises(IdentityError, match="for the name `fog`, not `cloud`"):
        authority.admit(token.id, token.secret, public(), "cloud")
    authority.admit(token.id, token.secret, public(), "fog")


def test_wrong_secrets_use_an_invitation_up(authority):
    token = authority.invite(("h:1",), role=Role.NODE, name=None, valid=HOUR)
    for _ in range(MAX_ATTEMPTS):
        with pytest.raises(IdentityError, match="secret is wrong"):
            authority.admit(token.id, bytes(16), public(), "fog")
    with pytest.raises(IdentityError, match="unknown here"):
        authority.admit(token.id, token.secret, public(), "fog")


def test_secrets_are_not_kept(authority):
    token = authority.invite(("h:1",), role=Role.NODE, name=None, valid=HOUR)
    ledger = (authority.folder / "ledger.json").read_bytes()
    assert token.secret not in ledger
    assert token.secret.hex().encode() not in ledger


def test_an_expired_certificate_is_refused_by_name_and_day(member):
    with pytest.raises(IdentityError, match="the certificate of `old` expired on 20"):
        member("old", valid=timedelta(seconds=-1))


def test_another_authority_is_told_by_its_signature_not_its_name(authority, member, monkeypatch, tmp_path):
    fog = member("fog")
    monkeypatch.setenv("SEAMLINE_DATA", str(tmp_path / "elsewhere"))
    foreign = make_authority("home")
    with pytest.raises(IdentityError, match="authority of another cluster"):
        member_of(fog.certificate, foreign.certificate)
    with pytest.raises(IdentityError, match="was not signed by this cluster's authority"):
        newest_list(foreign.revoked(), authority.certificate)


def test_a_revocation_is_a_newer_list_that_names_the_certificate(authority, member):
    fog = member("fog")
    before = newest_list(authority.revoked(), authority.certificate)
    authority.revoke("fog")
    number, serials = newest_list(authority.revoked(), authority.certificate)
    assert (before[0], number, serials) == (0, 1, {fog.member.serial})
    fog.require_not_revoked()  # nobody has told it yet
    fog.keep_revoked(authority.revoked())
    with pytest.raises(IdentityError, match="has been revoked"):
        fog.require_not_revoked()


def test_an_older_list_never_takes_the_place_of_a_newer_one(authority, member):
    fog, old = member("fog"), authority.revoked()
    authority.revoke("fog")
    fog.keep_revoked(authority.revoked())
    fog.keep_revoked(old)
    assert fog.revoked_pem() == authority.revoked()


def test_only_what_is_valid_is_renewed(authority, member):
    fog = member("fog")
    again = authority.renew(fog.member.serial, public())
    assert member_of(again, authority.certificate).name == "fog"
    authority.revoke("fog")
    with pytest.raises(IdentityError, match="revoked"):
        authority.renew(again.serial_number, public())


def test_after_a_rotation_old_certificates_are_foreign(authority, member):
    fog = member("fog")
    other = rotate_authority("home")
    with pytest.raises(IdentityError, match="another cluster"):
        member_of(fog.certificate, other.certificate)


def test_a_machine_without_the_authority_says_where_to_go():
    with pytest.raises(UsageError, match="the authority of cluster `nowhere` is not on this machine"):
        Authority(Path("/nonexistent/nowhere"))
    with pytest.raises(UsageError, match="no certificate for cluster `nowhere`"):
        kept.load("nowhere", NodeId("fog"))


def test_a_machine_of_another_name_says_which_it_has(member):
    member("fog")
    with pytest.raises(UsageError, match="no certificate for the name `cloud`, but for fog"):
        kept.load("home", "cloud")


@pytest.mark.parametrize("key", [Ed25519PrivateKey.generate(), ec.generate_private_key(ec.SECP384R1())])
def test_a_key_of_another_kind_is_refused_in_words_and_rotating_or_joining_again_replaces_it(authority, member, key):
    edge = member("edge")
    (edge.folder / "key.pem").write_bytes(key_pem(key))
    with pytest.raises(IdentityError, match=r"not of P-256: an earlier seamline made it; hint: join again"):
        kept.load("home", "edge")
    (authority.folder / "key.pem").write_bytes(key_pem(key))
    with pytest.raises(IdentityError, match=r"not of P-256.*`seamline cluster rotate` makes another"):
        Authority(authority.folder)
    rotate_authority("home")
    again, here = found("home", "edge")
    assert kept.load("home", "edge") == here
    assert here.authority == again.certificate != authority.certificate
