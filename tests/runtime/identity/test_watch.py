"""Claims about what changes for a node while it runs: revocations that reach its folder, and renewal."""

from __future__ import annotations

import queue
import secrets
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from seamline.core.vocabulary.nodes import NodeId
from seamline.fabric.zenoh import Neighbour, ZenohFabric
from seamline.identity.authority import make_authority
from seamline.identity.founding import issue_here
from seamline.identity.kept import Identity
from seamline.identity.sealing import Seal
from seamline.runtime.identity import watch as watching
from seamline.runtime.identity.watch import IdentityWatch

PATIENCE_S = 20.0


class Fabric:
    """Takes note of what the watch does to it."""

    def __init__(self) -> None:
        self.notices: queue.Queue[bytes] = queue.Queue()
        self.n_relinked = 0
        self.looked = threading.Event()

    def take_notice(self, notice: bytes) -> None:
        self.notices.put(notice)

    def links(self) -> tuple[Neighbour, ...]:
        self.looked.set()
        return ()

    def relink(self) -> None:
        self.n_relinked += 1


def seal_of(identity: Identity) -> Seal:
    return Seal(identity, identity.member.name, "00000000000000a1")


@pytest.fixture
def authority(tmp_path, monkeypatch):
    monkeypatch.setenv("SEAMLINE_DATA", str(tmp_path))
    monkeypatch.setattr(watching, "LOOK_EVERY_S", 0.01)
    return make_authority("home")


def test_the_list_in_the_folder_is_passed_on_at_the_start_and_once_for_each_change(authority):
    fog = issue_here(authority, "fog")
    issue_here(authority, "lost")
    fabric = Fabric()
    heard = fabric.notices
    watch = IdentityWatch(fog, seal_of(fog), fabric, print, 1.0)
    watch.start()
    try:
        assert heard.get(timeout=PATIENCE_S) == authority.revoked()
        authority.revoke("lost")
        fog.keep_revoked(authority.revoked())
        assert heard.get(timeout=PATIENCE_S) == authority.revoked()
        assert fabric.looked.wait(PATIENCE_S), "who is on the links is looked at all the time"
    finally:
        watch.close()
    assert heard.empty()
    assert fabric.n_relinked == 0


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
    fabric, seal = Fabric(), seal_of(due)
    watch = IdentityWatch(due, seal, fabric, said.put, 1.0)
    watch.start()
    try:
        assert said.get(timeout=PATIENCE_S).startswith("the certificate was renewed until 20")
    finally:
        watch.close()
    assert asked == [due], "what was renewed is not due again"
    assert (seal.member, fabric.n_relinked) == (fog.member, 1), "it counts from now on"


def test_the_link_of_a_revoked_machine_ends_and_ends_again_when_it_comes_back(authority):
    """Real sessions: the revoked one goes on trying, as an unchanged program of ours does."""
    members = {name: issue_here(authority, name) for name in ("fog", "edge")}
    seals = {name: Seal(one, NodeId(name), f"{secrets.randbits(63):016x}") for name, one in members.items()}
    fog = guarded(seals["fog"])
    edge = guarded(seals["edge"], fog.endpoints)
    watch = IdentityWatch(members["fog"], seals["fog"], fog, print, 10.0)
    try:
        edge.wait_peer(NodeId("fog"), PATIENCE_S)
        fog.wait_peer(NodeId("edge"), PATIENCE_S)
        (first,) = fog.links()
        watch.start()
        authority.revoke("edge")
        members["fog"].keep_revoked(authority.revoked())
        links = {first}

        def has_come_back_twice() -> bool:
            links.update(fog.links())
            return len(links) >= 3

        wait_until(has_come_back_twice)
        assert {link.session for link in links} == {seals["edge"].incarnation.lstrip("0")}
        wait_until(lambda: not edge.peers())
    finally:
        watch.close()
        edge.close()
        fog.close()


def guarded(seal: Seal, connect: tuple[str, ...] = ()) -> ZenohFabric:
    fabric = ZenohFabric(
        seal.member.name, connect=connect, listen=("tls/127.0.0.1:0",), cluster="home", lease_s=10.0, guard=seal
    )
    fabric.start(lambda source, data: None, lambda node, alive: None)
    return fabric


def wait_until(is_so: Callable[[], bool]) -> None:
    until_s = time.monotonic() + PATIENCE_S
    while not is_so():
        assert time.monotonic() < until_s
        time.sleep(0.005)
