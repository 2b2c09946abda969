"""Scenarios on a testbed: nodes as processes, links shaped, one edge process per policy, all in the same conditions.

For every policy the edge process is started afresh (`seamline run --events`), the links begin as the testbed file says,
and from the moment frames flow the file's changes (of links and of nodes' slowdowns) and the given kills happen. The
other nodes stay up from policy to policy; one that was killed is started again before the next. Events are passed on as
they come; nothing here renders.
"""

from __future__ import annotations

import json
import os
import re
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from seamline.config import NodeSpec, Testbed
from seamline.core.vocabulary.errors import SeamlineError, UsageError
from seamline.core.vocabulary.objectives import goal_named
from seamline.runtime.lab.chain import start_chain
from seamline.runtime.shared.clock import now_s
from seamline.testbed.changes import ChangeRunner, Kill, schedule
from seamline.testbed.processes import FOLLOW_LOADS, WAIT_TO_BEGIN, NodeProcess, NodeProcesses, power_options
from seamline.testbed.relay import Network

START_TIMEOUT_S = 300.0
OVERRUN_S = 60.0
POLL_S = 0.02
EXIT_USAGE = 2
_ERROR = re.compile(r"^error: (?P<error>.*)(?:\nhint: (?P<hint>.*))?\s*\Z", re.MULTILINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """What every policy is put through. model, source, codecs: as for `seamline run`.

    seconds: length of each policy's run. cache: where all nodes keep models and profiles, the usual place when None.
    lease_s: silence after which a peer is lost, as usual when None. dashboard: where the edge shows its page. record:
    where its recording goes.
    """

    testbed: Testbed
    model: str
    source: Path
    seconds: float
    fps: float
    objective: str = "latency"
    codecs: str = "calibrated"
    kills: tuple[Kill, ...] = ()
    cache: Path | None = None
    lease_s: float | None = None
    dashboard: str | None = None
    record: Path | None = None

    @property
    def origin(self) -> NodeSpec:
        return self.testbed.in_tier("edge")[0]

    @property
    def others(self) -> tuple[NodeSpec, ...]:
        return tuple(node for node in self.testbed.nodes if node.name != self.origin.name)


@dataclass(frozen=True, slots=True, kw_only=True)
class ScenarioEvent:
    """One JSON line of the edge process: `kind` names it."""

    kind: str
    data: Mapping[str, Any]


class TestbedRun:
    """The scenario's machines and links, as long as it is open. Use it as a context manager, in the main thread."""

    __test__ = False  # pytest would otherwise take it for a test class by its name

    def __init__(self, scenario: Scenario) -> None:
        self.check(scenario)
        self.scenario = scenario
        self._cluster = f"testbed-{time.monotonic_ns() & 0xFFFFFFFF:08x}"
        self._processes = NodeProcesses()
        self._network: Network | None = None
        self._open = ExitStack()

    @staticmethod
    def check(scenario: Scenario) -> None:
        """Raise `UsageError` for what no run can be, before anything is started."""
        goal_named(scenario.objective)
        for kill in scenario.kills:
            if kill.node == scenario.origin.name:
                raise UsageError(f"frames enter at `{kill.node}`: without it there is no stream", hint="kill another")
            if kill.at_s >= scenario.seconds:
                raise UsageError(
                    f"{kill.node}@{kill.at_s:g} comes after the end of a run of {scenario.seconds:g} s",
                    hint="--seconds makes it longer",
                )

    def __enter__(self) -> TestbedRun:
        with ExitStack() as opening:
            self._network = opening.enter_context(Network(self.scenario.testbed))
            opening.enter_context(self._processes)
            self._start_others()
            self._open = opening.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._open.__exit__(kind, error, trace)

    def events(
        self, policy: str, *, n_private_cuts: int, wait_to_begin: Callable[[], object] = lambda: None
    ) -> Iterator[ScenarioEvent]:
        """What one policy's run through the scenario tells while it goes on; the last event is its ``summary``.

        wait_to_begin: called when everything is ready; frames and changes begin when it returns.
        Raises `SeamlineError` with the edge's own words when it fails.
        """
        assert self._network is not None, "use it as a context manager"
        scenario = self.scenario
        duration_s = scenario.seconds
        self._start_others()
        self._network.reset()
        self._unload()
        changes = schedule(scenario.testbed, duration_s, scenario.kills)
        runner = ChangeRunner(changes, self._network, self._processes)
        edge = self._processes.start(scenario.origin.name, self._edge_command(policy, n_private_cuts, duration_s))
        try:
            for event in self._lines(edge, duration_s):
                if event.kind == "ready":
                    wait_to_begin()
                    self._processes.begin(scenario.origin.name)
                    runner.start()
                yield event
        finally:
            runner.stop()
            if edge.is_alive:
                self._processes.stop(scenario.origin.name)

    def _lines(self, edge: NodeProcess, duration_s: float) -> Iterator[ScenarioEvent]:
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
                    yield ScenarioEvent(kind=kind, data=data)
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
        assert self._network is not None
        options = self._node_options()
        start_chain(self.scenario.others, self._network, self._processes, cluster=self._cluster, options=options)

    def _unload(self) -> None:
        """Every node that stayed up is as slow again as the testbed file says."""
        loaded = {load.node for load in self.scenario.testbed.loads}
        for node in self.scenario.others:
            if node.name in loaded:
                self._processes.slow_down(node.name, node.slowdown)

    def _edge_command(self, policy: str, n_private_cuts: int, duration_s: float) -> tuple[str, ...]:
        assert self._network is not None
        scenario, origin = self.scenario, self.scenario.origin
        command = [
            sys.executable, "-m", "seamline", "run", scenario.model, "--source", str(scenario.source),
            "--loop", "--events", "--tier", origin.tier,
            "--over", ",".join([origin.name, *(node.name for node in scenario.others)]),
            "--policy", policy, "--objective", scenario.objective, "--private", str(n_private_cuts),
            "--codecs", scenario.codecs,
            "--fps", f"{scenario.fps:g}", "--seconds", f"{duration_s:g}", "--slowdown", f"{origin.slowdown:g}",
            "--cluster", self._cluster, "--listen", self._network.listen(origin.name), "--no-relay",
            FOLLOW_LOADS, WAIT_TO_BEGIN, "--parent-pid", str(os.getpid()),
        ]  # fmt: skip
        if origin.threads:
            command += ["--threads", str(origin.threads)]
        if scenario.dashboard is not None:
            command += ["--dashboard", scenario.dashboard]
        if scenario.record is not None:
            command += ["--record", str(scenario.record.absolute())]
        for node in scenario.others:
            command += ["--connect", self._network.endpoint(origin.name, node.name)]
        return (*command, *self._common_options(), *power_options(origin))

    def _node_options(self) -> tuple[str, ...]:
        loads = (FOLLOW_LOADS,) if self.scenario.testbed.loads else ()
        return (*loads, *self._common_options())

    def _common_options(self) -> tuple[str, ...]:
        scenario = self.scenario
        cache = () if scenario.cache is None else ("--cache", str(scenario.cache))
        lease = () if scenario.lease_s is None else ("--lease", f"{scenario.lease_s:g}")
        return (*cache, *lease)


def _error_of(name: str, exit_code: int, words: str) -> SeamlineError:
    """What a process that ended early said, as this process's own error; `words`: the end of its standard error."""
    said = _ERROR.search(words)
    if said is None:
        return SeamlineError(f"node `{name}` ended with code {exit_code}: {words}")
    kind = UsageError if exit_code == EXIT_USAGE else SeamlineError
    return kind(said["error"], hint=said["hint"])
