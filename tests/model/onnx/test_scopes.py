"""Claims about names: a tensor of a branch or body may have the name of one outside, and keeps its own meaning."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from onnx import GraphProto, ModelProto, TensorProto, helper, numpy_helper

from seamline.model import StoredModel
from seamline.model.onnx.scopes import Scope, make_unique

Make = Callable[..., ModelProto]
Check = Callable[..., StoredModel]
FLOAT, INT64, BOOL = TensorProto.FLOAT, TensorProto.INT64, TensorProto.BOOL
node, info = helper.make_node, helper.make_tensor_value_info
THREE_TIMES = [
    numpy_helper.from_array(np.array(3), "n"),
    numpy_helper.from_array(np.array(True), "yes"),
    numpy_helper.from_array(np.float32(1).reshape(()), "one"),
]


@pytest.fixture
def picture() -> dict[str, np.ndarray]:
    return {"x": np.random.default_rng(3).standard_normal((1, 8, 4, 4)).astype(np.float32)}


def add_one(carried: str, shape: list[int]) -> GraphProto:
    """Body of a Loop that adds one to what it carries, under the name `carried`."""
    nodes = [node("Identity", ["go"], ["go_on"]), node("Add", [carried, "one"], ["next"])]
    inputs = [info("turn", INT64, []), info("go", BOOL, []), info(carried, FLOAT, shape)]
    return helper.make_graph(nodes, "body", inputs, [info("go_on", BOOL, []), info("next", FLOAT, shape)])


def test_a_body_may_call_its_input_like_a_tensor_outside(
    make_model: Make, check_answers: Check, picture: dict[str, np.ndarray]
) -> None:
    """The size of the outer `t` is 128, of the body's 8."""
    nodes = [
        node("Relu", ["x"], ["t"]),
        node("ReduceMean", ["t"], ["m"], axes=[2, 3], keepdims=1),
        node("Loop", ["n", "yes", "m"], ["looped"], body=add_one("t", [1, 8, 1, 1])),
        node("Size", ["t"], ["size"]),
        node("Cast", ["size"], ["sizef"], to=FLOAT),
        node("Div", ["looped", "sizef"], ["y"]),
    ]
    check_answers(make_model(nodes, THREE_TIMES, inputs={"x": (FLOAT, [1, 8, 4, 4])}, outputs=["y"]), picture)


def test_a_decided_branch_may_hold_a_body_that_uses_its_names_again(
    make_model: Make, check_answers: Check, picture: dict[str, np.ndarray]
) -> None:
    shape = [1, 8, 4, 4]
    inner = [
        node("Relu", ["x"], ["a"]),
        node("Sigmoid", ["a"], ["m"]),
        node("Loop", ["n", "yes", "m"], ["r"], body=add_one("a", shape)),
    ]
    taken = helper.make_graph(inner, "then", [], [info("r", FLOAT, shape)])
    other = helper.make_graph([node("Identity", ["x"], ["r"])], "else", [], [info("r", FLOAT, shape)])
    nodes = [node("If", ["yes"], ["q"], then_branch=taken, else_branch=other), node("Relu", ["q"], ["y"])]
    stored = check_answers(make_model(nodes, THREE_TIMES, inputs={"x": (FLOAT, shape)}, outputs=["y"]), picture)
    assert [layer.op for layer in stored.graph.layers] == ["Relu", "Sigmoid", "Loop", "Relu"]


def test_a_name_in_a_branch_may_be_given_again_outside_later(
    make_model: Make, check_answers: Check, picture: dict[str, np.ndarray]
) -> None:
    """Both branches and the graph around them make an `s`; the size of the outer one is read."""

    def branch(op: str) -> GraphProto:
        made = node(op, ["x"], ["s"], axes=[2, 3], keepdims=1)
        return helper.make_graph([made], op, [], [info("s", FLOAT, [1, 8, 1, 1])])

    nodes = [
        node("ReduceSum", ["x"], ["sum"], keepdims=0),
        node("Greater", ["sum", "one"], ["big"]),
        node("If", ["big"], ["q"], then_branch=branch("ReduceMean"), else_branch=branch("ReduceMax")),
        node("Add", ["q", "x"], ["s"]),
        node("Size", ["s"], ["size"]),
        node("Cast", ["size"], ["sizef"], to=FLOAT),
        node("Div", ["s", "sizef"], ["y"]),
    ]
    model = make_model(nodes, THREE_TIMES, inputs={"x": (FLOAT, [1, 8, 4, 4])}, outputs=["y"])
    check_answers(model, picture, {"x": -picture["x"]})


def test_a_scan_may_use_names_of_a_loop_around_it(
    make_model: Make, check_answers: Check, picture: dict[str, np.ndarray]
) -> None:
    """A Scan in a Loop, both of whose bodies call their tensors `x` and `next` like the model does."""
    inner = helper.make_graph(
        [node("Add", ["x", "next"], ["y"]), node("Identity", ["y"], ["z"])],
        "rows",
        [info("x", FLOAT, [8, 4]), info("next", FLOAT, [8, 4])],
        [info("y", FLOAT, [8, 4]), info("z", FLOAT, [8, 4])],
    )
    body = helper.make_graph(
        [
            node("Identity", ["go"], ["go_on"]),
            node("Squeeze", ["x", "first"], ["rows"]),
            node("Transpose", ["rows"], ["turned"], perm=[1, 0, 2]),
            node("Expand", ["zero", "extents"], ["begin"]),
            node("Scan", ["begin", "turned"], ["total", "each"], body=inner, num_scan_inputs=1),
            node("Transpose", ["each"], ["back"], perm=[1, 0, 2]),
            node("Unsqueeze", ["back", "first"], ["next"]),
        ],
        "turns",
        [info("turn", INT64, []), info("go", BOOL, []), info("x", FLOAT, [1, 8, 4, 4])],
        [info("go_on", BOOL, []), info("next", FLOAT, [1, 8, 4, 4])],
    )
    constants = [
        *THREE_TIMES,
        numpy_helper.from_array(np.array([0]), "first"),
        numpy_helper.from_array(np.array([8, 4]), "extents"),
        numpy_helper.from_array(np.float32(0).reshape(()), "zero"),
    ]
    nodes = [node("Loop", ["n", "yes", "x"], ["next"], body=body), node("Mul", ["next", "x"], ["y"])]
    check_answers(make_model(nodes, constants, inputs={"x": (FLOAT, [1, 8, 4, 4])}, outputs=["y"]), picture)


def test_every_tensor_has_a_name_of_its_own_afterwards() -> None:
    inner = helper.make_graph([node("Relu", ["a"], ["b"])], "inner", [info("a", FLOAT, None)], [info("b", FLOAT, None)])
    outer = helper.make_graph(
        [node("Relu", ["a"], ["b"]), node("Scan", ["b"], ["c"], body=inner, num_scan_inputs=1)],
        "outer", [info("a", FLOAT, None)], [info("c", FLOAT, None)],
    )  # fmt: skip
    make_unique(outer)
    body = outer.node[1].attribute[0].g if outer.node[1].attribute[0].name == "body" else outer.node[1].attribute[1].g
    assert [value.name for value in outer.input] == ["a"]
    assert [value.name for value in (*body.input, *body.output)] == ["a/1", "b/1"]
    assert list(body.node[0].input) == ["a/1"]
    assert Scope.of(outer).fresh("a") == "a/2"
