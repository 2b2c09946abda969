"""Claims about extents that the frame decides: what a file says of them is not believed, and outputs may have them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from seamline.model import StoredModel
from seamline.model.onnx.shape_inference import declared, infer

Make = Callable[..., ModelProto]
Weights = Callable[..., TensorProto]
Check = Callable[..., StoredModel]
FLOAT, INT64 = TensorProto.FLOAT, TensorProto.INT64
node, info = helper.make_node, helper.make_tensor_value_info


def constants(**values: object) -> list[TensorProto]:
    return [numpy_helper.from_array(np.asarray(value), name) for name, value in values.items()]


@pytest.fixture
def detector(make_model: Make, weights: Weights) -> Callable[[list[NodeProto]], ModelProto]:
    """Boxes and scores, suppressed to `found` boxes as float32, of which the file claims that there are 20."""

    def make(tail: list[NodeProto]) -> ModelProto:
        nodes = [
            node("MatMul", ["x", "wb"], ["b0"]), node("Sigmoid", ["b0"], ["b1"]),
            node("Reshape", ["b1", "box_shape"], ["boxes"]),
            node("MatMul", ["x", "ws"], ["s0"]), node("Sigmoid", ["s0"], ["s1"]),
            node("Reshape", ["s1", "score_shape"], ["scores"]),
            node("NonMaxSuppression", ["boxes", "scores", "most", "iou", "least"], ["selected"]),
            node("Cast", ["selected"], ["found"], to=FLOAT), *tail,
        ]  # fmt: skip
        values = [
            weights("wb", 16, 80), weights("ws", 16, 20),
            *constants(box_shape=[1, 20, 4], score_shape=[1, 1, 20], most=[20], half=np.float32(0.5)),
            *constants(iou=np.array([0.5], np.float32), least=np.array([0.55], np.float32)),
        ]  # fmt: skip
        model = make_model(nodes, values, inputs={"x": (FLOAT, [1, 16])}, outputs=["y"])
        model.graph.output[0].CopyFrom(info("y", FLOAT, [20, 3]))
        model.graph.value_info.extend(info(name, FLOAT, [20, 3]) for name in ("found", "h"))
        model.graph.value_info.append(info("selected", INT64, [20, 3]))
        return model

    return make


FRAMES = [
    {"x": np.random.default_rng(5).standard_normal((1, 16)).astype(np.float32)},
    {"x": np.zeros((1, 16), np.float32)},  # nothing is found in it
]


def test_no_cut_is_offered_where_found_boxes_would_cross(
    detector: Callable[[list[NodeProto]], ModelProto], check_answers: Check
) -> None:
    stored = check_answers(detector([node("Mul", ["found", "half"], ["y"])]), *FRAMES)
    assert stored.graph.output_specs[0].is_open
    assert not any(spec.is_open for cut in stored.cuts[:-1] for spec in cut.tensors)
    assert {"Reshape_2", "Reshape_5"} & {cut.after for cut in stored.cuts}


def test_a_claimed_number_of_boxes_becomes_no_constant(
    detector: Callable[[list[NodeProto]], ModelProto], check_answers: Check
) -> None:
    tail = [
        node("Shape", ["found"], ["shape"]), node("Expand", ["half", "shape"], ["h"]),
        node("Mul", ["found", "h"], ["y"]),
    ]  # fmt: skip
    check_answers(detector(tail), *FRAMES)


@pytest.mark.parametrize("op", ["Compress", "Unique", "NonZero", "UniqueOfRuntime"])
def test_what_a_file_claims_of_other_such_results_is_not_believed(
    make_model: Make, check_answers: Check, op: str
) -> None:
    """The file says 4 values; the answer is their sum, divided by how many there are."""
    made = {
        "Compress": [node("Greater", ["x", "zero"], ["is_kept"]), node("Compress", ["x", "is_kept"], ["some"])],
        "Unique": [node("Unique", ["x"], ["some"])],
        "UniqueOfRuntime": [node("Unique", ["x"], ["some", "at", "times"], domain="com.microsoft")],
        "NonZero": [node("NonZero", ["x"], ["at"]), node("Cast", ["at"], ["some"], to=FLOAT)],
    }
    nodes = [
        *made[op], node("Size", ["some"], ["size"]), node("Cast", ["size"], ["sizef"], to=FLOAT),
        node("ReduceSum", ["some"], ["total"], keepdims=0), node("Div", ["total", "sizef"], ["y"]),
    ]  # fmt: skip
    model = make_model(nodes, constants(zero=np.float32(0)), inputs={"x": (FLOAT, [4])}, outputs=["y"])
    model.opset_import.append(helper.make_opsetid("com.microsoft", 1))
    model.graph.value_info.append(info("some", FLOAT, [1, 4] if op == "NonZero" else [4]))
    check_answers(model, *({"x": np.array(x, np.float32)} for x in ([1, 2, -1, 3], [5, 5, 0, -3])))


def test_a_shape_that_the_frame_computes_is_the_one_that_is_returned(make_model: Make, check_answers: Check) -> None:
    nodes = [node("Relu", ["x"], ["r"]), node("Reshape", ["r", "shape"], ["y"])]
    inputs = {"x": (FLOAT, [2, 6]), "shape": (INT64, [2])}
    model = make_model(nodes, [], inputs=inputs, outputs=["y"])
    model.graph.output[0].CopyFrom(info("y", FLOAT, [3, 4]))
    x = np.arange(-6, 6, dtype=np.float32).reshape(2, 6)
    check_answers(model, {"x": x, "shape": np.array([3, 4])}, {"x": x, "shape": np.array([1, 12])})


def test_a_shape_that_only_the_file_knows_is_believed_where_no_frame_decides_it(
    make_model: Make, weights: Weights
) -> None:
    """The runtime has this operator and infers nothing for it; its extents follow from those of its inputs."""
    nodes = [
        node("BiasSplitGelu", ["x", "bias"], ["h"], domain="com.microsoft"),
        node("Relu", ["h"], ["r"]), node("NonZero", ["r"], ["i"]), node("Cast", ["i"], ["y"], to=FLOAT),
    ]  # fmt: skip
    model = make_model(nodes, [weights("bias", 8)], inputs={"x": (FLOAT, [1, 2, 8])}, outputs=["y"])
    model.opset_import.append(helper.make_opsetid("com.microsoft", 1))
    model.graph.value_info.extend([info("h", FLOAT, [1, 2, 4]), info("i", INT64, [3, 8])])
    known = {value.name for value in infer(model, declared(model.graph, {})).graph.value_info}
    assert {"h", "r"} <= known
