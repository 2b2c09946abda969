"""Claims about the kinds of networks people have: every cut of each gives the whole model's result."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from seamline.core.vocabulary.errors import ModelError
from seamline.core.vocabulary.plans import Segment
from seamline.core.vocabulary.providers import CPU
from seamline.model import ModelStore, OrtEngine, StoredModel, verify_cuts
from seamline.model.engine.providers import InterruptibleEngine
from seamline.model.engine.verify import random_tensors

Make = Callable[..., ModelProto]
Weights = Callable[..., TensorProto]
Save = Callable[..., Path]
EngineOf = Callable[[ModelStore], InterruptibleEngine]
FLOAT, INT64, BOOL = TensorProto.FLOAT, TensorProto.INT64, TensorProto.BOOL
ROUNDING = 1e-5
node = helper.make_node


def conv(source: str, weight: str, target: str, *, stride: int = 1) -> NodeProto:
    return node("Conv", [source, weight], [target], pads=[1] * 4, strides=[stride] * 2)


def assert_cut_everywhere(
    stored: StoredModel, store: ModelStore, path: Path, engine: InterruptibleEngine | None = None
) -> None:
    """Every cut equals the whole, and the whole equals the file as the runtime itself runs it."""
    engine = engine or OrtEngine(store, 1)
    for check in verify_cuts(engine, stored):
        assert check.error is None, check
        assert check.max_relative_error < ROUNDING, check
    tensors = random_tensors(stored.graph.input_specs, seed=4)
    expected = ort.InferenceSession(str(path), providers=["CPUExecutionProvider"]).run(None, tensors)
    found = engine.prepare(stored.model_id, stored.whole).run(tensors)
    for name, value in zip(stored.graph.outputs, expected, strict=True):
        np.testing.assert_allclose(found[name], value, rtol=1e-3, atol=1e-5 * float(np.abs(value).max()))
    if engine.provider == CPU:
        assert_the_same_when_kept(stored, store)


def assert_the_same_when_kept(stored: StoredModel, store: ModelStore) -> None:
    """The optimised form of a segment gives what the segment gives, bit for bit: it is the same computation."""
    engine, last = OrtEngine(store, 1), stored.whole.stop
    for segment in (stored.whole, Segment(0, last // 2), Segment(last // 2, last)):
        before = engine.prepare(stored.model_id, segment)
        engine.keep(stored.model_id, segment)
        assert engine.is_kept(stored.model_id, segment)
        tensors = random_tensors(before.inputs, seed=6)
        expected, found = before.run(tensors), engine.prepare(stored.model_id, segment).run(tensors)
        assert engine.is_kept(stored.model_id, segment), "the runtime has refused the optimised form"
        assert {name: value.tobytes() for name, value in found.items()} == {
            name: value.tobytes() for name, value in expected.items()
        }


def test_a_network_with_skips_across_half_of_it_is_cut_with_several_tensors(
    make_model: Make, weights: Weights, save: Save, store: ModelStore, engine_of: EngineOf
) -> None:
    """U-Net: what the way down makes is needed again on the way up."""
    nodes = [
        conv("x", "w1", "a"), node("Relu", ["a"], ["skip1"]), conv("skip1", "w2", "b", stride=2),
        node("Relu", ["b"], ["skip2"]), conv("skip2", "w3", "c", stride=2), node("Relu", ["c"], ["bottom"]),
        node("Resize", ["bottom", "", "twice"], ["up2"], mode="nearest"),
        node("Concat", ["up2", "skip2"], ["d"], axis=1),
        conv("d", "w4", "e"), node("Resize", ["e", "", "twice"], ["up1"], mode="nearest"),
        node("Concat", ["up1", "skip1"], ["f"], axis=1), conv("f", "w5", "y"),
    ]  # fmt: skip
    twice = numpy_helper.from_array(np.array([1, 1, 2, 2], np.float32), "twice")
    values = [
        weights("w1", 4, 3, 3, 3), weights("w2", 6, 4, 3, 3), weights("w3", 8, 6, 3, 3), weights("w4", 6, 14, 3, 3),
        weights("w5", 2, 10, 3, 3), twice,
    ]  # fmt: skip
    path = save(make_model(nodes, values, inputs={"x": (FLOAT, [1, 3, 16, 16])}, outputs=["y"]))
    stored = store.add(path)
    assert max(len(cut.tensors) for cut in stored.cuts) == 3
    assert_cut_everywhere(stored, store, path, engine_of(store))


def test_a_detector_with_three_heads_is_cut_behind_a_head_that_is_done(
    make_model: Make, weights: Weights, save: Save, store: ModelStore, engine_of: EngineOf
) -> None:
    """YOLO: the outputs are made one after the other, and a finished one crosses all cuts behind it."""
    nodes = [
        conv("x", "w1", "s1", stride=2), node("Sigmoid", ["s1"], ["g1"]), node("Mul", ["s1", "g1"], ["p3"]),
        conv("p3", "w2", "s2", stride=2), node("Sigmoid", ["s2"], ["g2"]), node("Mul", ["s2", "g2"], ["p4"]),
        conv("p4", "w3", "p5", stride=2), node("MaxPool", ["p5"], ["m"], kernel_shape=[3, 3], pads=[1] * 4),
        node("Concat", ["p5", "m"], ["n5"], axis=1),
        node("Resize", ["p5", "", "twice"], ["u5"], mode="nearest"), node("Concat", ["u5", "p4"], ["n4"], axis=1),
        conv("p3", "h3", "small"), conv("n4", "h4", "medium"), conv("n5", "h5", "large"),
    ]  # fmt: skip
    twice = numpy_helper.from_array(np.array([1, 1, 2, 2], np.float32), "twice")
    values = [
        weights("w1", 4, 3, 3, 3), weights("w2", 6, 4, 3, 3), weights("w3", 8, 6, 3, 3), weights("h3", 5, 4, 3, 3),
        weights("h4", 5, 14, 3, 3), weights("h5", 5, 16, 3, 3), twice,
    ]  # fmt: skip
    outputs = ["large", "medium", "small"]
    path = save(make_model(nodes, values, inputs={"x": (FLOAT, [1, 3, 32, 32])}, outputs=outputs))
    stored = store.add(path)
    assert stored.graph.outputs == tuple(outputs)
    assert_cut_everywhere(stored, store, path, engine_of(store))


def test_a_recogniser_of_open_width_is_cut_once_the_width_is_given(
    make_model: Make, weights: Weights, save: Save, store: ModelStore, engine_of: EngineOf
) -> None:
    """OCR: columns become a sequence, whose length the exporter asks for at run time."""
    nodes = [
        conv("x", "w1", "a", stride=2), node("Relu", ["a"], ["b"]),
        node("Shape", ["b"], ["shape"]), node("Gather", ["shape", "three"], ["width"], axis=0),
        node("Concat", ["minus", "width"], ["target"], axis=0), node("Reshape", ["b", "target"], ["columns"]),
        node("Unsqueeze", ["columns", "zero"], ["batched"]), node("Transpose", ["batched"], ["steps"], perm=[2, 0, 1]),
        node("LSTM", ["steps", "lw", "lr"], ["hidden"], hidden_size=6),
        node("Squeeze", ["hidden", "one"], ["flat"]), node("MatMul", ["flat", "out"], ["y"]),
    ]  # fmt: skip
    values = [
        weights("w1", 4, 1, 3, 3), weights("lw", 1, 24, 32), weights("lr", 1, 24, 6), weights("out", 6, 10),
        *(numpy_helper.from_array(np.array([value], np.int64), name)
          for name, value in (("zero", 0), ("one", 1), ("three", 3), ("minus", -1))),
    ]  # fmt: skip
    path = save(make_model(nodes, values, inputs={"x": (FLOAT, ["n", 1, 16, "image_width"])}, outputs=["y"]))
    with pytest.raises(ModelError, match=r"axis 3 \(image_width\) of input `x` is open: \[n,1,16,image_width\]"):
        store.add(path)
    for width in (8, 20):
        stored = store.add(path, shapes={"x": (1, 1, 16, width)})
        assert stored.graph.output_specs[0].shape == (width // 2, 1, 10)
        assert_cut_everywhere(stored, store, path, engine_of(store))


def test_state_that_goes_in_comes_out_and_crosses_where_it_must(
    make_model: Make, weights: Weights, save: Save, store: ModelStore, engine_of: EngineOf
) -> None:
    """Streaming audio: two states beside the sound, used late; Loop and Scan are one layer each."""
    step = helper.make_graph(
        [node("MatMul", ["kept", "turn"], ["moved"]), node("Tanh", ["moved"], ["next"]),
         node("Identity", ["go"], ["on"])],
        "step",
        [
            helper.make_tensor_value_info("count", INT64, []), helper.make_tensor_value_info("go", BOOL, []),
            helper.make_tensor_value_info("kept", FLOAT, [1, 8]),
        ],
        [helper.make_tensor_value_info("on", BOOL, []), helper.make_tensor_value_info("next", FLOAT, [1, 8])],
    )  # fmt: skip
    sums = helper.make_graph(
        [node("Add", ["total", "row"], ["sum"]), node("Identity", ["sum"], ["shown"])],
        "sums",
        [helper.make_tensor_value_info(name, FLOAT, [8]) for name in ("total", "row")],
        [helper.make_tensor_value_info(name, FLOAT, [8]) for name in ("sum", "shown")],
    )
    nodes = [
        node("MatMul", ["sound", "w"], ["a"]), node("Add", ["a", "state"], ["b"]),
        node("Loop", ["trips", "", "b"], ["state_next"], body=step), node("Relu", ["state_next"], ["c"]),
        node("Scan", ["memory", "c"], ["memory_next", "rows"], body=sums, num_scan_inputs=1),
        node("MatMul", ["rows", "turn"], ["y"]),
    ]  # fmt: skip
    trips = numpy_helper.from_array(np.array(3, np.int64), "trips")
    inputs = {"sound": (FLOAT, ["batch", 16]), "state": (FLOAT, ["batch", 8]), "memory": (FLOAT, [8])}
    model = make_model(
        nodes, [weights("w", 16, 8), weights("turn", 8, 8), trips], inputs=inputs,
        outputs=["y", "state_next", "memory_next"],
    )  # fmt: skip
    for value, shape in zip(model.graph.output, ([1, 8], [1, 8], [8]), strict=True):
        value.CopyFrom(helper.make_tensor_value_info(value.name, FLOAT, shape))
    path = save(model)
    stored = store.add(path, shapes={"sound": (1, 16)})
    assert {"Loop", "Scan"} <= {layer.op for layer in stored.graph.layers}
    assert_cut_everywhere(stored, store, path, engine_of(store))


def test_a_models_own_functions_are_resolved(
    make_model: Make, weights: Weights, save: Save, store: ModelStore, engine_of: EngineOf
) -> None:
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("own", 1)]
    gated = helper.make_function(
        "own", "Gated", ["value"], ["result"],
        [node("Sigmoid", ["value"], ["gate"]), node("Mul", ["value", "gate"], ["result"])], opsets[:1],
    )  # fmt: skip
    nodes = [
        node("MatMul", ["x", "w"], ["a"]), node("Gated", ["a"], ["b"], domain="own"),
        node("MatMul", ["b", "v"], ["c"]), node("Gated", ["c"], ["y"], domain="own"),
    ]  # fmt: skip
    model = make_model(nodes, [weights("w", 6, 6), weights("v", 6, 6)], inputs={"x": (FLOAT, [1, 6])}, outputs=["y"])
    model.functions.append(gated)
    model.opset_import.append(opsets[1])
    path = save(model)
    stored = store.add(path)
    assert [layer.op for layer in stored.graph.layers] == ["MatMul", "Sigmoid", "Mul"] * 2
    assert_cut_everywhere(stored, store, path, engine_of(store))


def _newest_opset() -> int:
    """The newest operator set that both ONNX and the runtime know."""
    for opset in range(onnx.defs.onnx_opset_version(), 7, -1):
        graph = helper.make_graph(
            [node("Relu", ["x"], ["y"])], "probe",
            *([helper.make_tensor_value_info(name, FLOAT, [1])] for name in "xy"),
        )  # fmt: skip
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
        try:
            ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
        except Exception:  # the runtime's errors share no base
            continue
        return opset
    return 7


@pytest.mark.parametrize("opset", sorted({7, 9, 11, 13, 18, 21, _newest_opset()}))
def test_operator_sets_from_7_to_the_runtimes_newest_are_read(
    make_model: Make, weights: Weights, save: Save, store: ModelStore, opset: int
) -> None:
    """Old files list their weights among the inputs, and are of a format older than weights without that."""
    nodes = [
        node("Conv", ["x", "w"], ["a"], pads=[1] * 4),
        node("BatchNormalization", ["a", "one", "zero", "zero", "one"], ["b"]),
        node("Relu", ["b"], ["c"]), node("MaxPool", ["c"], ["d"], kernel_shape=[2, 2], strides=[2, 2]),
        node("Dropout", ["d"], ["e"]), node("Reshape", ["e", "flat"], ["f"]), node("Gemm", ["f", "v", "bias"], ["y"]),
    ]  # fmt: skip
    rng = np.random.default_rng(2)
    values = [
        weights("w", 4, 3, 3, 3), weights("v", 64, 5), weights("bias", 5),
        numpy_helper.from_array(rng.random(4, np.float32) + 0.5, "one"),
        numpy_helper.from_array(rng.random(4, np.float32), "zero"),
        numpy_helper.from_array(np.array([1, 64], np.int64), "flat"),
    ]  # fmt: skip
    model = make_model(nodes, values, inputs={"x": (FLOAT, ["n", 3, 8, 8])}, outputs=["y"], opset=opset)
    model.graph.output[0].CopyFrom(helper.make_tensor_value_info("y", FLOAT, ["n", 5]))
    if opset < 9:
        model.ir_version = 3
        for tensor in values:
            model.graph.input.append(helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims))
    path = save(model)
    assert_cut_everywhere(store.add(path), store, path)


def test_an_operator_set_newer_than_the_runtime_is_refused_by_name(
    make_model: Make, save: Save, store: ModelStore
) -> None:
    model = make_model([node("Relu", ["x"], ["y"])], [], inputs={"x": (FLOAT, [1])}, outputs=["y"], opset=900)
    with pytest.raises(ModelError, match="900"):
        store.add(save(model))
