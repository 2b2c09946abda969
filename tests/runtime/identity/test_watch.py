"""Claims about what changes for a node while it runs: revocations that reach its folder, and renewal."""

from __future__ import annotations

import queue
import threading
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


def test_a_new_list_in_the_folder_is_passed_on_once(authority):
    fog = issue_here(authority, "fog")
    heard: list[bytes] = []
    came = threading.Event()

    def take(notice: bytes) -> None:
        heard.append(notice)
        came.set()

    watch = IdentityWatch(fog, take, print)
    watch.start()
    try:
        issue_here(authority, "lost")
        authority.revoke("lost")
        fog.keep_revoked(authority.revoked())
        assert came.wait(PATIENCE_S)
    finally:
        watch.close()
    assert heard == [authority.revoked()]


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
