"""Claims about models from PyTorch and Keras. Those that need a framework are skipped where it is not installed."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import onnx
import pytest

from seamline.core.vocabulary.errors import ModelError, UsageError
from seamline.core.vocabulary.profiles import TensorSpec
from seamline.model import ModelStore
from seamline.model.engine.frameworks import import_keras, import_torch

SOURCE = """
import torch

class TwoEnds(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = torch.nn.Conv2d(3, 8, 3, padding=1)
        self.norm = torch.nn.BatchNorm2d(8)

    def forward(self, picture, gain):
        found = self.norm(self.conv(picture)).relu()
        return {"features": found * gain, "mean": found.mean((2, 3))}

def two_ends():
    torch.manual_seed(0)
    return TwoEnds()

def number():
    return 5

def broken():
    raise RuntimeError("no weights here")
"""


def spec(name: str, *shape: int) -> TensorSpec:
    return TensorSpec(name=name, dtype="float32", shape=shape)


@pytest.fixture
def zoo_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A module with functions that return models, found from the working folder."""
    (tmp_path / "own_models.py").write_text(SOURCE, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    return "own_models"


@pytest.mark.needs("torch")
def test_a_torch_module_becomes_an_onnx_file_that_computes_the_same(
    zoo_module: str, tmp_path: Path, store: ModelStore
) -> None:
    inputs = (spec("picture", 1, 3, 8, 8), spec("gain", 1))
    found = import_torch(f"{zoo_module}:two_ends", inputs, tmp_path / "out" / "two.onnx", store)
    assert found.max_relative_error < 1e-5  # sums in another order
    assert [file.name for file in found.path.parent.iterdir()] == ["two.onnx"]
    onnx.checker.check_model(str(found.path))
    assert [tensor.shape for tensor in store.get(found.model_id).graph.output_specs] == [(1, 8, 8, 8), (1, 8)]


@pytest.mark.needs("torch")
@pytest.mark.parametrize(
    ("function", "error", "said"),
    [
        ("number", ModelError, "no torch.nn.Module"),
        ("broken", ModelError, "RuntimeError: no weights here"),
        ("absent", UsageError, "has no `absent`"),
        ("two_ends", ModelError, "does not run on inputs"),
    ],
)
def test_what_cannot_be_imported_is_named_and_leaves_no_file(
    zoo_module: str, tmp_path: Path, store: ModelStore, function: str, error: type[Exception], said: str
) -> None:
    path = tmp_path / "out" / "x.onnx"
    with pytest.raises(error, match=said):
        import_torch(f"{zoo_module}:{function}", [spec("picture", 1, 4, 8, 8), spec("gain", 1)], path, store)
    assert not path.exists()


def test_without_torch_the_extra_is_named(tmp_path: Path, store: ModelStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)  # importing it fails, installed or not
    with pytest.raises(UsageError, match=r"`torch` is not installed .*seamline\[torch\]"):
        import_torch("a:b", [spec("x", 1)], tmp_path / "x.onnx", store)


@pytest.mark.needs("keras")
def test_a_keras_file_becomes_an_onnx_file_that_computes_the_same(tmp_path: Path, store: ModelStore) -> None:
    os.environ.setdefault("KERAS_BACKEND", "torch")
    import keras

    keras.utils.set_random_seed(0)
    picture = keras.Input((None, None, 3), name="picture")
    first = keras.layers.Conv2D(4, 3, padding="same", activation="relu")(picture)
    added = keras.layers.Add()([first, keras.layers.Conv2D(4, 3, padding="same")(first)])
    scores = keras.layers.Dense(5, activation="softmax")(keras.layers.GlobalAveragePooling2D()(added))
    keras.Model(picture, scores).save(tmp_path / "small.keras")
    with pytest.raises(ModelError, match=r"axis 1 of input `picture` is open"):
        import_keras(tmp_path / "small.keras", tmp_path / "small.onnx", store)
    found = import_keras(tmp_path / "small.keras", tmp_path / "small.onnx", store, shapes={"picture": (1, 8, 8, 3)})
    assert found.max_relative_error < 1e-5
    assert found.n_cuts > 3


def test_only_keras_own_format_is_read(tmp_path: Path, store: ModelStore) -> None:
    """The older .h5 may hold pickled code."""
    (tmp_path / "old.h5").write_bytes(b"anything")
    with pytest.raises(UsageError, match=r"not a \.keras file; hint: .* save it as NAME\.keras"):
        import_keras(tmp_path / "old.h5", tmp_path / "x.onnx", store)
    with pytest.raises(UsageError, match="no file"):
        import_keras(tmp_path / "absent.keras", tmp_path / "x.onnx", store)
