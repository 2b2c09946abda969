"""`seamline testbed check`: a good file is shown, a bad one explained."""

from __future__ import annotations

from pathlib import Path

import pytest

from seamline.cli.reference import undocumented_keys

GOOD = """
name = "two"
[[node]]
name = "edge"
tier = "edge"
slowdown = 8.0
threads = 1
[[node]]
name = "cloud"
tier = "cloud"
[[link]]
between = ["edge", "cloud"]
rate_mbps = 20
delay_ms = 10
[[change]]
at_s = 5
link = "edge-cloud"
rate_mbps = 5
"""


@pytest.fixture
def testbed_file(tmp_path: Path):
    def write(text: str) -> str:
        path = tmp_path / "testbed.toml"
        path.write_text(text, encoding="utf-8")
        return str(path)

    return write


def test_a_good_file_is_shown_in_si_units(seamline, testbed_file):
    outcome = seamline("testbed", "check", testbed_file(GOOD), "--json")
    data = outcome.json
    assert outcome.exit_code == 0
    assert undocumented_keys("testbed check", data) == set()
    assert [node["name"] for node in data["nodes"]] == ["edge", "cloud"]
    assert data["nodes"][0]["slowdown"] == 8.0
    assert {"between": ["edge", "cloud"], "rate_bps": 20e6, "delay_s": 0.01}.items() <= data["links"][0].items()
    assert [(change["at_s"], change["rate_bps"], change["delay_s"]) for change in data["changes"]] == [(5, 5e6, None)]


def test_a_good_file_is_drawn_as_tables(seamline, testbed_file):
    outcome = seamline("testbed", "check", testbed_file(GOOD))
    assert outcome.exit_code == 0
    assert "edge-cloud" in outcome.stdout
    assert "5.0 Mbit/s" in outcome.stdout
    assert "20.0 Mbit/s" in outcome.stdout
    assert "8x" in outcome.stdout


def test_an_unknown_key_is_refused_with_the_nearest_one(seamline, testbed_file):
    outcome = seamline("testbed", "check", testbed_file(GOOD.replace("slowdown", "slowdwon")), "--json")
    assert outcome.exit_code == 2
    assert outcome.stdout == ""
    assert "slowdwon" in outcome.stderr
    assert "slowdown" in outcome.stderr
    assert "Traceback" not in outcome.stderr


def test_a_file_that_is_not_there_is_wrong_use(seamline, tmp_path):
    outcome = seamline("testbed", "check", str(tmp_path / "none.toml"))
    assert outcome.exit_code == 2
    assert "none.toml" in outcome.stderr
