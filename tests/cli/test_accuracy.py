"""`seamline accuracy` and `calibrate`: what they find on a small model, what they refuse, what `--codecs` allows."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest

from seamline.cli.reference import undocumented_keys
from seamline.core.vocabulary.calibration import MIN_FRAMES, limits_named
from seamline.core.vocabulary.plans import Codec
from seamline.model.locate import load_model
from seamline.model.metadata.preprocess import Preprocess, write_preprocess
from seamline.model.store.calibration import read_calibration


@pytest.fixture
def camera_model(model_path) -> Path:
    model = onnx.load(str(model_path))
    write_preprocess(model, Preprocess(height=16, width=16, mean=(127.0,) * 3, std=(64.0,) * 3))
    onnx.save(model, str(model_path))
    return model_path


@pytest.fixture
def images(tmp_path) -> Path:
    folder = tmp_path / "images"
    folder.mkdir()
    rng = np.random.default_rng(6)
    for number in range(5):
        cv2.imwrite(str(folder / f"{number}.png"), rng.integers(0, 256, (20, 24, 3), dtype=np.uint8))
    return folder


def test_what_is_lossless_changes_nothing_beyond_the_cut_itself(seamline, camera_model, images):
    outcome = seamline(
        "accuracy", str(camera_model), "--images", str(images), "--codec", "lossless", "--cuts", "all", "--json"
    )
    assert outcome.exit_code == 0
    report = outcome.json
    assert undocumented_keys("accuracy", report) == set()
    assert (report["n_images"], report["is_classifier"]) == (5, True)
    assert [cut["cut"] for cut in report["cuts"]] == [1, 2, 3, 4]
    for cut in report["cuts"]:
        assert cut["top1_agreement_ratio"] == 1.0
        assert cut["max_relative_error"] < 1e-5  # segments sum in another order than the whole


def test_fewer_bits_send_fewer_bytes_and_err_more(seamline, camera_model, images):
    reports = {
        codec: seamline("accuracy", str(camera_model), "--images", str(images), "--codec", codec, "--json").json
        for codec in ("f16", "u8")
    }
    for f16, u8 in zip(reports["f16"]["cuts"], reports["u8"]["cuts"], strict=True):
        assert u8["sent_bytes"] < f16["sent_bytes"] < f16["raw_bytes"]
        assert 1e-6 < f16["mean_relative_error"] < u8["mean_relative_error"] < 0.05


def test_jpeg_is_measured_on_the_frame_itself(seamline, camera_model, images):
    report = seamline("accuracy", str(camera_model), "--images", str(images), "--codec", "jpeg", "--json").json
    (cut,) = report["cuts"]
    assert (cut["cut"], cut["raw_bytes"]) == (0, 16 * 16 * 3)
    assert cut["mean_relative_error"] > 0.0


def test_the_table_names_every_cut_that_was_asked_for(seamline, camera_model, images):
    outcome = seamline("accuracy", str(camera_model), "--images", str(images), "--cuts", "4,2", "--limit", "2")
    assert outcome.exit_code == 0
    assert "2 images" in outcome.stdout
    assert [line.split()[:2] for line in outcome.stdout.splitlines()[-2:]] == [["2", "relu1"], ["4", "relu2"]]


@pytest.mark.parametrize(
    ("arguments", "fact"),
    [
        (["--codec", "mp3"], "`mp3` is not a codec"),
        (["--cuts", "first"], "`first` names no cuts"),
        (["--cuts", "2,5"], "has no inner cut 5"),
        (["--cuts", "0"], "has no inner cut 0"),
    ],
)
def test_wrong_use_is_said(seamline, camera_model, images, arguments, fact):
    outcome = seamline("accuracy", str(camera_model), "--images", str(images), *arguments)
    assert outcome.exit_code == 2
    assert fact in outcome.stderr


def test_a_model_without_preprocessing_cannot_take_images(seamline, model_path, images):
    outcome = seamline("accuracy", str(model_path), "--images", str(images))
    assert outcome.exit_code == 2
    assert "does not say how a picture becomes its input" in outcome.stderr


@pytest.fixture
def many_images(images) -> Path:
    for number in range(MIN_FRAMES):
        picture = np.random.default_rng(number).integers(0, 256, (20, 24, 3), dtype=np.uint8)
        cv2.imwrite(str(images / f"more-{number:02d}.png"), picture)
    return images


def test_what_was_measured_is_what_calibrated_streams_go_by(seamline, camera_model, images, many_images):
    def limits(text: str = "calibrated"):
        stored = load_model(str(camera_model))[1]
        return limits_named(text, read_calibration(stored.folder))

    assert limits() == limits("lossless"), "nothing was measured"
    few = seamline("accuracy", str(camera_model), "--images", str(images), "--codec", "f16", "--limit", "3")
    assert "3 images are too few" in few.stderr
    assert limits() == limits("lossless")
    said = seamline("accuracy", str(camera_model), "--images", str(many_images), "--codec", "f16", "--cuts", "all")
    assert "streams may use f16 at 4 of 4 cuts" in said.stderr
    assert limits().lossy == tuple((cut, Codec.F16) for cut in range(1, 5))
    assert Codec.U8 not in limits().codecs
    assert limits("calibrated=0") == limits("lossless"), "f16 changes answers by a little"


def test_jpeg_is_no_codec_of_tensors_and_is_not_kept(seamline, camera_model, many_images):
    seamline("accuracy", str(camera_model), "--images", str(many_images), "--codec", "jpeg")
    assert read_calibration(load_model(str(camera_model))[1].folder) == ()


def test_calibrate_keeps_how_few_bits_every_cut_bears(seamline, camera_model, many_images):
    arguments = ("calibrate", str(camera_model), "--images", str(many_images), "--min-agreement", "0.8", "--json")
    report = seamline(*arguments).json
    assert undocumented_keys("calibrate", report) == set()
    assert (report["n_images"], report["min_agreement_ratio"]) == (25, 0.8)
    stored = load_model(str(camera_model))[1]
    kept = {(each.cut, each.codec): each for each in read_calibration(stored.folder)}
    for cut in report["cuts"]:
        sent = [each["sent_bytes"] for each in cut["codecs"] if each["codec"].startswith("q")]
        assert sent == sorted(sent, reverse=True), "fewer bits are fewer bytes"
        assert len(sent) >= 2
        by_name = {each["codec"]: each for each in cut["codecs"]}
        assert by_name["f16"]["agreement_ratio"] == 1.0
        least = by_name[cut["allowed"]]
        assert least["agreement_ratio"] - least["agreement_error_ratio"] >= 0.8
        assert kept[cut["cut"], Codec(cut["allowed"])].sent_bytes == least["sent_bytes"]
    allowed = limits_named("calibrated", list(kept.values()), min_agreement=0.8)
    assert {(cut["cut"], Codec(cut["allowed"])) for cut in report["cuts"]} <= set(allowed.lossy)


def test_the_calibration_names_the_fewest_bits_of_each_cut(seamline, camera_model, images):
    outcome = seamline("calibrate", str(camera_model), "--images", str(images), "--cuts", "2,4")
    assert outcome.exit_code == 0
    assert "5 images are too few for streams to go by" in outcome.stderr
    assert [line.split()[:2] for line in outcome.stdout.splitlines()[-2:]] == [["2", "relu1"], ["4", "relu2"]]
