"""What certificates cost: latency and processor time of one hop of 600 kB, with mutual TLS and seals, and without.

Two pairs of processes stand side by side on loopback: a sender here, a receiver of its own that answers every message
with a word on the urgent lane. The pairs take turns, so that a busy moment befalls both. Latency is from the call to
send to the answer; processor time is that of both processes, per hop.
"""

from __future__ import annotations

import os
import queue
import secrets
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import psutil
from reporting import Report, parser, progress, spread

from seamline.core.vocabulary.nodes import NodeId
from seamline.core.vocabulary.ports import Lane
from seamline.fabric.zenoh import ZenohFabric

N_BYTES = 600_000
N_ROUNDS, N_HOPS = 40, 25
LEASE_S = 10.0
PATIENCE_S = 60.0

RECEIVER = """
import sys
from bench_tls import fabric_of
from seamline.core.vocabulary.ports import Lane
fabric = fabric_of("there", sys.argv[1] == "secured")
fabric.start(lambda source, message: fabric.send(source, b"here", Lane.CONTROL), lambda node, alive: None)
print(fabric.endpoints[0], flush=True)
sys.stdin.read()
fabric.close()
"""


@dataclass
class Pair:
    """A sender in this process and its receiver. latency_s: of each hop; cpu_s: of a hop, one for each round."""

    fabric: ZenohFabric
    receiver: psutil.Process
    answers: queue.SimpleQueue[bytes]
    latency_s: list[float] = field(default_factory=list)
    cpu_s: list[float] = field(default_factory=list)

    def play(self, message: bytes, n_hops: int) -> None:
        before_s = self._cpu_s()
        for _ in range(n_hops):
            started_s = time.perf_counter()
            self.fabric.send(NodeId("there"), message, Lane.DATA)
            self.answers.get(timeout=PATIENCE_S)
            self.latency_s.append(time.perf_counter() - started_s)
        self.cpu_s.append((self._cpu_s() - before_s) / n_hops)

    def _cpu_s(self) -> float:
        return sum(sum(process.cpu_times()[:2]) for process in (psutil.Process(), self.receiver))


def main() -> None:
    chosen = parser("Cost of certificates").parse_args()
    report = Report("tls", "Mutual TLS and sealed messages against neither", chosen)
    n_rounds = 4 if chosen.quick else N_ROUNDS
    message = secrets.token_bytes(N_BYTES)
    with tempfile.TemporaryDirectory() as data:
        os.environ["SEAMLINE_DATA"] = data
        make_members()
        with a_pair(secured=False) as plain, a_pair(secured=True) as secured:
            for pair in (plain, secured):
                pair.play(message, N_HOPS)
                pair.latency_s.clear()
                pair.cpu_s.clear()
            for number in range(n_rounds):
                progress(f"round {number + 1} of {n_rounds}")
                for pair in (plain, secured) if number % 2 else (secured, plain):
                    pair.play(message, N_HOPS)
    ways = {"plain TCP": plain, "mutual TLS, sealed": secured}
    report.data = {
        "n_bytes": N_BYTES,
        "ways": {name: {"latency_s": pair.latency_s, "cpu_s": pair.cpu_s} for name, pair in ways.items()},
    }
    tell(report, ways)
    report.finish()


def tell(report: Report, ways: dict[str, Pair]) -> None:
    report.say(
        f"One hop of {N_BYTES // 1000} kB between two processes over loopback; the two ways took turns.",
        "Median (10th to 90th percentile).",
        "",
    )
    report.table(
        ("", "hops", "latency, ms", "processor time of both ends per hop, ms"),
        [
            (name, len(pair.latency_s), spread(pair.latency_s).text(1e3), spread(pair.cpu_s).text(1e3))
            for name, pair in ways.items()
        ],
    )


@contextmanager
def a_pair(*, secured: bool) -> Iterator[Pair]:
    """A sender and a receiver that see each other; both end with it."""
    process = subprocess.Popen(
        [sys.executable, "-c", RECEIVER, "secured" if secured else "plain"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([os.path.dirname(__file__), *sys.path])},
    )
    try:
        assert process.stdout is not None
        endpoint = process.stdout.readline().strip()
        answers: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        fabric = fabric_of("here", secured, connect=(endpoint,))
        try:
            fabric.start(lambda source, answer: answers.put(bytes(answer)), lambda node, alive: None)
            fabric.wait_peer(NodeId("there"), PATIENCE_S)
            yield Pair(fabric, psutil.Process(process.pid), answers)
        finally:
            fabric.close()
    finally:
        process.communicate("")


def make_members() -> None:
    """A cluster of `here` and `there` in the data folder."""
    from seamline.identity.authority import make_authority
    from seamline.identity.founding import issue_here

    authority = make_authority("bench")
    for name in ("here", "there"):
        issue_here(authority, name)


def fabric_of(name: str, secured: bool, connect: tuple[str, ...] = ()) -> ZenohFabric:
    """A fabric that has not started."""
    guard: Any = None
    if secured:
        from seamline.identity.kept import load
        from seamline.identity.sealing import Seal

        guard = Seal(load("bench", name), NodeId(name), f"{secrets.randbits(63):016x}")
    return ZenohFabric(
        NodeId(name),
        connect=connect,
        listen=("tls/127.0.0.1:0" if secured else "tcp/127.0.0.1:0",),
        cluster="bench",
        lease_s=LEASE_S,
        guard=guard,
    )


if __name__ == "__main__":
    main()
