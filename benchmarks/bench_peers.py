"""Seamline beside what one would write instead: the same halves of a network in two processes, over the same link.

    python benchmarks/bench_peers.py --model mobilenetv2 --link loopback --link 100x20 --peer pyzmq

Every contestant has an origin and a far side of its own, in processes of their own with one thread for the network; all
stand there at once and take turns. Frames go one at a time, for latency, and several in flight, for throughput. Links
are the testbed's relay, a link of its own for each contestant. The peers are in `peers/`, short enough to be read.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from argparse import Namespace
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import onnx
import psutil
from models import video_frame
from onnx.external_data_helper import load_external_data_for_model
from reporting import Report, parser, progress, spread

from seamline.config import LinkSpec, NodeSpec, Testbed
from seamline.core.vocabulary.plans import Segment
from seamline.model import StoredModel
from seamline.model.locate import load_model
from seamline.testbed.priority import prefer
from seamline.testbed.processes import NodeProcesses, node_command
from seamline.testbed.relay import Network

CUTS = {"mobilenetv2": 54, "resnet50": 90, "vgg19": 19}
"""About the middle of what each computes, at a boundary that no quarter of the network around it has smaller."""

PEERS = Path(__file__).parent / "peers"
N_WARM_UP = 3
CLOSING_S = 15.0
BASELINE = "pyzmq"


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """rate_bps: 0.0 is unshaped loopback. rtt_s: of the link alone, half of it each way."""

    rate_bps: float = 0.0
    rtt_s: float = 0.0

    def __str__(self) -> str:
        return f"{self.rate_bps / 1e6:g} Mbit/s, {self.rtt_s * 1e3:g} ms" if self.rate_bps else "loopback"


@dataclass(frozen=True, slots=True, kw_only=True)
class Halves:
    """A model and its pieces as ONNX files, and a frame for them."""

    model: StoredModel
    cut: int
    first: Path
    second: Path
    whole: Path
    frame: Path

    @property
    def last(self) -> int:
        return len(self.model.cuts) - 1

    @property
    def boundary_bytes(self) -> int:
        return self.model.cuts[self.cut].payload_bytes


@dataclass
class Contestant:
    """Processes of one contestant, and what its turns took. rounds: one entry of both ways of sending each."""

    name: str
    origin: Player
    far_pid: int | None
    rounds: list[dict[str, Any]] = field(default_factory=list)

    def turn(self, n_alone: int, n_together: int, n_in_flight: int) -> None:
        found: dict[str, Any] = {}
        for way, n_frames, at_once in (("alone", n_alone, 1), ("together", n_together, n_in_flight)):
            before_s = self._cpu_s()
            said = self.origin.play(n_frames=n_frames, n_in_flight=at_once)
            cpu_s = [(after_s - b_s) / n_frames for after_s, b_s in zip(self._cpu_s(), before_s, strict=True)]
            found[way] = {**said, "origin_cpu_s": cpu_s[0], "cpu_s": sum(cpu_s)}
        self.rounds.append(found)

    def latencies_s(self, number: int) -> list[float]:
        return list(self.rounds[number]["alone"]["latency_s"][N_WARM_UP:])

    def throughput_fps(self, number: int, n_in_flight: int) -> float:
        """Answers a second once the pipeline is full."""
        answered_s = self.rounds[number]["together"]["answered_s"][n_in_flight:]
        return (len(answered_s) - 1) / (answered_s[-1] - answered_s[0])

    def memory_bytes(self) -> list[int]:
        return [process.memory_info().rss for process in self._processes()]

    def _cpu_s(self) -> list[float]:
        return [sum(process.cpu_times()[:2]) for process in self._processes()]

    def _processes(self) -> list[psutil.Process]:
        return [psutil.Process(pid) for pid in (self.origin.pid, self.far_pid) if pid is not None]


class Player:
    """The origin's process of a contestant: see `peers/play.py`."""

    def __init__(self, name: str, words: Sequence[object]) -> None:
        self._name = name
        self._process = subprocess.Popen(
            [sys.executable, str(PEERS / "play.py"), "play", *map(str, words)],
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
        """Its standard input ends, and it with that."""
        try:
            self._process.communicate(timeout=CLOSING_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.communicate()


def main() -> None:
    chosen = _options()
    report = Report("peers", "Seamline beside what one would write instead", chosen)
    rows = []
    for name in chosen.model or CUTS:
        with _halves_of(name) as halves:
            for link in chosen.link or [Link()]:
                progress(f"{name} over {link}")
                rows.append(_compare(report, halves, link, chosen))
                _tell(report, rows[-1])
    report.data = {"comparisons": rows}
    report.finish()


def _options() -> Namespace:
    options = parser("Seamline beside its alternatives")
    options.add_argument("--model", action="append", choices=CUTS, help="repeatable; all when not given")
    options.add_argument(
        "--link", action="append", type=_link, help="`loopback`, or Mbit/s x ms there and back: 100x20"
    )
    options.add_argument("--rounds", type=int, help="turns of each contestant")
    options.add_argument("--turn-s", type=float, help="about how long a turn takes, each way of sending")
    chosen = options.parse_args()
    chosen.rounds = chosen.rounds or (3 if chosen.quick else 10)
    chosen.turn_s = chosen.turn_s or (0.7 if chosen.quick else 2.0)
    return chosen


def _link(text: str) -> Link:
    if text == "loopback":
        return Link()
    rate, _, rtt = text.partition("x")
    return Link(rate_bps=float(rate) * 1e6, rtt_s=float(rtt) / 1e3)


def _compare(report: Report, halves: Halves, link: Link, chosen: Namespace) -> dict[str, Any]:
    """Every contestant over `link`, in turn; its samples by name."""
    with ExitStack() as stack:
        processes = stack.enter_context(NodeProcesses())
        network = stack.enter_context(_network(link))
        contestants = _started(stack, processes, network, halves)
        for contestant in contestants:  # warm-up, which also says how many frames a turn has
            contestant.turn(10, 10, 4)
        slowest_s = max(median(each.latencies_s(0)) for each in contestants)
        n_in_flight = 4
        n_frames = max(N_WARM_UP + 5, int(chosen.turn_s / slowest_s))
        for contestant in contestants:
            contestant.rounds.clear()
        for number in range(chosen.rounds):
            progress(f"  round {number + 1} of {chosen.rounds}")
            for at in range(len(contestants)):
                contestants[(at + number) % len(contestants)].turn(n_frames, n_in_flight + n_frames, n_in_flight)
        memory = {each.name: each.memory_bytes() for each in contestants}
        for pid in (pid for each in contestants for pid in (each.far_pid,) if pid is not None):
            report.child_cpu(pid)
        _check_answers(contestants)
    return {
        "model": halves.model.name,
        "cut": halves.cut,
        "boundary_bytes": halves.boundary_bytes,
        "link": str(link),
        "n_in_flight": n_in_flight,
        "contestants": {
            each.name: {
                "latency_s": [each.latencies_s(number) for number in range(chosen.rounds)],
                "throughput_fps": [each.throughput_fps(number, n_in_flight) for number in range(chosen.rounds)],
                **{
                    f"{key}_{way}": [found[way][key] for found in each.rounds]
                    for key in ("origin_cpu_s", "cpu_s")
                    for way in ("alone", "together")
                },
                "memory_bytes": memory[each.name],
                "plans": sorted({found[way]["plan"] for found in each.rounds for way in ("alone", "together")}),
            }
            for each in contestants
        },
    }


def _started(stack: ExitStack, processes: NodeProcesses, network: Network, halves: Halves) -> list[Contestant]:
    plan = f"edge[0:{halves.cut}]raw > cloud[{halves.cut}:{halves.last}]"
    contestants = []
    for name in ("pyzmq", "seamline"):
        listen, reach = network.listen(_far(name)), network.endpoint(_near(name), _far(name))
        if name == "seamline":
            node = NodeSpec(name="cloud", tier="cloud")
            far = node_command(node, listen=listen, cluster=name, options=("--no-relay",))
            words = ["seamline_stream.Stream", halves.frame, reach, name, halves.model.name, plan, "lossless"]
        else:
            at = listen.replace("tcp/", "tcp://")
            far = (sys.executable, str(PEERS / "play.py"), "serve", "pyzmq_pipeline", str(halves.second), at)
            words = ["pyzmq_pipeline.Pipeline", halves.frame, halves.first, reach.replace("tcp/", "tcp://")]
        far_process = processes.start(_far(name), far)
        processes.wait_ready(_far(name))
        contestants.append(Contestant(name, _player(stack, name, words), far_process.popen.pid))
    return contestants


def _player(stack: ExitStack, name: str, words: Sequence[object]) -> Player:
    player = Player(name, words)
    stack.callback(player.close)
    player.wait_ready()
    return player


def _near(name: str) -> str:
    return f"{name}-near"


def _far(name: str) -> str:
    return f"{name}-far"


@contextmanager
def _network(link: Link) -> Iterator[Network]:
    """A link like `link` for every contestant."""
    pairs = [(_near(name), _far(name)) for name in ("pyzmq", "seamline")]
    nodes = tuple(NodeSpec(name=name, tier="cloud") for pair in pairs for name in pair)
    links = tuple(LinkSpec(between=pair, rate_bps=link.rate_bps, delay_s=link.rtt_s / 2) for pair in pairs)
    network = Network(Testbed(name="peers", nodes=nodes, links=links))
    try:
        yield network
    finally:
        network.close()


def _check_answers(contestants: Sequence[Contestant]) -> None:
    """The same frame has the same answer, whoever gives it."""
    answers = {each.name: found[way]["answer"] for each in contestants for found in each.rounds for way in found}
    (best, score), *others = answers.values()
    if any(other != best or not np.isclose(theirs, score, rtol=1e-4) for other, theirs in others):
        raise SystemExit(f"the answers differ: {answers}")


@contextmanager
def _halves_of(name: str) -> Iterator[Halves]:
    """Files that ONNX Runtime opens by itself: halves of the model at its cut, and the whole, behind preprocessing."""
    _, model = load_model(name)
    cut, last = CUTS[name], len(model.cuts) - 1
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


def _tell(report: Report, row: dict[str, Any]) -> None:
    report.say(f"## {row['model']} over {row['link']}", "")
    baseline = row["contestants"][BASELINE]
    report.table(
        (
            "",
            "latency p50, ms",
            "p95",
            f"ratio to {BASELINE}",
            "frames/s",
            f"ratio to {BASELINE}",
            "CPU ms/frame, origin",
            "both",
            "RSS, MiB",
        ),
        [_cells(name, found, baseline) for name, found in row["contestants"].items()],
    )


def _cells(name: str, found: dict[str, Any], baseline: dict[str, Any]) -> tuple[str, ...]:
    latencies_s = [value for each in found["latency_s"] for value in each]
    slower = [median(own) / median(other) for own, other in zip(found["latency_s"], baseline["latency_s"], strict=True)]
    faster = [own / other for own, other in zip(found["throughput_fps"], baseline["throughput_fps"], strict=True)]
    return (
        name,
        f"{np.percentile(latencies_s, 50) * 1e3:.2f}",
        f"{np.percentile(latencies_s, 95) * 1e3:.2f}",
        spread(slower).text(),
        spread(found["throughput_fps"]).text(1, 1),
        spread(faster).text(),
        spread(found["origin_cpu_s_alone"]).text(1e3, 1),
        spread(found["cpu_s_alone"]).text(1e3, 1),
        " + ".join(f"{n_bytes / 2**20:.0f}" for n_bytes in found["memory_bytes"]),
    )


if __name__ == "__main__":
    main()
