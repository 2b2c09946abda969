"""Claims about what changes for a node while it runs: revocations that reach its folder, and renewal."""

from __future__ import annotations

import queue
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from seamline.identity.authority import make_authority
from seamline.identity.founding import issue_here
from seamline.identity.kept import Identity
from seamline.runtime.identity import watch as watching
from seamline.runtime.identity.watch import IdentityWatch

PATIENCE_S = 20.0


@pytest.fixture
def authority(tmp_path, monkeypatch):
    monkeypatch.setenv("SEAMLINE_DATA", str(tmp_path))
    monkeypatch.setattr(watching, "LOOK_EVERY_S", 0.01)
    return make_authority("home")


def test_the_list_in_the_folder_is_passed_on_at_the_start_and_once_for_each_change(authority):
    fog = issue_here(authority, "fog")
    issue_here(authority, "lost")
    heard: queue.Queue[bytes] = queue.Queue()
    watch = IdentityWatch(fog, heard.put, print)
    watch.start()
    try:
        assert heard.get(timeout=PATIENCE_S) == authority.revoked()
        authority.revoke("lost")
        fog.keep_revoked(authority.revoked())
        assert heard.get(timeout=PATIENCE_S) == authority.revoked()
    finally:
        watch.close()
    assert heard.empty()


def test_a_certificate_that_ends_soon_is_renewed_by_itself(authority, monkeypatch):
    fog = issue_here(authority, "fog")
    due = replace(fog, member=replace(fog.member, expires=datetime.now(UTC) + timedelta(days=29)))
    assert (fog.is_due, due.is_due) == (False, True)
    asked: list[Identity] = []
    said: queue.Queue[str] = queue.Queue()

    def renew(identity: Identity) -> Identity:
        asked.append(identity)
        return fog

    monkeypatch.setattr(watching, "renew", renew)
    watch = IdentityWatch(due, lambda notice: None, said.put)
    watch.start()
    try:
        assert said.get(timeout=PATIENCE_S).startswith("the certificate was renewed until 20")
    finally:
        watch.close()
    assert asked == [due], "what was renewed is not due again"
