"""`seamline cluster`, `invite` and `join` where no network is needed; between machines they are in tests/system."""

from __future__ import annotations

from datetime import timedelta

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from seamline.identity.authority import Authority, rotate_authority
from seamline.identity.folders import authority_folder
from seamline.identity.founding import found
from seamline.identity.kept import Contact, keep
from seamline.identity.keys import new_key
from seamline.identity.members import Role


def test_a_cluster_begins_shows_revokes_and_rotates(seamline):
    begun = seamline("cluster", "init", "--name", "cloud", "--json").json
    assert begun["is_authority"] is True
    assert [(row["name"], row["role"]) for row in begun["here"]] == [("cloud", "node")]
    assert seamline("cluster", "init").exit_code == 2
    certified = seamline("cluster", "certify", "--name", "fog", "--json").json
    assert [(row["name"], row["role"]) for row in certified["here"]] == [("cloud", "node"), ("fog", "node")]
    shown = seamline("cluster", "show")
    assert "member fog  node  until 20" in shown.stdout
    assert seamline("cluster", "revoke", "nobody").exit_code == 2
    revoked = seamline("cluster", "revoke", "fog", "--json")
    assert "1 certificate(s) of `fog` revoked; others learn it when a node runs here" in revoked.stderr
    assert {row["name"]: row["revoked"] for row in revoked.json["members"]} == {"cloud": False, "fog": True}
    rotated = seamline("cluster", "rotate", "--json").json
    assert rotated["fingerprint"] != begun["fingerprint"]
    assert [row["name"] for row in rotated["here"]] == ["cloud"]


def test_show_tells_what_has_expired_or_been_revoked(seamline):
    authority, lost = found("default", "lost")
    _, old = found("default", "old")
    assert seamline("cluster", "revoke", "lost").exit_code == 0
    authority.revoke("old")
    expired = authority.issue(old.key.public_key(), "old", Role.NODE, timedelta(seconds=-5))
    (old.folder / "certificate.pem").write_bytes(expired.public_bytes(Encoding.PEM))
    shown = seamline("cluster", "show")
    assert f"this machine is node `lost` until {lost.member.expires:%Y-%m-%d}  revoked" in shown.stdout
    assert "this machine is node `old`" not in shown.stdout
    assert "not `old`: the certificate of `old` expired on 20" in shown.stderr


def test_show_tells_what_ends_soon(seamline):
    authority, _ = found("default", "cloud")
    authority.issue(new_key().public_key(), "brief", Role.NODE, timedelta(days=29))
    lines = {line.split()[1]: line for line in seamline("cluster", "show").stdout.splitlines() if line[:6] == "member"}
    assert "soon: its node renews it while the authority answers; else `seamline invite`" in lines["brief"]
    assert "soon" not in lines["cloud"]


def test_an_identity_of_an_earlier_authority_is_replaced(seamline):
    _, before = found("default", "cloud")
    authority = rotate_authority("default")
    _, after = found("default", "cloud")
    assert before.authority != after.authority == authority.certificate


def test_a_machine_in_no_cluster_says_so(seamline):
    assert "knows no certificate of cluster `default`" in seamline("cluster", "show").stdout
    for command in (("invite",), ("cluster", "certify"), ("cluster", "revoke", "fog"), ("cluster", "rotate")):
        outcome = seamline(*command)
        assert outcome.exit_code == 2
        assert "the authority of cluster `default` is not on this machine" in outcome.stderr


@pytest.mark.parametrize(
    ("arguments", "fact"),
    [
        (("join", "hello"), "no token of `seamline invite`"),
        (("invite", "--role", "king"), "`king` is no role"),
        (("invite", "--valid", "soon"), "`soon` is no length of time"),
        (("node", "--insecure", "--invite"), "--insecure does without certificates"),
    ],
)
def test_wrong_use_is_said_in_two_lines(seamline, arguments, fact):
    outcome = seamline(*arguments)
    assert outcome.exit_code == 2
    error, hint = outcome.stderr.splitlines()
    assert fact in error
    assert hint.startswith("hint: ")


def test_doctor_says_what_ends_soon_and_what_has_ended(seamline):
    def identities() -> dict[str, dict[str, str]]:
        checks = seamline("doctor", "--json").json["checks"]
        return {check["name"]: check for check in checks if check["name"].startswith("identity")}

    assert "seamline join TOKEN" in identities()["identity"]["hint"]
    found("default", "cloud")
    assert identities()["identity cloud"]["hint"] is None
    issue("soon", timedelta(days=29))
    assert "which is soon" in identities()["identity soon"]["fact"]


def issue(name: str, valid: timedelta) -> None:
    authority = Authority(authority_folder("default"))
    key = new_key()
    keep(
        "default",
        name,
        key=key,
        certificate=authority.issue(key.public_key(), name, Role.NODE, valid),
        authority=authority.certificate,
        revoked=authority.revoked(),
        contact=Contact(),
    )
