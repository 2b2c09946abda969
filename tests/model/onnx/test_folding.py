"""Claims about constants: what is folded, that it changes no result, and how many more places to cut that gives."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import onnxruntime as ort
import pytest
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from seamline.core.vocabulary.errors import UsageError
from seamline.core.vocabulary.plans import Segment
from seamline.model import ModelStore, OrtEngine, StoredModel, verify_cuts
from seamline.model.engine.verify import random_tensors
from seamline.model.onnx.reading import read_model

Make = Callable[..., ModelProto]
Weights = Callable[..., TensorProto]
Save = Callable[..., Path]
FLOAT, INT64 = TensorProto.FLOAT, TensorProto.INT64
N_BLOCKS, WIDTH, N_HEADS = 12, 24, 3


def ints(name: str, *values: int) -> TensorProto:
    return numpy_helper.from_array(np.array(values, np.int64), name)


@pytest.fixture
def vision_transformer(make_model: Make, weights: Weights) -> ModelProto:
    """A ViT with 12 blocks as PyTorch exports it with an open batch axis: every reshape asks for the batch size."""
    values = [
        *(weights(f"w{at}", 3 * WIDTH, WIDTH) for at in range(N_BLOCKS)),
        weights("patch", WIDTH, 3, 8, 8), weights("class", 1, 1, WIDTH), weights("position", 1, 17, WIDTH),
        weights("square", WIDTH, WIDTH), weights("head", WIDTH, 10),
        ints("zero", 0), ints("one", 1), ints("minus", -1), ints("width", WIDTH),
        ints("three", 3), ints("heads", N_HEADS), ints("size", WIDTH // N_HEADS),
        numpy_helper.from_array(np.float32((WIDTH // N_HEADS) ** -0.5).reshape(()), "scale"),
        *(numpy_helper.from_array(np.int64(index).reshape(()), f"i{index}") for index in range(3)),
    ]  # fmt: skip
    inputs = {"x": (FLOAT, ["batch", 3, 32, 32])}
    return make_model(list(_transformer_nodes()), values, inputs=inputs, outputs=["y"])


def _transformer_nodes() -> Iterator[NodeProto]:
    node = helper.make_node
    yield node("Conv", ["x", "patch"], ["patches"], strides=[8, 8])
    yield node("Shape", ["patches"], ["patches_shape"])
    yield node("Slice", ["patches_shape", "zero", "one"], ["patches_batch"])
    yield node("Concat", ["patches_batch", "width", "minus"], ["flat_shape"], axis=0)
    yield node("Reshape", ["patches", "flat_shape"], ["flat"])
    yield node("Transpose", ["flat"], ["tokens"], perm=[0, 2, 1])
    yield node("Concat", ["patches_batch", "one", "width"], ["class_shape"], axis=0)
    yield node("Expand", ["class", "class_shape"], ["class_token"])
    yield node("Concat", ["class_token", "tokens"], ["joined"], axis=1)
    yield node("Add", ["joined", "position"], ["b0"])
    for at in range(N_BLOCKS):
        yield from _block(at)
    yield node("Gather", [f"b{N_BLOCKS}", "i0"], ["first"], axis=1)
    yield node("MatMul", ["first", "head"], ["y"])


def _block(at: int) -> Iterator[NodeProto]:
    node = helper.make_node

    def own(name: str) -> str:
        return f"{name}@{at}"

    yield node("Shape", [f"b{at}"], [own("shape")])
    for axis in (0, 1):
        yield node("Gather", [own("shape"), f"i{axis}"], [own(f"n{axis}")], axis=0)
        yield node("Unsqueeze", [own(f"n{axis}"), "zero"], [own(f"d{axis}")])
    yield node("Transpose", [f"w{at}"], [own("w")], perm=[1, 0])
    yield node("MatMul", [f"b{at}", own("w")], [own("qkv")])
    yield node("Concat", [own("d0"), own("d1"), "three", "heads", "size"], [own("split_shape")], axis=0)
    yield node("Reshape", [own("qkv"), own("split_shape")], [own("split")])
    yield node("Transpose", [own("split")], [own("turned")], perm=[2, 0, 3, 1, 4])
    for index, name in enumerate("qkv"):
        yield node("Gather", [own("turned"), f"i{index}"], [own(name)], axis=0)
    yield node("Transpose", [own("k")], [own("kt")], perm=[0, 1, 3, 2])
    yield node("MatMul", [own("q"), own("kt")], [own("scores")])
    yield node("Mul", [own("scores"), "scale"], [own("scaled")])
    yield node("Softmax", [own("scaled")], [own("attention")], axis=-1)
    yield node("MatMul", [own("attention"), own("v")], [own("mixed")])
    yield node("Transpose", [own("mixed")], [own("back")], perm=[0, 2, 1, 3])
    yield node("Concat", [own("d0"), own("d1"), "width"], [own("whole_shape")], axis=0)
    yield node("Reshape", [own("back"), own("whole_shape")], [own("heads")])
    yield node("Add", [own("heads"), f"b{at}"], [own("sum")])
    yield node("MatMul", [own("sum"), "square"], [own("mlp")])
    yield node("Relu", [own("mlp")], [own("relu")])
    yield node("Add", [own("relu"), own("sum")], [f"b{at + 1}"])


def _single(stored: StoredModel) -> int:
    return sum(len(cut.tensors) == 1 for cut in stored.cuts[1:-1])


def _unsplit(path: Path, stored: StoredModel) -> float:
    """Largest relative deviation of the stored model from the file itself, run by the runtime without Seamline."""
    tensors = random_tensors(stored.graph.input_specs, seed=1)
    expected = ort.InferenceSession(str(path), providers=["CPUExecutionProvider"]).run(None, tensors)
    found = OrtEngine(stored_store(stored), 1).prepare(stored.model_id, stored.whole).run(tensors)
    return max(
        float(np.abs(found[name] - value).max() / np.abs(value).max())
        for name, value in zip(stored.graph.outputs, expected, strict=True)
    )


def stored_store(stored: StoredModel) -> ModelStore:
    return ModelStore(stored.folder.parent)


def test_a_transformer_can_be_cut_around_every_half_block_once_its_shapes_are_folded(
    vision_transformer: ModelProto, save: Save, store: ModelStore
) -> None:
    path = save(vision_transformer)
    stored = store.add(path)
    # Two places a block where only the residual stream crosses; the rest are in the stem and the head.
    assert _single(stored) >= 2 * N_BLOCKS
    assert not {"Shape", "Expand", "Unsqueeze"} & {layer.op for layer in stored.graph.layers}
    assert all(check.error is None and check.max_relative_error < 1e-5 for check in _some_cuts(store, stored))
    assert _unsplit(path, stored) < 1e-5


def _some_cuts(store: ModelStore, stored: StoredModel) -> Iterator:
    return verify_cuts(OrtEngine(store, 1), stored, cuts=range(0, len(stored.cuts), 7))


def test_turned_weights_are_kept_turned_and_shared_by_all_segments(
    vision_transformer: ModelProto, save: Save, store: ModelStore
) -> None:
    stored = store.add(save(vision_transformer))
    part = stored.segment(Segment(0, stored.whole.stop)).model
    assert part is not None
    turned = next(tensor for tensor in part.graph.initializer if tensor.name == "w@3")
    assert list(turned.dims) == [WIDTH, 3 * WIDTH]
    assert {entry.key for entry in turned.external_data} == {"location", "offset", "length"}
    source = next(tensor for tensor in vision_transformer.graph.initializer if tensor.name == "w3")
    place = {entry.key: entry.value for entry in turned.external_data}
    values = stored.read_part("weights", int(place["offset"]), int(place["length"]))
    assert values == numpy_helper.to_array(source).T.tobytes()


def test_folding_never_makes_a_model_larger(make_model: Make, weights: Weights, save: Save) -> None:
    """Weights in 8 bits stay in 8 bits, and a value that is large only when made is made where it is used."""
    quantised = numpy_helper.from_array(np.arange(60_000, dtype=np.uint8).reshape(200, 300), "w8")
    scale = numpy_helper.from_array(np.float32(0.1).reshape(()), "scale")
    nodes = [
        helper.make_node("DequantizeLinear", ["w8", "scale"], ["w"], name="unpack"),
        helper.make_node("MatMul", ["x", "w"], ["a"], name="product"),
        helper.make_node("Expand", ["row", "shape"], ["wide"], name="widen"),
        helper.make_node("MatMul", ["a", "wide"], ["y"], name="last"),
    ]
    values = [quantised, scale, weights("row", 1, 500), ints("shape", 300, 500)]
    normal = read_model(save(make_model(nodes, values, inputs={"x": (FLOAT, [1, 200])}, outputs=["y"])))
    assert [node.name for node in normal.model.graph.node] == ["unpack", "widen", "product", "last"]
    assert sum(data.n_bytes for data in normal.weights.values()) == 60_000 + 2000


def test_random_numbers_are_no_constants(make_model: Make, save: Save) -> None:
    nodes = [
        helper.make_node("RandomNormal", [], ["noise"], shape=[1, 4]),
        helper.make_node("Add", ["x", "noise"], ["y"]),
    ]
    model = read_model(save(make_model(nodes, [], inputs={"x": (FLOAT, [1, 4])}, outputs=["y"]))).model
    assert [node.op_type for node in model.graph.node] == ["RandomNormal", "Add"]


@pytest.fixture
def two_rates(make_model: Make, weights: Weights, save: Save) -> Path:
    """What an audio model looks like: one If on the sampling rate, each branch a network with weights of its own."""

    def branch(key: str) -> object:
        nodes = [
            helper.make_node("MatMul", ["x", f"{key}_w1"], [f"{key}_a"]),
            helper.make_node("Tanh", [f"{key}_a"], [f"{key}_b"]),
            helper.make_node("Add", [f"{key}_b", "state"], [f"{key}_state"]),
            helper.make_node("MatMul", [f"{key}_state", f"{key}_w2"], [f"{key}_y"]),
        ]
        outputs = [helper.make_tensor_value_info(f"{key}_{name}", FLOAT, None) for name in ("y", "state")]
        return helper.make_graph(nodes, key, [], outputs, [weights(f"{key}_w1", 6, 8), weights(f"{key}_w2", 8, 1)])

    nodes = [
        helper.make_node("Equal", ["rate", "sixteen"], ["is_wide"]),
        helper.make_node(
            "If", ["is_wide"], ["y", "next"], name="pick", then_branch=branch("wide"), else_branch=branch("narrow")
        ),
    ]
    sixteen = numpy_helper.from_array(np.int64(16000).reshape(()), "sixteen")
    inputs = {"x": (FLOAT, ["batch", 6]), "state": (FLOAT, ["batch", 8]), "rate": (INT64, [])}
    return save(make_model(nodes, [sixteen], inputs=inputs, outputs=["y", "next"]))


@pytest.mark.parametrize(("rate", "branch"), [(16000, "wide"), (8000, "narrow")])
def test_a_branch_decided_by_a_fixed_input_is_cut_like_any_network(
    two_rates: Path, store: ModelStore, rate: int, branch: str
) -> None:
    stored = store.add(two_rates, values={"rate": rate})
    assert [layer.op for layer in stored.graph.layers] == ["MatMul", "Tanh", "Add", "MatMul"]
    assert stored.graph.inputs == ("x", "state")
    tensors = random_tensors(stored.graph.input_specs, seed=2)
    session = ort.InferenceSession(str(two_rates), providers=["CPUExecutionProvider"])
    expected = session.run(None, {**tensors, "rate": np.array(rate, np.int64)})
    for cut in range(len(stored.cuts)):
        engine = OrtEngine(store, 1)
        head = engine.prepare(stored.model_id, Segment(0, cut)).run(tensors)
        found = engine.prepare(stored.model_id, Segment(cut, stored.whole.stop)).run(head)
        np.testing.assert_allclose(found["y"], expected[0], rtol=1e-5)  # sums in another order
        np.testing.assert_allclose(found["next"], expected[1], rtol=1e-5)
    assert branch in next(layer.outputs[0] for layer in stored.graph.layers)


def test_a_branch_that_an_input_decides_stays_one_layer_until_it_is_fixed(
    two_rates: Path, store: ModelStore, caplog: pytest.LogCaptureFixture
) -> None:
    stored = store.add(two_rates)
    assert "input `rate` decides a branch, which stays one layer; to cut it fix the input" in caplog.text
    caplog.clear()
    store.add(two_rates, values={"rate": 16000})
    assert caplog.text == ""
    assert [layer.op for layer in stored.graph.layers] == ["Equal", "If"]
    assert stored.graph.layers[1].macs == 2 * (6 * 8 + 8)
    assert all(check.error is None for check in verify_cuts(OrtEngine(store, 1), stored))
    with pytest.raises(UsageError, match="no input `speed`"):
        store.add(two_rates, values={"speed": 1})


def test_branches_that_return_a_constant_or_a_value_twice_keep_their_results(
    make_model: Make, weights: Weights, save: Save, store: ModelStore
) -> None:
    """A branch may return a constant of its own, or one value twice."""
    info = helper.make_tensor_value_info
    inner = [helper.make_node("Relu", ["h"], ["r"]), helper.make_node("Identity", ["h"], ["same"])]
    outputs = [info(name, FLOAT, None) for name in ("r", "r", "same", "k")]
    constant = weights("k", 1, 4)
    taken = helper.make_graph(inner, "taken", [], outputs, [constant])
    others = [helper.make_node("Neg", ["h"], [f"n{index}"]) for index in range(4)]
    other = helper.make_graph(others, "other", [], [info(f"n{index}", FLOAT, None) for index in range(4)])
    nodes = [
        helper.make_node("Exp", ["x"], ["h"]),
        helper.make_node("If", ["yes"], ["a", "b", "c", "d"], then_branch=taken, else_branch=other),
        helper.make_node("Sum", ["a", "b", "c", "d"], ["y"]),
    ]
    yes = numpy_helper.from_array(np.array(True), "yes")
    stored = store.add(save(make_model(nodes, [yes], inputs={"x": (FLOAT, [1, 4])}, outputs=["y"])))
    assert "If" not in {layer.op for layer in stored.graph.layers}
    x = random_tensors(stored.graph.input_specs, seed=3)["x"]
    found = OrtEngine(store, 1).prepare(stored.model_id, stored.whole).run({"x": x})["y"]
    np.testing.assert_allclose(found, 3 * np.exp(x) + numpy_helper.to_array(constant), rtol=1e-6)


def test_open_axes_of_the_same_name_are_the_same(make_model: Make, save: Save, store: ModelStore) -> None:
    nodes = [helper.make_node("Add", ["x", "state"], ["y"])]
    inputs = {"x": (FLOAT, ["batch", 6]), "state": (FLOAT, [2, "batch", 6])}
    path = save(make_model(nodes, [], inputs=inputs, outputs=["y"]))
    assert [spec.shape for spec in store.add(path).graph.input_specs] == [(1, 6), (2, 1, 6)]
    given = store.add(path, shapes={"state": (2, 3, 6)})
    assert [spec.shape for spec in given.graph.input_specs] == [(3, 6), (2, 3, 6)]


def test_the_runtimes_own_operators_get_shapes_although_axes_were_open(
    make_model: Make, weights: Weights, save: Save, store: ModelStore
) -> None:
    nodes = [
        helper.make_node("FusedMatMul", ["x", "w"], ["a"], domain="com.microsoft", alpha=0.5),
        helper.make_node("Gelu", ["a"], ["b"], domain="com.microsoft"),
        helper.make_node("MatMul", ["b", "v"], ["y"]),
    ]
    values = [weights("w", 8, 40), weights("v", 40, 2)]
    model = make_model(nodes, values, inputs={"x": (FLOAT, ["batch", 8])}, outputs=["y"])
    model.opset_import.append(helper.make_opsetid("com.microsoft", 1))
    stored = store.add(save(model))
    assert [cut.payload_bytes for cut in stored.cuts] == [32, 160, 160, 8]
    assert all(check.error is None for check in verify_cuts(OrtEngine(store, 1), stored))
