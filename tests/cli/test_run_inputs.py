"""`seamline run` on what is no video: arrays, lines of JSON, sound, recurrent state, single pictures."""

from __future__ import annotations

import json
import os
import wave
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

RNG = np.random.default_rng(3)


@pytest.fixture
def two_inputs(tmp_path: Path) -> Path:
    """Adds a state to the mean of 8 samples: y = state + mean(x), of x float32[1, 8] and state float32[1, 1]."""
    nodes = [
        helper.make_node("ReduceMean", ["x"], ["mean"], axes=[1], name="mean"),
        helper.make_node("Add", ["mean", "state"], ["y"], name="add"),
    ]
    shapes = {"x": [1, 8], "state": [1, 1], "y": [1, 1]}
    values = {name: helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in shapes.items()}
    graph = helper.make_graph(nodes, "two", [values["x"], values["state"]], [values["y"]])
    path = tmp_path / "two.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path


@pytest.fixture
def piped() -> Iterator[int]:
    """The writing end of a pipe that is standard input for the time of the test."""
    kept = os.dup(0)
    reading, writing = os.pipe()
    os.dup2(reading, 0)
    os.close(reading)
    try:
        yield writing
    finally:
        os.dup2(kept, 0)
        os.close(kept)


def answered(outcome) -> int:
    assert outcome.exit_code == 0, outcome.stderr
    frames = outcome.json["frames"]
    assert (frames["failed"], frames["lost"]) == (0, 0)
    return int(frames["answered"])


def test_arrays_in_files_and_folders_are_frames(seamline, model_path, tmp_path):
    folder = tmp_path / "arrays"
    folder.mkdir()
    np.save(folder / "a.npy", RNG.standard_normal((3, 3, 16, 16)).astype(np.float32))
    np.savez(folder / "b.npz", image=RNG.standard_normal((1, 3, 16, 16)).astype(np.float32))
    for source, n_frames in ((folder / "a.npy", 3), (folder / "b.npz", 1), (folder, 4)):
        assert answered(seamline("run", str(model_path), "--source", str(source), "--json")) == n_frames


def test_arrays_of_another_shape_are_refused_with_what_the_model_takes(seamline, model_path, tmp_path):
    np.save(tmp_path / "a.npy", np.zeros((3, 8, 8), np.float32))
    outcome = seamline("run", str(model_path), "--source", str(tmp_path / "a.npy"), "--json")
    assert outcome.exit_code == 2
    assert "error: `image` must be float32[1, 3, 16, 16], it is float32[3, 8, 8]" in outcome.stderr


def test_lines_of_json_come_from_standard_input(seamline, two_inputs, piped):
    for at in range(3):
        os.write(piped, json.dumps({"x": [[at] * 8], "state": [[1]]}).encode() + b"\n")
    os.close(piped)
    assert answered(seamline("run", str(two_inputs), "--source", "-", "--json")) == 3


def test_a_state_is_fed_back_and_sound_is_cut_into_windows(seamline, two_inputs, tmp_path):
    with wave.open(str(tmp_path / "a.wav"), "wb") as file:
        file.setparams((1, 2, 8000, 0, "NONE", ""))
        file.writeframes(RNG.integers(-999, 999, 20).astype("<i2").tobytes())
    flags = ("--source", str(tmp_path / "a.wav"), "--json")
    assert answered(seamline("run", str(two_inputs), *flags, "--feed-back", "y=state")) == 3
    outcome = seamline("run", str(two_inputs), *flags, "--feed-back", "state")
    assert (outcome.exit_code, "write OUTPUT=INPUT" in outcome.stderr) == (2, True)
    outcome = seamline("run", str(two_inputs), *flags, "--feed-back", "z=state")
    assert (outcome.exit_code, "no output `z`" in outcome.stderr) == (2, True)


def test_an_input_that_nothing_gives_is_named(seamline, two_inputs, tmp_path):
    np.savez(tmp_path / "a.npz", x=np.zeros((1, 8), np.float32))
    outcome = seamline("run", str(two_inputs), "--source", str(tmp_path / "a.npz"))
    assert outcome.exit_code == 2
    assert "input `state` is missing" in outcome.stderr
    assert "--feed-back" in outcome.stderr


@pytest.mark.parametrize("fit", ["letterbox", "crop", "stretch"])
def test_a_single_picture_is_a_source_and_a_word_is_said_when_it_is_cropped(
    seamline, model_path, tmp_path, fit, caplog
):
    cv2.imwrite(str(tmp_path / "a.png"), np.zeros((36, 64, 3), np.uint8))
    flags = ("--source", str(tmp_path / "a.png"), "--preprocess", "imagenet", "--fit", fit, "--json")
    outcome = seamline("run", str(model_path), *flags)
    assert answered(outcome) == 1
    words = {"letterbox": "", "crop": "44 % of each is not seen", "stretch": "are stretched to 16x16"}[fit]
    said = [record.getMessage() for record in caplog.records]
    assert [words in line for line in said] == ([True] if words else [])
