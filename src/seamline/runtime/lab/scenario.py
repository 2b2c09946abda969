"""A testbed with streams on it: nodes as processes, links shaped, one edge process per policy, all in the same scene.

For every policy the edge process is started afresh (`seamline run --events`), the links begin as the testbed file says,
and from the moment frames flow the file's changes (of links and of nodes' slowdowns) and the given kills happen. The
other nodes stay up from policy to policy; one that was killed is started again before the next. Events are passed on as
they come; nothing here renders.
"""

from __future__ import annotations

import json
import re
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from seamline.config import NodeSpec, Testbed
from seamline.core.vocabulary.errors import ConfigError, SeamlineError, UsageError
from seamline.core.vocabulary.objectives import goal_named
from seamline.runtime.shared.clock import now_s
from seamline.testbed.changes import ChangeRunner, Kill, schedule
from seamline.testbed.processes import FOLLOW_LOADS, NodeProcess, NodeProcesses, node_command, power_options
from seamline.testbed.relay import Network

START_TIMEOUT_S = 300.0
OVERRUN_S = 60.0
POLL_S = 0.02
EXIT_USAGE = 2
_ERROR = re.compile(r"^error: (?P<error>.*)(?:\nhint: (?P<hint>.*))?\s*\Z", re.MULTILINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """What every policy is put through. model, source, codecs: as for `seamline run`.

    seconds: length of each policy's run. cache: where all nodes keep models and profiles, the usual place when None.
    lease_s: silence after which a peer is lost, as usual when None.
    """

    testbed: Testbed
    model: str
    source: Path
    seconds: float
    fps: float
    objective: str = "latency"
    codecs: str = "u8"
    kills: tuple[Kill, ...] = ()
    cache: Path | None = None
    lease_s: float | None = None

    @property
    def origin(self) -> NodeSpec:
        return self.testbed.in_tier("edge")[0]

    @property
    def others(self) -> tuple[NodeSpec, ...]:
        return tuple(node for node in self.testbed.nodes if node.name != self.origin.name)


@dataclass(frozen=True, slots=True, kw_only=True)
class SceneEvent:
    """One JSON line of the edge process: `kind` names it. notice: what last happened to the scene."""

    kind: str
    data: Mapping[str, Any]
    notice: str | None = None


class Stage:
    """The scene's machines and links, as long as it is open. Use it as a context manager, in the main thread."""

    def __init__(self, scene: Scene) -> None:
        if not scene.others:
            raise ConfigError(f"testbed `{scene.testbed.name}` has one node only", hint="add a second [[node]]")
        goal_named(scene.objective)
        for kill in scene.kills:
            if kill.node == scene.origin.name:
                raise UsageError(f"frames enter at `{kill.node}`: without it there is no stream", hint="kill another")
            if kill.at_s >= scene.seconds:
                raise UsageError(
                    f"{kill.node}@{kill.at_s:g} comes after the end of a run of {scene.seconds:g} s",
                    hint="--seconds makes it longer",
                )
        self.scene = scene
        self._cluster = f"testbed-{time.monotonic_ns() & 0xFFFFFFFF:08x}"
        self._processes = NodeProcesses()
        self._network: Network | None = None

    def __enter__(self) -> Stage:
        self._processes.__enter__()
        try:
            self._network = Network(self.scene.testbed)
            self._start_others()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self._processes.__exit__(kind, error, trace)
        finally:
            if self._network is not None:
                self._network.close()

    def play(self, policy: str, *, n_private_cuts: int, seconds: float | None = None) -> Iterator[SceneEvent]:
        """Run one policy through the scene; the last event is its ``summary``.

        Raises `SeamlineError` with the edge's own words when it fails.
        """
        assert self._network is not None, "use it as a context manager"
        scene = self.scene
        notices: list[str] = []
        duration_s = seconds or scene.seconds
        self._start_others()
        self._network.reset()
        self._unload()
        changes = schedule(scene.testbed, duration_s, scene.kills)
        runner = ChangeRunner(
            changes, self._network, self._processes, on_change=lambda change: notices.append(str(change))
        )
        edge = self._processes.start(scene.origin.name, self._edge_command(policy, n_private_cuts, duration_s))
        try:
            for event in self._events(edge, duration_s):
                if event.kind == "started":
                    runner.start()
                yield SceneEvent(kind=event.kind, data=event.data, notice=notices[-1] if notices else None)
        finally:
            runner.stop()
            if edge.is_alive:
                self._processes.stop(scene.origin.name)

    def _events(self, edge: NodeProcess, duration_s: float) -> Iterator[SceneEvent]:
        """The JSON lines that the edge process writes, as they come, until its summary."""
        give_up_s = now_s() + START_TIMEOUT_S
        unread = b""
        with edge.out.open("rb") as lines:
            while True:
                is_alive = edge.is_alive
                unread += lines.read()
                *complete, unread = unread.split(b"\n")
                for line in complete:
                    data = json.loads(line)
                    kind = data.pop("event", "")
                    yield SceneEvent(kind=kind, data=data)
                    if kind == "started":
                        give_up_s = now_s() + duration_s + OVERRUN_S
                    if kind == "summary":
                        return
                if not complete and not is_alive:
                    raise _error_of(edge.name, edge.popen.returncode, self._processes.log_tail(edge.name))
                if now_s() > give_up_s:
                    raise SeamlineError(f"node `{edge.name}` hangs: {self._processes.log_tail(edge.name)}")
                time.sleep(POLL_S)

    def _start_others(self) -> None:
        """Start every node but the origin that does not run; each connects to those that come after it."""
        assert self._network is not None
        others = self.scene.others
        started = [node for node in others if not self._processes.is_alive(node.name)]
        for node in started:
            later = others[others.index(node) + 1 :]
            command = node_command(
                node,
                listen=self._network.listen(node.name),
                connect=[self._network.endpoint(node.name, target.name) for target in later],
                cluster=self._cluster,
                options=("--no-relay", *self._common_options()),
            )
            self._processes.start(node.name, command)
        for node in started:
            self._processes.wait_ready(node.name)

    def _unload(self) -> None:
        """Every node that stayed up is as slow again as the testbed file says."""
        loaded = {load.node for load in self.scene.testbed.loads}
        for node in self.scene.others:
            if node.name in loaded:
                self._processes.slow_down(node.name, node.slowdown)

    def _edge_command(self, policy: str, n_private_cuts: int, duration_s: float) -> tuple[str, ...]:
        assert self._network is not None
        scene, origin = self.scene, self.scene.origin
        command = [
            sys.executable, "-m", "seamline", "run", scene.model, "--source", str(scene.source), "--loop", "--events",
            "--over", ",".join([origin.name, *(node.name for node in scene.others)]), "--tier", origin.tier,
            "--policy", policy, "--objective", scene.objective, "--private", str(n_private_cuts),
            "--codecs", scene.codecs,
            "--fps", f"{scene.fps:g}", "--seconds", f"{duration_s:g}", "--slowdown", f"{origin.slowdown:g}",
            "--cluster", self._cluster, "--listen", self._network.listen(origin.name), "--no-relay",
        ]  # fmt: skip
        if origin.threads:
            command += ["--threads", str(origin.threads)]
        for node in scene.others:
            command += ["--connect", self._network.endpoint(origin.name, node.name)]
        return (*command, *self._common_options(), *power_options(origin))

    def _common_options(self) -> tuple[str, ...]:
        scene = self.scene
        loads = (FOLLOW_LOADS,) if scene.testbed.loads else ()
        cache = () if scene.cache is None else ("--cache", str(scene.cache))
        lease = () if scene.lease_s is None else ("--lease", f"{scene.lease_s:g}")
        return (*loads, *cache, *lease)


def _error_of(name: str, exit_code: int, words: str) -> SeamlineError:
    """What a process that ended early said, as this process's own error; `words`: the end of its standard error."""
    said = _ERROR.search(words)
    if said is None:
        return SeamlineError(f"node `{name}` ended with code {exit_code}: {words}")
    kind = UsageError if exit_code == EXIT_USAGE else SeamlineError
    return kind(said["error"], hint=said["hint"])
