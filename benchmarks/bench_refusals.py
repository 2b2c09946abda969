"""How soon, and in which words, both sides refuse whoever has no valid certificate, or one of another name or role.

Two nodes of one cluster on loopback, with TLS, and a stream that crosses both all the while. Each case is tried twice:
by the command a user would type, and by a program that skips every check of ours (a bare session of Zenoh, or a fabric
without them). Written down are words and seconds of whoever asks and of the node that is asked, and the bytes that a
recording subscriber of every key got of the stream's frames. Seconds of commands include the interpreter's start.
"""

from __future__ import annotations

import json
import os
import queue
import re
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import zenoh
from cryptography.hazmat.primitives.serialization import Encoding
from reporting import Report, parser, progress

from seamline.core.vocabulary.errors import FabricError
from seamline.core.vocabulary.nodes import NodeId
from seamline.core.vocabulary.ports import Lane
from seamline.fabric import messages as msg
from seamline.fabric.wire import pack
from seamline.fabric.zenoh import ZenohFabric
from seamline.identity.authority import Authority
from seamline.identity.kept import Identity, load
from seamline.identity.keys import key_pem, new_key
from seamline.identity.members import Role
from seamline.identity.sealing import Seal

CLUSTER = "refusals"
PATIENCE_S = 30.0
LEASE_S = "0.4"
BEGIN_S = 240.0
RECORDED_S = 8.0
SAID_AGAIN_S = 10.5
"""After this a node says again what it said just now."""

KEYS = (
    "seamline/**",
    f"seamline/{CLUSTER}/*/data/**",
    *(f"seamline/{CLUSTER}/{one}/data/*/*/*" for one in ("fog", "cloud")),
)
PLAN = "edge[0:8]lossless > fog[8:60]lossless > cloud[60:152]"
VIDEO = Path(__file__).parents[1] / "src" / "seamline" / "data" / "bigbuckbunny.mp4"


@dataclass(kw_only=True)
class Outcome:
    """Of one attempt. asker, node: the words of both sides; seconds from the start of the attempt."""

    case: str
    by: str
    asker: str = ""
    asker_s: float | None = None
    node: str = ""
    node_s: float | None = None
    frame_bytes: int = 0


class Bed:
    """Machines as data folders below one folder, and the processes on them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.doors = {name: f"tls/127.0.0.1:{_free_port()}" for name in ("cloud", "fog")}
        self.running: list[subprocess.Popen[bytes]] = []
        self.first_list = b""  # of revoked certificates: none

    def start(self, machine: str, *arguments: str, log: str | None = None) -> subprocess.Popen[bytes]:
        name = log or f"{machine}-{len(self.running)}"
        with (self.folder / f"{name}.out").open("wb") as out, (self.folder / f"{name}.err").open("wb") as err:
            process = subprocess.Popen(
                [sys.executable, "-m", "seamline", *arguments],
                stdin=subprocess.DEVNULL, stdout=out, stderr=err, cwd=self.folder,
                env={**os.environ, "SEAMLINE_CLUSTER": CLUSTER, "SEAMLINE_DATA": str(self.data(machine)),
                     "SEAMLINE_CACHE": str(self.folder / "cache" / machine), "COLUMNS": "200"},
            )  # fmt: skip
        self.running.append(process)
        return process

    def asked(self, machine: str, *arguments: str) -> tuple[int, str, float]:
        """(exit code, last words on stderr, seconds) of a command."""
        begun_s, name = time.monotonic(), f"asked-{len(self.running)}"
        code = self.start(machine, *arguments, log=name).wait(PATIENCE_S)
        took_s = time.monotonic() - begun_s
        words = (self.folder / f"{name}.err").read_text().strip() or (self.folder / f"{name}.out").read_text().strip()
        said = words[words.rfind("error:") :] if "error:" in words else words  # warnings of the fabric come before
        return code, " ".join(said.partition("hint:")[0].split()), took_s

    def data(self, machine: str) -> Path:
        return self.folder / "machines" / machine

    def log(self, node: str) -> str:
        return (self.folder / f"{node}.err").read_text()

    def token(self, *options: str) -> str:
        begun = subprocess.run(
            [sys.executable, "-m", "seamline", "invite", "--json", *options], capture_output=True, check=True,
            env={**os.environ, "SEAMLINE_CLUSTER": CLUSTER, "SEAMLINE_DATA": str(self.data("cloud"))},
        )  # fmt: skip
        return str(json.loads(begun.stdout)["token"])

    def join(self, machine: str, role: str = "node") -> Identity:
        code, words, _ = self.asked(machine, "join", self.token("--name", machine, "--role", role))
        if code:
            raise RuntimeError(words)
        return self.identity(machine)

    def identity(self, machine: str) -> Identity:
        """The identity of `machine`, read as on it."""
        os.environ["SEAMLINE_DATA"] = str(self.data(machine))
        return load(CLUSTER, machine)

    def authority(self) -> Authority:
        return Authority(self.data("cloud") / "authority" / CLUSTER)

    def end(self) -> None:
        """End what still runs."""
        for process in self.running:
            if process.poll() is None:
                process.terminate()
        for process in self.running:
            with suppress(subprocess.TimeoutExpired):
                process.wait(5.0)
            if process.poll() is None:
                process.kill()


def main() -> None:
    options = parser("Refusals of both sides")
    options.add_argument("--only", choices=CASES, action="append", help="the others stay as they were written down")
    chosen = options.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # by the way that ends what was started
    report = Report("refusals", "Refusals: of whom, in which words, how soon", chosen)
    with tempfile.TemporaryDirectory() as folder:
        bed = Bed(Path(folder))
        try:
            _begin(bed)
            outcomes = _kept(report.path("json")) if chosen.only else {}
            for key in chosen.only or CASES:
                outcomes[key] = []
                for one in CASES[key](bed):
                    progress(f"  asker: {one.asker} {_text(one.asker_s)} | node: {one.node} {_text(one.node_s)}")
                    outcomes[key].append(one)
        finally:
            bed.end()
    report.data = {"outcomes": {key: [asdict(one) for one in outcomes[key]] for key in CASES if key in outcomes}}
    head = ("case", "tried by", "who asks is told", "after, s", "the node says", "after, s", "bytes of frames")
    report.table(
        head,
        [
            (one.case, one.by, one.asker, _text(one.asker_s), one.node, _text(one.node_s), one.frame_bytes)
            for key in CASES
            for one in outcomes.get(key, ())
        ],
    )
    report.finish()


def _kept(path: Path) -> dict[str, list[Outcome]]:
    """What earlier runs of other cases wrote down."""
    if not path.exists():
        return {}
    read = json.loads(path.read_text(encoding="utf-8"))["outcomes"]
    return {key: [Outcome(**one) for one in read[key]] for key in read}


def _text(seconds: float | None) -> str:
    return "" if seconds is None else f"{seconds:.1f}"


def _begin(bed: Bed) -> None:
    """Start cloud, then fog by its token, then a stream of the edge over both."""
    progress("nodes")
    how = ("--invite",)
    for name in ("cloud", "fog"):
        bed.start(
            name, "node", "--json", "--name", name, "--tier", name, "--threads", "1", "--lease",
            LEASE_S, "--listen", bed.doors[name], *how, log=name,
        )  # fmt: skip
        _wait(lambda name=name: "\n" in (bed.folder / f"{name}.out").read_text())  # type: ignore[misc]
        how = ("--join", json.loads((bed.folder / f"{name}.out").read_text().splitlines()[0]).get("token", ""))
    bed.first_list = bed.authority().revoked()
    bed.join("edge", "origin")
    bed.start(
        "edge", "run", "mobilenetv2", "--source", str(VIDEO), "--loop", "--fps", "5", "--threads", "1", "--over",
        "edge,fog,cloud", "--connect", bed.doors["fog"], "--lease", LEASE_S, "--private", "1",
        "--plan", PLAN, "--events", log="edge",
    )  # fmt: skip
    try:
        _wait(lambda: "fog[8:60]" in (bed.folder / "edge.out").read_text())
    except TimeoutError:
        raise RuntimeError(f"the stream does not cross both nodes: {bed.log('edge')[-2000:]}") from None


Case = Callable[[Bed], Iterator[Outcome]]


def _nobody(bed: Bed) -> Iterator[Outcome]:
    door = bed.doors["fog"].replace("tls/", "tcp/")
    yield _by_command(bed, "no certificate", "nobody", _nodes(door), "showed no certificate")
    yield _by_session(bed, "no certificate", None, "showed no certificate")


def _bad_tokens(bed: Bed) -> Iterator[Outcome]:
    used, old = bed.token(), bed.token("--valid", "1s")
    bed.asked("first", "join", used, "--name", "first")
    for what, token, said in (("a used token", used, "refused an enrolment"), ("an expired token", old, None)):
        yield _by_command(bed, what, "second", ("join", token, "--name", "second"), said)


def _too_old(bed: Bed) -> Iterator[Outcome]:
    old = _expired(bed, "old")
    yield _by_command(bed, "expired", "old", _nodes(bed.doors["fog"]), None)
    yield _by_session(bed, "expired", old, "has expired")


def _foreign(bed: Bed) -> Iterator[Outcome]:
    bed.asked("stranger", "cluster", "init", "--name", "stranger")
    foreign = bed.data("stranger") / "members" / CLUSTER / "stranger"
    words = "does not take this node|another authority"
    yield _by_command(bed, "another authority", "stranger", _nodes(bed.doors["fog"]), words)
    yield _by_session(bed, "another authority", foreign, "another authority")


def _revoked(bed: Bed) -> Iterator[Outcome]:
    lost = bed.join("lost")
    bed.asked("cloud", "cluster", "revoke", "lost")
    _wait(lambda: bed.authority().revoked() == bed.identity("fog").revoked_pem())
    yield _by_command(bed, "revoked", "lost", _nodes(bed.doors["fog"]), "`lost` has been revoked")
    yield _by_session(bed, "revoked", lost.folder, "ended the link")
    yield _by_fabric(bed, "revoked", lost, "lost", "`lost` has been revoked")


def _wrong_name(bed: Bed) -> Iterator[Outcome]:
    gate = bed.join("gate")
    as_desk = ("node", "--name", "desk", "--listen", "tls/127.0.0.1:0", "--connect", bed.doors["fog"])
    yield _by_command(bed, "another's name", "gate", as_desk, None)
    yield _by_fabric(bed, "another's name", gate, "desk", "a certificate that is for `gate`")


def _wrong_role(bed: Bed) -> Iterator[Outcome]:
    eye = bed.join("eye", "observer")
    as_node = ("node", "--name", "eye", "--listen", "tls/127.0.0.1:0", "--connect", bed.doors["fog"])
    yield _by_command(bed, "another role", "eye", as_node, None)
    release = msg.Release(stream="edge-1", generation=-1)
    yield _by_fabric(bed, "another role (observer)", eye, "eye", "which is not its to send", release)
    mere = bed.join("mere", "origin")
    answer = msg.FrameFailed(stream="edge-1", generation=0, frame=1, attempt=0, node="mere", error="boo")
    yield _by_fabric(bed, "another role (origin)", mere, "mere", "which is not its to send", answer)


CASES: dict[str, Case] = {
    "nobody": _nobody,
    "tokens": _bad_tokens,
    "expired": _too_old,
    "foreign": _foreign,
    "revoked": _revoked,
    "name": _wrong_name,
    "role": _wrong_role,
}


def _nodes(door: str) -> tuple[str, ...]:
    return ("nodes", "--wait", "3", "--connect", door)


def _by_command(bed: Bed, case: str, machine: str, command: tuple[str, ...], said: str | None) -> Outcome:
    """said: by the node; None where a command refuses before it asks anybody."""
    progress(f"{case}: {command[0]}")
    with _listening(bed, said or "$^") as heard:
        code, words, took_s = bed.asked(machine, *command)
        node, node_s = ("(it was not asked)", None) if said is None else heard(PATIENCE_S)
    return Outcome(
        case=case,
        by=f"`seamline {command[0]}`",
        asker=f"{words} (exit code {code})",
        asker_s=took_s,
        node=node,
        node_s=node_s,
    )


def _by_session(bed: Bed, case: str, folder: Path | None, said: str) -> Outcome:
    """A bare session of Zenoh that subscribes to all there is, and how long its link lasted."""
    progress(f"{case}: a bare session")
    time.sleep(SAID_AGAIN_S)
    heard_bytes = 0

    def record(sample: zenoh.Sample) -> None:
        nonlocal heard_bytes
        heard_bytes += len(sample.payload)

    with _listening(bed, said) as heard:
        begun_s = time.monotonic()
        try:
            session = _bare_session(bed.doors["fog"], folder, bed.identity("edge").folder / "authority.pem")
        except zenoh.ZError as error:
            told, asker_s = f"no session: {str(error).partition(' at /')[0][:60]}", time.monotonic() - begun_s
        else:
            with session:
                for key in KEYS:
                    session.declare_subscriber(key, record)
                told, asker_s = _life_of(session, begun_s)
        node, node_s = heard(PATIENCE_S)
    return Outcome(
        case=case, by="a bare session", asker=told, asker_s=asker_s, node=node, node_s=node_s, frame_bytes=heard_bytes
    )


def _life_of(session: Any, begun_s: float) -> tuple[str, float | None]:
    """What became of the link of `session`, recorded for a while in any case."""
    from_s = to_s = None
    while time.monotonic() < begun_s + RECORDED_S:
        is_linked = bool(session.info.links())
        if is_linked and from_s is None:
            from_s = time.monotonic()
        if not is_linked and from_s is not None and to_s is None:
            to_s = time.monotonic()
        time.sleep(0.002)
    if from_s is None:
        return "no link", None
    return ("its link is ended", to_s - begun_s) if to_s is not None else ("nothing: its link stays", None)


def _by_fabric(
    bed: Bed, case: str, identity: Identity, name: str, said: str, message: msg.Message | None = None
) -> Outcome:
    """Our own fabric without the checks around it: it shows `identity` beside `name`, and sends what it may not."""
    progress(f"{case}: a changed program")
    told, asker_s = "nothing", None
    with _listening(bed, said) as heard:
        (identity.folder / "revoked.pem").write_bytes(bed.first_list)  # as one that hears of no revocation
        seal = Seal(identity, identity.member.name, f"{secrets.randbits(63):016x}")
        fabric = ZenohFabric(
            NodeId(name),
            connect=(bed.doors["fog"],),
            listen=("tls/127.0.0.1:0",),
            cluster=CLUSTER,
            guard=seal,
            lease_s=float(LEASE_S),
        )
        begun_s = time.monotonic()
        try:
            fabric.start(lambda source, data: None, lambda node, alive: None)
            fabric.wait_peer(NodeId("fog"), PATIENCE_S)
            if message is not None:
                fabric.send(NodeId("fog"), bytes(pack(message)), Lane.CONTROL)
            else:
                told, asker_s = _life_of(fabric._session, begun_s)
        except (FabricError, zenoh.ZError) as error:
            told, asker_s = str(error), time.monotonic() - begun_s
        finally:
            node, node_s = heard(PATIENCE_S)
            fabric.close()
    return Outcome(case=case, by="a changed program", asker=told, asker_s=asker_s, node=node, node_s=node_s)


def _expired(bed: Bed, name: str) -> Path:
    """The folder of a member whose certificate ended a moment ago."""
    folder, authority, key = bed.join(name).folder, bed.authority(), new_key()
    authority.revoke(name)
    certificate = authority.issue(key.public_key(), name, Role.NODE, timedelta(seconds=-5))
    (folder / "key.pem").write_bytes(key_pem(key))
    (folder / "certificate.pem").write_bytes(certificate.public_bytes(Encoding.PEM))
    return folder


def _bare_session(door: str, folder: Path | None, authority: Path) -> Any:
    """A session that checks nothing, with the certificate in `folder` or none."""
    link = "transport/link/tls/"
    settings: dict[str, Any] = {
        "mode": "client" if folder is None else "peer",
        "connect/endpoints": [door],
        "connect/exit_on_failure": False,
        "connect/timeout_ms": 0 if folder is None else -1,
        "scouting/multicast/enabled": False,
        f"{link}root_ca_certificate": str(authority),
        f"{link}verify_name_on_connect": False,
        f"{link}enable_mtls": folder is not None,
    }
    if folder is not None:
        settings[f"{link}connect_private_key"] = str(folder / "key.pem")
        settings[f"{link}connect_certificate"] = str(folder / "certificate.pem")
    config: Any = zenoh.Config()
    for key, value in settings.items():
        config.insert_json5(key, json.dumps(value))
    return zenoh.open(config)


def _wait(is_so: Callable[[], bool]) -> None:
    until_s = time.monotonic() + BEGIN_S
    while not is_so():
        if time.monotonic() > until_s:
            raise TimeoutError("the bed did not come up")
        time.sleep(0.05)


@contextmanager
def _listening(bed: Bed, said: str) -> Iterator[Callable[[float], tuple[str, float | None]]]:
    """Gives a wait for words that fog or cloud say from now on: (the line, seconds from now)."""
    before, begun_s = {node: len(bed.log(node)) for node in bed.doors}, time.monotonic()
    pattern, found, over = re.compile(said), queue.SimpleQueue[tuple[str, float]](), threading.Event()

    def listen() -> None:
        while not over.wait(0.02):
            for node, size in before.items():
                for line in bed.log(node)[size:].splitlines():
                    if pattern.search(line):
                        found.put((line.strip(), time.monotonic() - begun_s))
                        return

    def heard(within_s: float) -> tuple[str, float | None]:
        try:
            return found.get(timeout=within_s)
        except queue.Empty:
            return "", None

    listener = threading.Thread(target=listen, daemon=True)
    listener.start()
    try:
        yield heard
    finally:
        over.set()
        listener.join()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


if __name__ == "__main__":
    main()
