"""Relay of the testbed's links, seen from the run: endpoints by which nodes reach each other, and changes of links.

    network = Network(testbed)
    network.listen("fog")                  # "tcp/127.0.0.1:23501": what the fog node listens on
    network.endpoint("edge", "fog")        # "tcp/127.0.0.1:40123": what the edge connects to, through the link
    network.set_link("edge", "fog", rate_mbps=5)

Physical links are shared by all connections across them. Nodes without a link between them reach each other over the
shortest path of links, as by IP forwarding: the nodes between need not run. Pairs whose path has nothing shaped connect
directly. The bytes themselves are carried by a child process, see `relay_process.py`.
"""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import json
import math
import random
import socket
import subprocess
import sys
import threading
from typing import Any

from seamline.config import LinkSpec, Testbed
from seamline.config.trace import read_trace
from seamline.core.vocabulary.errors import FabricError, UsageError
from seamline.testbed.shaping import LinkShape, changed

_PORTS = range(20000, 32000)
"""Below the range from which systems take ports for outgoing connections, so that nobody gets ours in between."""


class Network:
    """Shaped links between the nodes of a testbed, as long as it is open. Methods may be called from any thread."""

    def __init__(self, testbed: Testbed) -> None:
        self._testbed = testbed
        self._lock = threading.Lock()
        self._endpoints: dict[tuple[str, str], str] = {}
        self._ports = _free_ports([node.name for node in testbed.nodes])
        changed = {frozenset(change.between) for change in testbed.changes}
        self._relayed = {
            frozenset(link.between)
            for link in testbed.links
            if link.is_shaped or frozenset(link.between) in changed
        }  # fmt: skip
        self._process = subprocess.Popen(
            [sys.executable, "-m", "seamline.testbed.relay_process"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            bufsize=1,
            # Its own session: Ctrl-C in the terminal is for the run to handle, and it needs the links until its end.
            start_new_session=True,
        )
        for link in testbed.links:
            self._command(do="link", between=link.between, shape=dataclasses.asdict(_shape(link)))

    @property
    def pid(self) -> int:
        """The relay's process, for whoever gives priorities."""
        return self._process.pid

    def listen(self, node: str) -> str:
        """Endpoint that `node` itself must listen on. Raises `ConfigError` when there is no such node."""
        return _endpoint(self._ports[self._testbed.node(node).name])

    def endpoint(self, source: str, target: str) -> str:
        """Endpoint by which `source` reaches `target`. Raises `ConfigError` when one of them is not a node."""
        self._testbed.node(source), self._testbed.node(target)
        if (source, target) not in self._endpoints:
            self._endpoints[source, target] = self._route(source, target)
        return self._endpoints[source, target]

    def set_link(
        self,
        one: str,
        other: str,
        *,
        rate_mbps: float | None = None,
        delay_ms: float | None = None,
        loss_ratio: float | None = None,
    ) -> None:
        """Change a link while it carries; both directions, rate and delay also for bytes that already wait.

        rate_mbps: 0 is unlimited. delay_ms: one way. None leaves a value as it is. Raises `UsageError` when the testbed
        has no such link, or none that is relayed.
        """
        self._command(
            do="reshape",
            between=self._relayed_link(one, other),
            rate_bps=None if rate_mbps is None else rate_mbps * 1e6,
            delay_s=None if delay_ms is None else delay_ms / 1e3,
            loss_ratio=loss_ratio,
        )

    def silence(self, one: str, other: str, *, is_one_way: bool = False) -> None:
        """The link carries nothing from now on and reports nothing: bytes are kept back, no connection is closed.

        is_one_way: only from `one` to `other`; the other way it goes on.
        """
        between = self._relayed_link(one, other)
        self._command(do="silence", between=between, is_silent=True, is_one_way=is_one_way)

    def restore(self, one: str, other: str) -> None:
        """A silent link carries again, both ways, beginning with what it held."""
        self._command(do="silence", between=self._relayed_link(one, other), is_silent=False, is_one_way=False)

    def disconnect(self, one: str, other: str) -> None:
        """Reset every connection across the link at once, and forget what it held; new ones are carried."""
        self._command(do="disconnect", between=self._relayed_link(one, other))

    def reset(self) -> None:
        """Restore all links as in the testbed file, and let them carry."""
        for link in self._testbed.links:
            if frozenset(link.between) in self._relayed:
                shape = _shape(link)
                self._command(
                    do="reshape", between=link.between, rate_bps=shape.rate_bps, delay_s=shape.delay_s,
                    loss_ratio=shape.loss_ratio,
                )  # fmt: skip
                self.restore(*link.between)

    def carried_bytes(self, source: str, target: str) -> int:
        """Bytes that the direction from `source` to `target` of one physical link has carried so far."""
        self._relayed_link(source, target)
        n_bytes: int = self._command(do="carried", between=(source, target))["n_bytes"]
        return n_bytes

    def close(self) -> None:
        """End the relay, and with it every connection across it. May be called twice."""
        with contextlib.suppress(OSError):
            if self._process.stdin is not None:
                self._process.stdin.close()
        try:
            self._process.wait(timeout=2.0)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()

    def __enter__(self) -> Network:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _route(self, source: str, target: str) -> str:
        path = _shortest_path(self._testbed, source, target)
        hops = list(itertools.pairwise(path))
        if not any(frozenset(hop) in self._relayed for hop in hops):
            return self.listen(target)
        return _endpoint(self._command(do="route", hops=hops, target_port=self._ports[target])["port"])

    def _relayed_link(self, one: str, other: str) -> tuple[str, str]:
        if self._testbed.link(one, other) is None:
            known = ", ".join(link.name for link in self._testbed.links)
            raise UsageError(f"the testbed has no link between `{one}` and `{other}`", hint=f"its links: {known}")
        if frozenset((one, other)) not in self._relayed:
            hint = "give it a rate or a delay in the testbed file, e.g. delay_ms = 0.1"
            raise UsageError(f"the link between `{one}` and `{other}` is unshaped: nodes connect directly", hint=hint)
        return one, other

    def _command(self, **command: Any) -> dict[str, Any]:
        """Have the relay do something, and wait until it has."""
        with self._lock:
            try:
                assert self._process.stdin is not None
                assert self._process.stdout is not None
                self._process.stdin.write(json.dumps(command) + "\n")
                self._process.stdin.flush()
                line = self._process.stdout.readline()
            except (OSError, ValueError) as exc:  # ValueError: the pipe is closed on our side
                raise FabricError("the relay of the testbed's links is gone", hint="was it closed or killed?") from exc
        if not line:
            raise FabricError("the relay of the testbed's links has ended", hint="its error stands above")
        answer: dict[str, Any] = json.loads(line)
        return answer


def _shape(link: LinkSpec) -> LinkShape:
    """The shape a link begins with: that of the file, or what its trace begins with where it says something."""
    shape = LinkShape(rate_bps=link.rate_bps, delay_s=link.delay_s, jitter_s=link.jitter_s, loss_ratio=link.loss_ratio)
    if link.trace is None:
        return shape
    trace = read_trace(link.trace)
    _, _, delay_s, loss_ratio = next(trace.conditions(math.inf))
    return changed(shape, rate_bps=trace.first_rate_bps, delay_s=delay_s, loss_ratio=loss_ratio)


def _shortest_path(testbed: Testbed, source: str, target: str) -> list[str]:
    """Node names from `source` to `target` over the fewest links (the first written wins); empty when there is none."""
    paths = [[source]]
    seen = {source}
    for path in paths:  # grows while we walk: breadth first
        if path[-1] == target:
            return path
        for link in testbed.links:
            if path[-1] in link.between:
                (onward,) = set(link.between) - {path[-1]}
                if onward not in seen:
                    seen.add(onward)
                    paths.append([*path, onward])
    return []


def _free_ports(names: list[str]) -> dict[str, int]:
    """A free loopback port for each name."""
    ports: dict[str, int] = {}
    candidates = random.SystemRandom().sample(_PORTS, k=200)
    for name in names:
        ports[name] = next(port for port in iter(candidates.pop, None) if _is_free(port))
    return ports


def _is_free(port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


def _endpoint(port: int) -> str:
    return f"tcp/127.0.0.1:{port}"
