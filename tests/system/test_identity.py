"""Nodes with certificates, as real processes on loopback with TLS asked for: who is let in, and what is said to whom.

Each machine is a data folder. Refused means: said in words by whoever asks, and by the node that refuses.
"""

from __future__ import annotations

import json
import signal
import socket
import ssl
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from seamline.identity.authority import Authority
from seamline.identity.founding import invite, join_once
from seamline.identity.keys import key_pem, new_key
from seamline.identity.members import Role

VIDEO = Path(__file__).parents[2] / "src" / "seamline" / "data" / "bigbuckbunny.mp4"
SPLIT = "edge[0:4]lossless > fog[4:8]lossless > cloud[8:15]"


@dataclass
class Home:
    """A cluster of two nodes, and a way to start a command on one of its machines."""

    system: Any
    doors: dict[str, str]
    nodes: dict[str, Any]

    def on(self, machine: str, *arguments: str) -> Any:
        return self.system.start(
            *arguments,
            SEAMLINE_DATA=str(self.folder(machine)),
            SEAMLINE_CACHE=str(self.system.caches / machine),
            SEAMLINE_CLUSTER=self.system.cluster,
        )

    def folder(self, machine: str) -> Path:
        return self.system.folder / "machines" / machine

    def token(self, *options: str) -> str:
        invite = self.on("cloud", "invite", "--json", *options)
        assert invite.wait() == 0, invite.stderr
        return invite.json["token"]

    def admit(self, machine: str, role: Role = Role.NODE) -> None:
        """What `seamline invite` and `seamline join` do, in this process, which spares two of them."""
        with pytest.MonkeyPatch.context() as here:
            here.setenv("SEAMLINE_DATA", str(self.folder("cloud")))
            _, token = invite(self.system.cluster, role=role, name=machine, valid=timedelta(minutes=5))
            here.setenv("SEAMLINE_DATA", str(self.folder(machine)))
            join_once(token, None)

    def authority(self) -> Authority:
        return Authority(self.folder("cloud") / "authority" / self.system.cluster)

    def nodes_seen_by(self, machine: str, door: str) -> Any:
        process = self.on(machine, "nodes", "--json", "--wait", "3", "--connect", door)
        process.wait()
        return process


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory, make_system: Any, free_port: Callable[[], int]) -> Iterator[Home]:
    """README's first two lines on loopback: one node that begins a cluster, another that joins it by its token."""
    system = make_system(tmp_path_factory.mktemp("home"))
    made = Home(system, {name: f"tls/127.0.0.1:{free_port()}" for name in ("cloud", "fog")}, {})
    try:
        how: tuple[str, ...] = ("--invite",)
        for name in ("cloud", "fog"):
            made.nodes[name] = node = made.on(
                name, "node", "--json", "--name", name, "--tier", name, "--threads", "1", "--lease", "2",
                "--listen", made.doors[name], *how,
            )  # fmt: skip
            node.wait_until(lambda process: bool(process.events))
            how = ("--join", str(node.events[0]["token"]))
        yield made
    finally:
        system.end()


def said(node: Any, words: str) -> None:
    node.wait_until(lambda process: words in process.err.read_text())


def test_a_stream_over_nodes_that_joined(home: Home, assert_nothing_lost: Any) -> None:
    joined = home.on("edge", "join", home.token("--name", "edge", "--role", "origin"))
    assert joined.wait() == 0, joined.stderr
    run = home.on(
        "edge", "run", str(home.system.model), "--source", str(VIDEO), "--fps", "20", "--frames", "20",
        "--threads", "1", "--over", "edge,fog,cloud", "--connect", home.doors["fog"], "--lease", "2", "--plan", SPLIT,
        "--every-frame", "--json",
    )  # fmt: skip
    assert run.wait() == 0, run.stderr
    assert_nothing_lost(run.json["frames"])
    assert SPLIT in {step["plan"] for step in run.json["plan_timeline"]}
    assert any("`edge` joined as origin from 127.0.0.1" in line for line in home.nodes["cloud"].news)


def test_without_a_certificate_both_sides_say_so(home: Home) -> None:
    door = home.doors["fog"].replace("tls/", "tcp/")
    nobody = home.nodes_seen_by("nobody", door)
    assert nobody.popen.returncode == 1
    assert f"error: `{door}` takes members of its cluster only" in nobody.stderr
    said(home.nodes["fog"], "refused a peer: it showed no certificate")
    asked = home.nodes_seen_by("nobody", home.doors["fog"])
    assert asked.popen.returncode == 2
    assert "has no certificate for cluster" in asked.stderr


def test_an_expired_certificate_is_refused_on_both_sides(home: Home) -> None:
    certificate = expired_member(home, "old")
    asked = home.nodes_seen_by("old", home.doors["fog"])
    assert asked.popen.returncode == 1
    assert "the certificate of `old` expired on" in asked.stderr
    show(home.doors["fog"], certificate)
    said(home.nodes["fog"], "refused a peer: its certificate has expired")


def expired_member(home: Home, name: str) -> Path:
    """A machine whose certificate ended a moment ago; where that is kept."""
    home.admit(name)
    folder = home.folder(name) / "members" / home.system.cluster / name
    key = new_key()
    authority = home.authority()
    authority.revoke(name)
    certificate = authority.issue(key.public_key(), name, Role.NODE, timedelta(seconds=-5))
    (folder / "key.pem").write_bytes(key_pem(key))
    (folder / "certificate.pem").write_bytes(certificate.public_bytes(Encoding.PEM))
    return folder


def show(door: str, folder: Path) -> None:
    """Connect as whoever skips the checks on its own side does."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.load_cert_chain(folder / "certificate.pem", folder / "key.pem")
    host, _, port = door.partition("/")[2].rpartition(":")
    with suppress(ssl.SSLError, OSError), socket.create_connection((host, int(port)), timeout=20) as raw:
        context.wrap_socket(raw).recv(1)


def test_a_certificate_of_another_authority_is_refused_on_both_sides(home: Home) -> None:
    begun = home.on("stranger", "cluster", "init", "--name", "stranger")
    assert begun.wait() == 0, begun.stderr
    asked = home.nodes_seen_by("stranger", home.doors["fog"])
    assert asked.popen.returncode == 1
    assert "do not accept each other: its certificate is not of this cluster's authority" in asked.stderr
    said(home.nodes["fog"], "refused a peer: it does not take this node for one of its cluster")
    show(home.doors["fog"], home.folder("stranger") / "members" / home.system.cluster / "stranger")
    said(home.nodes["fog"], "refused a peer: its certificate is of another authority")


def test_a_certificate_is_for_its_name(home: Home) -> None:
    home.admit("gate")
    node = home.on("gate", "node", "--name", "fog", "--listen", "tls/127.0.0.1:0", "--connect", home.doors["fog"])
    assert node.wait() == 2
    assert "this machine has no certificate for the name `fog`, but for gate" in node.stderr


def test_a_second_run_of_a_name_is_refused(home: Home) -> None:
    again = home.on("fog", "node", "--name", "fog", "--listen", "tls/127.0.0.1:0", "--connect", home.doors["cloud"],
                    "--lease", "1")  # fmt: skip
    assert again.wait() == 1
    assert "a node named `fog` is already in cluster" in again.stderr


def test_a_role_is_what_it_says(home: Home) -> None:
    home.admit("eye", Role.OBSERVER)
    seen = home.nodes_seen_by("eye", home.doors["fog"])
    assert {node["name"] for node in seen.json["nodes"]} >= {"fog", "cloud"}, seen.stderr
    node = home.on("eye", "node", "--name", "eye", "--listen", "tls/127.0.0.1:0", "--connect", home.doors["fog"])
    assert node.wait() == 1
    assert "the certificate of `eye` is for the role observer: it may not be a node" in node.stderr
    change = home.on("eye", "set", "objective=energy", "--connect", home.doors["fog"])
    assert change.wait() == 1
    assert "it may look, not change a stream" in change.stderr


def test_an_observer_sees_streams_and_steers_none(home: Home) -> None:
    home.admit("dock", Role.ORIGIN)
    home.admit("watcher", Role.OBSERVER)
    run = home.on(
        "dock", "run", str(home.system.model), "--source", str(VIDEO), "--loop", "--fps", "10", "--seconds", "90",
        "--threads", "1", "--over", "dock,fog", "--connect", home.doors["fog"], "--lease", "2", "--events",
    )  # fmt: skip
    run.wait_until(lambda process: any(event["event"] == "started" for event in process.events))
    page = home.on("watcher", "dashboard", "--json", "--at", "0", "--connect", home.doors["fog"])
    page.wait_until(lambda process: bool(process.events))
    url = page.events[0]["url"]
    assert page.events[0]["link"] == url
    assert "it may look, not change a stream" in page.events[0]["only_looks"]
    page.wait_until(lambda _: shown(url) == [("dock", True)])
    release = Request(f"{url}api/release", b"{}", {"Origin": url.rstrip("/"), "Content-Type": "application/json"})
    with pytest.raises(HTTPError, match="403"):
        urlopen(release)
    for process in (page, run):
        process.popen.send_signal(signal.SIGINT)
        process.popen.wait()


def shown(url: str) -> list[tuple[str, bool]]:
    """Origin of every stream on a page, and whether the one chosen is there whole."""
    with urlopen(f"{url}api/state") as answer:
        state = json.load(answer)
    return [(row["origin"], state["stream"] is not None) for row in state["streams"]]


def test_a_revoked_member_is_refused_and_learns_why(home: Home) -> None:
    home.admit("lost")
    revoked = home.on("cloud", "cluster", "revoke", "lost")
    assert revoked.wait() == 0, revoked.stderr
    asked = home.nodes_seen_by("lost", home.doors["cloud"])
    assert asked.popen.returncode == 1
    assert "error: the certificate of `lost` has been revoked" in asked.stderr, "not: nobody answered"
    said(home.nodes["cloud"], "the certificate of `lost` has been revoked")
    again = home.nodes_seen_by("lost", home.doors["cloud"])
    assert again.popen.returncode == 1
    assert "the certificate of `lost` has been revoked" in again.stderr


def test_a_token_is_good_once(home: Home) -> None:
    token = home.token()
    assert home.on("first", "join", token, "--name", "first").wait() == 0
    second = home.on("second", "join", token, "--name", "second")
    assert second.wait() == 1
    assert "the authority refused: the token is unknown here, has been used, or has expired" in second.stderr
    said(home.nodes["cloud"], "refused an enrolment from 127.0.0.1")
