"""Optimised forms of segments: the same answers, shared weights, and never a damaged one."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from onnx import ModelProto, TensorProto, helper

from seamline.core.vocabulary.errors import ModelError
from seamline.core.vocabulary.plans import Segment
from seamline.model import ModelStore, OrtEngine, StoredModel
from seamline.model.engine import optimised
from seamline.model.engine.verify import random_tensors

Save = Callable[..., Path]
N_LAYERS = 4


@pytest.fixture
def stored(
    store: ModelStore, save: Save, make_model: Callable[..., ModelProto], weights: Callable[..., TensorProto]
) -> StoredModel:
    """Four convolutions of 64 channels, which the runtime lays out anew for the processor."""
    nodes = [
        helper.make_node("Conv", [f"t{layer}", f"w{layer}"], [f"t{layer + 1}"], name=f"conv{layer}", pads=[1] * 4)
        for layer in range(N_LAYERS)
    ]
    values = [weights(f"w{layer}", 64, 64, 3, 3) for layer in range(N_LAYERS)]
    inputs = {"t0": (TensorProto.FLOAT, [1, 64, 8, 8])}
    return store.add(save(make_model(nodes, values, inputs=inputs, outputs=[f"t{N_LAYERS}"])))


def answers(store: ModelStore, stored: StoredModel, segment: Segment) -> bytes:
    """What a newly prepared segment answers to a fixed input."""
    ready = OrtEngine(store, 1).prepare(stored.model_id, segment)
    return ready.run(random_tensors(ready.inputs, 2))[ready.outputs[0].name].tobytes()


def kept_files(stored: StoredModel, suffix: str) -> list[Path]:
    return sorted(stored.folder.glob(f"{optimised.OPTIMISED}/*/*{suffix}"))


def test_a_kept_segment_is_found_again_and_answers_the_same(store: ModelStore, stored: StoredModel) -> None:
    engine = OrtEngine(store, 1)
    expected = answers(store, stored, stored.whole)
    assert not engine.is_kept(stored.model_id, stored.whole)
    engine.keep(stored.model_id, stored.whole)
    assert engine.is_kept(stored.model_id, stored.whole)
    assert answers(store, stored, stored.whole) == expected
    assert not engine.is_kept(stored.model_id, Segment(0, 2)), "another segment is another form"


def test_an_engine_that_takes_no_kept_forms_makes_every_segment_anew(store: ModelStore, stored: StoredModel) -> None:
    engine = OrtEngine(store, 1, takes_kept=False)
    engine.keep(stored.model_id, stored.whole)
    for path in kept_files(stored, ".bin"):
        path.unlink()
    engine.prepare(stored.model_id, stored.whole)
    assert engine.is_kept(stored.model_id, stored.whole), "it was not looked at, so it was not dropped"


def test_segments_share_the_files_of_their_re_ordered_weights(store: ModelStore, stored: StoredModel) -> None:
    engine = OrtEngine(store, 1)
    engine.keep(stored.model_id, stored.whole)
    files = kept_files(stored, ".bin")
    assert files, "the runtime lays convolutions of 64 channels out anew"
    engine.keep(stored.model_id, Segment(0, 2))
    engine.keep(stored.model_id, Segment(2, N_LAYERS))
    assert kept_files(stored, ".bin") == files
    assert len(kept_files(stored, ".onnx")) == 3


def test_nothing_else_is_left_behind(store: ModelStore, stored: StoredModel) -> None:
    OrtEngine(store, 1).keep(stored.model_id, stored.whole)
    assert {path.suffix for path in kept_files(stored, "")} == {".bin", ".onnx"}


def test_a_form_with_a_wrong_checksum_is_not_used(store: ModelStore, stored: StoredModel) -> None:
    expected = answers(store, stored, stored.whole)
    OrtEngine(store, 1).keep(stored.model_id, stored.whole)
    (form,) = kept_files(stored, ".onnx")
    data = bytearray(form.read_bytes())
    data[-1] ^= 1
    form.write_bytes(data)
    assert answers(store, stored, stored.whole) == expected


def test_a_form_whose_weights_are_gone_is_dropped_and_the_segment_is_made_the_longer_way(
    store: ModelStore, stored: StoredModel
) -> None:
    expected = answers(store, stored, stored.whole)
    engine = OrtEngine(store, 1)
    engine.keep(stored.model_id, stored.whole)
    kept_files(stored, ".bin")[0].unlink()
    assert answers(store, stored, stored.whole) == expected
    assert not engine.is_kept(stored.model_id, stored.whole)


def test_forms_of_another_processor_are_not_seen(
    store: ModelStore, stored: StoredModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = OrtEngine(store, 1)
    engine.keep(stored.model_id, stored.whole)
    monkeypatch.setattr(optimised, "machine_key", lambda: "another")
    assert not engine.is_kept(stored.model_id, stored.whole)


def test_a_store_that_cannot_be_written_to_is_a_model_error(store: ModelStore, stored: StoredModel) -> None:
    (stored.folder / optimised.OPTIMISED).write_bytes(b"a file where the folder should be")
    with pytest.raises(ModelError, match="cannot keep an optimised segment"):
        OrtEngine(store, 1).keep(stored.model_id, stored.whole)
    assert np.frombuffer(answers(store, stored, stored.whole), np.float32).any()


@pytest.mark.parametrize("suffix", [".onnx", ".bin"])
@pytest.mark.parametrize("kind", ["pipe", "link"])
def test_pipes_and_links_among_kept_forms_are_not_opened_and_the_segment_is_made_anew(
    store: ModelStore, stored: StoredModel, tmp_path: Path, suffix: str, kind: str
) -> None:
    right = answers(store, stored, stored.whole)
    OrtEngine(store, 1).keep(stored.model_id, stored.whole)
    path = kept_files(stored, suffix)[0]
    outside = tmp_path / "outside"
    outside.write_bytes(bytes(path.stat().st_size))
    path.unlink()
    if kind == "pipe":
        os.mkfifo(path)
    else:
        path.symlink_to(outside)
    assert answers(store, stored, stored.whole) == right


@pytest.mark.needs("linux")
def test_forms_are_kept_by_what_the_processor_is_and_not_by_what_it_does():
    facts = {line.partition(":")[0].strip() for line in optimised._cpu_facts()}
    assert facts
    assert facts <= {"model name", "flags", "Features", "CPU part"}, "`cpu MHz` would make every form anew"
