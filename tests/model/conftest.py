"""Small real ONNX models with random weights: a constant-weight one would hide a wrongly wired split."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from seamline.core.vocabulary.local_values import is_local, is_same
from seamline.core.vocabulary.plans import Segment
from seamline.core.vocabulary.providers import CPU, OPENVINO
from seamline.model import ModelStore, StoredModel
from seamline.model.engine.providers import InterruptibleEngine, open_engine

SaveModel = Callable[..., Path]
CheckAnswers = Callable[..., StoredModel]
EngineOf = Callable[[ModelStore], InterruptibleEngine]


@pytest.fixture
def store(tmp_path: Path) -> ModelStore:
    return ModelStore(tmp_path / "store")


@pytest.fixture
def weights() -> Callable[..., TensorProto]:
    """``weights("w", 8, 3, 3, 3)``: a seeded random float32 initialiser."""
    rng = np.random.default_rng(7)

    def make(name: str, *shape: int) -> TensorProto:
        fan_in = max(1, int(np.prod(shape[1:])))
        return numpy_helper.from_array((rng.standard_normal(shape) / np.sqrt(fan_in)).astype(np.float32), name)

    return make


@pytest.fixture
def make_model() -> Callable[..., ModelProto]:
    """A model of nodes and weights; inputs and outputs as ``name=(dtype, shape)``."""

    def make(
        nodes: list[NodeProto],
        initialisers: list[TensorProto],
        *,
        inputs: dict[str, tuple[int, list[int | str] | None]],
        outputs: list[str],
        opset: int = 17,
    ) -> ModelProto:
        graph = helper.make_graph(
            nodes,
            "test",
            [helper.make_tensor_value_info(name, dtype, shape) for name, (dtype, shape) in inputs.items()],
            [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs],
            initialisers,
        )
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)

    return make


@pytest.fixture
def small_cnn(make_model: Callable[..., ModelProto], weights: Callable[..., TensorProto]) -> ModelProto:
    """Convolutions with a residual block, a skip from the input, shape arithmetic and a weight-only node."""
    node = helper.make_node
    nodes = [
        node("Conv", ["x", "w1"], ["a"], name="conv1", pads=[1] * 4),
        node("Relu", ["a"], ["b"], name="relu1"),
        node("Transpose", ["w2t"], ["w2"], name="turn", perm=[1, 0, 2, 3]),
        node("Conv", ["b", "w2"], ["c"], name="conv2", pads=[1] * 4),
        node("Add", ["b", "c"], ["d"], name="add"),
        node("Concat", ["d", "x"], ["e"], name="join", axis=1),
        node("Shape", ["e"], ["s"], name="shape"),
        node("Gather", ["s", "zero"], ["n"], name="batch", axis=0),
        node("Concat", ["n", "rest"], ["sizes"], name="sizes", axis=0),
        node("Reshape", ["e", "sizes"], ["f"], name="flat"),
        node("Gemm", ["f", "w3", "b3"], ["y"], name="fc", transB=1),
    ]
    constants = [
        numpy_helper.from_array(np.zeros(1, np.int64), "zero"),
        numpy_helper.from_array(np.full(1, -1, np.int64), "rest"),
    ]
    values = [weights("w1", 8, 3, 3, 3), weights("w2t", 8, 8, 3, 3), weights("w3", 10, 11 * 64), weights("b3", 10)]
    return make_model(nodes, values + constants, inputs={"x": (TensorProto.FLOAT, ["batch", 3, 8, 8])}, outputs=["y"])


@pytest.fixture
def save(tmp_path: Path) -> SaveModel:
    """Write a model to a file and return its path."""

    def write(model: ModelProto, name: str = "small") -> Path:
        path = tmp_path / f"{name}.onnx"
        onnx.save(model, path)
        return path

    return write


@pytest.fixture(params=[CPU, pytest.param(OPENVINO, marks=pytest.mark.needs(OPENVINO))])
def engine_of(request: pytest.FixtureRequest) -> EngineOf:
    """``engine_of(store)``: an engine of one thread, of every provider that can be tried on a processor."""

    def make(store: ModelStore) -> InterruptibleEngine:
        return open_engine(request.param, store, 1)

    return make


@pytest.fixture
def check_answers(store: ModelStore, save: SaveModel, engine_of: EngineOf) -> CheckAnswers:
    """``check_answers(model, {"x": array}, ...)``: whole and at every cut, a model gives what the runtime alone gives.

    Each set of inputs is tried; further keywords are `ModelStore.add`'s. Returns the stored model.
    """

    def check(model: ModelProto, *inputs: Mapping[str, Any], **how: Any) -> StoredModel:
        options = ort.SessionOptions()
        options.log_severity_level = 4
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
        session = ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
        names = [value.name for value in session.get_outputs()]
        stored = store.add(save(model), **how)
        engine = engine_of(store)
        for tensors in inputs:
            expected = dict(zip(names, session.run(None, dict(tensors)), strict=True))
            for cut in _cuts_tried(stored, engine):  # the first runs no layer in its head: the whole model
                found: Mapping[str, Any] = {name: tensors[name] for name in stored.graph.inputs}
                for part in (Segment(0, cut), Segment(cut, stored.whole.stop)):
                    found = engine.prepare(stored.model_id, part).run(found)
                assert list(found) == names
                for name, value in expected.items():
                    _check_value(found[name], value, f"{name}, cut {cut}")
        return stored

    return check


def _cuts_tried(stored: StoredModel, engine: InterruptibleEngine) -> Iterable[int]:
    """All on the processor's engine; on others, which prepare ten times as long, the whole and one in the middle."""
    n_cuts = len(stored.cuts)
    return range(n_cuts) if engine.provider == CPU else sorted({0, n_cuts // 2})


def _check_value(found: Any, expected: Any, what: str) -> None:
    """Sums may be taken in another order: 1e-4, of float16 two units in the last place."""
    if isinstance(expected, list):
        assert isinstance(found, list), what
        for pair in zip(found, expected, strict=True):
            _check_value(*pair, what)
    elif is_local(expected):
        assert is_same(found, expected), what
    else:
        assert found.dtype == expected.dtype, what
        rtol = 2e-3 if expected.dtype == np.float16 else 1e-4
        np.testing.assert_allclose(found, expected, rtol=rtol, atol=1e-6, err_msg=what)
