"""What may be given to a stream, and what its first segment gets of it."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from seamline.core.vocabulary.errors import ModelError, UsageError
from seamline.core.vocabulary.pictures import Fit, picture_transform
from seamline.model import ModelStore, Preprocess, StoredModel
from seamline.runtime.origin.input_adapter import InputAdapter, input_tensors, loss_words

EXTENT = 32


@pytest.fixture
def model(model_file, tmp_path) -> StoredModel:
    """Takes float32[1, 3, 32, 32] and does not say what a camera frame is to it."""
    return ModelStore(tmp_path).add(model_file)


@pytest.fixture
def camera_model(model_file, tmp_path) -> StoredModel:
    preprocess = Preprocess(height=EXTENT, width=EXTENT, mean=(127.0,) * 3, std=(64.0,) * 3)
    return ModelStore(tmp_path).add(model_file, preprocess=preprocess)


def test_a_frame_of_any_size_becomes_one_of_the_models(camera_model):
    frame = np.random.default_rng(1).integers(0, 256, (90, 64, 3), dtype=np.uint8)
    (tensor,) = input_tensors(frame, camera_model).values()
    assert (tensor.shape, tensor.dtype, tensor.flags.c_contiguous) == ((EXTENT, EXTENT, 3), np.uint8, True)
    # the centre crop of 64 x 64, halved: every pixel is the mean of four
    crop = frame[13:77].astype(np.float64)
    assert np.abs(crop.reshape(32, 2, 32, 2, 3).mean(axis=(1, 3)) - tensor).max() <= 0.5


@pytest.mark.parametrize("frame", [[[1, 2], [3, 4]], "a.png", None])
def test_what_is_no_array_is_refused_by_any_model(model, camera_model, frame):
    for one in (model, camera_model):
        with pytest.raises(UsageError, match=f"not a {type(frame).__name__}"):
            input_tensors(frame, one)


@pytest.mark.parametrize("frame", [np.zeros((8, 8), np.uint8), np.zeros((8, 8, 4), np.uint8), np.zeros((8, 8, 3)), {}])
def test_what_is_no_camera_frame_is_refused(camera_model, frame):
    with pytest.raises(UsageError, match="in RGB order"):
        input_tensors(frame, camera_model)


def test_without_a_recipe_arrays_pass_and_camera_frames_are_refused(model):
    array = np.ones((1, 3, EXTENT, EXTENT), np.float32)
    assert input_tensors(array, model) == {"image": array}
    assert input_tensors({"image": array}, model) == {"image": array}
    with pytest.raises(ModelError, match="how a camera frame becomes its input `image`"):
        input_tensors(np.zeros((EXTENT, EXTENT, 3), np.uint8), model)


def test_a_model_of_two_inputs_wants_them_by_name(tmp_path):
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 4]) for name in ("x", "y", "sum")]
    graph = helper.make_graph([helper.make_node("Add", ["x", "y"], ["sum"], name="add")], "two", values[:2], values[2:])
    path = tmp_path / "two.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    model = ModelStore(tmp_path / "store").add(path)
    array = np.ones((1, 4), np.float32)
    assert input_tensors({"x": array, "y": array}, model) == {"x": array, "y": array}
    with pytest.raises(UsageError, match="takes 2 inputs"):
        input_tensors(array, model)


@pytest.mark.parametrize(
    ("frame", "words"),
    [
        (np.zeros((1, 3, EXTENT, EXTENT)), r"must be float32\[1, 3, 32, 32\], it is float64.*astype\(numpy.float32\)"),
        (np.zeros((3, EXTENT, EXTENT), np.float32), r"it is float32\[3, 32, 32\]; hint: .*array\[None\]"),
        (np.zeros((1, 3, 8, 8), np.float32), "a stream has one shape"),
        ({"picture": np.zeros(3)}, "no input `picture`; hint: its inputs are image"),
        ({}, "input `image` is missing"),
        ({"image": [1, 2]}, "is an array, not a list"),
    ],
)
def test_what_does_not_fit_is_refused_with_what_the_model_takes(model, frame, words):
    with pytest.raises(UsageError, match=words):
        input_tensors(frame, model)


def test_a_stride_of_an_array_does_not_matter(model):
    array = np.ones((1, EXTENT, EXTENT, 3), np.float32).transpose(0, 3, 1, 2)
    (tensor,) = input_tensors(array, model).values()
    assert tensor.flags.c_contiguous
    np.testing.assert_array_equal(tensor, array)


def test_a_word_is_said_once_when_a_picture_is_cropped_or_stretched(camera_model, caplog):
    adapter = InputAdapter(camera_model)
    for _ in range(2):
        adapter(np.zeros((36, 64, 3), np.uint8))
    assert [record.getMessage() for record in caplog.records] == [
        "pictures of 64x36 are cropped about the centre to 32x32: 44 % of each is not seen; "
        "--fit letterbox keeps all of it"
    ]
    assert loss_words(picture_transform(Fit.STRETCH, (36, 64), (32, 32))) == (
        "pictures of 64x36 are stretched to 32x32; --fit letterbox keeps their aspect"
    )
    assert loss_words(picture_transform(Fit.LETTERBOX, (36, 64), (32, 32))) is None
    assert loss_words(picture_transform(Fit.CROP, (64, 64), (32, 32))) is None
