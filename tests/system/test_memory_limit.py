"""A node that runs out of memory while it prepares a plan: the old plan serves on, and the node lives."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import psutil
import pytest
from onnx import TensorProto, helper, numpy_helper

from seamline.core.vocabulary.errors import SeamlineError
from seamline.core.vocabulary.nodes import NodeId
from seamline.core.vocabulary.pictures import Fit
from seamline.model.metadata.preprocess import Preprocess, write_preprocess

EDGE = NodeId("edge")
EXTENT = 32
N_HIDDEN = 6144
"""Makes a matrix beyond 64 MiB, for which no thread of a process has address space in reserve."""

LIGHT, HEAVY = "edge[0:4]raw > fog[4:5]", "edge[0:2]raw > fog[2:5]"
ROOM_BYTES = 8 << 20


@pytest.fixture
def heavy_file(tmp_path: Path) -> Path:
    """Convolution, flatten, a matrix of 75 MB, ReLU, ten classes; cut 4 leaves the last, small matrix."""
    rng = np.random.default_rng(8)
    n_flat = 3 * EXTENT * EXTENT
    weights = {
        "kernel": rng.standard_normal((3, 3, 3, 3)) / 5,
        "wide": rng.standard_normal((n_flat, N_HIDDEN)) / np.sqrt(n_flat),
        "head": rng.standard_normal((N_HIDDEN, 10)) / np.sqrt(N_HIDDEN),
    }
    nodes = [
        helper.make_node("Conv", ["image", "kernel"], ["c"], pads=[1] * 4, name="conv"),
        helper.make_node("Flatten", ["c"], ["flat"], name="flatten"),
        helper.make_node("MatMul", ["flat", "wide"], ["hidden"], name="wide"),
        helper.make_node("Relu", ["hidden"], ["r"], name="relu"),
        helper.make_node("MatMul", ["r", "head"], ["scores"], name="scores"),
    ]
    graph = helper.make_graph(
        nodes,
        "heavy",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 3, EXTENT, EXTENT])],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, [1, 10])],
        [numpy_helper.from_array(value.astype(np.float32), name) for name, value in weights.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    write_preprocess(
        model, Preprocess(height=EXTENT, width=EXTENT, mean=(127.0,) * 3, std=(64.0,) * 3, fit=Fit.LETTERBOX)
    )
    path = tmp_path / "heavy.onnx"
    onnx.save(model, path)
    return path


@pytest.fixture
def limit_memory() -> Callable[[int, int | None], None]:
    """Let a process take so many bytes of address space more than it has now; None: as many as it likes."""

    def limit(pid: int, room_bytes: int | None) -> None:
        process = psutil.Process(pid)
        most = psutil.RLIM_INFINITY
        soft = most if room_bytes is None else process.memory_info().vms + room_bytes
        process.rlimit(psutil.RLIMIT_AS, (soft, most))

    return limit


@pytest.mark.needs("linux")
def test_a_node_without_memory_for_the_new_plan_leaves_the_old_one_serving(
    system, port, heavy_file, limit_memory, assert_nothing_lost
):
    system.model = heavy_file
    fog = system.node("fog", port)
    run = system.run("--events", "--plan", LIGHT, over="edge,fog", port=port)
    seen = run.wait_plan(LIGHT)
    with system.visit(port) as (stream, here):
        limit_memory(fog.popen.pid, ROOM_BYTES)
        with pytest.raises(SeamlineError, match="not enough memory"):
            here.switch_plan(EDGE, stream, HEAVY, "").result(timeout=90)
        seen = run.wait_plan(LIGHT, after=seen)
        assert not [event for event in run.events if HEAVY in event.get("plan", "")]

        limit_memory(fog.popen.pid, None)
        here.switch_plan(EDGE, stream, HEAVY, "").result(timeout=90)
        run.wait_plan(HEAVY, after=seen)
    run.popen.send_signal(signal.SIGINT)
    assert run.wait() == 130
    assert_nothing_lost(run.events[-1]["frames"])
    assert fog.popen.poll() is None
