"""A model with open axes takes them from the first frame of what it will be given, and says which stay open."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper, numpy_helper

import seamline
from seamline.core.vocabulary.errors import OpenAxis, UsageError
from seamline.model import FrameRecipe, ModelStore
from seamline.model.metadata.preprocess import Preprocess, write_preprocess
from seamline.runtime.api.dynamic_shapes import add_model
from seamline.runtime.sources.opening import open_source

RECIPE = FrameRecipe(mean=(127.0,) * 3, std=(64.0,) * 3)


@pytest.fixture(params=[11, 17])
def opset(request: pytest.FixtureRequest) -> int:
    """Before and after operators took their axes as inputs."""
    return int(request.param)


@pytest.fixture
def open_model(tmp_path: Path, opset: int) -> Path:
    """Two convolutions and a global pool over frames of any size: float32[1, 3, rows, columns] -> float32[1, 4]."""
    rng = np.random.default_rng(4)
    weights = [rng.standard_normal(shape).astype(np.float32) for shape in ((8, 3, 3, 3), (4, 8, 3, 3))]
    nodes = [
        helper.make_node("Conv", ["x", "w0"], ["a"], pads=[1] * 4, strides=[2, 2], name="first"),
        helper.make_node("Relu", ["a"], ["b"], name="relu"),
        helper.make_node("Conv", ["b", "w1"], ["c"], pads=[1] * 4, name="second"),
        helper.make_node("GlobalAveragePool", ["c"], ["d"], name="pool"),
        helper.make_node("Flatten", ["d"], ["y"], name="flatten"),
    ]
    graph = helper.make_graph(
        nodes,
        "open",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, "rows", "columns"])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 4])],
        [numpy_helper.from_array(value, f"w{at}") for at, value in enumerate(weights)],
    )
    path = tmp_path / "open.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8), path)
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two pictures of different sizes; the first has 20 rows and 28 columns."""
    path = tmp_path / "pictures"
    path.mkdir()
    rng = np.random.default_rng(6)
    for name, extent in (("a.png", (20, 28, 3)), ("b.png", (40, 40, 3))):
        cv2.imwrite(str(path / name), rng.integers(0, 256, extent, dtype=np.uint8))
    return path


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[seamline.Cluster]:
    with seamline.connect(name="edge", cluster="opening", n_threads=1, cache=tmp_path / "cache") as here:
        yield here


def test_the_first_frame_of_a_source_says_how_large_the_models_input_is(cluster, open_model, folder):
    source = open_source(str(folder))
    model = cluster.add_model(open_model, preprocess=RECIPE, first=source)
    assert model.graph.input_specs[0].shape == (1, 3, 20, 28)
    results = list(cluster.stream(model, profile_budget_s=0.1).run(source))
    assert [result.outputs["y"].shape for result in results] == [
        (1, 4)
    ] * 2  # the second picture is fitted to the first
    frame = next(source.frames()).transpose(2, 0, 1)[None].astype(np.float32)
    expected = ort.InferenceSession(str(open_model)).run(None, {"x": (frame - 127.0) / 64.0})[0]
    np.testing.assert_allclose(results[0].outputs["y"], expected, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("as_dict", [True, False])
def test_an_array_says_the_same_of_a_model_that_takes_no_camera_frames(cluster, open_model, as_dict):
    array = np.random.default_rng(1).standard_normal((1, 3, 12, 10)).astype(np.float32)
    frame = {"x": array} if as_dict else array
    stream = cluster.stream(open_model, first=frame, profile_budget_s=0.1)
    (result,) = stream.run([frame])
    expected = ort.InferenceSession(str(open_model)).run(None, {"x": array})[0]
    np.testing.assert_allclose(result.outputs["y"], expected, rtol=1e-4, atol=1e-5)


def test_what_is_said_of_the_model_goes_before_the_first_frame(tmp_path, open_model):
    def not_asked() -> np.ndarray:
        raise AssertionError("the camera was started for nothing")

    sized = FrameRecipe(height=8, width=6, mean=RECIPE.mean, std=RECIPE.std)
    model = add_model(ModelStore(tmp_path / "store"), open_model, preprocess=sized, first=not_asked)
    assert model.graph.input_specs[0].shape == (1, 3, 8, 6)


def test_without_a_first_frame_the_open_axis_is_named(cluster, open_model):
    with pytest.raises(OpenAxis, match=r"axis 2 \(rows\) of input `x` is open: \[1,3,rows,columns\]; hint: fix it"):
        cluster.stream(open_model)
    with pytest.raises(
        OpenAxis, match=r"height \(axis 2\) and width \(axis 3\) of the frames .* is open; hint: fix it"
    ):
        cluster.add_model(open_model, preprocess=RECIPE)
    with pytest.raises(UsageError, match="does not say how a picture becomes its input `x` float32"):
        cluster.add_model(open_model, first=np.zeros((8, 8, 3), np.uint8))


def test_a_first_frame_that_does_not_fit_is_refused(cluster, open_model):
    with pytest.raises(UsageError, match="has 4 axes"):
        cluster.add_model(open_model, first=np.zeros((3, 4), np.float32))
    with pytest.raises(UsageError, match="no input `z`"):
        cluster.add_model(open_model, first={"z": np.zeros((1, 3, 4, 4), np.float32)})


def test_a_trained_detector_takes_the_size_of_the_first_frame(cluster, package_file):
    """PP-OCR's detector with both axes open."""
    path = package_file("rapidocr_onnxruntime", "models/ch_PP-OCRv4_det_infer.onnx")
    frame = np.random.default_rng(2).integers(0, 256, (96, 160, 3), dtype=np.uint8)
    model = cluster.add_model(path, preprocess=RECIPE, first=frame)
    assert model.graph.input_specs[0].shape == (1, 3, 96, 160)
    (result,) = cluster.stream(model, profile_budget_s=0.1).run([frame])
    tensor = (frame.transpose(2, 0, 1)[None].astype(np.float32) - 127.0) / 64.0
    expected = ort.InferenceSession(str(path)).run(None, {"x": tensor})[0]
    (answer,) = result.outputs.values()
    assert answer.shape == expected.shape == (1, 1, 96, 160)
    np.testing.assert_allclose(answer, expected, atol=1e-3)


def save_graph(path: Path, nodes: list, inputs: dict, outputs: list[str], weights: dict[str, np.ndarray]) -> Path:
    graph = helper.make_graph(
        nodes,
        "open",
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in inputs.items()],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs],
        [numpy_helper.from_array(value, name) for name, value in weights.items()],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path


def test_an_open_first_axis_that_is_no_batch_is_that_of_the_first_frame(cluster, tmp_path):
    """37 points of 4 coordinates each, and 16,000 samples of sound: an axis 0 of 1 would be another model."""
    points = save_graph(
        tmp_path / "points.onnx",
        [helper.make_node("MatMul", ["points", "w"], ["y"])],
        {"points": ["N", 4]}, ["y"], {"w": np.random.default_rng(1).standard_normal((4, 2)).astype(np.float32)},
    )  # fmt: skip
    sound = save_graph(
        tmp_path / "sound.onnx",
        [
            helper.make_node("Unsqueeze", ["audio", "axes"], ["u"]),
            helper.make_node("Conv", ["u", "k"], ["y"], strides=[4]),
        ],
        {"audio": ["n"]}, ["y"],
        {"axes": np.array([0, 1]), "k": np.random.default_rng(2).standard_normal((2, 1, 8)).astype(np.float32)},
    )  # fmt: skip
    for path, shape in ((points, (37, 4)), (sound, (1600,))):
        frame = np.random.default_rng(3).standard_normal(shape).astype(np.float32)
        stream = cluster.stream(path, first=frame, profile_budget_s=0.1)
        (result,) = stream.run([frame])
        session = ort.InferenceSession(str(path))
        (wanted,) = session.run(None, {session.get_inputs()[0].name: frame})
        np.testing.assert_allclose(result.outputs["y"], wanted, rtol=1e-4, atol=1e-5)


def test_arrays_make_a_model_take_arrays_whatever_its_file_says_of_pictures(cluster, open_model, tmp_path):
    model = onnx.load(open_model)
    write_preprocess(model, Preprocess(height=8, width=8))
    onnx.save(model, open_model)
    array = np.random.default_rng(1).standard_normal((1, 3, 12, 10)).astype(np.float32)
    assert cluster.add_model(open_model, first=array).preprocess is None
    assert cluster.add_model(open_model).preprocess is not None
    assert cluster.add_model(open_model, preprocess="unit").preprocess.std == (255.0,) * 3
    np.save(tmp_path / "a.npy", np.concatenate([array] * 4))
    source = open_source(str(tmp_path / "a.npy"))
    stream = cluster.stream(open_model, first=source, profile_budget_s=0.1)
    assert len(list(stream.run(source))) == 4


def test_a_wrong_first_frame_is_refused_before_anything_runs_and_a_loop_left_early_loses_nothing(cluster, open_model):
    array = np.random.default_rng(1).standard_normal((1, 3, 12, 10)).astype(np.float32)
    stream = cluster.stream(open_model, first=array, profile_budget_s=0.1)
    with pytest.raises(UsageError, match=r"`x` must be float32\[1, 3, 12, 10\], it is float64"):
        stream.run([array.astype(np.float64)])  # not even asked for a result
    with pytest.raises(UsageError, match=r"give a list of them: run\(\[frame\]\)"):
        stream.run(array)
    later = stream.run([array, array[:, :2]])
    assert next(later).error is None
    with pytest.raises(UsageError, match="must be float32"):
        list(later)
    for _ in stream.run([array] * 50):
        break
    frames = stream.summary()["frames"]
    assert frames["lost"] == 0
    assert len(list(stream.run([array] * 3))) == 3
    assert stream.summary()["frames"] == {**frames, "accepted": 3, "answered": 3}


@pytest.mark.parametrize("n", [37, 1, 0])
def test_a_first_axis_that_counts_no_frames_is_taken_from_the_first_frame(cluster, tmp_path, n):
    """Points of a cloud: as many as there are."""
    info = helper.make_tensor_value_info
    nodes = [
        helper.make_node("ReduceSum", ["points", "axes"], ["p"], keepdims=0),
        helper.make_node("Neg", ["p"], ["y"]),
    ]
    axes = numpy_helper.from_array(np.array([1]), "axes")
    inputs = [info("points", TensorProto.FLOAT, ["N", 4, 3])]
    graph = helper.make_graph(nodes, "points", inputs, [info("y", TensorProto.FLOAT, None)], [axes])
    path = tmp_path / "points.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    frame = np.ones((n, 4, 3), np.float32)
    (result,) = cluster.stream(path, first=frame, profile_budget_s=0.1).run([frame])
    np.testing.assert_array_equal(result.outputs["y"], np.full((n, 3), -4, np.float32))
