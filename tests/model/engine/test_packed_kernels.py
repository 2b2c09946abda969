"""Models whose kernels want their weights packed: quantised, transformer-like and recurrent ones answer as in plain
ONNX Runtime, whole and at every cut, first and from kept forms, and their sessions do pack."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import NodeProto, TensorProto, helper, numpy_helper

from seamline.core.vocabulary.plans import Segment
from seamline.model import ModelStore, OrtEngine
from seamline.model.engine import ort as engine_module
from seamline.model.engine.comparison import relative_error
from seamline.model.engine.verify import random_tensors

WIDTH = 64
TOLERANCE = 1e-5  # a cut may keep two operators from being fused, which sums in another order
DYNAMIC_TOLERANCE = 2e-2  # such a last bit may tip a value over to the next of 256 levels
NODE = helper.make_node

Net = tuple[list[NodeProto], list[TensorProto], list[int], list[int], int]
"""Nodes from `x` to `y`, weights, shape of `x`, shape of `y`, opset."""


def constant(name: str, values: object, dtype: str = "float32") -> TensorProto:
    return numpy_helper.from_array(np.asarray(values, dtype), name)


def int4(rng: np.random.Generator, rows: int) -> Net:
    block = 32
    weights = [
        constant("q", rng.integers(0, 256, (WIDTH, WIDTH // block, block // 2)), "uint8"),
        constant("s", rng.random(WIDTH * WIDTH // block) * 0.01),
    ]
    attributes = {"K": WIDTH, "N": WIDTH, "bits": 4, "block_size": block, "accuracy_level": 4}
    nodes = [
        NODE("MatMulNBits", ["x", "q", "s"], ["h"], domain="com.microsoft", **attributes),
        NODE("Relu", ["h"], ["y"]),
    ]
    return nodes, weights, [1, rows, WIDTH], [1, rows, WIDTH], 17


def dynamic_int8(rng: np.random.Generator, dtype: str) -> Net:
    low, high, zero = (-100, 100, 0) if dtype == "int8" else (0, 200, 100)
    weights = [
        constant("w", rng.integers(low, high, (WIDTH, WIDTH)), dtype),
        constant("ws", 0.001),
        constant("wz", zero, dtype),
    ]
    nodes = [
        NODE("DynamicQuantizeLinear", ["x"], ["a", "as", "az"]),
        NODE("MatMulInteger", ["a", "w", "az", "wz"], ["m"]),
        NODE("Cast", ["m"], ["f"], to=TensorProto.FLOAT),
        NODE("Mul", ["as", "ws"], ["scale"]),
        NODE("Mul", ["f", "scale"], ["y"]),
    ]
    return nodes, weights, [1, 4, WIDTH], [1, 4, WIDTH], 17


def qdq(rng: np.random.Generator) -> Net:
    weights = [
        constant("s", 0.02),
        constant("z", 0, "int8"),
        constant("w", rng.integers(-50, 50, (16, 16, 3, 3)), "int8"),
        constant("ws", 0.01),
    ]
    nodes = [
        NODE("QuantizeLinear", ["x", "s", "z"], ["q"]),
        NODE("DequantizeLinear", ["q", "s", "z"], ["d"]),
        NODE("DequantizeLinear", ["w", "ws", "z"], ["v"]),
        NODE("Conv", ["d", "v"], ["c"], pads=[1] * 4),
        NODE("QuantizeLinear", ["c", "s", "z"], ["qc"]),
        NODE("DequantizeLinear", ["qc", "s", "z"], ["y"]),
    ]
    return nodes, weights, [1, 16, 8, 8], [1, 16, 8, 8], 17


def tokens(rng: np.random.Generator, dtype: str = "float32") -> Net:
    weights = [constant(f"w{i}", rng.standard_normal((WIDTH, WIDTH)) / 8, dtype) for i in range(3)] + [
        constant("scale", 0.125, dtype)
    ]
    nodes = [
        *(NODE("MatMul", ["x", f"w{i}"], [f"p{i}"]) for i in range(3)),
        NODE("Transpose", ["p1"], ["t"], perm=[0, 2, 1]),
        NODE("MatMul", ["p0", "t"], ["scores"]),
        NODE("Mul", ["scores", "scale"], ["scaled"]),
        NODE("Softmax", ["scaled"], ["shares"], axis=-1),
        NODE("MatMul", ["shares", "p2"], ["y"]),
    ]
    return nodes, weights, [1, 9, WIDTH], [1, 9, WIDTH], 17


def recurrent(rng: np.random.Generator, operator: str, gates: int) -> Net:
    weights = [constant(name, rng.standard_normal((1, gates * WIDTH, WIDTH)) / 8) for name in ("w", "r")]
    nodes = [NODE(operator, ["x", "w", "r"], ["h"], hidden_size=WIDTH), NODE("Squeeze", ["h", "axis"], ["y"])]
    return nodes, [*weights, constant("axis", [1], "int64")], [5, 1, WIDTH], [5, 1, WIDTH], 17


def one_row(rng: np.random.Generator, side: int = 520) -> Net:
    weights = [constant(f"w{i}", rng.standard_normal((side, side)) / 20) for i in range(2)]
    nodes = [NODE("Gemm", ["x", "w0"], ["h"], transB=1), NODE("Relu", ["h"], ["r"]), NODE("MatMul", ["r", "w1"], ["y"])]
    return nodes, weights, [1, side], [1, side], 17


NETS: dict[str, Callable[[np.random.Generator], Net]] = {
    "int4, one row": lambda rng: int4(rng, 1),
    "int4, 16 rows": lambda rng: int4(rng, 16),
    "int8 dynamic": lambda rng: dynamic_int8(rng, "int8"),
    "uint8 dynamic": lambda rng: dynamic_int8(rng, "uint8"),
    "int8 QDQ": qdq,
    "attention": tokens,
    "attention in float16": lambda rng: tokens(rng, "float16"),
    "LSTM": lambda rng: recurrent(rng, "LSTM", 4),
    "GRU": lambda rng: recurrent(rng, "GRU", 3),
    "one row": one_row,
}


def saved(net: Net, path: Path) -> Path:
    nodes, weights, takes, gives, opset = net
    dtype = TensorProto.FLOAT16 if any(w.data_type == TensorProto.FLOAT16 for w in weights) else TensorProto.FLOAT
    graph = helper.make_graph(
        nodes, "net",
        [helper.make_tensor_value_info("x", dtype, takes)],
        [helper.make_tensor_value_info("y", dtype, gives)],
        weights,
    )  # fmt: skip
    opsets = [helper.make_opsetid("", opset), helper.make_opsetid("com.microsoft", 1)]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=9), path)
    return path


def plain(path: Path, feeds: dict[str, np.ndarray]) -> np.ndarray:
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    session = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    answer: np.ndarray = session.run(None, feeds)[0]
    return answer


@pytest.mark.parametrize("name", NETS)
def test_whole_and_cut_answer_as_plain_onnx_runtime_does(name: str, tmp_path: Path) -> None:
    store = ModelStore(tmp_path / "store")
    path = saved(NETS[name](np.random.default_rng(5)), tmp_path / "net.onnx")
    stored = store.add(path)
    feeds = random_tensors(stored.graph.input_specs, 1)
    expected = plain(path, feeds)
    half = expected.dtype == np.float16
    tolerance = 2e-3 if half else DYNAMIC_TOLERANCE if "int" in name else TOLERANCE
    engine = OrtEngine(store, 1)
    for is_kept in (False, True):
        if is_kept:
            engine.keep(stored.model_id, stored.whole)
        whole = engine.prepare(stored.model_id, stored.whole).run(feeds)["y"]
        assert relative_error(whole, expected) <= (2e-3 if half else TOLERANCE)
    for cut in range(len(stored.cuts)):
        head = engine.prepare(stored.model_id, Segment(0, cut))
        tail = engine.prepare(stored.model_id, Segment(cut, stored.whole.stop))
        assert relative_error(tail.run(head.run(feeds))["y"], expected) <= tolerance, cut


@pytest.mark.parametrize("is_kept", [False, True])
def test_sessions_pack_weights_but_those_of_one_row(
    is_kept: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = ModelStore(tmp_path / "store")
    stored = store.add(saved(one_row(np.random.default_rng(5)), tmp_path / "net.onnx"))
    engine = OrtEngine(store, 1)
    if is_kept:
        engine.keep(stored.model_id, stored.whole)
    sessions = []
    monkeypatch.setattr(engine_module, "ort_segment", lambda part, session, *rest: sessions.append(session))
    engine.prepare(stored.model_id, stored.whole)
    (session,) = sessions
    assert session.get_session_options().get_session_config_entry("session.disable_prepacking") == "0"
    assert len(session.get_overridable_initializers()) == 2
    assert [value.name for value in session.get_inputs()] == ["x"]


def rows_of(rng: np.random.Generator, side: int = 520) -> Net:
    weights = [constant(f"w{i}", rng.standard_normal((side, side)) / 20) for i in range(3)]
    nodes = [
        NODE("Gemm", ["x", "w0"], ["h"], transB=1), NODE("Relu", ["h"], ["r"]),
        NODE("MatMul", ["r", "w1"], ["s"]), NODE("Relu", ["s"], ["t"]), NODE("MatMul", ["t", "w2"], ["y"]),
    ]  # fmt: skip
    return nodes, weights, [3, side], [3, side], 17


def mapped_files(folder: Path) -> set[str]:
    lines = Path("/proc/self/maps").read_text(encoding="utf-8").splitlines()
    return {line.split()[-1] for line in lines if str(folder) in line}


@pytest.mark.needs("linux")
def test_sessions_map_one_copy_of_packed_weights(tmp_path: Path) -> None:
    store = ModelStore(tmp_path / "store")
    stored = store.add(saved(rows_of(np.random.default_rng(5)), tmp_path / "net.onnx"))
    feeds = random_tensors(stored.graph.input_specs, 1)
    first = OrtEngine(store, 1).prepare(stored.model_id, stored.whole).run(feeds)["y"]
    engine, last = OrtEngine(store, 1), stored.whole.stop
    for segment in (stored.whole, Segment(0, 2), Segment(2, last)):
        engine.keep(stored.model_id, segment)
    copies = {str(path) for path in stored.folder.rglob("*.bin") if path.name != "weights.bin"}
    assert len(copies) == 3, "one for each weight, whatever was cut"
    assert all(Path(path).stat().st_size > 2 * 520 * 520 * 4 for path in copies), "the weight and its packed copy"
    held = [engine.prepare(stored.model_id, segment) for segment in (stored.whole, Segment(0, 2), Segment(2, last))]
    assert mapped_files(stored.folder) == copies, "the packed ones, and not the weights that they were made of"
    np.testing.assert_array_equal(held[0].run(feeds)["y"], first)
    np.testing.assert_array_equal(held[2].run(held[1].run(feeds))["y"], first)
    del held


def test_a_packed_copy_of_something_else_is_not_used(tmp_path: Path) -> None:
    store = ModelStore(tmp_path / "store")
    stored = store.add(saved(rows_of(np.random.default_rng(5)), tmp_path / "net.onnx"))
    feeds = random_tensors(stored.graph.input_specs, 1)
    engine = OrtEngine(store, 1)
    first = engine.prepare(stored.model_id, stored.whole).run(feeds)["y"]
    engine.keep(stored.model_id, stored.whole)
    for path in stored.folder.rglob("*.bin"):
        if path.name != "weights.bin":
            path.write_bytes(path.read_bytes()[: 520 * 520 * 4 + 100])  # the copy is cut off
    np.testing.assert_array_equal(engine.prepare(stored.model_id, stored.whole).run(feeds)["y"], first)
    assert not engine.is_kept(stored.model_id, stored.whole), "what the runtime refused is dropped"


def test_products_of_packed_weights_are_work_so_that_planners_consider_cuts_between_them(tmp_path: Path) -> None:
    rng, block = np.random.default_rng(5), 32
    nodes, weights, last = [], [], "x"
    for i in range(2):
        weights += [
            constant(f"q{i}", rng.integers(0, 256, (WIDTH, WIDTH // block, block // 2)), "uint8"),
            constant(f"s{i}", rng.random(WIDTH * WIDTH // block) * 0.01),
        ]
        sizes = {"K": WIDTH, "N": WIDTH, "bits": 4, "block_size": block}
        nodes.append(NODE("MatMulNBits", [last, f"q{i}", f"s{i}"], [f"y{i}"], domain="com.microsoft", **sizes))
        last = f"y{i}"
    nodes.append(NODE("Relu", [last], ["y"]))
    path = saved((nodes, weights, [1, 4, WIDTH], [1, 4, WIDTH], 17), tmp_path / "net.onnx")
    stored = ModelStore(tmp_path / "store").add(path)
    assert stored.graph.macs == 2 * 4 * WIDTH * WIDTH
    assert [cut.index for cut in stored.cuts if cut.is_candidate] == [0, 1, 3]
