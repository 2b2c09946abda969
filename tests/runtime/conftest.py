"""Real nodes in one process: real engine, real threads, virtual links, and a profile that is given, not measured."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from seamline.config.power import PowerSpec
from seamline.core.adaptation.policy import policy_named
from seamline.core.switching import PreparationMode, strategy_named
from seamline.core.vocabulary.constraints import Constraints
from seamline.core.vocabulary.errors import ModelError
from seamline.core.vocabulary.nodes import NodeId, Tier
from seamline.core.vocabulary.objectives import Objective
from seamline.core.vocabulary.plans import EIGHT_BIT_CODECS
from seamline.core.vocabulary.ports import Engine
from seamline.core.vocabulary.profiles import Block, DeviceInfo, FrameInfo, ModelInfo, Profile, Quantiles
from seamline.fabric.memory import VirtualNetwork
from seamline.model import ModelStore, OrtEngine, Preprocess, StoredModel
from seamline.runtime.api.stream import Stream
from seamline.runtime.node.node import Node
from seamline.runtime.node.profiling import powered
from seamline.runtime.node.status import Identity
from seamline.runtime.origin.answer_reading import AnswerReading
from seamline.runtime.segments.private_weights import PrivateWeightsEngine
from seamline.runtime.shared.energy import EnergyAccount

EXTENT = 32
WHOLE_S = {"edge": 0.040, "fog": 0.004, "cloud": 0.002}
"""What the given profiles say; the engine itself is far faster, so the planner has reason to split."""


class GivenProfiler:
    """Says what a model costs without measuring: times shared over blocks by their MACs."""

    def __init__(self, node: str, power: PowerSpec | None = None) -> None:
        self.node = node
        self.power = power

    def profile(self, model: StoredModel, budget_s: float) -> Profile:
        whole_s = WHOLE_S[self.node]
        candidates = [cut for cut in model.cuts if cut.is_candidate]
        macs = model.cuts[-1].macs_before
        blocks = tuple(
            Block(
                from_cut=here.index,
                to_cut=there.index,
                compute_s=Quantiles(median=max(1e-6, whole_s * (there.macs_before - here.macs_before) / macs), p90=0.0),
            )
            for here, there in itertools.pairwise(candidates)
        )
        return Profile(
            model=ModelInfo(name=model.name, sha256=model.model_id),
            device=DeviceInfo(name=NodeId(self.node))
            if self.power is None
            else powered(DeviceInfo(name=NodeId(self.node)), self.power),
            cuts=model.cuts,
            blocks=blocks,
            whole_s=Quantiles(median=whole_s, p90=whole_s),
            frame=FrameInfo(raw_bytes=EXTENT * EXTENT * 3, jpeg_bytes=900),
        )


class PacedEngine:
    """An engine whose whole model takes what the node's profile says, so that plans cost what was planned.

    slowdown: of what runs from now on. n_refusals: so many of the next segments are refused. Without `go_on` it waits
    before each, `is_waiting`.
    """

    def __init__(self, engine: Engine, model: StoredModel, whole_s: float, like: PacedEngine | None = None) -> None:
        self._engine, self._model, self._whole_s = engine, model, whole_s
        self._like = like
        self.slowdown = 1.0
        self.n_refusals = 0
        self.is_waiting, self.go_on = threading.Event(), threading.Event()
        self.go_on.set()

    @property
    def name(self) -> str:
        return self._engine.name

    @property
    def provider(self) -> str:
        return self._engine.provider

    @property
    def computes_on_caller(self) -> bool:
        return False

    def prepare(self, model_id: str, segment):
        (self._like or self).meet_trouble()
        cuts = self._model.cuts
        share = (cuts[segment.stop].macs_before - cuts[segment.start].macs_before) / cuts[-1].macs_before
        takes_s = self._whole_s * share
        return PacedSegment(self._engine.prepare(model_id, segment), lambda: takes_s * self.slowdown)

    def meet_trouble(self) -> None:
        if not self.go_on.is_set():
            self.is_waiting.set()
            self.go_on.wait(20)
        self.n_refusals -= 1
        if self.n_refusals >= 0:
            raise ModelError("no memory left")


class PacedSegment:
    def __init__(self, segment, takes_s: Callable[[], float]) -> None:
        self._segment, self._takes_s = segment, takes_s

    @property
    def inputs(self):
        return self._segment.inputs

    @property
    def outputs(self):
        return self._segment.outputs

    def run(self, tensors):
        until_s = time.monotonic() + self._takes_s()
        outputs = self._segment.run(tensors)
        time.sleep(max(0.0, until_s - time.monotonic()))
        return outputs


@pytest.fixture(scope="session")
def model_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight convolutions with ReLU, random weights, shrinking maps, ten classes; takes 32x32 RGB frames."""
    rng = np.random.default_rng(3)
    nodes, weights = [], []
    channels, value = 3, "image"
    for layer, (out, stride) in enumerate([(16, 1), (16, 2), (16, 1), (24, 2), (24, 1), (32, 2), (32, 1), (48, 1)]):
        kernel = rng.standard_normal((out, channels, 3, 3)) * np.sqrt(2 / (9 * channels))
        weights.append(numpy_helper.from_array(kernel.astype(np.float32), f"w{layer}"))
        nodes.append(
            helper.make_node(
                "Conv", [value, f"w{layer}"], [f"c{layer}"], pads=[1] * 4, strides=[stride] * 2, name=f"conv{layer}"
            )
        )
        nodes.append(helper.make_node("Relu", [f"c{layer}"], [f"r{layer}"], name=f"relu{layer}"))
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
    path = tmp_path_factory.mktemp("model") / "tiny.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path


class Bench:
    """Nodes over a virtual network, and a stream at the edge. Ends everything it started."""

    def __init__(self, model_file: Path, folder: Path) -> None:
        self.network = VirtualNetwork()
        self._folder = folder
        self.nodes: dict[str, Node] = {}
        self.powers: dict[str, PowerSpec] = {}
        self.engines: dict[str, PacedEngine] = {}
        self._n_started = itertools.count()
        self.origin_store = ModelStore(folder / "edge")
        preprocess = Preprocess(height=EXTENT, width=EXTENT, mean=(127.0,) * 3, std=(64.0,) * 3)
        self.model = self.origin_store.add(model_file, preprocess=preprocess)
        self.streams: list[Stream] = []

    def start(
        self, name: str, *, memory_bytes: int = 10**9, tier: str | None = None, profiler: GivenProfiler | None = None
    ) -> Node:
        store = self.origin_store if name == "edge" else ModelStore(self._folder / name)
        engine = PacedEngine(OrtEngine(store, 1), self.model, WHOLE_S[name])
        identity = Identity(
            name=NodeId(name),
            tier=Tier(tier or name),
            incarnation=f"{next(self._n_started):x}",
            n_threads=1,
            memory_bytes=memory_bytes,
        )
        own = PacedEngine(PrivateWeightsEngine(store, 1), self.model, WHOLE_S[name], like=engine)
        power = self.powers.get(name)
        node = Node(
            identity, self.network.fabric(name), store, engine, profiler or GivenProfiler(name, power),
            {PreparationMode.PRIVATE_WEIGHTS: own}, EnergyAccount(power),
        )  # fmt: skip
        node.start()
        self.nodes[name], self.engines[name] = node, engine
        return node

    def kill(self, name: str) -> None:
        """Gone without a word: its messages stop, then its threads are collected."""
        self.network.kill(name)
        self.nodes.pop(name).close()

    def link(self, one: str, other: str, rate_bps: float, delay_s: float = 0.001) -> None:
        self.network.set_link(one, other, rate_bps=rate_bps, delay_s=delay_s)
        self.network.set_link(other, one, rate_bps=rate_bps, delay_s=delay_s)

    def stream(
        self,
        *,
        policy: str = "adaptive",
        private: int = 0,
        codecs=EIGHT_BIT_CODECS,
        lossy=None,
        min_agreement: float | None = None,
        allow_local: bool = True,
        strategy: str = "live",
        record: Path | None = None,
        reading: AnswerReading | None = None,
    ) -> Stream:
        stream = Stream(
            self.nodes["edge"],
            self.model,
            others=tuple(NodeId(name) for name in self.nodes if name != "edge"),
            objective=Objective.LATENCY,
            constraints=Constraints(n_private_cuts=private, codecs=codecs, allow_local=allow_local, lossy=lossy),
            policy=policy_named(policy),
            profile_budget_s=1.0,
            strategy=strategy_named(strategy),
            record=record,
            reading=reading,
            min_agreement=min_agreement,
        )
        self.streams.append(stream)
        stream.open()
        return stream

    def close(self) -> None:
        for stream in self.streams:
            stream.close()
        for node in self.nodes.values():
            node.close()
        self.network.close()


@pytest.fixture(autouse=True)
def no_threads_left() -> Iterator[None]:
    """Every thread that a test's nodes started is over before the next test goes on."""
    before = set(threading.enumerate())
    yield
    left = set(threading.enumerate()) - before
    for thread in left:
        thread.join(timeout=5.0)  # one that has just been told to end may take a moment on a busy machine
    running = [thread.name for thread in left if thread.is_alive()]
    assert not running, f"threads left running: {running}"


@pytest.fixture
def bench(model_file: Path, tmp_path: Path) -> Iterator[Bench]:
    bench = Bench(model_file, tmp_path)
    try:
        yield bench
    finally:
        bench.close()


@pytest.fixture
def profile(bench: Bench) -> Callable[[str], Profile]:
    """What the model costs on a node of that name, as given, not measured."""
    return lambda name: GivenProfiler(name).profile(bench.model, 1.0)


@pytest.fixture
def photos() -> list[np.ndarray]:
    """Sixty different frames."""
    rng = np.random.default_rng(5)
    return [rng.integers(0, 256, (EXTENT, EXTENT, 3), dtype=np.uint8) for _ in range(60)]


@pytest.fixture
def expected(bench: Bench, photos) -> list[np.ndarray]:
    """What the whole model says to each of `photos`."""
    whole = OrtEngine(bench.origin_store, 1).prepare(bench.model.model_id, bench.model.whole)
    return [whole.run({"frame": photo})["scores"] for photo in photos]


@pytest.fixture
def wait_until() -> Callable[[Callable[[], bool]], None]:
    """Wait for a condition; the limit only keeps a broken test from hanging."""

    def wait(condition: Callable[[], bool], limit_s: float = 20.0) -> None:
        end_s = time.monotonic() + limit_s
        while not condition():
            assert time.monotonic() < end_s, "it never came true"
            time.sleep(0.01)

    return wait
