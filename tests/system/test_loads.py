"""A node that is loaded while frames flow is left for another one, and used again when its load is gone."""

from __future__ import annotations

from dataclasses import replace

import onnx
import pytest

from seamline.model.preprocess import read_preprocess, write_preprocess

EXTENT = 160
"""Wide enough that a run takes a millisecond: how much slower a node became can then be told from noise."""

TESTBED = """\
name = "loads"
[[node]]
name = "edge"
tier = "edge"
slowdown = 60.0
threads = 1
[[node]]
name = "fog"
tier = "fog"
slowdown = 4.0
threads = 1
[[link]]
between = ["edge", "fog"]
rate_mbps = 200
delay_ms = 1
[[change]]
at_s = 3
node = "fog"
slowdown = 200.0
[[change]]
at_s = 6
node = "fog"
slowdown = 4.0
"""


@pytest.fixture
def testbed(tmp_path):
    path = tmp_path / "loads.toml"
    path.write_text(TESTBED, encoding="utf-8")
    return path


@pytest.fixture
def wide_model(tmp_path, model_file):
    """The tiny model for larger frames."""
    model = onnx.load(model_file)
    for extent in model.graph.input[0].type.tensor_type.shape.dim[2:]:
        extent.dim_value = EXTENT
    path = tmp_path / "wide.onnx"
    write_preprocess(model, replace(read_preprocess(model), height=EXTENT, width=EXTENT))
    onnx.save(model, path)
    return path


def test_the_plan_leaves_a_node_while_it_is_loaded_and_comes_back(system, testbed, wide_model):
    run = system.start(
        "demo", "--testbed", str(testbed), "--model", str(wide_model), "--seconds", "14", "--fps", "10",
        "--no-baselines", "--json",
    )  # fmt: skip
    assert run.wait() == 0, run.stderr
    data = run.json
    assert data["scene_changes"] == [
        {"at_s": 3.0, "what": "node fog computes 200x as long"},
        {"at_s": 6.0, "what": "node fog computes 4x as long"},
    ]
    uses_fog = ["fog" in entry["plan"] for entry in data["plan_timeline"]]
    assert uses_fog[0], "a fog without load is quicker than the edge"
    assert False in uses_fog, "the loaded one is not"
    assert True in uses_fog[uses_fog.index(False) :], data["switches"]
    reasons = [switch["reason"] for switch in data["switches"]]
    assert any("fog slowed from" in reason for reason in reasons), reasons
    assert data["frames"]["answered"] == data["frames"]["accepted"] > 0
