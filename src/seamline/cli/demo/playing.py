"""The demo played: this computer profiled, policies side by side on imitated machines, and who watches them."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from importlib.resources import files
from pathlib import Path
from typing import Any

import msgspec
from rich.console import Console
from rich.live import Live

from seamline.cli.demo.story import ADAPTIVE, LOCAL, OFFLOAD, STATIC, Answer, Scene
from seamline.cli.demo.view import DemoState, demo_panel, short_decision
from seamline.cli.running.watching import snapshot_of
from seamline.cli.shared.output import TERMINAL, progress_console
from seamline.config import NodeSpec, Testbed
from seamline.core.vocabulary.nodes import NodeId
from seamline.core.vocabulary.quantities import seconds_text
from seamline.model import ModelStore, OrtEngine
from seamline.runtime.api.snapshot import StreamSnapshot
from seamline.runtime.lab.scenario import Scenario, ScenarioEvent
from seamline.runtime.lab.side_by_side import Contender, SideBySide
from seamline.runtime.node.profiling import Profiler
from seamline.runtime.origin.summary import RunSummary
from seamline.testbed.changes import Change
from seamline.testbed.imitation import imitating, needs_profile

PROFILE_BUDGET_S = 3.0
REFRESH_FPS = 4

_POLICIES: Mapping[str, str] = {ADAPTIVE: "adaptive", STATIC: "static", LOCAL: "local", OFFLOAD: "offload"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Imitated:
    """A testbed on this computer. seconds: what the whole network takes on each node."""

    testbed: Testbed
    seconds: Mapping[str, float]
    n_cuts: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Played:
    """What a demo ends with, by policy."""

    runs: Mapping[str, RunSummary]
    answers: Mapping[str, list[Answer]]


def imitated(testbed: Testbed, model: Path, name: str) -> Imitated:
    """`testbed` with this computer's slowdowns; the model is profiled for that, once per computer.

    Raises `UsageError` when this computer is too slow for a machine of it, `ModelError` when the model does not run.
    """
    store = ModelStore()
    stored = store.add(model)
    took_s: dict[int, float] = {}
    with TERMINAL.working(f"measuring {name} on this computer"):
        for n_threads in sorted({node.threads for node in testbed.nodes}) if needs_profile(testbed) else ():
            profiler = Profiler(OrtEngine(store, n_threads), NodeId("here"), n_threads)
            took_s[n_threads] = profiler.profile(stored, PROFILE_BUDGET_S).whole_s.median
    macs = stored.cuts[-1].macs_before
    slowed = imitating(testbed, model=name, macs=macs, here_s=took_s.__getitem__)
    seconds = {node.name: took_s[node.threads] * node.slowdown for node in slowed.nodes if node.machine is not None}
    return Imitated(testbed=slowed, seconds=seconds, n_cuts=stored.cuts[-1].index)


def contenders(scenario: Scenario, n_private_cuts: int, *, baselines: bool) -> Mapping[str, Contender]:
    """The policies of a demo. JPEG offload plays where it is not allowed, too, so that everybody sees what it costs."""
    found: dict[str, Contender] = {}
    for key in _POLICIES if baselines else (ADAPTIVE,):
        shown = scenario if key == ADAPTIVE else replace(scenario, dashboard=None, record=None)
        alone = replace(shown, testbed=_edge_alone(scenario.testbed, scenario.origin), kills=())
        found[key] = Contender(
            scenario=alone if key == LOCAL else shown,
            policy=_POLICIES[key],
            n_private_cuts=0 if key == OFFLOAD else n_private_cuts,
        )
    return found


def play(policies: Mapping[str, Contender], viewer: Viewer | None) -> Played:
    """Run `policies` side by side, shown by `viewer`. Raises `SeamlineError` with the words of one that fails."""
    runs: dict[str, RunSummary] = {}
    answers: dict[str, list[Answer]] = {key: [] for key in policies}
    with ExitStack() as running:
        with TERMINAL.working(f"starting {_count(policies)} nodes and their links"):
            told = running.enter_context(SideBySide(policies)).events()
        if viewer is not None:
            with TERMINAL.working("measuring the links"):
                _until_started(told)
            viewer.show(told, runs, answers)
        else:
            for key, event in told:
                _say_link(event)
                take(key, event, runs, answers)
    return Played(runs=runs, answers=answers)


def take(key: str, event: ScenarioEvent, runs: dict[str, RunSummary], answers: Mapping[str, list[Answer]]) -> None:
    """Keep what a policy tells of answers and of its end."""
    if event.kind == "answer":
        data = event.data
        answers[key].append(Answer(data["frame"], data["at_s"], data["latency_s"]))
    elif event.kind == "summary":
        runs[key] = msgspec.convert(event.data, RunSummary)


@dataclass(frozen=True, slots=True, kw_only=True)
class Captions:
    """What a video shows, by second of it; it plays in a loop."""

    length_s: float = 1.0
    pictures: tuple[tuple[float, str], ...] = ()

    def at(self, at_s: float) -> str | None:
        shown = [shows for from_s, shows in self.pictures if from_s <= at_s % self.length_s]
        return shown[-1] if shown else None


def shipped_video() -> Path:
    """The demo's pictures, see `benchmarks/make_photos.py`."""
    return Path(str(files("seamline.data") / "photos.mp4"))


def shipped_captions() -> Captions:
    """What `shipped_video` shows."""
    read = tomllib.loads((files("seamline.data") / "photos.toml").read_text(encoding="utf-8"))
    return Captions(
        length_s=read["length_s"], pictures=tuple((each["from_s"], each["shows"]) for each in read["picture"])
    )


@dataclass(kw_only=True)
class Viewer:
    """Shows what policies tell: a view that is redrawn on a terminal, elsewhere a line for each thing that happens."""

    console: Console
    model: str
    duration_s: float
    scenes: tuple[Scene, ...]
    imitated: Imitated
    captions: Captions
    changes: tuple[Change, ...]
    is_offload_allowed: bool
    _stream: StreamSnapshot | None = None
    _label: tuple[str | None, float | None] = (None, None)
    _source_s: float | None = None
    _n_switches: int = 0
    _n_scenes: int = 0
    _n_changes: int = 0

    def show(
        self,
        told: Iterable[tuple[str, ScenarioEvent]],
        runs: dict[str, RunSummary],
        answers: Mapping[str, list[Answer]],
    ) -> None:
        """Follow `told` to its end, keeping in `runs` and `answers` what `take` keeps."""
        is_drawn = self.console.is_terminal
        live = Live(console=self.console, auto_refresh=False, transient=True) if is_drawn else None
        drawn_s = 0.0
        try:
            if live is not None:
                live.start()
            for key, event in told:
                take(key, event, runs, answers)
                if key != ADAPTIVE or event.kind != "snapshot":
                    continue
                stream = self.follow(event.data)
                if live is None:
                    self._say(stream)
                elif stream.at_s >= drawn_s:
                    drawn_s = stream.at_s + 1.0 / REFRESH_FPS
                    size = self.console.size
                    live.update(demo_panel(self.state(answers), size.width, size.height), refresh=True)
            if live is not None and self._stream is not None:
                size = self.console.size
                live.transient = False
                live.update(demo_panel(self.state(answers), size.width, size.height), refresh=True)
        finally:
            if live is not None:
                live.stop()

    def state(self, answers: Mapping[str, list[Answer]]) -> DemoState:
        """What is to be seen now. Only after the first snapshot of the adaptive policy."""
        assert self._stream is not None
        at_s = self._stream.at_s
        return DemoState(
            model=self.model,
            at_s=at_s,
            duration_s=self.duration_s,
            scenes=self.scenes,
            machines={node.name: node.machine or f"{node.slowdown:g}x" for node in self.imitated.testbed.nodes},
            n_cuts=self.imitated.n_cuts,
            stream=self._stream,
            answers=answers,
            changes=[change.at_s for change in self.changes if change.at_s <= at_s],
            shows=None if self._source_s is None else self.captions.at(self._source_s),
            label=self._label[0],
            score_ratio=self._label[1],
            is_offload_allowed=self.is_offload_allowed,
        )

    def follow(self, data: Mapping[str, Any]) -> StreamSnapshot:
        """The next snapshot of the adaptive policy, as its process tells it."""
        rest = dict(data)
        self._label = rest.pop("label", None), rest.pop("score_ratio", None)
        self._source_s = rest.pop("source_s", None)
        self._stream = snapshot_of(rest)
        return self._stream

    def _say(self, stream: StreamSnapshot) -> None:
        """Lines for what is new in `stream`."""
        for scene in self.scenes[self._n_scenes :]:
            if scene.from_s > stream.at_s:
                break
            self._n_scenes += 1
            self._line(scene.from_s, f"scene {self._n_scenes} of {len(self.scenes)}: {scene.name}")
        for change in self.changes[self._n_changes :]:
            if change.at_s > stream.at_s:
                break
            self._n_changes += 1
            self._line(change.at_s, str(change))
        for number in range(self._n_switches, len(stream.switches)):
            words = short_decision(replace(stream, switches=stream.switches[: number + 1])) or ""
            self._line(stream.switches[number].at_s, f"adaptive: {words.partition(': ')[2]}")
        self._n_switches = len(stream.switches)

    def _line(self, at_s: float, words: str) -> None:
        self.console.print(f"{at_s:5.1f} s  {words}", markup=False, soft_wrap=True)


def machines_line(imitated: Imitated) -> str | None:
    """What each node imitates and how long the network takes there; None where nothing is published."""
    each = [
        f"{node.name} = {node.machine} ({seconds_text(imitated.seconds[node.name])} for the whole network)"
        for node in imitated.testbed.nodes
        if node.machine is not None
    ]
    return "; ".join(each) or None


def _until_started(told: Iterable[tuple[str, ScenarioEvent]]) -> None:
    for _, event in told:
        _say_link(event)
        if event.kind == "started":
            return


def _say_link(event: ScenarioEvent) -> None:
    """Where the page of the adaptive policy is, once it is there."""
    if event.kind == "ready" and (link := event.data.get("dashboard")) is not None:
        progress_console().print(f"dashboard: {link}", soft_wrap=True)


def _edge_alone(testbed: Testbed, edge: NodeSpec) -> Testbed:
    """What of `testbed` concerns a policy that never leaves the edge."""
    loads = tuple(load for load in testbed.loads if load.node == edge.name)
    return replace(testbed, nodes=(edge,), links=(), changes=(), loads=loads, lives=())


def _count(policies: Mapping[str, Contender]) -> int:
    return sum(len(contender.scenario.testbed.nodes) for contender in policies.values())
