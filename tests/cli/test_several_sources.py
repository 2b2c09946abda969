"""`seamline run` with several sources: a stream for each, told apart in what is shown, saved and counted."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest

from seamline.cli.reference import undocumented_keys
from seamline.cli.running.several_sources import place_of, slug_of, told_apart
from seamline.model.metadata.preprocess import Preprocess, write_preprocess


@pytest.fixture
def camera_model(model_path) -> Path:
    model = onnx.load(str(model_path))
    write_preprocess(model, Preprocess(height=16, width=16, mean=(127.0,) * 3, std=(64.0,) * 3))
    onnx.save(model, str(model_path))
    return model_path


@pytest.fixture
def clips(tmp_path: Path) -> list[str]:
    """Three videos of the same name, of 4, 6 and 20 frames; the last is cut in half."""
    paths = []
    for number, n_frames in enumerate((4, 6, 20)):
        path = tmp_path / f"room{number}" / "v.avi"
        path.parent.mkdir()
        rng = np.random.default_rng(number)
        out = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 20, (64, 64))
        for _ in range(n_frames):
            out.write(rng.integers(0, 255, (64, 64, 3), dtype=np.uint8))
        out.release()
        paths.append(str(path))
    data = Path(paths[2]).read_bytes()
    Path(paths[2]).write_bytes(data[: len(data) // 2])
    return paths


def test_each_has_a_stream_figures_and_places_of_its_own(seamline, camera_model, clips, tmp_path):
    saved = tmp_path / "answers.jsonl"
    run = seamline(
        "run", str(camera_model), "--every-frame", "--source", clips[0], "--source", clips[1], "--save", str(saved)
    )
    assert (run.exit_code, "v.avi-1:" in run.stdout, "v.avi-2:" in run.stdout) == (0, True, True)
    for number, n_frames in ((1, 4), (2, 6)):
        lines = (tmp_path / f"answers-v.avi-{number}.jsonl").read_text().splitlines()
        assert len(lines) == n_frames
        assert sum(line.startswith(f"v.avi-{number}  frame") for line in run.stdout.splitlines()) == n_frames


def test_json_is_a_line_for_each_and_one_that_fails_ends_only_its_own(seamline, camera_model, clips):
    sources = [argument for clip in (clips[2], clips[0]) for argument in ("--source", clip)]
    run = seamline("run", str(camera_model), "--every-frame", "--json", *sources)
    cut, whole = (json.loads(line) for line in run.stdout.splitlines())
    assert run.exit_code == 1
    assert "v.avi` ended early" in run.stderr
    assert undocumented_keys("run", whole) == set()
    assert (whole["frames"]["answered"], whole["source"]["ended_early"]) == (4, False)
    assert (cut["frames"]["answered"], cut["source"]["ended_early"]) == (cut["source"]["read"], True)


@pytest.mark.parametrize("option", [("--record", "r.jsonl"), ("--events",)])
def test_what_is_made_for_one_stream_is_refused(seamline, camera_model, clips, option):
    run = seamline("run", str(camera_model), "--source", clips[0], "--source", clips[1], *option)
    assert run.exit_code == 2
    assert "take a single --source" in run.stderr


def test_one_that_cannot_be_read_is_said_before_any_starts(seamline, camera_model, clips, tmp_path):
    run = seamline("run", str(camera_model), "--source", clips[0], "--source", str(tmp_path / "missing.mp4"))
    assert (run.exit_code, run.stdout) == (2, "")
    assert "missing.mp4" in run.stderr


def test_names_are_told_apart():
    assert told_apart(["a", "b", "a"]) == ["a-1", "b", "a-2"]
    assert slug_of("rtsp://me:***@host:554/cam 1") == "rtsp-me-host-554-cam-1"
    assert slug_of("///") == "source"


def test_every_kind_of_place_is_one_for_each_source(tmp_path):
    (tmp_path / "there").mkdir()
    folder = str(tmp_path / "there")
    assert place_of("out/r.jsonl", "cam") == "out/r-cam.jsonl"
    assert place_of("drawn/", "cam") == "drawn/cam/"
    assert place_of(folder, "cam") == f"{folder}/cam/"
    assert place_of("mqtt://host/topic", "cam") == "mqtt://host/topic/cam"
    assert place_of("mqtt://host/topic?qos=1", "cam") == "mqtt://host/topic/cam?qos=1"
    assert [place_of(text, "cam") for text in ("-", "http://host/hook")] == ["-", "http://host/hook"]
