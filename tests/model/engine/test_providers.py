"""Which providers work here, what the others lack, in words, and how engines beside the processor's behave."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import onnxruntime as ort
import pytest
from onnx import ModelProto, TensorProto, helper

from seamline.core.vocabulary.errors import ModelError, UsageError
from seamline.core.vocabulary.plans import Segment
from seamline.core.vocabulary.providers import AUTO, COREML, CPU, CUDA, OPENVINO, PROVIDERS, TENSORRT, XNNPACK
from seamline.model import ModelStore, verify_cuts
from seamline.model.engine import providers
from seamline.model.engine.accelerated import AcceleratedEngine
from seamline.model.engine.providers import choose, look, look_for_all, open_engine, require
from seamline.model.engine.verify import random_tensors
from seamline.model.onnx.session import PROCESSOR

Save = Callable[..., Path]
Make = Callable[..., ModelProto]
Weights = Callable[..., TensorProto]
TOLERANCE = 1e-5
GPU_TOLERANCE = 1e-4  # sums of float32 are taken in another order there


@pytest.fixture(autouse=True)
def looked_anew() -> Iterator[None]:
    """What works is tried once for each process; here the world changes in between."""
    look.cache_clear()
    yield
    look.cache_clear()


def test_the_processor_works_everywhere_and_each_other_provider_says_what_it_lacks() -> None:
    findings = {found.provider: found for found in look_for_all()}
    assert tuple(findings) == PROVIDERS
    assert findings[CPU].missing is None
    assert all(found.hint for found in findings.values() if found.missing is not None)


def test_auto_is_the_processor_where_no_gpu_works(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ort, "get_available_providers", lambda: list(PROCESSOR))
    assert choose(AUTO).provider == CPU


@pytest.mark.parametrize(
    ("provider", "hint"),
    [(CUDA, "onnxruntime-gpu"), (TENSORRT, "tensorrt"), (COREML, "macOS"), (XNNPACK, "--use_xnnpack")],
)
def test_a_build_without_a_provider_says_so_and_how_to_get_one(
    provider: str, hint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ort, "get_available_providers", lambda: list(PROCESSOR))
    found = look(provider)
    assert found.missing is not None
    assert "comes without it" in found.missing
    assert hint in str(found.hint)
    with pytest.raises(UsageError, match=f"`{provider}` cannot be used.*hint"):
        require(provider)


def test_a_provider_that_falls_back_without_a_word_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """ONNX Runtime lists what it was built with, and without a driver makes sessions of the processor."""

    class FallenBack:
        def get_providers(self) -> list[str]:
            return list(PROCESSOR)

    monkeypatch.setattr(ort, "get_available_providers", lambda: ["CUDAExecutionProvider", *PROCESSOR])
    monkeypatch.setattr(ort, "InferenceSession", lambda *args, **how: FallenBack())
    found = look(CUDA)
    assert found.missing is not None
    assert "falls back to the processor" in found.missing
    assert choose(AUTO).provider == CPU


def test_openvino_that_is_not_installed_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(providers.importlib.util, "find_spec", lambda name: None)
    assert look(OPENVINO).hint == "pip install 'seamline[openvino]'"


def test_a_name_that_is_no_provider_is_refused_with_the_nearest() -> None:
    with pytest.raises(UsageError, match=r"`cudo` is no provider.*did you mean `cuda`"):
        choose("cudo")


def test_tensors_that_stay_on_a_device_give_the_same_answers(small_cnn: ModelProto, save: Save, tmp_path: Path) -> None:
    """The binding, tried with the processor's own memory as the device's; what is fed is not written to."""
    store = ModelStore(tmp_path / "store")
    stored = store.add(save(small_cnn))
    engine = AcceleratedEngine(store, CUDA, lambda model: PROCESSOR, device="cpu", n_threads=1)
    for check in verify_cuts(engine, stored, against=open_engine(CPU, store, 1)):
        assert check.error is None
        assert check.max_relative_error <= TOLERANCE, check
    whole = engine.prepare(stored.model_id, stored.whole)
    one, other = random_tensors(whole.inputs, 0), random_tensors(whole.inputs, 1)
    kept = one["x"].copy()
    first, second, again = (whole.run(tensors)["y"] for tensors in (one, other, one))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, second)
    assert np.array_equal(one["x"], kept)


@pytest.mark.parametrize("provider", [pytest.param(name, marks=pytest.mark.needs(name)) for name in (CUDA, TENSORRT)])
def test_a_gpu_gives_what_the_processor_gives(provider: str, small_cnn: ModelProto, save: Save, tmp_path: Path) -> None:
    store = ModelStore(tmp_path / "store")
    stored = store.add(save(small_cnn))
    engine = open_engine(provider, store)
    for check in verify_cuts(engine, stored, against=open_engine(CPU, store, 1)):
        assert check.error is None
        assert check.max_relative_error <= GPU_TOLERANCE, check


@pytest.mark.needs("openvino")
def test_a_segment_that_openvino_would_round_runs_on_onnx_runtime_and_that_is_said(
    make_model: Make, save: Save, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    nodes = [helper.make_node("Mul", ["x", "x"], ["y"])]
    model = make_model(nodes, [], inputs={"x": (TensorProto.DOUBLE, [1, 3])}, outputs=["y"])
    model.graph.output[0].type.tensor_type.elem_type = TensorProto.DOUBLE
    store = ModelStore(tmp_path / "store")
    stored = store.add(save(model))
    x = np.array([[1.0, 1.0 + 2.0**-40, 3.0]])
    found = open_engine(OPENVINO, store, 1).prepare(stored.model_id, stored.whole).run({"x": x})["y"]
    assert np.array_equal(found, x * x)
    assert "OpenVINO has no type for tensors" in caplog.text
    assert "runs on ONNX Runtime here" in caplog.text


@pytest.mark.needs("openvino")
def test_openvino_maps_the_large_matrices_of_one_row_and_leaves_no_file_behind(
    make_model: Make, weights: Weights, save: Save, tmp_path: Path
) -> None:
    nodes = [helper.make_node("Gemm", ["x", "w"], ["a"]), helper.make_node("Relu", ["a"], ["y"])]
    model = make_model(nodes, [weights("w", 512, 1024)], inputs={"x": (TensorProto.FLOAT, [1, 512])}, outputs=["y"])
    store = ModelStore(tmp_path / "store")
    stored = store.add(save(model))
    before = sorted(stored.folder.iterdir())
    whole = open_engine(OPENVINO, store, 1).prepare(stored.model_id, stored.whole)
    tensors = random_tensors(whole.inputs, 0)
    expected = open_engine(CPU, store, 1).prepare(stored.model_id, stored.whole).run(tensors)["y"]
    np.testing.assert_allclose(whole.run(tensors)["y"], expected, rtol=TOLERANCE, atol=TOLERANCE)
    assert sorted(stored.folder.iterdir()) == before
    if sys.platform == "linux":
        mapped = Path("/proc/self/maps").read_text(encoding="utf-8")
        assert str(stored.folder / "weights.bin") in mapped


@pytest.mark.parametrize("provider", [CPU, pytest.param(OPENVINO, marks=pytest.mark.needs("openvino"))])
def test_an_interrupted_engine_runs_nothing_more(
    provider: str, small_cnn: ModelProto, save: Save, tmp_path: Path
) -> None:
    store = ModelStore(tmp_path / "store")
    stored = store.add(save(small_cnn))
    engine = open_engine(provider, store, 1)
    before = engine.prepare(stored.model_id, stored.whole)
    tensors = random_tensors(before.inputs, 0)
    before.run(tensors)
    engine.interrupt()
    for segment in (before, engine.prepare(stored.model_id, Segment(0, stored.whole.stop))):
        with pytest.raises(ModelError, match="the segment failed"):
            segment.run(tensors)
