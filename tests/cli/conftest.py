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
