"""What preparing a camera frame costs inside the first segment: on interleaved floats, and on bytes turned first.

Before: Cast, Sub, Mul, Transpose, as the layers stood until December 2026. After: what `prepend` makes. Both are
sessions of their own, run in turn on the same frame, one thread, processor time; answers are compared bit by bit.
Beside them MobileNetV2 with each in front, which says what share of a frame that is.
"""

from __future__ import annotations

import tempfile
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
from models import plain_session, thread_s
from onnx import GraphProto, ModelProto, TensorProto, helper, numpy_helper
from reporting import Report, parser, progress, spread

from seamline.model import zoo
from seamline.model.metadata.preprocess import Preprocess, read_preprocess
from seamline.model.onnx.prepending import prepend

N_ROUNDS = 400
N_NETWORK_ROUNDS = 120
IMAGENET: dict[str, Any] = {"mean": (123.675, 116.28, 103.53), "std": (58.395, 57.12, 57.375)}
UNIT: dict[str, Any] = {"mean": (0.0,) * 3, "std": (255.0,) * 3}
CASES = {
    "ImageNet 224x224 NCHW": Preprocess(height=224, width=224, **IMAGENET),
    "ImageNet 224x224 NHWC": Preprocess(height=224, width=224, layout="nhwc", **IMAGENET),
    "0 to 1 640x640 NCHW": Preprocess(height=640, width=640, **UNIT),
    "0 to 1 640x640 NHWC": Preprocess(height=640, width=640, layout="nhwc", **UNIT),
}


def main() -> None:
    chosen = parser("Preprocessing of a camera frame").parse_args()
    report = Report("preprocessing", "Preprocessing of a camera frame", chosen)
    rows = []
    for name, preprocess in CASES.items():
        progress(name)
        rows.append({"case": name, **_in_turn(_alone(preprocess), preprocess, 40 if chosen.quick else N_ROUNDS)})
    progress("MobileNetV2")
    network = _network(40 if chosen.quick else N_NETWORK_ROUNDS)
    report.data = {"rows": rows, "mobilenetv2": network}
    report.table(["form of input", "before, ms", "after, ms", "before / after", "bits"], map(_cells, rows))
    alone, before, after = (spread(network[key]) for key in ("alone_s", "before_s", "after_s"))
    report.say(
        "",
        f"MobileNetV2 alone takes {alone.text(1e3)} ms a frame; behind preprocessing {before.text(1e3)} ms before "
        f"and {after.text(1e3)} ms after: {_share(network, 'before_s')} of the frame before, "
        f"{_share(network, 'after_s')} after.",
    )
    report.finish()


def _cells(row: dict[str, Any]) -> list[str]:
    before, after, ratio = (spread(row[key]) for key in ("before_s", "after_s", "ratio"))
    same = "equal" if row["is_bit_equal"] else "differ"
    return [row["case"], before.text(1e3, 3), after.text(1e3, 3), ratio.text(1, 1), same]


def _alone(preprocess: Preprocess) -> dict[str, ort.InferenceSession]:
    return {"before": plain_session(_model(_old, preprocess)), "after": plain_session(_model(prepend, preprocess))}


def _in_turn(sessions: dict[str, ort.InferenceSession], preprocess: Preprocess, n_rounds: int) -> dict[str, Any]:
    frame = _frame(preprocess)
    answers = {name: session.run(None, {"frame": frame})[0] for name, session in sessions.items()}
    found: dict[str, Any] = {"before_s": [], "after_s": []}
    for _ in range(n_rounds):
        for name, session in sessions.items():
            found[f"{name}_s"].append(thread_s(partial(session.run, None, {"frame": frame})))
    found["ratio"] = [one / other for one, other in zip(found["before_s"], found["after_s"], strict=True)]
    found["is_bit_equal"] = bool(np.array_equal(answers["before"], answers["after"]))
    return found


def _network(n_rounds: int) -> dict[str, list[float]]:
    """MobileNetV2 alone, and behind each form of the preprocessing, in turn."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "network.onnx"
        zoo.build("mobilenetv2", path, seed=0)
        model = onnx.load(path)
    preprocess = read_preprocess(model)
    assert preprocess is not None
    frame, name = _frame(preprocess), model.graph.input[0].name
    tensor = np.random.default_rng(1).standard_normal(preprocess.input_shape).astype(np.float32)
    runs: list[tuple[str, ort.InferenceSession, dict[str, Any]]] = [("alone_s", plain_session(model), {name: tensor})]
    for key, steps in (("before_s", _old), ("after_s", prepend)):
        framed = ModelProto()
        framed.CopyFrom(model)
        steps(framed.graph, preprocess, name)
        runs.append((key, plain_session(framed), {"frame": frame}))
    found: dict[str, list[float]] = {key: [] for key, _, _ in runs}
    for _ in range(n_rounds):
        for key, session, feed in runs:
            found[key].append(thread_s(partial(session.run, None, feed)))
    return found


def _share(network: dict[str, list[float]], key: str) -> str:
    """Share of a frame that is not the network itself, by the medians."""
    return f"{100 * (1 - spread(network['alone_s']).median / spread(network[key]).median):.1f} %"


def _old(graph: GraphProto, preprocess: Preprocess, target: str) -> None:
    """The layers as they were: arithmetic on interleaved pixels, then a transpose of floats; put before `graph`'s."""
    values = {
        "mean": np.asarray(preprocess.mean, np.float32),
        "scale": np.float32(1) / np.asarray(preprocess.std, np.float32),
        "shape": np.asarray(preprocess.input_shape, np.int64),
    }
    graph.initializer.extend(numpy_helper.from_array(value, f"old/{key}") for key, value in values.items())
    turn = [helper.make_node("Transpose", ["old/2"], ["old/3"], perm=[2, 0, 1])] if preprocess.layout == "nchw" else []
    layers = list(graph.node)
    del graph.node[:], graph.input[:]
    graph.input.append(_frame_input(preprocess))
    first = [
        helper.make_node("Cast", ["frame"], ["old/0"], to=TensorProto.FLOAT),
        helper.make_node("Sub", ["old/0", "old/mean"], ["old/1"]),
        helper.make_node("Mul", ["old/1", "old/scale"], ["old/2"]),
        *turn,
        helper.make_node("Reshape", ["old/3" if turn else "old/2", "old/shape"], [target]),
    ]
    graph.node.extend((*first, *layers))


def _model(steps: Any, preprocess: Preprocess) -> ModelProto:
    graph = GraphProto(name="before")
    steps(graph, preprocess, "x")
    graph.output.append(helper.make_tensor_value_info("x", TensorProto.FLOAT, list(preprocess.input_shape)))
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def _frame_input(preprocess: Preprocess) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info("frame", TensorProto.UINT8, [preprocess.height, preprocess.width, 3])


def _frame(preprocess: Preprocess) -> Any:
    return np.random.default_rng(0).integers(0, 256, (preprocess.height, preprocess.width, 3), dtype=np.uint8)


if __name__ == "__main__":
    main()
