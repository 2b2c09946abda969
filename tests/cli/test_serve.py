"""`seamline serve` as a user types it: what is refused before anything starts, and a process from ready to its end."""

from __future__ import annotations

import http.client
import json
import signal
import subprocess
import sys

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from seamline.cli.main import run

pytestmark = [pytest.mark.needs("grpc"), pytest.mark.needs("starlette"), pytest.mark.needs("uvicorn")]


@pytest.fixture
def net(tmp_path):
    weights = np.random.default_rng(1).standard_normal((8, 4)).astype(np.float32)
    graph = helper.make_graph(
        [
            helper.make_node("MatMul", ["x", "w"], ["y"], name="matmul"),
            helper.make_node("Relu", ["y"], ["z"], name="relu"),
        ],
        "net",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 8])],
        [helper.make_tensor_value_info("z", TensorProto.FLOAT, [1, 4])],
        [numpy_helper.from_array(weights, "w")],
    )
    onnx.save(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), tmp_path / "net.onnx"
    )
    return weights


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("net.onnx", "other/net.onnx"), "two models are called `net`"),
        (("net.onnx", "--http", "x"), "`x` is no address for --http"),
        (("net.onnx", "--http", "0.0.0.0:0"), "no certificate for cluster"),
        (("net.onnx", "--grpc", "0.0.0.0:0", "--http", "off"), "no certificate"),
        (("empty.toml",), "names no model"),
    ],
)
def test_what_cannot_be_served_is_said_with_a_hint(net, tmp_path, monkeypatch, capsys, arguments, words):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty.toml").write_text('http = "0"\n')
    assert run(["serve", *arguments]) == 2
    said = capsys.readouterr().err
    assert words in said
    assert "hint:" in said


def test_a_file_names_models_and_a_signal_ends_it_with_its_code(net, tmp_path):
    (tmp_path / "two.toml").write_text('models = { a = "net.onnx", b = "net.onnx" }\nhttp = "0"\ngrpc = "off"\n')
    server = subprocess.Popen(
        [sys.executable, "-m", "seamline", "serve", str(tmp_path / "two.toml"), "--json"],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        ready = json.loads(server.stdout.readline())
        assert (ready["models"], ready["grpc"]) == (["a", "b"], None)
        connection = http.client.HTTPConnection(ready["http"].removeprefix("http://"), timeout=30)
        x = np.arange(8, dtype=np.float32)
        tensor = {"name": "x", "shape": [1, 8], "datatype": "FP32", "data": x.tolist()}
        connection.request("POST", "/v2/models/b/infer", json.dumps({"id": "1", "inputs": [tensor]}))
        answer = json.loads(connection.getresponse().read())
        np.testing.assert_allclose(answer["outputs"][0]["data"], np.maximum(x @ net, 0), rtol=1e-5)
        connection.close()
        server.send_signal(signal.SIGTERM)
        assert server.wait(30) == 143
    finally:
        server.kill()
        server.wait()
        server.stdout.close()
