"""A node that is loaded while frames flow is left for another one.

That it is used again once its load is gone is shown in virtual time: `tests/core/session/test_reprofiling.py`.
"""

from __future__ import annotations

import subprocess
from dataclasses import replace

import onnx
import pytest

from seamline.core.vocabulary.pictures import Fit
from seamline.model.metadata.preprocess import read_preprocess, write_preprocess
from seamline.testbed.orders import slowdown_line
from seamline.testbed.processes import FOLLOW_LOADS

EXTENT = 160
"""Wide enough that a run takes a millisecond: how much slower a node became can then be told from noise."""

EDGE, UNLOADED, LOADED = 250.0, 4.0, 400.0
PATIENT = ("--lease", "10")
"""Nobody is lost here, however busy the computer."""


@pytest.fixture
def wide_model(tmp_path, model_file):
    """The tiny model for larger frames."""
    model = onnx.load(model_file)
    for extent in model.graph.input[0].type.tensor_type.shape.dim[2:]:
        extent.dim_value = EXTENT
    path = tmp_path / "wide.onnx"
    write_preprocess(model, replace(read_preprocess(model), height=EXTENT, width=EXTENT, fit=Fit.LETTERBOX))
    onnx.save(model, path)
    return path


def test_the_plan_leaves_a_node_that_is_loaded(system, port, wide_model):
    fog = system.start(
        "node", "--json", "--name", "fog", "--tier", "fog", "--cluster", system.cluster, "--threads", "1",
        "--listen", f"tcp/127.0.0.1:{port}", "--cache", str(system.caches / "fog"), "--slowdown", f"{UNLOADED:g}",
        FOLLOW_LOADS, *PATIENT, stdin=subprocess.PIPE,
    )  # fmt: skip
    fog.wait_until(lambda process: bool(process.events))

    run = system.start(
        "run", str(wide_model), "--source", str(system.video), "--loop", "--fps", "4", "--over", "edge,fog", "--events",
        "--connect", f"tcp/127.0.0.1:{port}", "--cluster", system.cluster, "--threads", "1",
        "--slowdown", f"{EDGE:g}", "--private", "1", *PATIENT,
    )  # fmt: skip
    used = run.wait_plan("fog")
    fog.popen.stdin.write(slowdown_line(LOADED).encode())
    fog.popen.stdin.flush()
    run.wait_plan("edge[0:15]", after=used)
    fog.popen.stdin.close()
