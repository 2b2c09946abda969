"""Claims about constants of other kinds: strings, values inside branches, results that the runtime refuses as such."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import GraphProto, ModelProto, TensorProto, helper, numpy_helper

from seamline.core.vocabulary.errors import ModelError
from seamline.model import ModelStore, StoredModel

Make = Callable[..., ModelProto]
Weights = Callable[..., TensorProto]
Check = Callable[..., StoredModel]
Save = Callable[..., Path]
FLOAT, STRING = TensorProto.FLOAT, TensorProto.STRING
node, info = helper.make_node, helper.make_tensor_value_info
FRAME = {"x": np.array([[1, -2, 3, -4]], np.float32)}


def branches(then: GraphProto | None = None) -> dict[str, GraphProto]:
    def graph(op: str) -> GraphProto:
        return helper.make_graph([node(op, ["x"], ["r"])], op, [], [info("r", FLOAT, None)])

    return {"then_branch": then or graph("Relu"), "else_branch": graph("Sigmoid")}


@pytest.mark.parametrize("mode", ["linear", "cubic"])
@pytest.mark.parametrize("is_node", [False, True])
def test_strings_that_decide_a_branch_are_constants_like_others(
    make_model: Make, check_answers: Check, mode: str, is_node: bool
) -> None:
    text = helper.make_tensor("mode", STRING, [1], [mode.encode()])
    wanted = helper.make_tensor("wanted", STRING, [1], [b"linear"])
    nodes = [
        *([node("Constant", [], ["mode"], value_strings=[mode])] if is_node else []),
        node("Equal", ["mode", "wanted"], ["e"]), node("Squeeze", ["e"], ["c"]),
        node("If", ["c"], ["q"], **branches()), node("Neg", ["q"], ["y"]),
    ]  # fmt: skip
    values = [wanted] if is_node else [text, wanted]
    model = make_model(nodes, values, inputs={"x": (FLOAT, [1, 4])}, outputs=["y"], opset=19)
    stored = check_answers(model, FRAME)
    assert [layer.op for layer in stored.graph.layers] == ["Relu" if mode == "linear" else "Sigmoid", "Neg"]


def test_strings_that_do_not_fit_their_shape_are_refused(make_model: Make, save: Save, store: ModelStore) -> None:
    text = TensorProto(name="mode", data_type=STRING, dims=[3], string_data=[b"a"])
    nodes = [node("Equal", ["mode", "mode"], ["e"]), node("Where", ["e", "x", "x"], ["y"])]
    with pytest.raises(ModelError, match="holds 1 strings"):
        store.add(save(make_model(nodes, [text], inputs={"x": (FLOAT, [1, 3])}, outputs=["y"], opset=19)))


@pytest.mark.parametrize("is_decided", [False, True])
@pytest.mark.parametrize("is_inside", [False, True])
@pytest.mark.parametrize("rows", [1, 400])
def test_a_weight_may_be_read_in_a_branch_only(
    make_model: Make, weights: Weights, check_answers: Check, is_decided: bool, is_inside: bool, rows: int
) -> None:
    k = weights("k", rows, 4)
    then = helper.make_graph(
        [node("Add", ["x", "k"], ["a"]), node("ReduceSum", ["a"], ["r"])], "then", [], [info("r", FLOAT, None)],
        [k] if is_inside else [],
    )  # fmt: skip
    nodes = [node("If", ["c"], ["q"], **branches(then)), node("Neg", ["q"], ["y"])]
    values = [] if is_inside else [k]
    if is_decided:
        values.append(numpy_helper.from_array(np.array(True), "c"))
    else:
        nodes = [node("ReduceSum", ["x"], ["s"], keepdims=0), node("Cast", ["s"], ["c"], to=TensorProto.BOOL), *nodes]
    stored = check_answers(make_model(nodes, values, inputs={"x": (FLOAT, [1, 4])}, outputs=["y"]), FRAME)
    if is_decided:
        assert stored.weights_bytes == (0 if rows == 1 else len(k.raw_data))


def test_a_branch_may_return_a_weight_of_its_own(make_model: Make, weights: Weights, check_answers: Check) -> None:
    then = helper.make_graph([], "then", [], [info("r", FLOAT, [1, 4])], [weights("r", 1, 4)])
    nodes = [node("If", ["c"], ["q"], **branches(then)), node("Add", ["q", "x"], ["y"])]
    yes = numpy_helper.from_array(np.array(True), "c")
    check_answers(make_model(nodes, [yes], inputs={"x": (FLOAT, [1, 4])}, outputs=["y"]), FRAME)


def test_sparse_weights_in_a_branch_are_refused_in_words(make_model: Make, save: Save, store: ModelStore) -> None:
    sparse = onnx.SparseTensorProto(dims=[4])
    sparse.values.CopyFrom(numpy_helper.from_array(np.array([2, 3], np.float32), "k"))
    sparse.indices.CopyFrom(numpy_helper.from_array(np.array([1, 2]), "i"))
    then = helper.make_graph([node("Add", ["x", "k"], ["r"])], "then", [], [info("r", FLOAT, None)])
    then.sparse_initializer.append(sparse)
    nodes = [node("If", ["c"], ["y"], **branches(then))]
    yes = numpy_helper.from_array(np.array(True), "c")
    with pytest.raises(ModelError, match="sparse weights"):
        store.add(save(make_model(nodes, [yes], inputs={"x": (FLOAT, [1, 4])}, outputs=["y"])))
