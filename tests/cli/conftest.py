"""A small model with random weights, a cache of its own, and a way to run one command line in this process."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import typer.main
from onnx import TensorProto, helper, numpy_helper

from seamline.cli import main
from seamline.core.adaptation.policy import Adaptive
from seamline.core.link.report import LinkReport
from seamline.core.recording.plain import Spent
from seamline.core.session import commands as cmd
from seamline.core.session import events as ev
from seamline.core.session.pilot import Pilot
from seamline.core.session.spec import SessionSpec
from seamline.core.vocabulary.constraints import Constraints
from seamline.core.vocabulary.links import LinkEstimate
from seamline.core.vocabulary.nodes import NodeId, Tier
from seamline.core.vocabulary.objectives import Objective
from seamline.core.vocabulary.plans import Plan
from seamline.meters.profile_file import from_json
from seamline.runtime.origin.recording import Recording

PROFILES = Path(__file__).parents[1] / "replay" / "mobilenetv2.profiles.json"
EDGE, FOG, CLOUD = NodeId("edge"), NodeId("fog"), NodeId("cloud")


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What one command line did."""

    exit_code: int
    stdout: str
    stderr: str

    @property
    def json(self) -> dict[str, Any]:
        """The one JSON object on stdout; fails when there is anything else."""
        lines = self.stdout.splitlines()
        assert len(lines) == 1, self.stdout
        value = json.loads(lines[0])
        assert isinstance(value, dict)
        return value


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No test reads or writes the user's cache, or depends on the terminal it runs in."""
    cache = tmp_path / "cache"
    monkeypatch.setenv("SEAMLINE_CACHE", str(cache))
    monkeypatch.setenv("SEAMLINE_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("COLUMNS", "200")
    return cache


build_app, get_command = main.build_app, typer.main.get_command


@cache
def commands_of(modules: tuple[main.CommandModule, ...]) -> object:
    """The commands of `modules`, put together once for all tests: that takes longer than most of them."""
    return get_command(build_app(modules))


@pytest.fixture
def seamline(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Callable[..., Outcome]:
    """Run `seamline ARGUMENTS` in this process, its output taken at the file descriptors.

    Every thread that the command started must be over: what one of them said later would be the next test's output.
    """

    monkeypatch.setattr(main, "build_app", lambda modules: modules)
    monkeypatch.setattr("typer.main.get_command", commands_of)

    def call(*arguments: str) -> Outcome:
        capfd.readouterr()
        before = set(threading.enumerate())
        exit_code = main.run(arguments)
        left = set(threading.enumerate()) - before
        for thread in left:
            thread.join(timeout=5.0)  # one that has just been told to end may take a moment on a busy machine
        running = [thread.name for thread in left if thread.is_alive()]
        assert not running, f"threads left running: {running}"
        captured = capfd.readouterr()
        return Outcome(exit_code=exit_code, stdout=captured.out, stderr=captured.err)

    return call


@pytest.fixture
def model_path(tmp_path: Path) -> Path:
    """Conv, Relu, Conv, Relu, global pooling, with random weights: a constant model would hide a wrong wiring."""
    path = tmp_path / "tiny.onnx"
    onnx.save(_small_model(), str(path))
    return path


@pytest.fixture
def open_model_path(tmp_path: Path) -> Path:
    """The same model with height and width left open."""
    path = tmp_path / "open.onnx"
    onnx.save(_small_model(extents=(1, 3, "height", "width")), str(path))
    return path


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    """A stream's first plan, and another one when its link falls."""
    profiles = {profile.device.name: profile for profile in map(from_json, json.loads(PROFILES.read_text()))}
    spec = SessionSpec(
        origin=EDGE,
        others=(FOG, CLOUD),
        local=Plan.local(EDGE, len(profiles[EDGE].cuts)),
        objective=Objective.LATENCY,
        constraints=Constraints(n_private_cuts=1),
        policy=Adaptive(),
    )
    path, pilot = tmp_path / "run.jsonl", Pilot(spec)
    with Recording(path, spec) as writer:
        waiting = [*(ev.ProfileKnown(node, profile) for node, profile in profiles.items())]
        waiting += [event for node in (FOG, CLOUD) for event in link_of(node, 20e6)]
        waiting += [ev.Begin(), ev.Tick(), ev.Tick()]
        waiting += [answered(number, pilot.view.current or spec.local) for number in range(3)]
        waiting += [*link_of(CLOUD, 1e6), *link_of(FOG, 1e6), ev.Tick(), ev.Tick()]
        now_s = 100.0
        for event in waiting:
            now_s += 0.5
            told = [event]
            while told:
                outputs = pilot.handle(told[0], now_s)
                writer.heard(told.pop(0), now_s, outputs)
                for output in outputs:
                    if isinstance(output, cmd.Prepare):
                        number = output.generation.number
                        told += [ev.NodePrepared(number, node, 0.1) for node in output.generation.plan.nodes]
                    elif isinstance(output, ev.SetRoute):
                        told.append(ev.Routed(output.route.generation, 1e-5))
    return path


def link_of(node: NodeId, bps: float) -> list[ev.PilotEvent]:
    report = {"rtt_s": 0.004, "goodput_bps": bps, "goodput_std_ratio": 0.05, "n_samples": 5}
    links = tuple(LinkReport(target=target, age_s=0.0, **report) for target in (EDGE, FOG, CLOUD) if target != node)
    return [
        ev.StatusReceived(node=node, tier=Tier(node), incarnation="a", queue_s=0.0, usable_memory_bytes=0, links=links),
        ev.LinkEstimated(LinkEstimate(source=EDGE, target=node, measured_at_s=100.0, **report)),
    ]


def answered(frame: int, plan: Plan) -> ev.FrameFinished:
    return ev.FrameFinished(
        frame=frame,
        plan=plan,
        generation=1,
        accepted_s=105.0 + frame,
        latency_s=0.2 + 0.01 * frame,
        n_attempts=1,
        answer=None,
        reports=[Spent(node="edge", queue_s=0.01, compute_s=0.05, sent_bytes=1000)],
    )


def _small_model(extents: Sequence[int | str] = (1, 3, 16, 16)) -> onnx.ModelProto:
    random = np.random.default_rng(7)

    def weights(name: str, *shape: int) -> TensorProto:
        return numpy_helper.from_array(random.normal(0, 0.3, shape).astype(np.float32), name)

    nodes = [
        helper.make_node("Conv", ["image", "w1"], ["a"], name="conv1", pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["a"], ["b"], name="relu1"),
        helper.make_node("Conv", ["b", "w2"], ["c"], name="conv2", pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["c"], ["d"], name="relu2"),
        helper.make_node("GlobalAveragePool", ["d"], ["scores"], name="pool"),
    ]
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, list(extents))],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, [1, 8, 1, 1])],
        [weights("w1", 4, 3, 3, 3), weights("w2", 8, 4, 3, 3)],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10)
