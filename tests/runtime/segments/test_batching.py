"""Claims about batches: frames together come out as they do alone, or they are not computed together."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper, save

from seamline.core.vocabulary.plans import Segment
from seamline.model import ModelStore, OrtEngine
from seamline.runtime.segments import batching

RNG = np.random.default_rng(0)


def stored(store: ModelStore, path: Path, *nodes, shape=(1, 64), **weights) -> str:
    """A model of `nodes` from `x` of `shape` to `y`."""
    graph = helper.make_graph(
        list(nodes),
        "small",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in weights.items()],
    )
    save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10), path)
    return store.add(path).model_id


def opened(store: ModelStore, model_id: str, monkeypatch: pytest.MonkeyPatch):
    """The whole model with batches, if they are safe; whether they are."""
    monkeypatch.setattr(batching, "_share_ratio", lambda alone, together, size: 1.0 / size)
    engine, model = OrtEngine(store, 1), store.get(model_id)
    segment = Segment(0, len(model.cuts) - 1)
    prepared = engine.prepare(model_id, segment)
    return prepared, batching.open_batch(engine, model_id, segment, prepared)


@pytest.fixture
def store(tmp_path: Path) -> ModelStore:
    return ModelStore(tmp_path / "store")


def frames(n: int, shape=(1, 64)) -> list[dict[str, np.ndarray]]:
    return [{"x": RNG.standard_normal(shape).astype(np.float32)} for _ in range(n)]


def test_products_are_the_same_together_and_alone(store, tmp_path, monkeypatch):
    weights = RNG.standard_normal((64, 10)).astype(np.float32)
    product = helper.make_node("MatMul", ["x", "w"], ["y"], name="product")
    model_id = stored(store, tmp_path / "m.onnx", product, w=weights)
    prepared, is_safe = opened(store, model_id, monkeypatch)
    assert is_safe
    given = frames(3)
    for one, together in zip(given, prepared.run_many(given), strict=True):
        np.testing.assert_allclose(together["y"], prepared.run(one)["y"], rtol=1e-5)
        assert together["y"].shape == (1, 10)


def test_shape_that_is_said_for_one_frame_is_opened(store, tmp_path, monkeypatch):
    nodes = (
        helper.make_node("Relu", ["x"], ["r"], name="relu"),
        helper.make_node("Reshape", ["r", "s"], ["y"], name="flat"),
    )
    shape = np.array([1, 64], np.int64)
    model_id = stored(store, tmp_path / "m.onnx", *nodes, shape=(1, 4, 16), s=shape)
    prepared, is_safe = opened(store, model_id, monkeypatch)
    assert is_safe
    assert [one["y"].shape for one in prepared.run_many(frames(2, (1, 4, 16)))] == [(1, 64)] * 2


def test_graph_that_mixes_frames_has_no_batches(store, tmp_path, monkeypatch):
    """A mean over all axes, broadcast back: it runs with several frames, and mixes them."""
    nodes = (
        helper.make_node("ReduceMean", ["x"], ["mean"], name="mean", keepdims=1),
        helper.make_node("Sub", ["x", "mean"], ["y"], name="less"),
    )
    model_id = stored(store, tmp_path / "m.onnx", *nodes)
    prepared, is_safe = opened(store, model_id, monkeypatch)
    assert not is_safe
    assert prepared.n_most == 1


def test_axis_that_is_no_axis_of_frames_has_no_batches(store, tmp_path, monkeypatch):
    model_id = stored(store, tmp_path / "m.onnx", helper.make_node("Relu", ["x"], ["y"], name="relu"), shape=(3, 4))
    assert not opened(store, model_id, monkeypatch)[1]


def test_what_brings_nothing_is_off(store, tmp_path, monkeypatch):
    model_id = stored(store, tmp_path / "m.onnx", helper.make_node("Relu", ["x"], ["y"], name="relu"))
    monkeypatch.setattr(batching, "_share_ratio", lambda alone, together, size: 0.95)
    engine, model = OrtEngine(store, 1), store.get(model_id)
    segment = Segment(0, len(model.cuts) - 1)
    prepared = engine.prepare(model_id, segment)
    assert not batching.open_batch(engine, model_id, segment, prepared)
