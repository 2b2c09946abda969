"""Claims about the ends of a model: outputs that are inputs or constants, empty inputs, axes that count no frames."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from onnx import ModelProto, TensorProto, helper, numpy_helper

from seamline.core.graph.cuts import verify
from seamline.core.vocabulary.errors import OpenAxis, UsageError
from seamline.model import ModelStore, OrtEngine, Preprocess, StoredModel, verify_cuts

Make = Callable[..., ModelProto]
Weights = Callable[..., TensorProto]
Check = Callable[..., StoredModel]
Save = Callable[..., Path]
FLOAT, INT64 = TensorProto.FLOAT, TensorProto.INT64
node, info = helper.make_node, helper.make_tensor_value_info
FRAME = {"x": np.array([[1, -2, 3, -4]], np.float32)}


@pytest.mark.parametrize(
    "outputs", [["z", "x"], ["x", "z"], ["z", "k"], ["k", "x", "z"], ["x"], ["k"], ["y", "k", "z"]]
)
def test_an_output_may_be_an_input_or_a_constant(
    make_model: Make, weights: Weights, check_answers: Check, outputs: list[str]
) -> None:
    nodes = [node("Relu", ["x"], ["y"]), node("Sigmoid", ["y"], ["z"])]
    for size in (4, 600):  # the larger one is kept in the weights file
        model = make_model(nodes, [weights("k", 2, size)], inputs={"x": (FLOAT, [1, 4])}, outputs=outputs)
        stored = check_answers(model, FRAME)
        verify(stored.graph, stored.cuts)


def test_an_output_that_is_listed_twice_is_one(make_model: Make, save: Save, store: ModelStore) -> None:
    model = make_model([node("Neg", ["x"], ["y"])], [], inputs={"x": (FLOAT, [1, 4])}, outputs=["y", "y"])
    stored = store.add(save(model))
    found = OrtEngine(store, 1).prepare(stored.model_id, stored.whole).run(FRAME)
    assert list(found) == ["y"]
    np.testing.assert_array_equal(found["y"], -FRAME["x"])


def test_a_constant_may_be_output_and_weight_at_once(make_model: Make, weights: Weights, check_answers: Check) -> None:
    """Read in the graph and inside a branch, and folded from another."""
    branches = {
        f"{name}_branch": helper.make_graph([node(op, ["x", "k"], ["r"])], name, [], [info("r", FLOAT, None)])
        for name, op in (("then", "Add"), ("else", "Mul"))
    }
    nodes = [
        node("Neg", ["w"], ["k"]),
        node("ReduceSum", ["x"], ["s"], keepdims=0), node("Cast", ["s"], ["c"], to=TensorProto.BOOL),
        node("If", ["c"], ["q"], **branches), node("Add", ["q", "k"], ["y"]),
    ]  # fmt: skip
    model = make_model(nodes, [weights("w", 1, 4)], inputs={"x": (FLOAT, [1, 4])}, outputs=["y", "k", "w"])
    model.graph.output[1].CopyFrom(info("k", FLOAT, [1, 4]))
    check_answers(model, FRAME)


def test_the_picture_itself_may_be_an_output(make_model: Make, save: Save, store: ModelStore) -> None:
    model = make_model([node("Relu", ["x"], ["y"])], [], inputs={"x": (FLOAT, [1, 3, 4, 4])}, outputs=["x", "y"])
    stored = store.add(save(model), preprocess=Preprocess(height=4, width=4))
    assert all(check.bit_equal for check in verify_cuts(OrtEngine(store, 1), stored))


def test_the_first_past_of_a_decoder_is_empty(make_model: Make, check_answers: Check) -> None:
    nodes = [node("Concat", ["past", "x"], ["all"], axis=2), node("ReduceSum", ["all", "axis"], ["y"])]
    inputs = {"x": (FLOAT, [1, 8, 1, 4]), "past": (FLOAT, [1, 8, "length", 4])}
    model = make_model(nodes, [numpy_helper.from_array(np.array([2]), "axis")], inputs=inputs, outputs=["y"])
    frame = {"x": np.ones((1, 8, 1, 4), np.float32), "past": np.zeros((1, 8, 0, 4), np.float32)}
    stored = check_answers(model, frame, shapes={"past": (1, 8, 0, 4)})
    assert stored.cuts[0].payload_bytes == 128


def test_an_extent_of_zero_in_the_file_is_meant(make_model: Make, check_answers: Check) -> None:
    """Axes that list nothing, and rows that are not there."""
    nodes = [node("ReduceSum", ["x", "axes"], ["y"], keepdims=1)]
    inputs = {"x": (FLOAT, [2, 0, 4]), "axes": (INT64, [0])}
    frame = {"x": np.zeros((2, 0, 4), np.float32), "axes": np.zeros(0, np.int64)}
    check_answers(make_model(nodes, [], inputs=inputs, outputs=["y"]), frame)


def test_a_small_input_becomes_a_constant_although_its_batch_is_open(make_model: Make, check_answers: Check) -> None:
    nodes = [node("Div", ["extents", "scale"], ["q"]), node("Add", ["x", "q"], ["y"])]
    inputs = {"x": (FLOAT, ["n0", 2]), "extents": (FLOAT, ["n1", 2]), "scale": (FLOAT, ["n2", 2])}
    model = make_model(nodes, [], inputs=inputs, outputs=["y"])
    frame = {name: np.full((1, 2), value, np.float32) for name, value in (("x", 1), ("extents", 64), ("scale", 2))}
    for shapes in ({}, {"extents": (1, 2), "scale": (1, 2)}):
        stored = check_answers(model, frame, values={"extents": 64, "scale": 2}, shapes=shapes)
        assert stored.graph.inputs == ("x",)


def test_an_open_axis_inside_a_constant_is_asked_for(make_model: Make, save: Save, store: ModelStore) -> None:
    inputs = {"x": (FLOAT, [1, 2]), "k": (FLOAT, [1, "n"])}
    path = save(make_model([node("Add", ["x", "k"], ["y"])], [], inputs=inputs, outputs=["y"]))
    with pytest.raises(OpenAxis, match=r"axis 1 \(n\) of input `k` is open"):
        store.add(path, values={"k": 3})
    assert store.add(path, values={"k": 3}, shapes={"k": (1, 2)}).graph.inputs == ("x",)
    with pytest.raises(UsageError, match="extent below 0"):
        store.add(path, shapes={"k": (1, -2)})


@pytest.mark.parametrize(
    ("dims", "is_said"),
    [(["N", 32, 4], True), (["n"], True), (["N", 3, 8, 8], False), (["batch_size", 32], False), ([1, 32], False)],
)
def test_a_first_axis_that_may_be_no_batch_is_said_when_it_becomes_one(
    make_model: Make, save: Save, store: ModelStore, caplog: pytest.LogCaptureFixture, dims: list, is_said: bool
) -> None:
    path = save(make_model([node("Relu", ["x"], ["y"])], [], inputs={"x": (FLOAT, dims)}, outputs=["y"]))
    assert store.add(path).graph.input_specs[0].shape[0] == 1
    assert ("axis 0 of input `x` is open" in caplog.text) == is_said
