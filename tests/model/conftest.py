"""Small real ONNX models with random weights: a constant-weight one would hide a wrongly wired split."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from seamline.model import ModelStore

SaveModel = Callable[..., Path]


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
