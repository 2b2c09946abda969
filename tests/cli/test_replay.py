"""`seamline replay`: a recorded run's decisions, decided again by the code of today."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from seamline.cli.reference import undocumented_keys


def test_a_recording_is_decided_the_same_again_and_every_key_is_documented(seamline, recording):
    outcome = seamline("replay", str(recording), "--json")
    data = outcome.json
    assert outcome.exit_code == 0
    assert undocumented_keys("replay", data) == set()
    assert data["n_different"] == 0
    assert [one["recorded"] for one in data["decisions"]] == [one["today"] for one in data["decisions"]]
    switches = [one for one in data["decisions"] if one["recorded"]["kind"] == "switch"]
    assert len(switches) == 2
    assert "fell from 20.0 to 1.0 Mbit/s" in switches[1]["recorded"]["reason"]


def test_each_decision_is_a_row_with_its_time_plan_and_reason(seamline, recording):
    outcome = seamline("replay", str(recording))
    assert outcome.exit_code == 0
    first, *_ = [line for line in outcome.stdout.splitlines() if "first plan: " in line]
    assert first.split()[:2] == ["4.000", "s"]
    assert first.rstrip().endswith("same")
    assert "serves" in outcome.stdout
    assert outcome.stdout.splitlines()[-1].endswith("all the same today")


def test_where_the_code_of_today_decides_otherwise_it_says_what_and_exits_with_0(seamline, recording):
    lines = recording.read_text().splitlines()
    at = next(at for at, line in enumerate(lines) if '"Decided"' in line)
    line = json.loads(lines[at])
    line["decision"] |= {"plan": "edge[0:20]", "reason": "as an older version said"}
    recording.write_text("\n".join([*lines[:at], json.dumps(line), *lines[at + 1 :]]) + "\n")
    outcome = seamline("replay", str(recording))
    assert outcome.exit_code == 0
    assert "as an older version said" in outcome.stdout
    assert "first plan: " in outcome.stdout
    assert "1 of them otherwise today, the first at 4.000 s" in outcome.stdout


def test_another_process_decides_the_same(seamline, recording):
    """Sets of names are in another order there."""
    other = "1" if os.environ.get("PYTHONHASHSEED") != "1" else "2"
    there = subprocess.run(
        [sys.executable, "-m", "seamline", "replay", str(recording), "--json"],
        capture_output=True, text=True, check=True, env={**os.environ, "PYTHONHASHSEED": other},
    )  # fmt: skip
    assert there.stdout == seamline("replay", str(recording), "--json").stdout
    assert json.loads(there.stdout)["n_different"] == 0


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (None, "there is no file"),
        ("", "the recording is empty"),
        ("pixels", "line 1 is not JSON"),
        ('{"schema": "seamline.profile/1"}\n', "line 1: `schema` is 'seamline.profile/1'"),
        ("HEADER\n" + '{"at_s": 1.0, "event": {"kind": "Tock"}}\n', "line 2: there is no 'Tock'"),
        ("HEADER\n" + "[]\n", "line 2: neither an event nor a decision"),
    ],
)
def test_a_bad_file_is_wrong_use_with_a_hint(seamline, recording, text, words):
    header = recording.read_text().splitlines()[0]
    if text is None:
        recording.unlink()
    else:
        recording.write_text(text.replace("HEADER", header))
    outcome = seamline("replay", str(recording))
    assert outcome.exit_code == 2
    assert words in outcome.stderr
    assert str(recording) in outcome.stderr
    assert "hint: " in outcome.stderr
    assert outcome.stdout == ""
