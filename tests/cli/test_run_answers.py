"""`seamline run`: what it prints and saves of the answers, and what it refuses before anything starts."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest

from seamline.cli.reference import undocumented_keys
from seamline.model.metadata.preprocess import Preprocess, write_preprocess

VIDEO = Path(__file__).resolve().parents[2] / "src" / "seamline" / "data" / "bigbuckbunny.mp4"
RUN = ("--source", str(VIDEO), "--frames", "4", "--every-frame")


@pytest.fixture
def camera_model(model_path) -> str:
    """The small model of eight classes, with the recipe that turns camera frames into its input, and two names."""
    model = onnx.load(str(model_path))
    write_preprocess(model, Preprocess(height=16, width=16, mean=(127.0,) * 3, std=(64.0,) * 3))
    model.metadata_props.add(key="seamline.labels", value=json.dumps([f"thing {index}" for index in range(8)]))
    onnx.save(model, str(model_path))
    return str(model_path)


def test_without_flags_every_frame_has_a_line_with_its_labels(seamline, camera_model):
    outcome = seamline("run", camera_model, *RUN)
    assert outcome.exit_code == 0, outcome.stderr
    lines = outcome.stdout.splitlines()
    assert [line.split("  ")[0] for line in lines[:4]] == ["frame 0", "frame 1", "frame 2", "frame 3"]
    assert lines[1].split("  ")[1] == "0.040 s"
    assert all("thing " in line and "ms" in line and "edge[0:5]" in line for line in lines[:4])
    assert "note: head classify: its output looks like it: scores [1, 8, 1, 1]" in outcome.stderr


def test_every_place_has_every_answer_and_is_named_in_the_end(seamline, camera_model, tmp_path):
    names = ("r.jsonl", "r.csv", "r.npz", "o.mp4")
    saves = [word for name in names for word in ("--save", str(tmp_path / name))]
    outcome = seamline("run", camera_model, *RUN, *saves, "--save", f"{tmp_path}/o/", "--top", "3")
    assert outcome.exit_code == 0, outcome.stderr
    lines = [json.loads(line) for line in (tmp_path / "r.jsonl").read_text().splitlines()]
    assert [line["frame"] for line in lines] == [0, 1, 2, 3]
    assert [line["source"] for line in lines] == [VIDEO.name] * 4
    assert [len(line["labels"]) for line in lines] == [3] * 4
    with (tmp_path / "r.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["label"] for row in rows] == [label["label"] for line in lines for label in line["labels"]]
    assert np.load(tmp_path / "r.npz")["000003/scores"].shape == (1, 8, 1, 1)
    assert cv2.VideoCapture(str(tmp_path / "o.mp4")).get(cv2.CAP_PROP_FRAME_COUNT) == 4
    assert len(list((tmp_path / "o").iterdir())) == 4
    for name in (*names, "o/"):
        assert f"saved {tmp_path / name}{'/' * name.endswith('/')}: 4 answers" in outcome.stdout


def test_json_lines_on_stdout_stand_alone_there(seamline, camera_model):
    outcome = seamline("run", camera_model, *RUN, "--save", "-", "--head", "raw")
    assert outcome.exit_code == 0, outcome.stderr
    lines = [json.loads(line) for line in outcome.stdout.splitlines()]
    assert [line["answer"] for line in lines] == [0, 1, 2, 3]
    assert lines[0]["outputs"]["scores"]["shape"] == [1, 8, 1, 1]
    assert "4 of 4 accepted frames answered" in outcome.stderr


def test_with_json_stdout_has_the_figures_of_every_place_and_no_line_more(seamline, camera_model, tmp_path):
    outcome = seamline("run", camera_model, *RUN, "--json", "--save", str(tmp_path / "r.csv"))
    assert outcome.exit_code == 0, outcome.stderr
    (figures,) = outcome.json["sinks"]
    assert (figures["name"], figures["written"], figures["dropped"]) == (str(tmp_path / "r.csv"), 4, 0)
    assert undocumented_keys("run", outcome.json) == set()


@pytest.mark.parametrize(("prints", "n_lines"), [("changes", 1), ("none", 0)])
def test_lines_are_as_many_as_asked_for(seamline, camera_model, tmp_path, prints, n_lines):
    picture = np.random.default_rng(1).integers(0, 256, (16, 16, 3)).astype(np.uint8)
    (tmp_path / "pictures").mkdir()
    for name in "abc":
        cv2.imwrite(str(tmp_path / "pictures" / f"{name}.png"), picture)
    outcome = seamline("run", camera_model, "--source", str(tmp_path / "pictures"), "--print", prints)
    assert outcome.exit_code == 0, outcome.stderr
    assert len([line for line in outcome.stdout.splitlines() if "thing" in line]) == n_lines


@pytest.mark.needs("linux")
def test_a_place_that_fails_is_said_and_the_others_have_all(seamline, camera_model, tmp_path):
    (tmp_path / "full.csv").symlink_to("/dev/full")
    saves = ("--save", str(tmp_path / "full.csv"), "--save", str(tmp_path / "r.jsonl"))
    outcome = seamline("run", camera_model, *RUN, "--print", "none", *saves)
    assert outcome.exit_code == 1
    assert "No space left on device" in outcome.stderr
    assert len((tmp_path / "r.jsonl").read_text().splitlines()) == 4
    assert f"saved {tmp_path / 'r.jsonl'}: 4 answers" in outcome.stdout


@pytest.mark.parametrize(
    ("arguments", "fact"),
    [
        (["--save", "results.txt"], "`results.txt` does not say what to save"),
        (["--save", "a.csv", "--save", "a.csv"], "`a.csv` is named twice"),
        (["--save", "ftp://host/x"], "nothing can be saved to `ftp://`"),
        (["--save", "mqtt://host"], "`mqtt://host` is not an MQTT address"),
        (["--save", "-", "--json"], "--json and --save - both write to stdout"),
        (["--print", "some"], "`some` is not a choice for --print"),
        (["--head", "boxes"], "`boxes` is not a head"),
        (["--head", "detect"], "the outputs cannot be read as `detect`: scores float32[1, 8, 1, 1]"),
        (["--labels", "missing.txt"], "there is no file missing.txt"),
        (["--score", "1.5"], "Invalid value for '--score'"),
        (["--top", "0"], "Invalid value for '--top'"),
    ],
)
def test_what_cannot_be_is_refused_in_two_lines(seamline, camera_model, tmp_path, monkeypatch, arguments, fact):
    monkeypatch.chdir(tmp_path)
    outcome = seamline("run", camera_model, *RUN, *arguments)
    assert outcome.exit_code == 2
    assert outcome.stdout == ""
    error, hint = outcome.stderr.splitlines()
    assert fact in error
    assert hint.startswith("hint: ")
