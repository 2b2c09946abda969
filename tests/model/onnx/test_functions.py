"""Claims about a model's own functions: inlined whatever they call their tensors, also from another operator set."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from onnx import ModelProto, TensorProto, helper, numpy_helper

from seamline.core.vocabulary.errors import ModelError
from seamline.model import ModelStore, OrtEngine, StoredModel

Make = Callable[..., ModelProto]
Check = Callable[..., StoredModel]
Save = Callable[..., Path]
FLOAT, BOOL = TensorProto.FLOAT, TensorProto.BOOL
node, info = helper.make_node, helper.make_tensor_value_info
FRAME = {"x": np.array([[1, -2, 3, -4]], np.float32)}


@pytest.fixture
def with_function(make_model: Make) -> Callable[..., ModelProto]:
    """A model that calls a function `f` of one input twice, in an operator set of another version."""

    def make(body: list, *, function_opset: int = 17, opset: int = 17, inputs: tuple[str, ...] = ("a",)) -> ModelProto:
        opsets = [helper.make_opsetid("", function_opset)]
        function = helper.make_function("pkg.local", "f", list(inputs), ["b"], body, opsets)
        nodes = [
            node("f", ["x"], ["b"], domain="pkg.local"), node("Relu", ["b"], ["a"]),
            node("f", ["a"], ["y"], domain="pkg.local"),
        ]  # fmt: skip
        model = make_model(nodes, [], inputs={"x": (FLOAT, [1, 4])}, outputs=["y"], opset=opset)
        model.ir_version = 10
        model.opset_import.append(helper.make_opsetid("pkg.local", 1))
        model.functions.append(function)
        return model

    return make


def test_a_function_of_another_version_is_taken_where_its_operators_are_the_same(
    with_function: Callable[..., ModelProto], check_answers: Check
) -> None:
    body = [node("Gelu", ["a"], ["c"]), node("Neg", ["c"], ["b"])]
    stored = check_answers(with_function(body, function_opset=20, opset=21), FRAME)
    assert [layer.op for layer in stored.graph.layers] == ["Gelu", "Neg", "Relu", "Gelu", "Neg"]


def test_a_function_of_another_version_is_converted_where_its_operators_differ(
    with_function: Callable[..., ModelProto], save: Save, store: ModelStore
) -> None:
    """Until version 17 ReduceMax had its axes as an attribute, since 18 as an input; the runtime refuses this file."""
    body = [node("ReduceMax", ["a"], ["c"], axes=[1], keepdims=1), node("Add", ["a", "c"], ["b"])]
    stored = store.add(save(with_function(body, function_opset=17, opset=18)))
    found = OrtEngine(store, 1).prepare(stored.model_id, stored.whole).run(FRAME)["y"]
    np.testing.assert_array_equal(found, np.maximum(FRAME["x"] + 3, 0) + 6)


def test_a_function_that_cannot_be_converted_names_both_versions(
    with_function: Callable[..., ModelProto], save: Save, store: ModelStore
) -> None:
    """Gelu came with version 20."""
    body = [node("Gelu", ["a"], ["b"])]
    with pytest.raises(ModelError, match=r"`pkg.local.f` has version 20 .* the model version 17, and `Gelu`"):
        store.add(save(with_function(body, function_opset=20, opset=17)))


def test_a_function_may_use_the_names_of_its_caller_and_its_branches_those_of_the_function(
    with_function: Callable[..., ModelProto], check_answers: Check
) -> None:
    def branch(op: str, name: str) -> object:
        nodes = [node(op, ["a"], ["x"]), node("Add", ["x", "s"], [name])]
        return helper.make_graph(nodes, op, [], [info(name, FLOAT, None)])

    body = [
        node("ReduceSum", ["a"], ["s"], keepdims=0), node("Cast", ["s"], ["c"], to=BOOL),
        node("If", ["c"], ["b"], then_branch=branch("Neg", "y"), else_branch=branch("Exp", "y")),
    ]  # fmt: skip
    check_answers(with_function(body), FRAME)


def test_an_input_that_is_left_out_is_not_taken_for_the_weight_of_a_branch(
    with_function: Callable[..., ModelProto], save: Save, store: ModelStore
) -> None:
    """The runtime ends by a signal when it reads this file itself (ONNX Runtime 1.31)."""
    ones = numpy_helper.from_array(np.ones((1, 4), np.float32), "k")
    then = helper.make_graph([node("Add", ["a", "k"], ["r"])], "then", [], [info("r", FLOAT, None)], [ones])
    other = helper.make_graph([node("Identity", ["a"], ["r"])], "else", [], [info("r", FLOAT, None)])
    body = [
        node("ReduceSum", ["a"], ["s"], keepdims=0), node("Cast", ["s"], ["c"], to=BOOL),
        node("If", ["c"], ["b"], then_branch=then, else_branch=other),
    ]  # fmt: skip
    stored = store.add(save(with_function(body, inputs=("a", "k"))))
    found = OrtEngine(store, 1).prepare(stored.model_id, stored.whole).run({"x": FRAME["x"] + 1})["y"]
    np.testing.assert_array_equal(found, np.maximum(FRAME["x"] + 2, 0) + 1)


def test_standard_operators_by_their_long_name_are_standard(
    with_function: Callable[..., ModelProto], check_answers: Check
) -> None:
    model = with_function([node("Neg", ["a"], ["b"])])
    model.graph.node[1].domain = "ai.onnx"
    check_answers(model, FRAME)
