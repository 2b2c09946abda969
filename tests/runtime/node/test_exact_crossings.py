"""Stages that send as u8 or f16: what selects crosses exactly, and an odd frame is answered like others."""

from __future__ import annotations

import queue
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from seamline.core.vocabulary.nodes import NodeId
from seamline.core.vocabulary.plans import Codec, Segment, Stage
from seamline.core.vocabulary.ports import Array
from seamline.model import ModelStore, OrtEngine
from seamline.model.engine.comparison import relative_error
from seamline.runtime.node.stages import Arrival, Finished, StageWorker

NODE = helper.make_node
FLOAT = TensorProto.FLOAT
Parts = tuple[list[onnx.NodeProto], list[TensorProto], dict[str, list[int]], dict[str, tuple[int, list[int]]]]
"""Nodes, weights, shapes of the inputs, and (dtype, shape) of the outputs."""


def constant(name: str, values: object, dtype: str = "float32") -> TensorProto:
    return numpy_helper.from_array(np.asarray(values, dtype), name)


def rows_of_a_table(rng: np.random.Generator) -> Parts:
    nodes = [
        NODE("MatMul", ["x", "w"], ["p"]), NODE("Clip", ["p", "low", "high"], ["c"]), NODE("Floor", ["c"], ["z"]),
        NODE("Add", ["z", "index"], ["at"]), NODE("Cast", ["at"], ["i"], to=TensorProto.INT64),
        NODE("Gather", ["table", "i"], ["y"]),
    ]  # fmt: skip
    weights = [
        constant("w", rng.standard_normal((8, 900))), constant("low", 0.0), constant("high", 0.5),
        constant("index", rng.permutation(5000)[None, :900]), constant("table", rng.standard_normal((5001, 4))),
    ]  # fmt: skip
    return nodes, weights, {"x": [1, 8]}, {"y": (FLOAT, [1, 900, 4])}


def hours_of_a_day(rng: np.random.Generator) -> Parts:
    nodes = [
        NODE("MatMul", ["x", "w"], ["p"]), NODE("Sigmoid", ["p"], ["c"]),
        NODE("Cast", ["c"], ["d"], to=TensorProto.DOUBLE), NODE("Mul", ["d", "day"], ["s"]),
        NODE("Add", ["s", "epoch"], ["at"]), NODE("Cast", ["at"], ["i"], to=TensorProto.INT64),
        NODE("Mod", ["i", "seconds"], ["m"]), NODE("Cast", ["m"], ["y"], to=FLOAT),
    ]  # fmt: skip
    weights = [
        constant("w", rng.standard_normal((8, 50))), constant("day", 86400.0, "float64"),
        constant("epoch", 1.7e9, "float64"), constant("seconds", 86400, "int64"),
    ]  # fmt: skip
    return nodes, weights, {"x": [1, 8]}, {"y": (FLOAT, [1, 50])}


def phases_of_positions(rng: np.random.Generator) -> Parts:
    nodes = [
        NODE("MatMul", ["x", "w"], ["p"]), NODE("Mul", ["p", "far"], ["at"]), NODE("Sin", ["at"], ["s"]),
        NODE("MatMul", ["s", "v"], ["y"]),
    ]  # fmt: skip
    weights = [
        constant("w", rng.standard_normal((8, 60))), constant("far", 300.0),
        constant("v", rng.standard_normal((60, 4))),
    ]  # fmt: skip
    return nodes, weights, {"x": [1, 8]}, {"y": (FLOAT, [1, 4])}


def regions_of_boxes(rng: np.random.Generator) -> Parts:
    nodes = [
        NODE("Conv", ["x", "w"], ["map"], pads=[1] * 4), NODE("GlobalAveragePool", ["map"], ["mean"]),
        NODE("Flatten", ["mean"], ["flat"]), NODE("Gemm", ["flat", "v"], ["raw"]),
        NODE("Reshape", ["raw", "four"], ["corners"]), NODE("Sigmoid", ["corners"], ["in"]),
        NODE("Mul", ["in", "size"], ["boxes"]),
        NODE("RoiAlign", ["x", "boxes", "zero"], ["y"], output_height=2, output_width=2, sampling_ratio=1),
    ]  # fmt: skip
    weights = [
        constant("w", rng.standard_normal((6, 3, 3, 3))), constant("v", rng.standard_normal((6, 8)) * 4),
        constant("four", [2, 4], "int64"), constant("size", 31.0), constant("zero", [0, 0], "int64"),
    ]  # fmt: skip
    return nodes, weights, {"x": [1, 3, 32, 32]}, {"y": (FLOAT, [2, 3, 2, 2])}


def times_that_come_in(rng: np.random.Generator) -> Parts:
    nodes = [
        NODE("Conv", ["x", "w"], ["map"], pads=[1] * 4), NODE("ReduceMean", ["map"], ["m"], axes=[2, 3], keepdims=0),
        NODE("Sub", ["t", "noon"], ["since"]), NODE("Concat", ["m", "since"], ["all"], axis=1),
        NODE("MatMul", ["all", "v"], ["y"]),
    ]  # fmt: skip
    weights = [
        constant("w", rng.standard_normal((6, 3, 3, 3))), constant("noon", 43200.5), constant("v", np.eye(7)[:, 6:]),
    ]  # fmt: skip
    return nodes, weights, {"x": [1, 3, 8, 8], "t": [1, 1]}, {"y": (FLOAT, [1, 1])}


NETS: dict[str, tuple[Callable[[np.random.Generator], Parts], set[str]]] = {
    "rows": (rows_of_a_table, {"p", "c", "z", "at"}),
    "hours": (hours_of_a_day, {"p", "c", "d", "s", "at"}),
    "phases": (phases_of_positions, {"p", "at"}),
    "boxes": (regions_of_boxes, {"raw", "corners", "in", "boxes"}),
    "times": (times_that_come_in, {"t"}),
}
"""Networks, and the tensors that must arrive with every bit."""


@pytest.fixture
def worker() -> Iterator[StageWorker]:
    worker = StageWorker(NodeId("edge"))
    yield worker
    worker.close()


def sent(worker: StageWorker, stage: Stage, segment: object, tensors: dict[str, Array]) -> dict[str, Array]:
    """What the next node decodes of what `stage` made of `tensors`."""
    done: queue.Queue[object] = queue.Queue()
    worker.put(stage, segment, Arrival(tensors=tensors), done=done.put, failed=done.put)  # type: ignore[arg-type]
    finished = done.get(timeout=10.0)
    assert isinstance(finished, Finished), finished
    assert finished.encoded is not None
    return dict(Arrival(encoding=finished.encoded.encoding, buffers=finished.encoded.buffers).open())


@pytest.mark.parametrize("codec", [Codec.F16, Codec.U8])
@pytest.mark.parametrize("name", NETS)
def test_what_selects_arrives_with_every_bit(name: str, codec: Codec, worker: StageWorker, tmp_path: Path) -> None:
    make, wanted = NETS[name]
    nodes, weights, takes, gives = make(np.random.default_rng(1))
    graph = helper.make_graph(
        nodes, name, [helper.make_tensor_value_info(*item) for item in _floats(takes)],
        [helper.make_tensor_value_info(key, *kind) for key, kind in gives.items()], weights,
    )  # fmt: skip
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), tmp_path / "m.onnx")
    store = ModelStore(tmp_path / "store")
    stored = store.add(tmp_path / "m.onnx")
    engine = OrtEngine(store, 1)
    feeds: dict[str, Array] = {key: np.random.default_rng(2).random(size, np.float32) for key, size in takes.items()}
    if "t" in feeds:
        feeds["t"] = feeds["t"] + np.float32(43217.25)
    expected = engine.prepare(stored.model_id, stored.whole).run(feeds)
    seen: set[str] = set()
    for cut in stored.cuts[:-1]:
        segment = None if cut.index == 0 else engine.prepare(stored.model_id, Segment(0, cut.index))
        made = feeds if segment is None else segment.run(feeds)
        stage = Stage(node=NodeId("edge"), segment=Segment(0, cut.index), codec=codec)
        crossed = sent(worker, stage, segment, feeds)
        for key in wanted & crossed.keys():
            np.testing.assert_array_equal(crossed[key], made[key], err_msg=f"{key} at cut {cut.index}")
            seen.add(key)
        if all(spec.exact or not spec.dtype.startswith("float") for spec in cut.tensors):
            tail = engine.prepare(stored.model_id, Segment(cut.index, stored.whole.stop))
            for key, value in tail.run(crossed).items():
                assert relative_error(value, expected[key]) <= 1e-5, (key, cut.index)
    assert seen == wanted


def _floats(shapes: dict[str, list[int]]) -> list[tuple[str, int, list[int]]]:
    return [(name, FLOAT, shape) for name, shape in shapes.items()]


@pytest.mark.parametrize("value", [0.0, -1.0])
def test_a_frame_whose_values_no_codec_holds_is_answered_like_others(
    value: float, worker: StageWorker, tmp_path: Path
) -> None:
    """The logarithm of 0 is minus infinity, of -1 no number."""
    nodes = [NODE("Log", ["x"], ["l"]), NODE("Exp", ["l"], ["y"])]
    ends = [[helper.make_tensor_value_info(name, FLOAT, [1, 3, 4, 4])] for name in "xy"]
    model = helper.make_model(helper.make_graph(nodes, "dark", *ends), opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 8
    onnx.save(model, tmp_path / "m.onnx")
    store = ModelStore(tmp_path / "store")
    stored = store.add(tmp_path / "m.onnx")
    engine = OrtEngine(store, 1)
    head, tail = (engine.prepare(stored.model_id, part) for part in (Segment(0, 1), Segment(1, 2)))
    frame = {"x": np.full((1, 3, 4, 4), value, np.float32)}
    for codec in (Codec.U8, Codec.F16):
        crossed = sent(worker, Stage(node=NodeId("edge"), segment=Segment(0, 1), codec=codec), head, frame)
        np.testing.assert_array_equal(tail.run(crossed)["y"], tail.run(head.run(frame))["y"])
