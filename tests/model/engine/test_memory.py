"""Models that need more memory than there is are refused: before they run where sizes are fixed, else as they run."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from onnx import ModelProto, TensorProto, helper, numpy_helper

from seamline.core.vocabulary.errors import ModelError
from seamline.core.vocabulary.plans import Segment
from seamline.model import ModelStore, OrtEngine, StoredModel
from seamline.runtime.segments.private_weights import PrivateWeightsEngine

Save = Callable[..., Path]
MakeModel = Callable[..., ModelProto]
N_VALUES = 1 << 33
X = {"x": (TensorProto.FLOAT, [1])}


def numbers(name: str, *values: int) -> TensorProto:
    return numpy_helper.from_array(np.array(values, np.int64), name)


@pytest.fixture
def constant(make_model: MakeModel, save: Save, store: ModelStore) -> StoredModel:
    """32 GiB of zeros, made of a shape of 8 bytes, added up."""
    nodes = [
        helper.make_node("ConstantOfShape", ["n"], ["zeros"], name="zeros"),
        helper.make_node("ReduceSum", ["zeros"], ["sum"], name="sum", keepdims=0),
        helper.make_node("Add", ["x", "sum"], ["y"], name="add"),
    ]
    return store.add(save(make_model(nodes, [numbers("n", N_VALUES)], inputs=X, outputs=["y"])))


@pytest.fixture
def expanded(make_model: MakeModel, save: Save, store: ModelStore) -> StoredModel:
    """32 GiB made of the frame."""
    nodes = [
        helper.make_node("Relu", ["x"], ["r"], name="relu"),
        helper.make_node("Expand", ["r", "n"], ["wide"], name="expand"),
        helper.make_node("ReduceSum", ["wide"], ["y"], name="sum", keepdims=1),
    ]
    return store.add(save(make_model(nodes, [numbers("n", N_VALUES)], inputs=X, outputs=["y"])))


@pytest.mark.parametrize("engine", [OrtEngine, PrivateWeightsEngine])
@pytest.mark.parametrize("model", ["constant", "expanded"])
def test_a_tensor_larger_than_the_memory_is_refused_before_it_is_made(
    request: pytest.FixtureRequest, store: ModelStore, model: str, engine: type
) -> None:
    stored: StoredModel = request.getfixturevalue(model)
    with pytest.raises(ModelError, match=r"makes a tensor of 34\.4 GB, there are 8\.0 GB here; hint: run these layers"):
        engine(store, 1, memory_bytes=8 * 10**9).prepare(stored.model_id, stored.whole)
    with pytest.raises(ModelError, match=r"makes a tensor of 34\.4 GB"):
        OrtEngine(store, 1, memory_bytes=8 * 10**9).keep(stored.model_id, stored.whole)


def test_the_layers_before_it_run_all_the_same(store: ModelStore, expanded: StoredModel) -> None:
    ready = OrtEngine(store, 1, memory_bytes=8 * 10**9).prepare(expanded.model_id, Segment(0, 1))
    assert ready.run({"x": np.float32([-1])})["r"] == 0


def test_many_constants_that_do_not_fit_together_are_refused(
    make_model: MakeModel, save: Save, store: ModelStore
) -> None:
    """The runtime computes them ahead, one after the other, and keeps them."""
    nodes = [helper.make_node("ConstantOfShape", [f"n{i}"], [f"zeros{i}"], name=f"zeros{i}") for i in range(20)]
    nodes += [helper.make_node("ReduceSum", [f"zeros{i}"], [f"sum{i}"], name=f"sum{i}", keepdims=0) for i in range(20)]
    nodes.append(helper.make_node("Sum", ["x", *(f"sum{i}" for i in range(20))], ["y"], name="all"))
    counts = [numbers(f"n{i}", 225_000_000) for i in range(20)]
    stored = store.add(save(make_model(nodes, counts, inputs=X, outputs=["y"])))
    with pytest.raises(ModelError, match=r"makes a tensor of 18\.0 GB, there are 8\.0 GB here"):
        OrtEngine(store, 1, memory_bytes=8 * 10**9).prepare(stored.model_id, stored.whole)


def test_a_size_that_the_frame_decides_is_refused_while_it_runs_and_the_process_lives(
    make_model: MakeModel, save: Save, tmp_path: Path
) -> None:
    """In a process that takes this machine for one of 300 MB."""
    nodes = [
        helper.make_node("ConstantOfShape", ["n"], ["zeros"], name="zeros"),
        helper.make_node("ReduceSum", ["zeros"], ["y"], name="sum", keepdims=0),
    ]
    path = save(make_model(nodes, [], inputs={"n": (TensorProto.INT64, [1])}, outputs=["y"]))
    code = f"""
import numpy as np
from pathlib import Path
from seamline.config import cgroup
cgroup.memory_total_bytes = lambda: 300_000_000
from seamline.core.vocabulary.errors import ModelError
from seamline.model import ModelStore, OrtEngine
store = ModelStore(Path({str(tmp_path / "small")!r}))
stored = store.add(Path({str(path)!r}))
ready = OrtEngine(store, 1).prepare(stored.model_id, stored.whole)
for n in (1000, 1 << 27, 1 << 60, 1000):
    try:
        print(ready.run({{"n": np.array([n])}})["y"])
    except ModelError as error:
        print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    first, too_large, absurd, last = done.stdout.splitlines()
    assert first == last == "0.0"
    assert "there is not enough memory for it here" in too_large
    assert "the segment failed" in absurd
