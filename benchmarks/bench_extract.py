"""Time to cut the two sides of a model out of the store, by the number of its nodes.

The claim: it grows linearly with the graph; both sides of 1,500 nodes take less than 100 ms. The model is a chain of
residual blocks (two matrix products, Relu, Add: two tensors cross inside each), cut in the middle. Measured is
`StoredModel.segment` for both sides, which is what a switch adds before the runtime opens its sessions; the baseline is
`onnx.utils.Extractor`, which copies weights and walks the whole graph for every segment.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

import numpy as np
import onnx
import onnx.utils
from onnx import TensorProto, helper, numpy_helper
from reporting import Report, parser, progress, spread

from seamline.core.vocabulary.plans import Segment
from seamline.model import ModelStore, StoredModel

SIZES = (375, 750, 1500, 3000, 6000)
LIMIT_N, LIMIT_S = 1500, 0.1
WIDTH = 32
NODES_PER_BLOCK = 4


def main() -> None:
    chosen = parser("Extraction of segments by size of the graph").parse_args()
    report = Report("extract", "Cutting segments out of a stored model", chosen)
    n_samples = 5 if chosen.quick else 50
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        store = ModelStore(Path(folder) / "store")
        for n_nodes in SIZES:
            progress(f"{n_nodes} nodes")
            path = write_chain(Path(folder) / f"chain{n_nodes}.onnx", n_nodes)
            rows.append(measure(store.add(path), path, n_samples))
    report.data = {"cases": rows, "limit_s": LIMIT_S, "limit_n_nodes": LIMIT_N}
    tell(report, rows)
    report.finish()


def write_chain(path: Path, n_nodes: int) -> Path:
    """A chain of residual blocks with `n_nodes` nodes and random weights, each block with weights of its own."""
    rng = np.random.default_rng(0)
    nodes, weights, last = [], [], "x"
    for at in range(n_nodes // NODES_PER_BLOCK):
        for name in ("v", "w"):
            values = (rng.standard_normal((WIDTH, WIDTH)) / np.sqrt(WIDTH)).astype(np.float32)
            weights.append(numpy_helper.from_array(values, f"{name}{at}"))
        nodes += [
            helper.make_node("MatMul", [last, f"v{at}"], [f"a{at}"]),
            helper.make_node("Relu", [f"a{at}"], [f"b{at}"]),
            helper.make_node("MatMul", [f"b{at}", f"w{at}"], [f"c{at}"]),
            helper.make_node("Add", [f"c{at}", last], [f"d{at}"]),
        ]
        last = f"d{at}"
    ends = [[helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, WIDTH])] for name in ("x", last)]
    graph = helper.make_graph(nodes, "chain", *ends, weights)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path


def measure(model: StoredModel, path: Path, n_samples: int) -> dict[str, object]:
    """Samples of both sides at the middle cut, ours and the baseline's, interleaved."""
    middle = len(model.cuts) // 2
    crossing = [tensor.name for tensor in model.cuts[middle].tensors]
    ends = model.graph.inputs, model.graph.outputs
    whole = onnx.shape_inference.infer_shapes(onnx.load(path))
    ours, theirs = [], []
    for sample in range(n_samples):
        started_s = time.perf_counter()
        model.segment(Segment(0, middle))
        model.segment(Segment(middle, model.whole.stop))
        ours.append(time.perf_counter() - started_s)
        if sample < max(2, n_samples // 10):
            theirs.append(extract_with_onnx(whole, ends, crossing))
    return {"n_nodes": len(model.graph.layers), "cut": middle, "ours_s": ours, "onnx_s": theirs}


def extract_with_onnx(
    whole: onnx.ModelProto, ends: tuple[tuple[str, ...], tuple[str, ...]], crossing: list[str]
) -> float:
    """Seconds for both sides with ONNX's own tool."""
    started_s = time.perf_counter()
    extractor = onnx.utils.Extractor(whole)
    extractor.extract_model(list(ends[0]), crossing)
    extractor.extract_model(crossing, list(ends[1]))
    return time.perf_counter() - started_s


def tell(report: Report, rows: list[dict[str, object]]) -> None:
    lines = []
    for row in rows:
        ours, theirs = spread(row["ours_s"]), spread(row["onnx_s"])
        per_node_us = 1e6 * ours.median / row["n_nodes"]
        lines.append((row["n_nodes"], ours.text(1e3), f"{per_node_us:.1f}", theirs.text(1e3)))
    report.say("Both sides of the middle cut, median (p10-p90), in milliseconds; weights already in the store.", "")
    report.table(("nodes", "Seamline, ms", "µs per node", "onnx.utils.Extractor, ms"), lines)
    at_limit = spread(next(row["ours_s"] for row in rows if row["n_nodes"] == LIMIT_N))
    verdict = "met" if at_limit.p90 <= LIMIT_S else "MISSED"
    report.say(f"Limit: {LIMIT_N} nodes in {1e3 * LIMIT_S:.0f} ms; {verdict} at the 90th percentile.", "")


if __name__ == "__main__":
    main()
