"""Which weights stay mapped from the file: large float matrices that one row is multiplied by, and no others."""

from __future__ import annotations

import numpy as np
import pytest
from onnx import GraphProto, ModelProto, NodeProto, TensorProto, helper, numpy_helper

from seamline.model.onnx.prepacking import LARGE_BYTES, keep_mapped, mapped_weights, packed_products
from seamline.model.onnx.to_graph import describe_layers

SIDE = 512
assert SIDE * SIDE * 4 == LARGE_BYTES


def matrix(name: str, dtype: str = "float32", side: int = SIDE) -> TensorProto:
    return numpy_helper.from_array(np.zeros((side, side), dtype), name)


def value(name: str, *shape: int | str, dtype: int = TensorProto.FLOAT) -> object:
    return helper.make_tensor_value_info(name, dtype, list(shape))


def graph(
    nodes: list[NodeProto], rows: int | str = 1, *, weights: list[TensorProto] | None = None, inner: str = "h"
) -> GraphProto:
    ends = [value("y", rows, SIDE)]
    made = helper.make_graph(nodes, "g", [value("x", rows, SIDE)], ends, weights or [matrix("w")])
    made.value_info.extend([value(inner, rows, SIDE)])
    return made


@pytest.mark.parametrize("operator", ["MatMul", "Gemm", "FusedMatMul", "FusedGemm"])
def test_the_matrix_of_one_row_stays_mapped(operator: str) -> None:
    assert mapped_weights(graph([helper.make_node(operator, ["x", "w"], ["y"])])) == ("w",)


@pytest.mark.parametrize("rows", [2, 197, "batch"])
def test_the_matrix_of_many_rows_or_of_an_unknown_number_is_packed(rows: int | str) -> None:
    assert mapped_weights(graph([helper.make_node("Gemm", ["x", "w"], ["y"])], rows)) == ()


def test_rows_are_all_axes_but_the_last() -> None:
    nodes = [helper.make_node("MatMul", ["x", "w"], ["y"])]
    for shape, mapped in (((1, 1, SIDE), ("w",)), ((1, 7, SIDE), ()), ((3, 1, SIDE), ()), ((SIDE,), ("w",))):
        made = helper.make_graph(nodes, "g", [value("x", *shape)], [value("y", *shape)], [matrix("w")])
        assert mapped_weights(made) == mapped, shape


def test_small_half_and_integer_weights_are_packed() -> None:
    for weight in (matrix("w", side=SIDE - 1), matrix("w", "float16", 2 * SIDE), matrix("w", "int8", 2 * SIDE)):
        assert mapped_weights(graph([helper.make_node("MatMul", ["x", "w"], ["y"])], weights=[weight])) == ()


def test_one_reader_that_wants_it_packed_is_enough() -> None:
    one_row = helper.make_node("MatMul", ["x", "w"], ["h"])
    shared = graph([one_row, helper.make_node("MatMulInteger", ["h", "w"], ["y"])])
    assert mapped_weights(shared) == ()
    both = graph([one_row, helper.make_node("Gemm", ["h", "w"], ["y"])])
    assert mapped_weights(both) == ("w",)


def test_a_weight_that_a_body_reads_as_well_is_packed() -> None:
    body = helper.make_graph([helper.make_node("MatMul", ["h", "w"], ["inner"])], "then", [], [value("inner", 1, SIDE)])
    branches = helper.make_node("If", ["yes"], ["y"], then_branch=body, else_branch=body)
    assert mapped_weights(graph([helper.make_node("MatMul", ["x", "w"], ["h"]), branches])) == ()


def test_a_left_operand_and_an_output_of_the_graph_are_no_such_weight() -> None:
    assert mapped_weights(graph([helper.make_node("MatMul", ["w", "x"], ["y"])])) == ()
    passed = graph([helper.make_node("MatMul", ["x", "w"], ["y"])])
    passed.output.append(value("w", SIDE, SIDE))
    assert mapped_weights(passed) == ()


def test_mapped_weights_are_listed_among_the_inputs_once() -> None:
    model = ModelProto(ir_version=3, graph=graph([helper.make_node("MatMul", ["x", "w"], ["y"])]))
    keep_mapped(model)
    keep_mapped(model)
    assert [item.name for item in model.graph.input] == ["x", "w"]
    assert model.ir_version == 4, "before it, a weight among the inputs is a constant"


def test_a_model_without_such_weights_is_left_alone() -> None:
    model = ModelProto(ir_version=3, graph=graph([helper.make_node("MatMul", ["x", "w"], ["y"])], 2))
    before = model.SerializeToString()
    keep_mapped(model)
    assert model.SerializeToString() == before


def test_products_of_many_rows_are_those_whose_packed_weights_can_be_shared() -> None:
    nodes = [helper.make_node("MatMul", ["x", "w"], ["h"]), helper.make_node("Gemm", ["h", "w"], ["y"])]
    assert packed_products(graph(nodes, 2)) == (0, 1)
    assert packed_products(graph(nodes, 1)) == (), "one row packs nothing"
    both = [nodes[0], helper.make_node("Add", ["h", "w"], ["y"])]
    assert packed_products(graph(both, 2)) == (), "something else reads the weight"
    assert packed_products(graph([helper.make_node("MatMul", ["w", "x"], ["y"])], 2)) == ()
    integers = [helper.make_node("MatMulInteger", ["x", "w"], ["y"])]
    assert packed_products(graph(integers, 2, weights=[matrix("w", "int8", 2 * SIDE)])) == ()


def test_memory_counts_what_sessions_hold_beyond_the_weights() -> None:
    def held(op: str, weight: TensorProto) -> int:
        made = graph([helper.make_node(op, ["x", "w"], ["y"], name="layer")], 2, weights=[weight])
        return describe_layers(made)[0].weight_bytes

    n_bytes = SIDE * SIDE
    assert held("MatMul", matrix("w")) == 4 * n_bytes
    assert held("MatMul", matrix("w", "float16")) == 4 * n_bytes
    assert held("MatMulInteger", matrix("w", "int8")) == n_bytes
    assert held("MatMulNBits", matrix("w", "uint8")) == 1.5 * n_bytes
