"""Machines and links of `seamline chaos`, as real processes behind a relay, and how each fault is done to them.

The origin is this process; the other nodes have a process, a cache and a log each. Everything ends with the bed.
"""

from __future__ import annotations

import contextlib
import random
import secrets
import shutil
import socket
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import assert_never

from seamline.config import LinkSpec, NodeSpec, Testbed
from seamline.core.vocabulary.ports import LEASE_S, Engine
from seamline.model import OrtEngine
from seamline.runtime.api.cluster import Cluster, connect
from seamline.runtime.chaos.faults import Fault, FaultKind, Place
from seamline.runtime.chaos.hostile import HostilePeer
from seamline.testbed.processes import FOLLOW_LOADS, NodeProcesses, node_command
from seamline.testbed.relay import Network

ORIGIN = NodeSpec(name="edge", tier="edge", slowdown=40.0)
OTHERS = (NodeSpec(name="fog", tier="fog", slowdown=6.0), NodeSpec(name="cloud", tier="cloud", slowdown=3.0))
LINKS = (
    LinkSpec(between=("edge", "fog"), rate_bps=100e6, delay_s=0.001),
    LinkSpec(between=("fog", "cloud"), rate_bps=200e6, delay_s=0.003),
)
NODES_TIMEOUT_S = 30.0
ENDED_WELL = (0, 128 + 15)
"""Exit codes of a node that was asked to end."""

END_TIMEOUT_S = 10.0
"""Generous: that a node ends is looked at here, how soon is claimed by tests/system."""

N_CONNECTIONS = 20
FULL_DISK_BYTES = 64 << 10
MORE_BYTES = 8 << 20
"""What a process without memory may still take."""

N_FLIPPED_BYTES = 4096
CRASHES = ("Traceback (most recent call last)", "panicked at", "Fatal Python error")


class ChaosBed:
    """Three nodes and their links as long as it is open. Use it as a context manager, in the main thread.

    cluster: where streams begin. complaints: what processes did that they never should.
    """

    def __init__(self, *, lease_s: float = LEASE_S) -> None:
        self.complaints: list[str] = []
        self._testbed = Testbed(name="chaos", nodes=(ORIGIN, *OTHERS), links=LINKS)
        self._lease_s = lease_s
        self._name = f"chaos-{secrets.token_hex(4)}"
        self._processes = NodeProcesses()
        self._noise: dict[Place, list[socket.socket]] = {}
        self._hostile: list[HostilePeer] = []
        self._open = ExitStack()

    @property
    def engine(self) -> Engine:
        """For unsplit models in the origin's store, at full speed."""
        return OrtEngine(self.cluster.node.store, ORIGIN.threads)

    @property
    def nodes(self) -> tuple[str, ...]:
        """Names of those that faults befall."""
        return tuple(node.name for node in OTHERS)

    @property
    def links(self) -> tuple[Place, ...]:
        return tuple(link.between for link in LINKS)

    @property
    def folder(self) -> Path:
        """For files of this run only."""
        return self._processes.folder

    def __enter__(self) -> ChaosBed:
        with ExitStack() as opening:
            opening.enter_context(self._processes)
            self._network = opening.enter_context(Network(self._testbed))
            opening.callback(self._hush)
            for node in OTHERS:
                self._processes.start(node.name, self._command(node))
            self.wait_ready()
            self.cluster = opening.enter_context(self._connect())
            self.cluster.wait_nodes(self.nodes, NODES_TIMEOUT_S)
            self._open = opening.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._open.__exit__(kind, error, trace)

    def begin(self, fault: Fault) -> None:
        """Let `fault` happen."""
        first = fault.place[0]
        match fault.kind:
            case FaultKind.KILL:
                self._processes.kill(first)
            case FaultKind.TERMINATE:
                self._terminate(first)
            case FaultKind.FREEZE:
                self._processes.pause(first)
            case FaultKind.SLOW:
                self._processes.slow_down(first, fault.value * self._testbed.node(first).slowdown)
            case FaultKind.DISK:
                self._processes.kill(first)
                shutil.rmtree(self._cache(first), ignore_errors=True)
                self._processes.restart(first)
                self._processes.limit_files(first, FULL_DISK_BYTES)
            case FaultKind.DAMAGE:
                self._processes.kill(first)
                _flip_weights(self._cache(first), random.Random(str(fault)))
            case FaultKind.MEMORY:
                self._processes.limit_memory(first, MORE_BYTES)
            case FaultKind.NOISE:
                self._noise[fault.place] = self._noisy_connections(first)
            case FaultKind.HOSTILE:
                self._hostile.append(HostilePeer(self._name, first, self._network.listen(first)))
                self._hostile[-1].attack(random.Random(str(fault)))
            case FaultKind.SILENCE:
                self._network.silence(*_ends(fault.place))
            case FaultKind.ONE_WAY:
                self._network.silence(*_ends(fault.place), is_one_way=True)
            case FaultKind.RATE:
                self._network.set_link(*_ends(fault.place), rate_mbps=fault.value)
            case FaultKind.LOSS:
                self._network.set_link(*_ends(fault.place), loss_ratio=fault.value)
            case FaultKind.DELAY:
                self._network.set_link(*_ends(fault.place), delay_ms=fault.value)
            case FaultKind.DISCONNECT:
                self._network.disconnect(*_ends(fault.place))
            case other:
                assert_never(other)

    def end(self, fault: Fault) -> None:
        """Let the world be as it was before `fault`; a node that was started again may not be ready yet."""
        first = fault.place[0]
        match fault.kind:
            case FaultKind.KILL | FaultKind.TERMINATE | FaultKind.DAMAGE:
                self._processes.restart(first)
            case FaultKind.MEMORY:
                self._processes.limit_memory(first, None)
                if not self._processes.is_alive(first):
                    self._processes.restart(first)
            case FaultKind.FREEZE:
                self._processes.resume(first)
            case FaultKind.SLOW:
                self._processes.slow_down(first, self._testbed.node(first).slowdown)
            case FaultKind.DISK:
                self._processes.limit_files(first, None)
            case FaultKind.NOISE | FaultKind.HOSTILE:
                self._hush()
            case FaultKind.SILENCE | FaultKind.ONE_WAY | FaultKind.RATE | FaultKind.LOSS | FaultKind.DELAY:
                self._restore(_ends(fault.place))
            case FaultKind.DISCONNECT:
                pass
            case other:
                assert_never(other)

    def wait_ready(self) -> None:
        """Wait until every node says that it is, and start those again that ended though nobody asked them to."""
        for name in self.nodes:
            if not self._processes.is_alive(name):
                code, words = self._processes.exit_code(name), self._processes.log_tail(name)
                self.complaints.append(f"`{name}` ended by itself with code {code}: {words}")
                self._processes.restart(name)
            self._processes.wait_ready(name)

    def end_nodes(self) -> None:
        """Ask all nodes to end, and look how they do and whether any crashed on the way."""
        for name in self.nodes:
            self._terminate(name)
            log = self._processes.log_text(name)
            self.complaints += [
                f"the log of `{name}` has `{words}`:\n{log[log.index(words) :][:2000]}"
                for words in CRASHES
                if words in log
            ]

    def _terminate(self, name: str) -> None:
        if not self._processes.is_alive(name):
            return
        self._processes.stop(name, timeout_s=END_TIMEOUT_S)
        if (code := self._processes.exit_code(name)) not in ENDED_WELL:
            self.complaints.append(f"`{name}` was asked to end, and did with code {code}")

    def _restore(self, ends: tuple[str, str]) -> None:
        link = self._testbed.link(*ends)
        assert link is not None
        self._network.set_link(
            *ends, rate_mbps=link.rate_bps / 1e6, delay_ms=link.delay_s * 1e3, loss_ratio=link.loss_ratio
        )
        self._network.restore(*ends)

    def _noisy_connections(self, name: str) -> list[socket.socket]:
        """Connections to a node's own port, each with a length that means something to Zenoh and random bytes."""
        rng = random.Random(name)
        host, _, port = self._network.listen(name).removeprefix("tcp/").rpartition(":")
        made: list[socket.socket] = []
        for number in range(N_CONNECTIONS):
            head = (b"\x00\x00", b"\xff\xff", rng.randbytes(2), b"")[number % 4]
            with contextlib.suppress(OSError):  # the node may be down, or hang up at once
                made.append(socket.create_connection((host, int(port)), timeout=1.0))
                made[-1].sendall(head + rng.randbytes(1 << number % 12))
        return made

    def _hush(self) -> None:
        for connections in self._noise.values():
            for connection in connections:
                connection.close()
        self._noise.clear()
        while self._hostile:
            self._hostile.pop().close()

    def _cache(self, name: str) -> Path:
        return self.folder / f"cache-{name}"

    def _command(self, node: NodeSpec) -> tuple[str, ...]:
        later = OTHERS[OTHERS.index(node) + 1 :]
        return node_command(
            node,
            listen=self._network.listen(node.name),
            connect=[self._network.endpoint(node.name, other.name) for other in later],
            cluster=self._name,
            options=(
                "--no-relay", FOLLOW_LOADS, "--cache", str(self._cache(node.name)), "--lease", f"{self._lease_s:g}",
            ),
        )  # fmt: skip

    def _connect(self) -> Cluster:
        return connect(
            *(self._network.endpoint(ORIGIN.name, node.name) for node in OTHERS),
            name=ORIGIN.name,
            tier=ORIGIN.tier,
            listen=(self._network.listen(ORIGIN.name),),
            n_threads=ORIGIN.threads,
            cluster=self._name,
            slowdown=ORIGIN.slowdown,
            cache=self._cache(ORIGIN.name),
            relay=False,
            lease_s=self._lease_s,
        )


def _flip_weights(cache: Path, rng: random.Random) -> None:
    """Damage every file of weights in a cache, each in one place; sizes stay."""
    for path in sorted(cache.rglob("*.bin")):
        with path.open("r+b") as file:
            at = rng.randrange(max(1, path.stat().st_size - N_FLIPPED_BYTES))
            file.seek(at)
            values = file.read(N_FLIPPED_BYTES)
            file.seek(at)
            file.write(bytes(value ^ 0xFF for value in values))


def _ends(place: Place) -> tuple[str, str]:
    one, other = place
    return one, other
