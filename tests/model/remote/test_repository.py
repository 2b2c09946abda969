"""Segments written as models of their own: chained in plain ONNX Runtime they answer as the whole file does."""

from __future__ import annotations

import itertools

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper, numpy_helper

from seamline.core.vocabulary.errors import ModelError, UsageError
from seamline.core.vocabulary.plans import Segment
from seamline.model.remote.repository import export_name, export_segment


@pytest.fixture
def skipping(tmp_path):
    """Four convolutions; the first one's output is added behind the third, so that it crosses two cuts untouched."""
    rng = np.random.default_rng(2)
    weights = [
        numpy_helper.from_array(rng.standard_normal((4, 4, 3, 3)).astype(np.float32) / 6, f"w{at}") for at in range(4)
    ]
    nodes = [helper.make_node("Conv", [("x", "a", "b", "d")[at], f"w{at}"], [("a", "b", "c", "y")[at]],
                              pads=[1] * 4, name=f"conv{at}") for at in range(4)]  # fmt: skip
    nodes.insert(3, helper.make_node("Add", ["c", "a"], ["d"], name="add"))
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 4, 8, 8]) for name in ("x", "y")]
    graph = helper.make_graph(nodes, "skipping", values[:1], values[1:], weights)
    path = tmp_path / "skipping.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path


def test_exported_segments_chained_answer_as_the_file(store, skipping, tmp_path):
    model = store.add(skipping)
    last = len(model.cuts) - 1
    at = [0, 1, 3, last]
    tensors = {"x": np.random.default_rng(3).standard_normal((1, 4, 8, 8)).astype(np.float32)}
    expected = ort.InferenceSession(skipping).run(None, tensors)[0]
    for start, stop in itertools.pairwise(at):
        segment = Segment(start, stop)
        made = export_segment(model, segment, export_name("net", segment, model), tmp_path / "repository")
        assert made.name == f"net_{start}_{stop}"
        session = ort.InferenceSession(made.path / "1" / "model.onnx")
        assert tuple(value.name for value in session.get_inputs()) == made.inputs
        outputs = session.run(list(made.outputs), {name: tensors[name] for name in made.inputs})
        tensors = {**{name: tensors[name] for name in made.passed}, **dict(zip(made.outputs, outputs, strict=True))}
    np.testing.assert_allclose(tensors["y"], expected, rtol=1e-5, atol=1e-6)


def test_a_whole_model_has_tritons_layout(store, skipping, tmp_path):
    model = store.add(skipping)
    made = export_segment(model, model.whole, export_name("net", model.whole, model), tmp_path)
    assert (tmp_path / "net" / "config.pbtxt").read_text() == (
        'name: "net"\nplatform: "onnxruntime_onnx"\nmax_batch_size: 0\n'
        'input [\n  { name: "x" data_type: TYPE_FP32 dims: [ 1, 4, 8, 8 ] }\n]\n'
        'output [\n  { name: "y" data_type: TYPE_FP32 dims: [ 1, 4, 8, 8 ] }\n]\n'
    )
    assert made.path == tmp_path / "net"
    with pytest.raises(UsageError, match="is there"):
        export_segment(model, model.whole, "net", tmp_path)
    with pytest.raises(ModelError, match="no layer runs"):
        export_segment(model, Segment(0, 0), "nothing", tmp_path)
