"""What one would write instead of Seamline answers as the network does, and leaves no process behind."""

from __future__ import annotations

import os
import sys
from argparse import Namespace
from pathlib import Path

import numpy as np
import onnx
import psutil
import pytest
from onnx import TensorProto, helper, numpy_helper

from seamline.core.vocabulary.errors import SeamlineError
from seamline.model.metadata.preprocess import Preprocess, write_preprocess

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"
EXTENT = 16


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(sys.path))
    import bench_peers

    return bench_peers


@pytest.fixture
def model_file(tmp_path: Path) -> Path:
    """Two convolutions with random weights; takes 16x16 RGB frames."""
    rng = np.random.default_rng(4)
    sizes = {"w0": (8, 3, 3, 3), "w1": (32, 8, 3, 3)}
    weights = [numpy_helper.from_array(rng.standard_normal(s).astype(np.float32), name) for name, s in sizes.items()]
    nodes = [
        helper.make_node("Conv", ["image", "w0"], ["c0"]),
        helper.make_node("Relu", ["c0"], ["r0"]),
        helper.make_node("Conv", ["r0", "w1"], ["c1"]),
        helper.make_node("GlobalAveragePool", ["c1"], ["scores"]),
    ]
    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 3, EXTENT, EXTENT])
    scores = helper.make_tensor_value_info("scores", TensorProto.FLOAT, [1, 32, 1, 1])
    graph = helper.make_graph(nodes, "small", [image], [scores], weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    write_preprocess(model, Preprocess(height=EXTENT, width=EXTENT, mean=(127.0,) * 3, std=(64.0,) * 3))
    onnx.save(model, tmp_path / "small.onnx")
    return tmp_path / "small.onnx"


def test_pipelines_of_two_processes_answer_as_the_whole_network_and_end(bench, model_file, tmp_path, monkeypatch):
    monkeypatch.setenv("SEAMLINE_CACHE", str(tmp_path))
    chosen = Namespace(quick=True, write=False, json=False, starts=1, rounds=2, turn_s=0.01)
    report = bench.Report("peers", "Peers", chosen)
    names = ("pyzmq", "gRPC, streaming", "ONNX Runtime")  # the benchmark compares their answers
    with bench.halves_of(str(model_file), 2) as halves:
        kinds = {name: bench.CONTESTANTS[name] for name in names}
        row = bench._compare(report, halves, bench.Link(), kinds, chosen)
    bench._tell(report, row)
    assert all(found["throughput_fps"] for found in row["contestants"].values())
    assert psutil.Process().children() == []


def test_a_pipeline_that_cannot_start_is_named_and_the_others_end(bench, model_file, tmp_path, monkeypatch):
    monkeypatch.setenv("SEAMLINE_CACHE", str(tmp_path))
    with bench.halves_of(str(model_file), 2) as halves:
        far = (sys.executable, "-c", "raise SystemExit('no such peer')")
        kinds = {"pyzmq": bench.CONTESTANTS["pyzmq"], "broken": bench.Kind(near=lambda *_: (), far=lambda *_: far)}
        with pytest.raises(SeamlineError, match="no such peer"), bench.contestants(kinds, halves, bench.Link()):
            pass
    assert psutil.Process().children() == []
