"""The examples run as they stand, each in a process of its own, and are short enough to be read."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from seamline.core.vocabulary.pictures import Fit
from seamline.model.metadata.preprocess import Preprocess, write_preprocess

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
MAX_LINES = 60
EXTENT = 64


@pytest.fixture(scope="module")
def model_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four strided convolutions with random weights; takes 64x64 RGB frames."""
    rng = np.random.default_rng(9)
    nodes, weights = [], []
    channels, value = 3, "image"
    for layer, out in enumerate([16, 24, 32, 48]):
        kernel = (rng.standard_normal((out, channels, 3, 3)) * np.sqrt(2 / (9 * channels))).astype(np.float32)
        weights.append(numpy_helper.from_array(kernel, f"w{layer}"))
        conv = helper.make_node("Conv", [value, f"w{layer}"], [f"c{layer}"], pads=[1] * 4, strides=[2, 2])
        nodes += [conv, helper.make_node("Relu", [f"c{layer}"], [f"r{layer}"])]
        channels, value = out, f"r{layer}"
    nodes.append(helper.make_node("GlobalAveragePool", [value], ["scores"]))
    graph = helper.make_graph(
        nodes,
        "small",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 3, EXTENT, EXTENT])],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, [1, 48, 1, 1])],
        weights,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    whole = Fit.LETTERBOX  # so that no word about cropping is due
    write_preprocess(model, Preprocess(height=EXTENT, width=EXTENT, mean=(127.0,) * 3, std=(64.0,) * 3, fit=whole))
    path = tmp_path_factory.mktemp("model") / "small.onnx"
    onnx.save(model, path)
    return path


@pytest.fixture
def run_example(tmp_path: Path):
    """Run one example with arguments; its standard output. It must end well and say nothing on standard error."""

    def run(name: str, *arguments: str) -> str:
        done = subprocess.run(
            [sys.executable, str(EXAMPLES / name), *arguments],
            capture_output=True, text=True, timeout=60, cwd=tmp_path,
            env={**os.environ, "SEAMLINE_CACHE": str(tmp_path / "cache")},
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        assert done.stderr == ""
        return done.stdout

    return run


def test_every_example_is_run_here_and_short():
    names = sorted(path.name for path in EXAMPLES.glob("*.py"))
    assert names == ["01_split_a_model.py", "02_two_nodes.py", "03_plan_by_hand.py", "04_save_answers.py"]
    for name in names:
        assert len((EXAMPLES / name).read_text(encoding="utf-8").splitlines()) < MAX_LINES, name


def test_splitting_a_model_shows_the_smallest_cut_and_that_cutting_is_exact(run_example, model_file):
    said = run_example("01_split_a_model.py", str(model_file))
    assert re.search(r"^small: 10 cuts, \d of them worth planning with$", said, re.MULTILINE)
    deviation = re.search(r"at most (\S+) off", said)
    assert deviation is not None
    assert float(deviation[1]) < 1e-4


def test_two_nodes_answer_every_frame(run_example, model_file):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        endpoint = f"tcp/127.0.0.1:{probe.getsockname()[1]}"
    video = Path(__file__).resolve().parents[2] / "src" / "seamline" / "data" / "bigbuckbunny.mp4"
    said = run_example("02_two_nodes.py", str(model_file), str(video), endpoint).splitlines()
    assert said[0] == f"fog (fog) is ready on {endpoint}"
    assert len(said) > 2
    assert all(re.fullmatch(r"frame \d+: \d+\.\d ms by edge\[0:\d+\].*", line) for line in said[1:-1])
    assert said[-1] == "lost: 0"


def test_planning_by_hand_keeps_private_frames_at_home_and_gives_up_bad_links(run_example, model_file):
    said = run_example("03_plan_by_hand.py", str(model_file)).splitlines()
    assert len(said) == 12
    assert all("edge[0:0]" not in line for line in said[7:])
    assert said[-1].endswith("by edge[0:9]")


def test_answers_are_printed_and_saved(run_example, model_file, tmp_path):
    lines = run_example("04_save_answers.py", str(model_file)).splitlines()
    assert lines[0].startswith("classify: ")
    assert len([line for line in lines if "Label(" in line]) == 20
    assert lines[-2:] == ["results.jsonl: 20 answers", "seen.mp4: 20 answers"]
    assert len((tmp_path / "results.jsonl").read_text().splitlines()) == 20
    assert (tmp_path / "seen.mp4").stat().st_size > 10_000
