"""The layers before a model make of a frame exactly what arithmetic on the pixels does, in every form of input."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnxruntime as ort
import pytest
from onnx import GraphProto, ModelProto, TensorProto, helper, numpy_helper

from seamline.core.vocabulary.errors import ModelError
from seamline.core.vocabulary.pictures import Fit
from seamline.model import FrameRecipe, ModelStore
from seamline.model.metadata.preprocess import CHANNELS, DTYPES, LAYOUTS, Preprocess
from seamline.model.onnx.prepending import prepend

HEIGHT, WIDTH = 6, 5
FRAME = np.random.default_rng(3).integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)
MEAN, STD = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)


def made(preprocess: Preprocess, frame: np.ndarray = FRAME, *, opset: int = 17) -> np.ndarray:
    """The model input that the prepended layers make of `frame`."""
    graph = GraphProto(name="before")
    prepend(graph, preprocess, "x")
    dtype = helper.np_dtype_to_tensor_dtype(np.dtype(preprocess.dtype))
    graph.output.append(helper.make_tensor_value_info("x", dtype, list(preprocess.input_shape)))
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    (found,) = session.run(None, {"frame": frame})
    return np.asarray(found)


def expected(preprocess: Preprocess) -> np.ndarray:
    """The same by NumPy, in float32, in the order (x - mean) * (1 / std)."""
    pixels = FRAME.astype(np.float32)
    if preprocess.channels == "grey":
        pixels = np.floor(pixels @ np.array([0.299, 0.587, 0.114], np.float32) + np.float32(0.5))[..., None]
        mean, std = (np.float32(numbers[0]) for numbers in (preprocess.mean, preprocess.std))
    else:
        mean, std = (np.array(numbers, np.float32) for numbers in (preprocess.mean, preprocess.std))
    values = (pixels - mean) * (np.float32(1) / std)
    if not preprocess.dtype.startswith("float"):
        values = np.floor(values + np.float32(0.5))
    values = values[..., ::-1] if preprocess.channels == "bgr" else values
    values = values.transpose(2, 0, 1) if preprocess.layout in ("nchw", "chw") else values
    return values.reshape(preprocess.input_shape).astype(preprocess.dtype)


@pytest.mark.parametrize("opset", [7, 11, 17, 21])
@pytest.mark.parametrize(
    ("layout", "channels"), [*itertools.product(LAYOUTS[:4], CHANNELS), *(("nhw", "grey"), ("hw", "grey"))]
)
def test_every_layout_and_order_of_colours_is_that_of_arithmetic_on_the_pixels(layout, channels, opset):
    grey = channels == "grey"
    preprocess = Preprocess(
        height=HEIGHT, width=WIDTH, layout=layout, channels=channels,
        mean=(33.25,) * 3 if grey else MEAN, std=(78.5,) * 3 if grey else STD,
    )  # fmt: skip
    np.testing.assert_array_equal(made(preprocess, opset=opset), expected(preprocess))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("layout", ["nchw", "nhwc"])
def test_every_dtype_takes_pixels_as_they_are(dtype, layout):
    preprocess = Preprocess(height=HEIGHT, width=WIDTH, layout=layout, dtype=dtype)
    if dtype == "int8":
        preprocess = Preprocess(height=HEIGHT, width=WIDTH, layout=layout, dtype=dtype, mean=(128.0,) * 3)
    found = made(preprocess)
    np.testing.assert_array_equal(found, expected(preprocess))
    assert found.dtype == dtype


@pytest.mark.parametrize("dtype", ["float16", "float64", "int8", "int32"])
def test_mean_and_std_are_computed_in_float32_whatever_the_input_takes(dtype):
    preprocess = Preprocess(height=HEIGHT, width=WIDTH, dtype=dtype, mean=MEAN, std=(2.0, 3.0, 4.0))
    np.testing.assert_array_equal(made(preprocess), expected(preprocess))


@pytest.mark.parametrize("layout", ["nchw", "nhwc"])
@pytest.mark.parametrize(("mean", "std"), [(MEAN, STD), ((0.0,) * 3, (255.0,) * 3), ((127.5,) * 3, (127.5,) * 3)])
def test_bits_are_those_of_arithmetic_on_interleaved_floats(layout, mean, std):
    """Cast, Sub, Mul, Transpose, Reshape in this order, as these layers once were, give the same bits."""
    preprocess = Preprocess(height=HEIGHT, width=WIDTH, layout=layout, mean=mean, std=std)
    scale = np.float32(1) / np.asarray(std, np.float32)
    constants = {"mean": np.asarray(mean, np.float32), "scale": scale, "shape": np.asarray(preprocess.input_shape)}
    nodes = [
        helper.make_node("Cast", ["frame"], ["0"], to=TensorProto.FLOAT),
        helper.make_node("Sub", ["0", "mean"], ["1"]),
        helper.make_node("Mul", ["1", "scale"], ["2"]),
        helper.make_node("Transpose", ["2"], ["3"], perm=[2, 0, 1] if layout == "nchw" else [0, 1, 2]),
        helper.make_node("Reshape", ["3", "shape"], ["x"]),
    ]
    graph = helper.make_graph(
        nodes,
        "old",
        [helper.make_tensor_value_info("frame", TensorProto.UINT8, list(FRAME.shape))],
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    (old,) = ort.InferenceSession(model.SerializeToString()).run(None, {"frame": FRAME})
    np.testing.assert_array_equal(made(preprocess), old)


def test_uint8_in_interleaved_order_needs_no_arithmetic():
    graph = GraphProto()
    preprocess = Preprocess(height=HEIGHT, width=WIDTH, layout="nhwc", dtype="uint8")
    prepend(graph, preprocess, "x")
    assert {node.op_type for node in graph.node} == {"Reshape"}


@pytest.mark.parametrize(
    "wrong",
    [
        {"std": (1.0, 0.0, 1.0)}, {"mean": (1.0, 2.0)}, {"layout": "hw"}, {"layout": "nchwx"}, {"channels": "rgba"},
        {"dtype": "complex64"}, {"pad": 300}, {"crop_ratio": 0.0}, {"fit": "crop"}, {"height": 0}, {"resample": "best"},
        {"channels": "grey", "mean": (1.0, 2.0, 3.0)},
    ],
)  # fmt: skip
def test_what_makes_no_sense_is_refused(wrong):
    with pytest.raises(ModelError):
        Preprocess(**({"height": 4, "width": 4} | wrong))


def test_what_was_written_before_reads_the_same_and_has_the_same_bytes():
    text = '{"height":4,"layout":"nhwc","mean":[1.0,2.0,3.0],"std":[1.0,1.0,1.0],"width":6}'
    preprocess = Preprocess.from_json(text)
    assert preprocess == Preprocess(height=4, width=6, layout="nhwc", mean=(1.0, 2.0, 3.0))
    assert preprocess.to_json() == text


@pytest.mark.parametrize(("name", "is_said"), [(None, False), ("unit", True)])
def test_pixels_whose_numbers_nobody_names_are_warned_of(
    name: str | None, is_said: bool, small_cnn: ModelProto, save: Callable[..., Path], store: ModelStore, caplog
) -> None:
    store.add(save(small_cnn), preprocess=FrameRecipe(preprocess=name, fit=Fit.CROP))
    assert ("nothing says what numbers pixels become" in caplog.text) is not is_said
