"""Claims about the names that pre-processing adds: they never meet those of a model."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from onnx import ModelProto, TensorProto, helper

from seamline.core.vocabulary.plans import Segment
from seamline.model import ModelStore, OrtEngine, Preprocess
from seamline.runtime.segments.private_weights import PrivateWeightsEngine

Make = Callable[..., ModelProto]
Weights = Callable[..., TensorProto]
Save = Callable[..., Path]
FLOAT = TensorProto.FLOAT
MEAN, STD = (120.0, 110.0, 100.0), (50.0, 51.0, 52.0)


@pytest.mark.parametrize("layout", ["nchw", "nhwc"])
@pytest.mark.parametrize(
    ("x", "inner", "weight", "y"),
    [
        ("x", "frame", "w", "y"),
        ("x", "c", "frame", "y"),
        ("frame", "c", "w", "y"),
        ("x", "c", "w", "frame"),
        ("x", "seamline/preprocess/0", "w", "y"),
        ("seamline/preprocess/0", "frame", "seamline/preprocess/mean", "seamline/preprocess+/frame"),
        ("x", "seamline/preprocess/shape", "frame", "seamline/preprocess+/scale"),
    ],
)
def test_a_model_may_use_any_name(
    make_model: Make, weights: Weights, save: Save, store: ModelStore,
    x: str, inner: str, weight: str, y: str, layout: str,
) -> None:  # fmt: skip
    shape = [1, 3, 8, 8] if layout == "nchw" else [1, 8, 8, 3]
    nodes = [
        helper.make_node("Add", [x, weight], [inner], name="seamline/preprocess/Cast"),
        helper.make_node("Relu", [inner], [y]),
    ]
    model = make_model(nodes, [weights(weight, *shape)], inputs={x: (FLOAT, shape)}, outputs=[y])
    recipe = Preprocess(height=8, width=8, mean=MEAN, std=STD, layout=layout)
    stored = store.add(save(model), preprocess=recipe)
    frame = np.random.default_rng(2).integers(0, 256, (8, 8, 3), np.uint8)
    scaled = (frame - np.float32(MEAN)) * (np.float32(1) / np.float32(STD))
    made = (scaled.transpose(2, 0, 1) if layout == "nchw" else scaled)[np.newaxis].astype(np.float32)
    plain = store.add(save(model, "plain"))
    expected = OrtEngine(store, 1).prepare(plain.model_id, plain.whole).run({x: made})[y]
    for engine in (OrtEngine(store, 1), PrivateWeightsEngine(store, 1)):
        for cut in range(len(stored.cuts)):
            crossing = engine.prepare(stored.model_id, Segment(0, cut)).run({"frame": frame})
            found = engine.prepare(stored.model_id, Segment(cut, stored.whole.stop)).run(crossing)
            np.testing.assert_allclose(found[y], expected, rtol=1e-5, atol=1e-6)
