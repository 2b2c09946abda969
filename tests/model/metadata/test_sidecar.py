"""Claims about what a user says beside a model: frames, shapes and values, and which source goes first."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from onnx import ModelProto, TensorProto, helper

from seamline.core.vocabulary.errors import ConfigError, ModelError
from seamline.core.vocabulary.plans import Segment
from seamline.model import FrameRecipe, ModelStore, OrtEngine, Preprocess

FLOAT = TensorProto.FLOAT
Save = Callable[..., Path]


@pytest.fixture
def open_picture(make_model: Callable[..., ModelProto], save: Save) -> Path:
    """Takes float32[batch, height, width, 3] and returns its pooled channels and a switch."""
    nodes = [
        helper.make_node("Transpose", ["picture"], ["turned"], perm=[0, 3, 1, 2]),
        helper.make_node("GlobalAveragePool", ["turned"], ["y"]),
    ]
    return save(make_model(nodes, [], inputs={"picture": (FLOAT, ["n", "h", "w", 3])}, outputs=["y"]))


def test_a_description_beside_the_model_makes_it_take_camera_frames(open_picture: Path, store: ModelStore) -> None:
    text = '[frame]\nheight = 4\nwidth = 6\nlayout = "nhwc"\nmean = [10, 20, 30]\nstd = [2, 4, 5]\n'
    open_picture.with_name("seamline.toml").write_text(text, encoding="utf-8")
    stored = store.add(open_picture)
    assert stored.preprocess == Preprocess(
        height=4, width=6, layout="nhwc", mean=(10.0, 20.0, 30.0), std=(2.0, 4.0, 5.0)
    )
    frame = np.random.default_rng(1).integers(0, 256, (4, 6, 3), np.uint8)
    found = OrtEngine(store, 1).prepare(stored.model_id, Segment(0, len(stored.cuts) - 1)).run({"frame": frame})["y"]
    expected = ((frame.astype(np.float32) - [10, 20, 30]) / [2, 4, 5]).mean((0, 1))
    np.testing.assert_allclose(found.ravel(), expected, rtol=1e-5)


def test_a_file_of_the_models_own_name_goes_first_and_what_is_given_before_both(
    open_picture: Path, store: ModelStore
) -> None:
    for name, height in (("seamline.toml", 4), ("small.seamline.toml", 5)):
        text = f'[frame]\nheight = {height}\nwidth = 6\nlayout = "nhwc"\n'
        open_picture.with_name(name).write_text(text, encoding="utf-8")
    assert store.add(open_picture).graph.input_specs[0].shape == (1, 5, 6, 3)
    given = store.add(open_picture, preprocess=FrameRecipe(height=7, width=6, layout="nhwc"))
    assert given.graph.input_specs[0].shape == (1, 7, 6, 3)


def test_an_open_size_is_that_of_the_first_frame_and_else_asked_for(open_picture: Path, store: ModelStore) -> None:
    recipe = FrameRecipe(layout="nhwc")
    stored = store.add(open_picture, preprocess=recipe, frame_size=(8, 10))
    assert stored.graph.input_specs[0].shape == (1, 8, 10, 3)
    with pytest.raises(ModelError, match=r"height \(axis 1\) and width \(axis 2\) .* is open; hint: .*--size"):
        store.add(open_picture, preprocess=recipe)


def test_shapes_and_values_may_stand_in_the_description(
    make_model: Callable[..., ModelProto], save: Save, store: ModelStore
) -> None:
    nodes = [helper.make_node("Mul", ["x", "gain"], ["y"])]
    path = save(make_model(nodes, [], inputs={"x": (FLOAT, [1, "n"]), "gain": (FLOAT, [])}, outputs=["y"]))
    path.with_name("seamline.toml").write_text("[shapes]\nx = [1, 5]\n[values]\ngain = 3\n", encoding="utf-8")
    stored = store.add(path)
    assert [spec.shape for spec in stored.graph.input_specs] == [(1, 5)]
    found = OrtEngine(store, 1).prepare(stored.model_id, stored.whole).run({"x": np.ones((1, 5), np.float32)})
    assert (found["y"] == 3).all()
    assert store.add(path, shapes={"x": (1, 2)}).graph.input_specs[0].shape == (1, 2)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[frame]\nmaen = [1, 2, 3]\n", "unknown key `frame.maen`; hint: did you mean `mean`"),
        ("[frame]\nstd = [1, 0, 1]\n", "makes no sense"),
        ("[frame]\nmean = [1, 2]\n", "mean"),
        ("[shapes]\nx = [-1]\n", "extent below 0"),
        ("[values]\nx = 'much'\n", "values"),
        ("what?", "is not TOML"),
    ],
)
def test_a_description_that_cannot_be_meant_is_named(
    open_picture: Path, store: ModelStore, text: str, said: str
) -> None:
    open_picture.with_name("seamline.toml").write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match=said):
        store.add(open_picture)


def test_a_recipe_that_does_not_fit_the_input_is_refused(
    open_picture: Path, make_model: Callable[..., ModelProto], save: Save, store: ModelStore
) -> None:
    with pytest.raises(ModelError, match=r"makes float32\[1,3,4,4\], the model takes \[\?,\?,\?,3\]"):
        store.add(open_picture, preprocess=FrameRecipe(height=4, width=4, layout="nchw"))
    nodes = [helper.make_node("Add", ["a", "b"], ["y"])]
    shape = (FLOAT, [1, 3, 4, 4])
    path = save(make_model(nodes, [], inputs={"a": shape, "b": shape}, outputs=["y"]), "two")
    with pytest.raises(ModelError, match="a camera frame is one input, the model takes 2"):
        store.add(path, preprocess=FrameRecipe())
