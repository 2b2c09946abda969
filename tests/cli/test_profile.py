"""`profile`: what it measures of a small model, writes, and says of itself."""

from __future__ import annotations

import pytest

from seamline.cli.reference import undocumented_keys
from seamline.meters.profile_file import read_profile


def test_profile_measures_every_block_and_writes_what_it_measured(seamline, model_path, tmp_path):
    path = tmp_path / "out" / "tiny.json"
    outcome = seamline(
        "profile", str(model_path), "--threads", "1", "--budget", "0.2", "--check", "-o", str(path), "--json"
    )
    data = outcome.json
    assert outcome.exit_code == 0
    assert undocumented_keys("profile", data) == set()
    written = read_profile(path)
    assert data["output"] == str(path)
    assert [block["from_cut"] for block in data["blocks"]] == [block.from_cut for block in written.blocks]
    assert sum(block["median_s"] for block in data["blocks"]) == pytest.approx(written.whole_s.median)
    assert data["clock"] == "cpu"
    assert data["check"]["n"] == len(data["check"]["segments"]) > 0
    for segment in data["check"]["segments"]:
        assert segment["error_ratio"] == segment["predicted_s"] / segment["measured_s"] - 1.0


def test_a_slowed_machine_takes_as_many_times_as_long(seamline, model_path):
    outcome = seamline(
        "profile", str(model_path), "--threads", "1", "--budget", "0.1", "--slowdown", "1000", "--check", "--json"
    )
    data = outcome.json
    assert data["device"]["slowdown"] == 1000
    assert data["whole_s"]["median"] > 0.005  # at full speed it takes some tens of microseconds
    assert data["elapsed_s"] < 1000 * data["whole_s"]["median"]
    assert all(segment["measured_s"] > 0.001 for segment in data["check"]["segments"])


def test_without_a_check_there_is_a_table_of_blocks_alone(seamline, model_path):
    outcome = seamline("profile", str(model_path), "--threads", "1", "--budget", "0.1")
    assert outcome.exit_code == 0
    assert "cut adds" in outcome.stdout
    assert "conv1" in outcome.stdout or "relu1" in outcome.stdout
    assert "random segments" not in outcome.stdout


def test_with_a_check_the_errors_are_said(seamline, model_path):
    outcome = seamline("profile", str(model_path), "--threads", "1", "--budget", "0.1", "--check")
    assert "random segments: error" in outcome.stdout
