"""Outputs of one frame enter the next: what comes out is what a loop by hand computes, wherever the network is cut."""

from __future__ import annotations

import secrets
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper, numpy_helper

import seamline
from seamline.core.vocabulary.errors import UsageError
from seamline.core.vocabulary.nodes import NodeId
from seamline.model import FrameRecipe, ModelStore, OrtEngine
from seamline.runtime.node.profiling import Profiler
from seamline.runtime.node.starting import NodeOptions, open_node
from seamline.runtime.origin.feed_back import FeedBack

RNG = np.random.default_rng(8)
FRAMES = [RNG.standard_normal((1, 4)).astype(np.float32) for _ in range(6)]


@pytest.fixture
def recurrent(tmp_path: Path) -> Path:
    """h' = tanh(x W + h U), y = 2 h'; takes x and h, gives y and h'."""
    weights = [RNG.standard_normal((4, 4)).astype(np.float32) for _ in "WU"]
    nodes = [
        helper.make_node("MatMul", ["x", "W"], ["a"]),
        helper.make_node("MatMul", ["h", "U"], ["b"]),
        helper.make_node("Add", ["a", "b"], ["c"]),
        helper.make_node("Tanh", ["c"], ["h_next"]),
        helper.make_node("Add", ["h_next", "h_next"], ["y"]),
    ]
    values = {
        name: helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 4]) for name in ("x", "h", "y", "h_next")
    }
    graph = helper.make_graph(
        nodes,
        "recurrent",
        [values["x"], values["h"]],
        [values["y"], values["h_next"]],
        [numpy_helper.from_array(value, name) for name, value in zip("WU", weights, strict=True)],
    )
    path = tmp_path / "recurrent.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path


def by_hand(path: Path) -> list[np.ndarray]:
    session, state, answers = ort.InferenceSession(str(path)), np.zeros((1, 4), np.float32), []
    for frame in FRAMES:
        answer, state = session.run(["y", "h_next"], {"x": frame, "h": state})
        answers.append(answer)
    return answers


def test_a_state_is_fed_back_from_frame_to_frame(recurrent, tmp_path):
    with seamline.connect(n_threads=1, cache=tmp_path / "cache") as cluster:
        stream = cluster.stream(recurrent, over=["edge"], profile_budget_s=0.1)
        for _ in range(2):  # every run begins with zeros
            results = list(stream.run(FRAMES, feed_back={"h_next": "h"}))
            np.testing.assert_allclose([result.outputs["y"] for result in results], by_hand(recurrent), rtol=1e-5)
        for result in stream.run(FRAMES, feed_back={"h_next": "h"}):
            assert result.error is None
            break
        own = [{"x": FRAMES[0], "h": np.ones((1, 4), np.float32)}]
        (result,) = stream.run(own, feed_back={"h_next": "h"})
        (wanted,) = ort.InferenceSession(str(recurrent)).run(["y"], own[0])
        np.testing.assert_allclose(result.outputs["y"], wanted, rtol=1e-5)


@pytest.mark.parametrize(
    ("pairs", "words"),
    [
        ({"h": "h"}, "no output `h`; hint: its outputs are y, h_next"),
        ({"h_next": "state"}, "no input `state`; hint: its inputs are x, h"),
        ({"h_next": "h", "y": "h"}, "two outputs are fed back"),
    ],
)
def test_what_cannot_be_fed_back_is_refused(recurrent, tmp_path, pairs, words):
    with pytest.raises(UsageError, match=words):
        FeedBack(pairs, ModelStore(tmp_path / "store").add(recurrent))


@pytest.fixture
def seeing(tmp_path: Path) -> Path:
    """state' = state / 2 + mean of a picture's channels; takes image float32[1, 3, 6, 8] and state, gives both."""
    nodes = [
        helper.make_node("ReduceMean", ["image"], ["m"], axes=[2, 3], keepdims=0),
        helper.make_node("Mul", ["state", "half"], ["s"]),
        helper.make_node("Add", ["m", "s"], ["state_next"]),
        helper.make_node("Relu", ["state_next"], ["y"]),
    ]
    shapes = {"state": [1, 3], "image": [1, 3, 6, 8], "y": [1, 3], "state_next": [1, 3]}
    values = {name: helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in shapes.items()}
    half = numpy_helper.from_array(np.array(0.5, np.float32), "half")
    graph = helper.make_graph(
        nodes, "seeing", [values["state"], values["image"]], [values["y"], values["state_next"]], [half]
    )
    path = tmp_path / "seeing.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path


def test_a_picture_and_a_state_enter_together_wherever_the_network_is_cut(seeing, tmp_path):
    cluster_name = f"test-{secrets.token_hex(3)}"
    pictures = [RNG.integers(0, 256, (6, 8, 3), dtype=np.uint8) for _ in range(3)]
    state, wanted = np.zeros((1, 3), np.float32), []
    for picture in pictures:
        state = state / 2 + picture.mean((0, 1), dtype=np.float32) / 255
        wanted.append(state)
    fog = open_node(NodeOptions(name="fog", tier="fog", cluster=cluster_name, n_threads=1, cache=tmp_path / "fog"))
    try:
        with seamline.connect(*fog.endpoints, cluster=cluster_name, n_threads=1, cache=tmp_path / "edge") as cluster:
            model = cluster.add_model(seeing, preprocess="unit", first=pictures[0])
            assert [spec.name for spec in model.inputs] == ["frame", "state"]
            stream = cluster.stream(model, over=["edge", "fog"], profile_budget_s=0.1)
            last = model.whole.stop
            plans = [f"edge[0:{last}]", *(f"edge[0:{cut}]raw > fog[{cut}:{last}]" for cut in range(last))]
            for plan in plans:
                stream.switch(plan).result(timeout=20.0)
                results = list(stream.run(pictures, feed_back={"state_next": "state"}))
                assert {str(result.plan) for result in results} == {plan}
                found = np.array([result.outputs["y"] for result in results])
                np.testing.assert_allclose(found, wanted, rtol=1e-5)
    finally:
        fog.close()


def test_what_enters_beside_a_picture_is_sent_with_every_frame_and_is_no_jpeg(seeing, tmp_path):
    store = ModelStore(tmp_path / "store")
    model = store.add(seeing, preprocess=FrameRecipe(preprocess="unit"))
    frame = Profiler(OrtEngine(store, 1), NodeId("edge"), 1, cache=tmp_path).profile(model, 0.05).frame
    assert frame is not None
    assert (frame.raw_bytes, frame.jpeg_bytes) == (6 * 8 * 3 + 3 * 4, None)
