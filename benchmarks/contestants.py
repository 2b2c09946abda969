"""Contestants of `bench_peers.py`: their processes, and a link of its own for each.

A contestant is an origin (`peers/play.py`), and a far side where it has one. Adding one is a line in `CONTESTANTS`.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import onnx
import psutil
from models import video_frame
from onnx.external_data_helper import load_external_data_for_model

from seamline.config import LinkSpec, NodeSpec, Testbed
from seamline.core.vocabulary.plans import Segment
from seamline.model import StoredModel
from seamline.model.locate import load_model
from seamline.testbed.priority import prefer
from seamline.testbed.processes import NodeProcesses, node_command
from seamline.testbed.relay import Network

PLAY = Path(__file__).parent / "peers" / "play.py"
N_WARM_UP = 3
CLOSING_S = 40.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """rate_bps: 0.0 is unshaped loopback. rtt_s: of the link alone, half of it each way."""

    rate_bps: float = 0.0
    rtt_s: float = 0.0

    def __str__(self) -> str:
        return f"{self.rate_bps / 1e6:g} Mbit/s, {self.rtt_s * 1e3:g} ms" if self.rate_bps else "loopback"

    def serialisation_s(self, n_bytes: int) -> float:
        return n_bytes * 8 / self.rate_bps if self.rate_bps else 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Halves:
    """A model, its halves at `cut` and the whole as ONNX files, and a frame."""

    model: StoredModel
    cut: int
    first: Path
    second: Path
    whole: Path
    frame: Path

    @property
    def plan(self) -> str:
        return f"edge[0:{self.cut}]raw > cloud[{self.cut}:{len(self.model.cuts) - 1}]"

    @property
    def boundary_bytes(self) -> int:
        return self.model.cuts[self.cut].payload_bytes


@contextmanager
def halves_of(name: str, cut: int) -> Iterator[Halves]:
    """Files that ONNX Runtime opens by itself; a frame enters the first half behind its preprocessing."""
    _, model = load_model(name)
    last = len(model.cuts) - 1
    with tempfile.TemporaryDirectory(prefix="seamline-peers-") as folder:
        segments = {"first": Segment(0, cut), "second": Segment(cut, last), "whole": Segment(0, last)}
        paths = {part: Path(folder) / f"{part}.onnx" for part in segments}
        for part, segment in segments.items():
            piece = model.segment(segment).model
            assert piece is not None
            load_external_data_for_model(piece, str(model.folder))
            onnx.save(piece, paths[part])
        assert model.preprocess is not None
        frame = Path(folder) / "frame.npy"
        np.save(frame, video_frame(model.preprocess))
        yield Halves(model=model, cut=cut, frame=frame, **paths)


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """How a contestant is started. near: class in `peers/` and its words, by the halves and where the far side is.

    far: the command of that by the halves and where it listens, None for those who have none. python: who runs `near`.
    """

    near: Callable[[Halves, str], Sequence[object]]
    far: Callable[[Halves, str], Sequence[str]] | None = None
    python: str = sys.executable


def _peer(module: str, name: str, scheme: str = "") -> Kind:
    def address(endpoint: str) -> str:
        return endpoint.replace("tcp/", scheme)

    return Kind(
        near=lambda halves, reach: [f"{module}.{name}", halves.frame, halves.first, address(reach)],
        far=lambda halves, listen: [*(sys.executable, str(PLAY), "serve", module, str(halves.second), address(listen))],
    )


def _seamline(policy: str | None, codecs: str, *objectives: str) -> Kind:
    """policy: None holds the plan of the halves."""
    cluster = f"peers-{policy or 'held'}"

    def near(halves: Halves, reach: str) -> Sequence[object]:
        words = (reach, cluster, halves.model.name, policy or halves.plan, codecs, *objectives)
        return ["seamline_stream.Streams", halves.frame, *words]

    def far(halves: Halves, listen: str) -> Sequence[str]:
        node = NodeSpec(name="cloud", tier="cloud")
        return node_command(node, listen=listen, cluster=cluster, options=("--no-relay",))

    return Kind(near=near, far=None if policy == "local" else far)


def ray_serve(python: str) -> Kind:
    return Kind(near=lambda h, _: ["ray_pipeline.Pipeline", h.frame, h.first, h.second], python=python)


CONTESTANTS = {
    "pyzmq": _peer("pyzmq_pipeline", "Pipeline", "tcp://"),
    "gRPC, unary": _peer("grpc_pipeline", "Unary"),
    "gRPC, streaming": _peer("grpc_pipeline", "Streaming"),
    "Seamline, held": _seamline(None, "lossless", "latency"),
    "Seamline, free": _seamline("adaptive", "u8", "latency", "throughput"),
    "first half alone": Kind(near=lambda h, _: ["plain_ort.Chain", h.frame, h.first]),
    "both halves, one process": Kind(near=lambda h, _: ["plain_ort.Chain", h.frame, h.first, h.second]),
    "ONNX Runtime": Kind(near=lambda h, _: ["plain_ort.Chain", h.frame, h.whole]),
    "Seamline, local": _seamline("local", "lossless", "latency"),
}


class Player:
    """The origin's process of a contestant."""

    def __init__(self, name: str, python: str, words: Sequence[object]) -> None:
        self._name = name
        self._process = subprocess.Popen(
            [python, str(PLAY), "play", *map(str, words)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,  # Ctrl-C is this benchmark's to handle
        )
        self.pid = self._process.pid
        prefer(self.pid)  # as `NodeProcesses` does with the far side

    def wait_ready(self) -> None:
        self._read()

    def play(self, **ask: int) -> dict[str, Any]:
        assert self._process.stdin is not None
        print(json.dumps(ask), file=self._process.stdin, flush=True)
        return self._read()

    def _read(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        if not (line := self._process.stdout.readline()):
            raise SystemExit(f"{self._name} ended with code {self._process.wait()}, see above")
        return dict(json.loads(line))

    def close(self) -> None:
        """Its standard input ends, and it with that; what it started and left is killed."""
        family = _family(self.pid)
        try:
            self._process.communicate(timeout=CLOSING_S)
        except subprocess.TimeoutExpired:
            pass
        finally:
            for process in family:
                with suppress(psutil.NoSuchProcess):  # most have ended; numbers given anew are not taken for theirs
                    process.kill()
            self._process.communicate()


def _family(pid: int) -> list[psutil.Process]:
    """Process `pid` and all that it has started."""
    try:
        process = psutil.Process(pid)
        return [process, *process.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


@dataclass(frozen=True, slots=True)
class Turn:
    """What frames of a contestant took that went ``alone``, one at a time, and ``together``, `n_in_flight` of them."""

    alone: dict[str, Any]
    together: dict[str, Any]
    n_in_flight: int

    @property
    def latencies_s(self) -> list[float]:
        return list(self.alone["latency_s"][N_WARM_UP:])

    @property
    def latency_s(self) -> float:
        return median(self.latencies_s)

    @property
    def throughput_fps(self) -> float:
        """Answers a second once the pipeline is full."""
        answered_s = self.together["answered_s"][self.n_in_flight :]
        return (len(answered_s) - 1) / (answered_s[-1] - answered_s[0])

    @property
    def plans(self) -> Counter[str]:
        return Counter(self.alone["plans"]) + Counter(self.together["plans"])


@dataclass(frozen=True, slots=True)
class Contestant:
    """Running contestant."""

    name: str
    origin: Player
    far_pid: int | None

    def turn(self, n_alone: int, n_together: int, n_in_flight: int) -> Turn:
        return Turn(self._play(n_alone, 1), self._play(n_together, n_in_flight), n_in_flight)

    def _play(self, n_frames: int, n_in_flight: int) -> dict[str, Any]:
        before_s = self._cpu_s()
        said = self.origin.play(n_frames=n_frames, n_in_flight=n_in_flight)
        cpu_s = [(after - before) / n_frames for after, before in zip(self._cpu_s(), before_s, strict=True)]
        return {**said, "origin_cpu_s": cpu_s[0], "cpu_s": sum(cpu_s)}

    def memory_bytes(self) -> list[int]:
        """Resident set of the origin's side and of the far one."""
        return [sum(process.memory_info().rss for process in side) for side in self._sides()]

    def prefer_all(self) -> None:
        for process in (process for side in self._sides() for process in side):
            prefer(process.pid)

    def _cpu_s(self) -> list[float]:
        """Processor seconds of each side: user and system, also of its children that have ended."""
        return [sum(sum(process.cpu_times()[:4]) for process in side) for side in self._sides()]

    def _sides(self) -> list[list[psutil.Process]]:
        """Processes of the origin and of the far side, each with those that it started."""
        return [_family(pid) for pid in (self.origin.pid, self.far_pid) if pid is not None]


@contextmanager
def contestants(kinds: dict[str, Kind], halves: Halves, link: Link) -> Iterator[list[Contestant]]:
    """Contestants of `kinds`, ready, each over a link of its own; all their processes end with it."""
    pairs = {name: (f"near-{number}", f"far-{number}") for number, name in enumerate(kinds)}
    bed = Testbed(
        name="peers",
        nodes=tuple(NodeSpec(name=name, tier="cloud") for pair in pairs.values() for name in pair),
        links=tuple(LinkSpec(between=pair, rate_bps=link.rate_bps, delay_s=link.rtt_s / 2) for pair in pairs.values()),
    )
    with ExitStack() as stack:
        processes = stack.enter_context(NodeProcesses())
        network = Network(bed)
        stack.callback(network.close)
        started = []
        for name, kind in kinds.items():
            near, far = pairs[name]
            far_pid, reach = None, ""
            if kind.far is not None:
                far_pid = processes.start(far, kind.far(halves, network.listen(far))).popen.pid
                processes.wait_ready(far)
                reach = network.endpoint(near, far)
            player = Player(name, kind.python, kind.near(halves, reach))
            stack.callback(player.close)
            player.wait_ready()
            started.append(Contestant(name, player, far_pid))
            started[-1].prefer_all()
        yield started
