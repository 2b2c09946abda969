"""Who says how a picture becomes the input, in which order, and what follows from the input itself."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from onnx import ModelProto, TensorProto, helper

from seamline.core.vocabulary.errors import ConfigError, ModelError, UsageError
from seamline.core.vocabulary.pictures import Fit
from seamline.core.vocabulary.plans import Segment
from seamline.model import FrameRecipe, ModelStore, OrtEngine, Preprocess
from seamline.model.metadata.preprocess import read_preprocess, write_preprocess
from seamline.model.metadata.recipe import PRESET_WORDS, PRESETS, layout_of

FLOAT = TensorProto.FLOAT
Save = Callable[..., Path]


@pytest.fixture
def mean_model(make_model: Callable[..., ModelProto]) -> Callable[..., ModelProto]:
    """The mean of one input of any shape and dtype, after a Cast."""

    def make(shape: list[int | str], dtype: int = FLOAT) -> ModelProto:
        nodes = [
            helper.make_node("Cast", ["x"], ["f"], to=FLOAT),
            helper.make_node("ReduceMean", ["f"], ["y"], keepdims=0),
        ]
        return make_model(nodes, [], inputs={"x": (dtype, shape)}, outputs=["y"])

    return make


def seen(store: ModelStore, model_id: str, frame: np.ndarray) -> float:
    stored = store.get(model_id)
    return float(OrtEngine(store, 1).prepare(model_id, stored.whole).run({"frame": frame})["y"])


@pytest.mark.parametrize(
    ("shape", "layout"),
    [
        ((1, 3, 8, 9), "nchw"), ((1, 8, 9, 3), "nhwc"), ((None, None, None, 3), "nhwc"), ((1, 1, 8, 9), "nchw"),
        ((None, None, None, None), "nchw"), ((3, 8, 9), "chw"), ((8, 9, 3), "hwc"), ((1, 8, 9), "chw"), ((8, 9), "hw"),
        ((8, 9, 1), "hwc"), ((1, 4, 8, 9), None), ((2, 3, 8, 9), None), ((1, 10), "hw"), ((5,), None),
        ((1, 3, 4, 8, 9), None),
    ],
)  # fmt: skip
def test_the_layout_follows_from_where_three_or_one_stands(shape, layout):
    assert layout_of(shape) == layout


FORMS = [
    ([1, 3, 6, 5], FLOAT), ([1, 6, 5, 3], FLOAT), ([3, 6, 5], FLOAT), ([6, 5, 3], TensorProto.UINT8),
    ([1, 1, 6, 5], FLOAT), ([6, 5], FLOAT), ([1, 3, 6, 5], TensorProto.FLOAT16), ([1, 6, 5, 3], TensorProto.UINT8),
    ([1, 3, 6, 5], TensorProto.INT32), ([1, 6, 5], TensorProto.DOUBLE), (["n", 3, "h", "w"], FLOAT),
    (["n", "h", "w", 1], TensorProto.FLOAT16),
]  # fmt: skip


@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_input_takes_a_picture(mean_model, save: Save, store: ModelStore, form):
    shape, dtype = form
    stored = store.add(save(mean_model(shape, dtype)), preprocess=FrameRecipe(preprocess="raw"), frame_size=(6, 5))
    frame = np.full((6, 5, 3), 77, np.uint8)
    assert seen(store, stored.model_id, frame) == pytest.approx(77)


def test_flags_go_before_the_sidecar_before_the_file_before_its_exporter(mean_model, save: Save, store: ModelStore):
    model = mean_model([1, 3, "h", "w"])
    write_preprocess(model, Preprocess(height=4, width=6, std=(2.0,) * 3, fit=Fit.STRETCH))
    model.metadata_props.add(key="names", value="{0: 'a'}")
    model.metadata_props.add(key="stride", value="32")
    path = save(model)
    path.with_name("seamline.toml").write_text("[frame]\nstd = [4, 4, 4]\nwidth = 8\n", encoding="utf-8")
    stored = store.add(path, preprocess=FrameRecipe(height=16))
    found = stored.preprocess
    assert found is not None
    assert (found.height, found.width, found.std, found.fit) == (16, 8, (4.0,) * 3, Fit.STRETCH)
    assert found.resample == "area"  # the file says all of it, so that its exporter is not asked
    assert stored.labels() == ("a",)
    assert store.add(path, preprocess=FrameRecipe(preprocess="yolo")).preprocess == Preprocess(
        height=4, width=8, std=(255.0,) * 3, fit=Fit.LETTERBOX, pad=114, resample="linear"
    )


def test_a_size_alone_leaves_the_numbers_of_the_file_as_they_are(mean_model, save: Save, store: ModelStore):
    model = mean_model([1, 3, "h", "w"])
    write_preprocess(model, Preprocess(height=4, width=4, mean=(10.0,) * 3, std=(2.0,) * 3))
    stored = store.add(save(model), preprocess=FrameRecipe(height=6, width=6))
    assert seen(store, stored.model_id, np.full((6, 6, 3), 30, np.uint8)) == 10.0


def test_none_makes_a_model_take_arrays_whatever_its_file_says(mean_model, save: Save, store: ModelStore):
    model = mean_model([1, 3, 4, 4])
    write_preprocess(model, Preprocess(height=4, width=4))
    stored = store.add(save(model), preprocess=FrameRecipe(preprocess="none"))
    assert stored.preprocess is None
    assert [spec.name for spec in stored.inputs] == ["x"]


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_gives_the_numbers_that_its_words_say(name, mean_model, save: Save, store: ModelStore):
    assert name in PRESET_WORDS
    stored = store.add(save(mean_model([1, 3, 4, 4])), preprocess=FrameRecipe(preprocess=name))
    white, black = (seen(store, stored.model_id, np.full((4, 4, 3), grey, np.uint8)) for grey in (255, 0))
    lowest, highest = {
        "imagenet": (-1.986, 2.439), "yolo": (0, 1), "yolox": (0, 255), "unit": (0, 1), "symmetric": (-1, 1),
        "caffe": (-114.8, 140.2), "clip": (-1.675, 2.0504), "raw": (0, 255),
    }[name]  # fmt: skip
    assert (black, white) == (pytest.approx(lowest, abs=1e-3, rel=1e-3), pytest.approx(highest, abs=1e-3, rel=1e-3))


def test_an_unknown_preset_is_refused_with_the_nearest(mean_model, save: Save, store: ModelStore):
    path = save(mean_model([1, 3, 4, 4]))
    with pytest.raises(UsageError, match="no preprocessing `imagnet`; hint: did you mean `imagenet`"):
        store.add(path, preprocess=FrameRecipe(preprocess="imagnet"))
    path.with_name("seamline.toml").write_text('[frame]\npreprocess = "yollo"\n', encoding="utf-8")
    with pytest.raises(ConfigError, match="did you mean `yolo`"):
        store.add(path)


def test_pictures_without_a_recipe_are_an_error_that_lists_the_presets(mean_model, save: Save, store: ModelStore):
    path = save(mean_model([1, 3, 4, 4]))
    with pytest.raises(UsageError, match=r"`x` float32\[1,3,4,4\]; hint: say it with --preprocess NAME: ") as refused:
        store.add(path, gives_pictures=True)
    assert all(name in str(refused.value) for name in PRESET_WORDS)
    assert store.add(path).preprocess is None


def test_bytes_take_pictures_as_they_are(mean_model, save: Save, store: ModelStore):
    path = save(mean_model([1, 4, 4, 3], TensorProto.UINT8))
    assert store.add(path, gives_pictures=True).preprocess == Preprocess(
        height=4, width=4, layout="nhwc", dtype="uint8"
    )


@pytest.mark.parametrize(
    ("dtype", "recipe", "words"),
    [
        (TensorProto.UINT8, FrameRecipe(preprocess="imagenet"), "uint8, in which .* are lost; hint: --preprocess raw"),
        (TensorProto.INT32, FrameRecipe(preprocess="unit"), "int32, in which pixels of 0 to 1 are lost"),
        (
            TensorProto.INT8,
            FrameRecipe(preprocess="raw"),
            "int8, in which pixels of 0 to 255 are lost; hint: --mean 128",
        ),
    ],
)
def test_integers_that_would_lose_the_picture_are_refused(mean_model, save: Save, store, dtype, recipe, words):
    with pytest.raises(ModelError, match=words):
        store.add(save(mean_model([1, 4, 4, 3], dtype)), preprocess=recipe)
    if dtype == TensorProto.INT8:
        assert store.add(save(mean_model([1, 4, 4, 3], dtype)), preprocess=FrameRecipe(mean=(128.0,) * 3)).preprocess


def test_a_batch_of_several_frames_is_refused_with_the_way_out(mean_model, save: Save, store: ModelStore):
    with pytest.raises(ModelError, match=r"takes \[4,3,6,5\]; hint: frames come one by one"):
        store.add(save(mean_model([4, 3, 6, 5])), preprocess=FrameRecipe(preprocess="unit"))


def test_one_of_several_inputs_takes_the_picture_and_the_others_stay(make_model, save: Save, store: ModelStore):
    nodes = [
        helper.make_node("ReduceMean", ["image"], ["m"], keepdims=0),
        helper.make_node("Add", ["m", "bias"], ["y"]),
    ]
    inputs = {"bias": (FLOAT, [1, 2]), "image": (FLOAT, [1, 3, 4, 4])}
    path = save(make_model(nodes, [], inputs=inputs, outputs=["y"]))
    stored = store.add(path, preprocess=FrameRecipe(preprocess="unit"))
    assert [(spec.name, spec.shape) for spec in stored.inputs] == [("frame", (4, 4, 3)), ("bias", (1, 2))]
    tensors = {"frame": np.full((4, 4, 3), 255, np.uint8), "bias": np.array([[1, 2]], np.float32)}
    engine = OrtEngine(store, 1)
    whole = engine.prepare(stored.model_id, stored.whole).run(tensors)["y"]
    np.testing.assert_allclose(whole, [[2, 3]])
    for cut in range(len(stored.cuts)):
        head = engine.prepare(stored.model_id, Segment(0, cut))
        tail = engine.prepare(stored.model_id, Segment(cut, stored.whole.stop))
        np.testing.assert_array_equal(tail.run(head.run(tensors))["y"], whole)


def test_what_the_file_says_is_read_back_from_the_store(mean_model, save: Save, store: ModelStore):
    recipe = FrameRecipe(preprocess="yolox", crop_ratio=0.5, input="x")
    stored = store.add(save(mean_model([1, 3, 4, 4])), preprocess=recipe)
    again = ModelStore(store.root).get(stored.model_id)
    assert again.preprocess == stored.preprocess
    assert stored.preprocess is not None
    assert stored.preprocess.crop_ratio == 0.5
    model = ModelProto()
    write_preprocess(model, stored.preprocess)
    assert read_preprocess(model) == stored.preprocess
