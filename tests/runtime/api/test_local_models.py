"""A model that takes or gives strings or sequences runs whole where its frames are, and is sent nowhere."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

import seamline
from seamline.core.vocabulary.errors import UsageError

node, info = helper.make_node, helper.make_tensor_value_info


@pytest.fixture
def texts(tmp_path: Path) -> Path:
    """Joins two lines of text, and says whether the first is a number."""
    graph = helper.make_graph(
        [
            node("StringConcat", ["a", "b"], ["joined"]),
            node("RegexFullMatch", ["a"], ["is_number"], pattern="[0-9]+"),
        ],
        "texts",
        [info(name, TensorProto.STRING, [2]) for name in "ab"],
        [info("joined", TensorProto.STRING, [2]), info("is_number", TensorProto.BOOL, [2])],
    )
    path = tmp_path / "texts.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9), path)
    return path


@pytest.fixture
def parts(tmp_path: Path) -> Path:
    """Splits a picture into a sequence of its rows."""
    sequence = helper.make_sequence_type_proto(helper.make_tensor_type_proto(TensorProto.FLOAT, None))
    graph = helper.make_graph(
        [node("Relu", ["x"], ["r"]), node("SplitToSequence", ["r"], ["rows"], keepdims=0)],
        "parts",
        [info("x", TensorProto.FLOAT, [2, 3])],
        [helper.make_value_info("rows", sequence)],
    )
    path = tmp_path / "parts.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9), path)
    return path


@pytest.fixture
def cluster(tmp_path: Path):
    with seamline.connect(name="edge", cluster="local-models", n_threads=1, cache=tmp_path / "cache") as here:
        yield here


def test_a_stream_of_texts_is_answered_here(cluster, texts):
    stream = cluster.stream(texts, profile_budget_s=0.1)
    frames = [{"a": np.array([a, "b"], object), "b": np.array(["1", "2"], object)} for a in ("x", "7")]
    results = list(stream.run(frames))
    assert [result.error for result in results] == [None, None]
    assert [list(result.outputs["joined"]) for result in results] == [["x1", "b2"], ["71", "b2"]]
    assert [list(result.outputs["is_number"]) for result in results] == [[False, False], [True, False]]
    assert all(result.plan.is_local for result in results)


def test_a_sequence_is_an_answer(cluster, parts):
    (result,) = cluster.stream(parts, profile_budget_s=0.1).run([np.array([[1, -2, 3], [-4, 5, -6]], np.float32)])
    assert [list(row) for row in result.outputs["rows"]] == [[1, 0, 3], [0, 5, 0]]


def test_other_nodes_are_of_no_use_to_it(cluster, texts, tmp_path):
    with (
        seamline.connect(
            *cluster.node.endpoints, name="fog", cluster="local-models", n_threads=1, cache=tmp_path / "fog"
        ),
        pytest.raises(UsageError, match="which cannot be sent: it runs whole here; hint: leave out fog"),
    ):
        cluster.stream(texts, over=["edge", "fog"])
