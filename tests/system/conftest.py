"""Real processes over loopback: `seamline` as a user starts it, on a tiny model with random weights.

Every test starts its own processes in a cluster and on a port of its own, and ends with none of them running. Waiting
is for what a process says, never for time; the limits only keep a broken test from hanging.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnx
import psutil
import pytest
from onnx import TensorProto, helper, numpy_helper

from seamline import connect
from seamline.core.vocabulary.pictures import Fit
from seamline.model.metadata.preprocess import Preprocess, write_preprocess
from seamline.runtime.node.peer_client import PeerClient

LIMIT_S = 100.0
EXTENT = 32
PATIENT = ("--lease", "2")
"""Nobody is lost by being slow; a process that dies is seen by its closed connection."""


STALL = "` was silent for "
NEWS = re.compile(r"\d\d:\d\d:\d\d ")


@pytest.fixture(scope="session")
def model_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six convolutions, shrinking maps, ten classes; takes 32x32 RGB frames. Cut 4 is after the second ReLU."""
    rng = np.random.default_rng(3)
    nodes, weights = [], []
    channels, value = 3, "image"
    for layer, (out, stride) in enumerate([(16, 1), (16, 2), (24, 2), (24, 1), (32, 2), (48, 1)]):
        kernel = (rng.standard_normal((out, channels, 3, 3)) * np.sqrt(2 / (9 * channels))).astype(np.float32)
        weights.append(numpy_helper.from_array(kernel, f"w{layer}"))
        conv = helper.make_node(
            "Conv", [value, f"w{layer}"], [f"c{layer}"], pads=[1] * 4, strides=[stride] * 2, name=f"conv{layer}"
        )
        nodes += [conv, helper.make_node("Relu", [f"c{layer}"], [f"r{layer}"], name=f"relu{layer}")]
        channels, value = out, f"r{layer}"
    weights.append(numpy_helper.from_array(rng.standard_normal((channels, 10)).astype(np.float32), "head"))
    nodes += [
        helper.make_node("GlobalAveragePool", [value], ["pooled"], name="pool"),
        helper.make_node("Flatten", ["pooled"], ["flat"], name="flatten"),
        helper.make_node("MatMul", ["flat", "head"], ["scores"], name="scores"),
    ]
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 3, EXTENT, EXTENT])],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, [1, 10])],
        weights,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    write_preprocess(
        model, Preprocess(height=EXTENT, width=EXTENT, mean=(127.0,) * 3, std=(64.0,) * 3, fit=Fit.LETTERBOX)
    )
    path = tmp_path_factory.mktemp("model") / "tiny.onnx"
    onnx.save(model, path)
    return path


@pytest.fixture(scope="session")
def video_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two seconds of 160x90 pixels, every frame another: decoding hardly counts beside what is tested."""
    rng, path = np.random.default_rng(6), tmp_path_factory.mktemp("video") / "clip.avi"
    video = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 24, (160, 90))
    for _ in range(48):
        coarse = rng.integers(0, 256, (9, 16, 3), dtype=np.uint8)
        video.write(cv2.resize(coarse, (160, 90), interpolation=cv2.INTER_CUBIC))
    video.release()
    return path


@pytest.fixture(scope="session")
def caches(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of the caches that all tests share, in other workers too: a model is profiled once per name of a node."""
    own = tmp_path_factory.getbasetemp()
    folder = (own.parent if "PYTEST_XDIST_WORKER" in os.environ else own) / "caches"
    folder.mkdir(exist_ok=True)
    return folder


@dataclass
class Process:
    """One `seamline` command, running or ended. Its output goes to files: no pipe can fill up."""

    popen: subprocess.Popen[bytes]
    out: Path
    err: Path
    _events: list[dict[str, Any]] = field(default_factory=list)
    _n_read_bytes: int = 0

    @property
    def stdout(self) -> str:
        return self.out.read_text(encoding="utf-8")

    @property
    def stderr(self) -> str:
        """What it wrote there, without the news of a node, which begin with the time, and without `stalls`."""
        lines = self.err.read_text(encoding="utf-8").splitlines(keepends=True)
        return "".join(line for line in lines if not NEWS.match(line) and STALL not in line)

    @property
    def stalls(self) -> list[str]:
        """What it said of nodes that were silent for a while, which a busy machine makes of any."""
        return [line for line in self.err.read_text(encoding="utf-8").splitlines() if STALL in line]

    @property
    def news(self) -> list[str]:
        """What it said as a node of others and of streams, without the times."""
        lines = self.err.read_text(encoding="utf-8").splitlines()
        return [line.split(" ", 1)[1] for line in lines if NEWS.match(line)]

    @property
    def events(self) -> list[dict[str, Any]]:
        """The JSON objects it has printed so far, one per line; a line still being written is left out."""
        with self.out.open("rb") as file:
            file.seek(self._n_read_bytes)
            complete, newline, _ = file.read().rpartition(b"\n")
        self._n_read_bytes += len(complete) + len(newline)
        self._events += [json.loads(line) for line in complete.splitlines()]
        return self._events

    @property
    def json(self) -> dict[str, Any]:
        """The one JSON object on stdout; fails when there is anything else."""
        (event,) = self.events
        return event

    def wait(self) -> int:
        """Its exit code, once it has ended."""
        return self.popen.wait(timeout=LIMIT_S)

    def wait_until(self, condition: Callable[[Process], bool]) -> None:
        """Wait for a condition while it runs; fails with its last words when it ends before."""
        end_s = time.monotonic() + LIMIT_S
        while not condition(self):
            assert self.popen.poll() is None, f"ended with {self.popen.returncode}: {self.stderr}{self.stdout[-500:]}"
            assert time.monotonic() < end_s, f"it never came true: {self.stderr}{self.stdout[-500:]}"
            time.sleep(0.02)

    def wait_plan(self, text: str, *, after: int = 0) -> int:
        """Wait until a snapshot later than the first `after` events shows a plan with `text`; how many events then."""

        def is_there(process: Process) -> bool:
            return any(text in event.get("plan", "") for event in process.events[after:])

        self.wait_until(is_there)
        return len(self.events)


@dataclass
class System:
    """Starts processes in one folder and one cluster, and knows them all."""

    folder: Path
    caches: Path
    model: Path
    video: Path
    cluster: str = field(default_factory=lambda: f"test-{secrets.token_hex(4)}")
    processes: list[Process] = field(default_factory=list)

    def start(
        self,
        *arguments: str,
        parent: tuple[str, ...] = (),
        program: tuple[str, ...] = (sys.executable, "-m", "seamline"),
        stdin: int = subprocess.DEVNULL,
        **environment: str,
    ) -> Process:
        """`seamline ARGUMENTS`, as a process of its own group."""
        number = len(self.processes)
        out, err = self.folder / f"{number}.out", self.folder / f"{number}.err"
        with out.open("wb") as out_file, err.open("wb") as err_file:
            popen = subprocess.Popen(
                [*parent, *program, *arguments],
                stdin=stdin,
                stdout=out_file,
                stderr=err_file,
                start_new_session=True,
                cwd=self.folder,
                env={
                    **os.environ,
                    "SEAMLINE_CACHE": str(self.caches / "edge"),
                    "SEAMLINE_DATA": str(self.folder / "data"),
                    "COLUMNS": "120",
                    **environment,
                },
            )
        process = Process(popen, out, err)
        self.processes.append(process)
        return process

    def node(self, name: str, port: int, *options: str, cache: Path | None = None) -> Process:
        """A ready `seamline node`."""
        process = self.start(
            "node", "--json", "--name", name, "--tier", name, "--cluster", self.cluster, "--threads", "1",
            "--listen", f"tcp/127.0.0.1:{port}", "--cache", str(cache or self.caches / name),
            *PATIENT, *options,
        )  # fmt: skip
        process.wait_until(lambda process: bool(process.events))
        assert process.events[0]["event"] == "ready"
        return process

    def end(self) -> None:
        """Kill what is still running, stopped or not."""
        for process in self.processes:
            if process.popen.poll() is None:
                os.killpg(process.popen.pid, signal.SIGKILL)
                process.popen.wait()

    def run(self, *options: str, over: str = "edge", port: int | None = None) -> Process:
        """`seamline run` of the tiny model on the small video, a frame every 50 ms, as JSON unless `--events`."""
        how = () if "--events" in options else ("--json",)
        where = () if port is None else ("--connect", f"tcp/127.0.0.1:{port}")
        return self.start(
            "run", str(self.model), "--source", str(self.video), "--loop", "--fps", "20", "--threads", "1",
            "--cluster", self.cluster, "--over", over, *where, *how, *PATIENT, *options,
        )  # fmt: skip

    @contextmanager
    def visit(self, port: int) -> Iterator[tuple[str, PeerClient]]:
        """Take part beside a stream's nodes from this process, as `seamline set` does.

        Gives the stream's name and who asks the nodes.
        """
        with connect(f"tcp/127.0.0.1:{port}", name="observer-test", tier="observer", cluster=self.cluster) as here:
            here.wait_nodes(["edge"])
            (stream,) = here.nodes(wait_s=0.0)["edge"].streams
            yield stream, here.node.client


@pytest.fixture(scope="session")
def make_system(caches: Path, model_file: Path, video_file: Path) -> Callable[[Path], System]:
    """A system whose files are in a folder; for fixtures that outlive one test. Who makes it ends it."""
    return lambda folder: System(folder, caches, model_file, video_file)


@pytest.fixture
def system(make_system: Callable[[Path], System], tmp_path: Path) -> Iterator[System]:
    made = make_system(tmp_path)
    try:
        yield made
    finally:
        made.end()


@pytest.fixture(scope="session")
def free_port() -> Callable[[], int]:
    """Gives ports of loopback that nobody listens on now."""

    def find() -> int:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            return int(probe.getsockname()[1])

    return find


@pytest.fixture
def port(free_port: Callable[[], int]) -> int:
    return free_port()


@pytest.fixture
def assert_nothing_lost() -> Callable[[dict[str, int]], None]:
    """Checks the `frames` of a summary: some came, and every one was answered once, in order and without an error."""

    def check(frames: dict[str, int]) -> None:
        assert frames["answered"] == frames["accepted"] > 0
        assert (frames["lost"], frames["duplicated"], frames["out_of_order"], frames["failed"]) == (0, 0, 0, 0)

    return check


@pytest.fixture
def descendants() -> Callable[[int], list[int]]:
    """The processes that a process has started, and those that they have."""
    return lambda pid: [child.pid for child in psutil.Process(pid).children(recursive=True)]


@pytest.fixture
def wait_gone() -> Callable[[int], None]:
    """Wait until no process of that id runs any more."""

    def wait(pid: int) -> None:
        end_s = time.monotonic() + LIMIT_S
        while psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
            assert time.monotonic() < end_s, f"process {pid} is still running"
            time.sleep(0.05)

    return wait
