"""Claims about a model's own functions: inlined whatever they call their tensors, also from another operator set."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from onnx import FunctionProto, ModelProto, TensorProto, helper, numpy_helper

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


def calling(name: str, *calls: str) -> FunctionProto:
    """Function `name` that calls others one after the other."""
    names = ["a", *(f"t{at}" for at in range(1, len(calls))), "b"]
    nodes = [
        node(call, [before], [after], domain="" if call == "Neg" else "pkg.local")
        for call, (before, after) in zip(calls, itertools.pairwise(names), strict=True)
    ]
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("pkg.local", 1)]
    return helper.make_function("pkg.local", name, ["a"], ["b"], nodes, opsets)


@pytest.mark.parametrize(
    ("functions", "words"),
    [
        ([calling("f", "f")], "in a circle"),
        ([calling("f", "g"), calling("g", "f")], "in a circle"),
        ([calling("f", "f0"), *(calling(f"f{at}", f"f{at + 1}") for at in range(99))], "more than 64 deep"),
        (
            [calling("f", "f0"), calling("f9", "Neg"), *(calling(f"f{at}", *[f"f{at + 1}"] * 10) for at in range(9))],
            "more than 100000 nodes",
        ),
        ([calling("f", "g")], r"operator `pkg.local.g` of `.*` is not supported"),
    ],
)
def test_functions_that_never_end_are_refused_before_they_are_inlined(
    with_function: Callable[..., ModelProto], save: Save, store: ModelStore, functions: list[FunctionProto], words: str
) -> None:
    model = with_function([])
    del model.functions[:]
    model.functions.extend(functions)
    with pytest.raises(ModelError, match=words):
        store.add(save(model))


def test_a_function_is_inlined_in_a_body_that_uses_its_names(
    with_function: Callable[..., ModelProto], check_answers: Check
) -> None:
    model = with_function([node("Mul", ["a", "a"], ["c"]), node("Sub", ["c", "a"], ["b"])])
    turns = helper.make_graph(
        [node("Identity", ["go"], ["go_on"]), node("f", ["a"], ["next"], domain="pkg.local")],
        "turns",
        [info("i", TensorProto.INT64, []), info("go", BOOL, []), info("a", FLOAT, [1, 4])],
        [info("go_on", BOOL, []), info("next", FLOAT, [1, 4])],
    )
    model.graph.node[1].CopyFrom(node("Loop", ["n", "yes", "b"], ["a"], body=turns))
    values = {"n": np.array(2), "yes": np.array(True)}
    model.graph.initializer.extend(numpy_helper.from_array(value, name) for name, value in values.items())
    check_answers(model, FRAME)


def test_standard_operators_by_their_long_name_are_standard(
    with_function: Callable[..., ModelProto], check_answers: Check
) -> None:
    model = with_function([node("Neg", ["a"], ["b"])])
    model.graph.node[1].domain = "ai.onnx"
    check_answers(model, FRAME)
