"""The user's own file in plain ONNX Runtime beside the whole model: what differs is found and said."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import ModelProto, TensorProto, helper, numpy_helper

from seamline.core.vocabulary.ports import Array
from seamline.model import ModelStore, OrtEngine, Preprocess, StoredModel, verify_cuts
from seamline.model.engine import original, plain_run
from seamline.model.engine.comparison import relative_error
from seamline.model.engine.original import FileCheck, check_file

NODE = helper.make_node
ROUNDING = 1e-5
FLOAT = TensorProto.FLOAT


def value(name: str, *shape: int | str, dtype: int = FLOAT) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, dtype, list(shape))


@pytest.fixture
def in_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """The file runs here: what its own process adds is shown by the tests without this fixture."""
    monkeypatch.setattr(original, "run_file", lambda request, tensors: plain_run._all_runs(asdict(request), tensors))


def checked(store: ModelStore, stored: StoredModel, path: Path, **values: float) -> FileCheck:
    return check_file(OrtEngine(store, 1), stored, path, seed=3, values=values)


def test_a_file_that_was_read_rightly_agrees_with_the_whole(
    store: ModelStore, small_cnn: ModelProto, save: Callable[..., Path]
) -> None:
    path = save(small_cnn)
    check = checked(store, store.add(path), path)
    assert (check.error, check.random_outputs, check.missing_outputs, check.n_compared) == (None, (), (), 1)
    assert all(error is not None and error <= ROUNDING for error in check.errors)


@pytest.mark.usefixtures("in_this_process")
def test_a_whole_that_was_read_wrongly_differs_from_its_file(
    store: ModelStore, small_cnn: ModelProto, save: Callable[..., Path]
) -> None:
    stored = store.add(save(small_cnn))
    for tensor in small_cnn.graph.initializer:
        if tensor.name == "w1":
            tensor.CopyFrom(numpy_helper.from_array(-numpy_helper.to_array(tensor), "w1"))
    check = checked(store, stored, save(small_cnn, "meant"))
    optimised, whole, unoptimised_whole = check.errors
    assert optimised == pytest.approx(0.0, abs=ROUNDING)
    assert min(whole or 0.0, unoptimised_whole or 0.0) > 0.01


@pytest.mark.usefixtures("in_this_process")
def test_the_preprocessing_of_frames_is_done_before_the_file(
    store: ModelStore, small_cnn: ModelProto, save: Callable[..., Path]
) -> None:
    path = save(small_cnn)
    recipe = Preprocess(height=8, width=8, mean=(1.0, 20.0, 3.0), std=(50.0, 40.0, 30.0))
    stored = store.add(path, preprocess=recipe)
    assert stored.preprocess is not None
    check = checked(store, stored, path)
    assert check.whole_error == pytest.approx(0.0, abs=ROUNDING)


@pytest.mark.usefixtures("in_this_process")
@pytest.mark.parametrize("shape", [(), (1,), (1, 4)])
def test_inputs_that_became_constants_are_given_to_the_file(
    shape: tuple[int, ...], store: ModelStore, tmp_path: Path
) -> None:
    nodes = [NODE("Mul", ["x", "gain"], ["h"]), NODE("Relu", ["h"], ["y"])]
    graph = helper.make_graph(nodes, "gain", [value("x", 1, 4), value("gain", *shape)], [value("y", 1, 4)])
    path = tmp_path / "gain.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    check = checked(store, store.add(path, values={"gain": -2.5}), path, gain=-2.5)
    assert (check.error, check.whole_error) == (None, 0.0)


@pytest.mark.usefixtures("in_this_process")
def test_outputs_that_are_drawn_at_random_are_named_and_not_compared(store: ModelStore, tmp_path: Path) -> None:
    nodes = [
        NODE("Relu", ["x"], ["a"]),
        NODE("RandomNormalLike", ["a"], ["noise"]),
        NODE("Add", ["a", "noise"], ["y"]),
        NODE("Neg", ["a"], ["z"]),
    ]
    graph = helper.make_graph(nodes, "noisy", [value("x", 1, 64)], [value("y", 1, 64), value("z", 1, 64)])
    path = tmp_path / "noisy.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    stored = store.add(path)
    check = checked(store, stored, path)
    assert (check.random_outputs, check.n_compared, check.whole_error) == (("y",), 1, 0.0)
    cuts = list(verify_cuts(OrtEngine(store, 1), stored, without=check.random_outputs))
    assert all(cut.error is None and cut.bit_equal for cut in cuts)


@pytest.mark.usefixtures("in_this_process")
def test_a_model_that_draws_once_for_each_session_is_random_as_well(store: ModelStore, tmp_path: Path) -> None:
    """Dropout as in training: two runs of one session drop the same, another session others."""
    nodes = [NODE("Relu", ["x"], ["a"]), NODE("Dropout", ["a", "half", "trains"], ["y"])]
    weights = [numpy_helper.from_array(np.float32(0.5), "half"), numpy_helper.from_array(np.array(True), "trains")]
    graph = helper.make_graph(nodes, "drop", [value("x", 1, 64)], [value("y", 1, 64)], weights)
    path = tmp_path / "drop.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    check = checked(store, store.add(path), path)
    assert (check.random_outputs, check.n_compared) == (("y",), 0)


@pytest.mark.usefixtures("in_this_process")
def test_noise_that_a_body_draws_from_constants_alone_is_drawn_anew_for_every_frame(
    store: ModelStore, tmp_path: Path
) -> None:
    flag = helper.make_tensor_value_info("go", TensorProto.BOOL, [])
    body = helper.make_graph(
        [
            NODE("Identity", ["go"], ["on"]),
            NODE("RandomNormal", [], ["r"], shape=[1, 8]),
            NODE("Add", ["v", "r"], ["w"]),
        ],
        "body",
        [helper.make_tensor_value_info("i", TensorProto.INT64, []), flag, value("v", 1, 8)],
        [helper.make_tensor_value_info("on", TensorProto.BOOL, []), value("w", 1, 8)],
    )
    weights = [
        numpy_helper.from_array(np.array(3, np.int64), "n"),
        numpy_helper.from_array(np.array(True), "yes"),
        numpy_helper.from_array(np.zeros((1, 8), np.float32), "zero"),
    ]
    nodes = [NODE("Loop", ["n", "yes", "zero"], ["noise"], body=body), NODE("Add", ["x", "noise"], ["y"])]
    graph = helper.make_graph(nodes, "noise", [value("x", 1, 8)], [value("y", 1, 8)], weights)
    path = tmp_path / "noise.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    stored = store.add(path)
    whole = OrtEngine(store, 1).prepare(stored.model_id, stored.whole)
    frame = {"x": np.zeros((1, 8), np.float32)}
    assert len({whole.run(frame)["y"].tobytes() for _ in range(5)}) == 5
    assert checked(store, stored, path).random_outputs == ("y",)


def test_a_file_that_plain_onnx_runtime_refuses_is_said_and_not_compared(
    store: ModelStore, small_cnn: ModelProto, save: Callable[..., Path]
) -> None:
    stored = store.add(save(small_cnn))
    small_cnn.graph.node[0].op_type = "Unheard"
    check = checked(store, stored, save(small_cnn, "foreign"))
    assert check.error is not None
    assert "plain ONNX Runtime" in check.error
    assert check.errors == (None, None, None)


def test_a_file_that_ends_the_runtime_by_a_signal_is_said_and_not_opened_here(
    store: ModelStore, tmp_path: Path
) -> None:
    """A branch of a function has a weight named like an input of the function that the caller leaves out."""
    ones = numpy_helper.from_array(np.ones((1, 4), np.float32), "k")
    then = helper.make_graph([NODE("Add", ["a", "k"], ["r"])], "then", [], [value("r", 1, 4)], [ones])
    other = helper.make_graph([NODE("Identity", ["a"], ["r"])], "else", [], [value("r", 1, 4)])
    body = [
        NODE("ReduceSum", ["a"], ["s"], keepdims=0), NODE("Cast", ["s"], ["c"], to=TensorProto.BOOL),
        NODE("If", ["c"], ["b"], then_branch=then, else_branch=other),
    ]  # fmt: skip
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("pkg.local", 1)]
    function = helper.make_function("pkg.local", "f", ["a", "k"], ["b"], body, opsets[:1])
    nodes = [NODE("f", ["x"], ["h"], domain="pkg.local"), NODE("Relu", ["h"], ["y"])]
    graph = helper.make_graph(nodes, "crafted", [value("x", 1, 4)], [value("y", 1, 4)])
    path = tmp_path / "crafted.onnx"
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=9, functions=[function]), path)
    check = checked(store, store.add(path), path)
    assert check.error is not None
    assert "ends plain ONNX Runtime by signal" in check.error


@pytest.mark.parametrize(
    ("found", "expected", "error"),
    [
        ([1.0, 2.0], [1.0, 2.0], 0.0),
        ([1.0, 2.0], [1.0, 4.0], 0.5),
        ([[1.0, 2.0]], [1.0, 2.0], math.inf),
        ([np.nan, 1.0], [np.nan, 1.0], 0.0),
        ([0.0, 1.0], [np.nan, 1.0], math.inf),
        ([np.inf, 1.0], [np.inf, 2.0], 0.5),
        ([1.0, 1.0], [np.inf, 1.0], math.inf),
        ([], [], 0.0),
    ],
)
def test_the_error_of_an_answer(found: list[float], expected: list[float], error: float) -> None:
    assert relative_error(np.array(found), np.array(expected)) == error


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (np.array(["a"]), np.array(["b"])),
        (np.array([2**60 + 1], np.int64), np.array([2**60], np.int64)),
        (np.array([True, False]), np.array([True, True])),
        (np.array([1 + 2j]), np.array([1 - 2j])),
    ],
)
def test_what_is_no_float_differs_or_not(found: Array, expected: Array) -> None:
    assert relative_error(found, expected) > 0.0
    assert relative_error(found, found) == 0.0


@pytest.mark.usefixtures("in_this_process")
def test_products_of_4_bit_weights_compute_what_the_file_says(store: ModelStore, tmp_path: Path) -> None:
    """The runtime rounds their inputs to 8 bits when it optimises the file: 1 % of the answer."""
    rng, side, block = np.random.default_rng(0), 256, 32
    weight = helper.make_tensor("w", TensorProto.INT4, [side, side], rng.integers(-8, 8, side * side).tolist())
    scale = numpy_helper.from_array((rng.random((side // block, side)) * 0.1).astype(np.float32), "s")
    nodes = [
        NODE("DequantizeLinear", ["w", "s"], ["d"], axis=0, block_size=block),
        NODE("MatMul", ["x", "d"], ["m"]),
        NODE("Relu", ["m"], ["y"]),
    ]
    graph = helper.make_graph(nodes, "int4", [value("x", 1, side)], [value("y", 1, side)], [weight, scale])
    path = tmp_path / "int4.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10), path)
    stored = store.add(path)
    check = checked(store, stored, path)
    assert check.unoptimised_whole_error == pytest.approx(0.0, abs=ROUNDING)
    assert all(cut.max_relative_error <= ROUNDING for cut in verify_cuts(OrtEngine(store, 1), stored))


@pytest.mark.usefixtures("in_this_process")
def test_an_answer_without_a_finite_number_is_named(store: ModelStore, tmp_path: Path) -> None:
    graph = helper.make_graph(
        [NODE("Sub", ["x", "x"], ["zero"]), NODE("Log", ["zero"], ["y"]), NODE("Relu", ["x"], ["z"])],
        "blank", [value("x", 1, 4)], [value("y", 1, 4), value("z", 1, 4)],
    )  # fmt: skip
    path = tmp_path / "blank.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    assert checked(store, store.add(path), path).blank_outputs == ("y",)


def test_texts_maps_and_sequences_are_compared_by_what_is_in_them(store: ModelStore, tmp_path: Path) -> None:
    """They come from the file's process as they are."""
    nodes = [
        NODE("ArgMax", ["x"], ["at"], axis=1, keepdims=0),
        NODE(
            "LabelEncoder", ["at"], ["text"], domain="ai.onnx.ml", keys_int64s=[0, 1, 2], values_strings=["a", "", "ü"]
        ),
        NODE("ZipMap", ["x"], ["map"], domain="ai.onnx.ml", classlabels_strings=["a", "b", "c"]),
        NODE("SequenceConstruct", ["x"], ["list"]),
    ]
    outputs = [
        helper.make_tensor_value_info("text", TensorProto.STRING, [1]),
        helper.make_value_info(
            "map",
            helper.make_sequence_type_proto(
                helper.make_map_type_proto(TensorProto.STRING, helper.make_tensor_type_proto(TensorProto.FLOAT, None))
            ),
        ),
        helper.make_tensor_sequence_value_info("list", TensorProto.FLOAT, [1, 3]),
    ]
    graph = helper.make_graph(nodes, "local", [value("x", 1, 3)], outputs)
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", 2)]
    path = tmp_path / "local.onnx"
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=8), path)
    stored = store.add(path)
    check = checked(store, stored, path)
    assert check.error is None
    assert (check.n_compared, check.errors, check.blank_outputs) == (3, (0.0, 0.0, 0.0), ())
    nodes[1].attribute[1].strings[:] = [b"b", b"a", b"c"]
    del graph.node[:]
    graph.node.extend(nodes)
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=8), path)
    assert checked(store, stored, path).whole_error == math.inf


def test_texts_and_sequences_that_the_file_takes_reach_it(store: ModelStore, tmp_path: Path) -> None:
    texts = [value(name, 2, dtype=TensorProto.STRING) for name in "aby"]
    rows = helper.make_value_info("s", helper.make_sequence_type_proto(helper.make_tensor_type_proto(FLOAT, None)))
    nodes = [NODE("StringConcat", ["a", "b"], ["y"]), NODE("SequenceLength", ["s"], ["n"])]
    outputs = [texts[2], value("n", dtype=TensorProto.INT64)]
    graph = helper.make_graph(nodes, "local", [*texts[:2], rows], outputs)
    path = tmp_path / "local.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9), path)
    check = checked(store, store.add(path), path)
    assert (check.error, check.errors, check.n_compared) == (None, (0.0, 0.0, 0.0), 2)
